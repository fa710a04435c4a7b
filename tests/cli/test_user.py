"""Can the people be looked after from the command line, without a secret ever standing in it?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from station.cli import app, user
from station.core.errors import UsageError
from station.store.people import People, SignInRefused

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def command(*words: str, secret: str | None = None) -> Result:
        return CliRunner().invoke(app, ["user", *words, "--db", str(tmp_path / "ledger.db")], input=secret)

    return command


def opens(folder: Path, name: str, secret: str) -> bool:
    with closing(People(folder / "people.db")) as people:
        try:
            return people.sign_in(name, secret, client="test").person.name == name
        except SignInRefused:
            return False


def test_someone_is_added_shut_out_let_in_and_given_a_new_pin(run: Run, tmp_path: Path) -> None:
    for name, role in (("Ada", "admin"), ("Mia", "inspector")):
        added = run("add", name, "--role", role, "--secret-file", "-", secret="2468\n")
        assert added.exit_code == 0, added.output
        assert "2468" not in added.output
    assert opens(tmp_path, "Mia", "2468")
    assert run("disable", "mia").exit_code == 0
    assert not opens(tmp_path, "Mia", "2468")
    listed = json.loads(run("list", "--json", "-").stdout)["people"]
    assert [(p["name"], p["role"], p["disabled_at"] is None) for p in listed] == [
        ("Ada", "admin", True),
        ("Mia", "inspector", False),
    ]
    assert run("enable", "Mia").exit_code == 0
    (tmp_path / "secret").write_text("a new password\nand no more", encoding="utf-8")
    assert run("pin", "Mia", "--password", "--secret-file", str(tmp_path / "secret")).exit_code == 0
    assert opens(tmp_path, "Mia", "a new password")
    with closing(People(tmp_path / "people.db")) as people:
        assert all(c.by.endswith("command line)") for c in people.changes())


@pytest.mark.parametrize(
    ("words", "secret", "remedy"),
    [
        (("disable", "Nobody"), None, "station user list"),
        (("add", "Mia", "--role", "ml", "--secret-file", "-"), "12\n", "4 to 12 digits"),
        (("add", "Mia", "--role", "ml", "--secret-file", "no/such/file"), None, "cannot read"),
        (("add", "Mia", "--role", "ml"), None, "--secret-file"),
    ],
)
def test_what_cannot_be_done_names_the_remedy(
    run: Run, words: tuple[str, ...], secret: str | None, remedy: str
) -> None:
    refused = run(*words, secret=secret)
    assert refused.exit_code != 0
    assert isinstance(refused.exception, UsageError)
    assert remedy in str(refused.exception)
    assert json.loads(run("list", "--json", "-").stdout) == {"people": []}


def typing(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    answers = iter(words)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(user.getpass, "getpass", lambda prompt: next(answers))


@pytest.mark.parametrize(("secret", "pin"), [("2468", True), ("words here", False)])
def test_a_secret_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch, secret: str, pin: bool) -> None:
    typing(monkeypatch, secret, secret)
    assert user._secret("Mia", None, pin=pin) == secret


@pytest.mark.parametrize(
    ("typed", "said"), [(("2468", "2469"), "not the same"), (("words here", "words here"), "digits only")]
)
def test_a_slip_of_the_finger_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, typed: tuple[str, str], said: str
) -> None:
    typing(monkeypatch, *typed)
    with pytest.raises(UsageError, match=said):
        user._secret("Mia", None, pin=True)
