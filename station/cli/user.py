"""Who may use the panel? Add people, disable and enable them, give them a new PIN, list them."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from station.cli.options import ConfigOption, DbOption, JsonOption, station_config
from station.cli.printing import say, write_json
from station.core.errors import UsageError
from station.store.people import People, Person, Role

user_app = typer.Typer(help="Add people of the panel and look after them.", no_args_is_help=True, rich_markup_mode=None)

MOST_SECRET = 1024
"""Bytes read from a secret file; no secret is longer."""

NameArgument = Annotated[str, typer.Argument(help="Name of the person.")]
FileOption = Annotated[
    Path | None, typer.Option("--secret-file", help="Read the PIN or password from a file; '-' is standard input.")
]
PinOption = Annotated[
    bool, typer.Option("--pin/--password", help="Ask for a PIN of digits, or for a password (default: a PIN).")
]


class RoleName(StrEnum):
    """Roles of ``station user add``."""

    INSPECTOR = "inspector"
    ENGINEER = "engineer"
    ML = "ml"
    ADMIN = "admin"


@user_app.command("add")
def user_add(
    name: NameArgument,
    role: Annotated[RoleName, typer.Option("--role", help="What the person does at the station.")],
    pin: PinOption = True,
    secret_file: FileOption = None,
    db: DbOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Add a person; the PIN or password is asked for twice.

    Examples:

      station user add Mia --role inspector

      station user add Ada --role admin --password
    """
    with _people(config_file, db) as people:
        person = people.add(name, Role(role.value), _secret(name, secret_file, pin=pin), by=_operator())
    say(f"{person.name} may use the panel as {person.role}", json_file=None)


@user_app.command("disable")
def user_disable(name: NameArgument, db: DbOption = None, config_file: ConfigOption = None) -> None:
    """Let a person in no longer; whoever is signed in under the name is signed out at once.

    Example:

      station user disable Mia
    """
    with _people(config_file, db) as people:
        person = people.disable(name, by=_operator())
    say(f"{person.name} is disabled", json_file=None)


@user_app.command("enable")
def user_enable(name: NameArgument, db: DbOption = None, config_file: ConfigOption = None) -> None:
    """Let a disabled person in again.

    Example:

      station user enable Mia
    """
    with _people(config_file, db) as people:
        person = people.enable(name, by=_operator())
    say(f"{person.name} may use the panel as {person.role}", json_file=None)


@user_app.command("pin")
def user_pin(
    name: NameArgument,
    pin: PinOption = True,
    secret_file: FileOption = None,
    db: DbOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Give a person a new PIN or password; whoever is signed in under the name is signed out at once.

    Examples:

      station user pin Mia

      station user pin Ada --password
    """
    with _people(config_file, db) as people:
        person = people.set_secret(name, _secret(name, secret_file, pin=pin), by=_operator())
    say(f"{person.name} has a new {'PIN' if pin else 'password'}", json_file=None)


@user_app.command("list")
def user_list(json_file: JsonOption = None, db: DbOption = None, config_file: ConfigOption = None) -> None:
    """List the people with role and standing.

    Example:

      station user list
    """
    with _people(config_file, db) as people:
        everybody = people.everybody()
    table = Table("name", "role", "standing", "since (UTC)", "added by")
    for p in everybody:
        table.add_row(p.name, p.role, "disabled" if p.disabled_at else "enabled", p.created_at[:19], p.created_by)
    say(table if everybody else "nobody yet: station user add NAME --role admin", json_file=json_file)
    write_json(json_file, {"people": [_row(p) for p in everybody]})


def _row(person: Person) -> dict[str, str | None]:
    return {
        "name": person.name,
        "role": person.role,
        "created_at": person.created_at,
        "created_by": person.created_by,
        "disabled_at": person.disabled_at,
    }


@contextmanager
def _people(config_file: Path | None, db: Path | None) -> Iterator[People]:
    people = People(station_config(config_file, db).store.people)
    try:
        yield people
    finally:
        people.close()


def _secret(name: str, file: Path | None, *, pin: bool) -> str:
    """The PIN or password: from a file, or asked for twice.

    Raises:
        UsageError: It cannot be read, is not the same twice, or is no PIN where one was asked for.
    """
    what = "PIN" if pin else "password"
    if file is not None:
        secret = _read(file)
    elif not sys.stdin.isatty():
        raise UsageError(f"there is no terminal to ask for the {what} on: use --secret-file FILE, or '-'")
    else:
        secret = getpass.getpass(f"{what} of {name}: ")
        if getpass.getpass(f"{what} of {name} again: ") != secret:
            raise UsageError(f"the two are not the same: {name} is left as before")
    if file is None and pin and not (secret.isascii() and secret.isdigit()):
        raise UsageError("a PIN has digits only: use --password for a password")
    return secret


def _read(file: Path) -> str:
    try:
        if str(file) == "-":
            return sys.stdin.readline(MOST_SECRET).rstrip("\r\n")
        with file.open(encoding="utf-8") as opened:
            return opened.readline(MOST_SECRET).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {error}") from error


def _operator() -> str:
    """Who sits at the computer, for the record of changes."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (OSError, KeyError):
        return "command line"
