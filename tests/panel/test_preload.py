"""Does a page name all it needs, and nothing else name anything?"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from station.panel.preload import STATIC, Preload, links
from station.store.people import Role


def answered(path: str, status: int = 200) -> dict[str, str]:
    """The headers that reach the browser."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Preload(app)({"type": "http", "path": path}, None, send))  # type: ignore[arg-type]
    assert sent[1]["body"] == b"page"
    return {k.decode(): v.decode() for k, v in sent[0]["headers"]}


@pytest.mark.parametrize("role", list(Role))
def test_a_page_names_every_module_of_its_first_screen(role: Role) -> None:
    named = re.findall(r"</static/panel/([\w.-]+)>; rel=(\w+)", links(role).decode())
    assert len({name for name, _ in named}) == len(named)
    assert all((STATIC / name).is_file() for name, _ in named)
    modules = {name for name, how in named if how == "modulepreload"}
    assert {"top.js", "link.js", "review.js" if role is not Role.ML else "live.js"} <= modules
    for name in modules:  # whatever one of them imports is named as well
        assert set(re.findall(r'from "\./([\w-]+\.js)"', (STATIC / name).read_text(encoding="utf-8"))) <= modules


def test_only_pages_that_are_given_carry_the_header() -> None:
    assert answered("/inspector/")["link"] == links(Role.INSPECTOR).decode()
    assert answered("/inspector/")["content-type"] == "text/html"
    assert "link" not in answered("/inspector/", status=303)
    assert "link" not in answered("/inspector/assets/index.js")
    assert "link" not in answered("/api/live")
    assert "link" not in answered("/sign-in")
