"""Starts the panel as the station does: ``python -m tests.panel.serving FOLDER PORT``; makes people, signs them in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from station.panel.app import serve
from station.store.demo_people import DEMO_PEOPLE
from station.store.people import People, Role
from tests.panel.rehearsal import config

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""Hashes that cost nothing; the panel makes them anew with its own parameters at the first right use."""

PIN = "4711"
"""Of everyone but the demo's people, who keep theirs."""


def make_people(folder: Path, **more: Role) -> None:
    """Makes the demo's Mia, Tom, Eva, Max and Ada in the store under ``folder``, and ``more`` with :data:`PIN`.

    ``make_people(tmp_path, Eve=Role.INSPECTOR)``
    """
    people = People(config(folder).store.people, hasher=QUICK)
    try:
        for name, role, pin in (*DEMO_PEOPLE, *((n, r, PIN) for n, r in more.items())):
            people.add(name, role, pin, by="test")
    finally:
        people.close()


def secret_of(name: str) -> str:
    """The PIN of someone :func:`make_people` made."""
    return next((pin for n, _, pin in DEMO_PEOPLE if n == name), PIN)


def sign_in(http: Any, name: str, *, base: str = "http://127.0.0.1:7860", secret: str | None = None) -> dict[str, Any]:
    """Signs a client in; its cookies carry the session from then on. Returns what the panel said.

    Args:
        http: A TestClient or httpx client, or a Playwright context's ``request``.
        name: Who.
        base: Where the panel is called.
        secret: PIN or password; none: the one :func:`make_people` gave.
    """
    body = {"name": name, "secret": secret_of(name) if secret is None else secret}
    headers = {"origin": base}
    if hasattr(http, "fetch"):  # Playwright
        reply = http.post(f"{base}/api/sign-in", data=body, headers=headers)
        assert reply.status == 200, reply.text()
    else:
        reply = http.post(f"{base}/api/sign-in", json=body, headers=headers)
        assert reply.status_code == 200, reply.text
    return reply.json()  # type: ignore[no-any-return]


if __name__ == "__main__":
    serve(config(Path(sys.argv[1]), port=int(sys.argv[2])))
