"""Who may use the panel, in which role, and who is signed in now? ``people.db`` beside the ledger.

Secrets are kept as argon2id hashes, sessions as the sha256 of their token; every change of a person is written down
for good.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from argon2 import PasswordHasher

from station.core.errors import StationError, UsageError
from station.core.timing import Clock, SystemClock
from station.store.people_file import PeopleFile
from station.store.secret import HASHER, Vault
from station.store.throttle import forgive, note_try, wait_s

MOST_PEOPLE = 500
"""The sign-in page shows them all; a station has far fewer."""

TOUCH_S = 10.0
"""Activity is written down at most so often: a write reaches the disk."""

COLUMNS = "name, role, created_at, created_by, disabled_at, secret_by"


class Role(StrEnum):
    """What a person does at the station."""

    INSPECTOR = "inspector"
    ENGINEER = "engineer"
    ML = "ml"
    ADMIN = "admin"


class PeopleRefused(UsageError):
    """A change of a person cannot be made.

    Attributes:
        code: ``invalid``, ``exists``, ``unknown`` or ``last_admin``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SignInRefused(StationError):
    """Nobody is signed in.

    Attributes:
        code: ``wrong`` (name or secret, which of them is not said) or ``wait``.
        wait_s: Seconds until the next try is taken.
    """

    def __init__(self, code: str, wait_s: float) -> None:
        super().__init__(
            "too many wrong tries: wait" if code == "wait" else "name and PIN do not fit: try again, or ask an admin"
        )
        self.code = code
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may use the panel; times in ISO 8601 UTC."""

    name: str
    role: Role
    created_at: str
    created_by: str
    disabled_at: str | None
    secret_by: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has just begun; only this value ever holds its token."""

    token: str
    person: Person


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed about whom, by whom; time in ISO 8601 UTC."""

    at: str
    by: str
    what: str
    about: str


class People:
    """The people of one station and their sessions; safe to use from several threads and processes.

    The file is opened (and made) at the first use, so that a panel starts before there is anything.

    Args:
        path: ``people.db``; its folder is made.
        clock: Gives the time of everything written.
        hasher: Hashes new secrets; hashes of other parameters are made anew at their next right use.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None, hasher: PasswordHasher = HASHER) -> None:
        self._file = PeopleFile(path)
        self._clock = clock or SystemClock()
        self._vault = Vault(hasher)

    def close(self) -> None:
        """Gives the file back; it is opened again where it is needed."""
        self._file.close()

    # ---------------------------------------------------------------- people

    def everybody(self) -> list[Person]:
        """All people, disabled ones too, by name.

        Raises:
            PeopleFault: The file cannot be read.
        """
        with self._file.reading() as db:
            return [_person(row) for row in db.execute(f"SELECT {COLUMNS} FROM person ORDER BY name_key")]

    def add(self, name: str, role: Role, secret: str, *, by: str) -> Person:
        """Adds a person.

        Raises:
            PeopleRefused: Name or secret cannot be used, or the name is taken.
            PeopleFault: The file cannot be written.
        """
        name, hashed = _checked_name(name), _hashed(self._vault, secret)
        with self._file.writing() as db:
            if db.execute("SELECT count(*) FROM person").fetchone()[0] >= MOST_PEOPLE:
                raise PeopleRefused("invalid", f"there are {MOST_PEOPLE} people already")
            self._insert(db, name, role, hashed, by)
            return self._found(db, name)[1]

    def add_first(self, people: list[tuple[str, Role, str]], *, by: str) -> bool:
        """Adds these (name, role, secret) only where there is nobody yet; returns whether it did.

        Raises:
            PeopleRefused: A name or a secret cannot be used.
            PeopleFault: The file cannot be written.
        """
        with self._file.reading() as db:
            if db.execute("SELECT 1 FROM person").fetchone():
                return False
        hashed = [(_checked_name(name), role, _hashed(self._vault, secret)) for name, role, secret in people]
        with self._file.writing() as db:
            if db.execute("SELECT 1 FROM person").fetchone():
                return False
            for name, role, secret_hash in hashed:
                self._insert(db, name, role, secret_hash, by)
        return True

    def disable(self, name: str, *, by: str) -> Person:
        """Lets a person in no longer; their sessions end at once.

        Raises:
            PeopleRefused: There is no such person, or it is the last enabled admin.
            PeopleFault: The file cannot be written.
        """
        with self._file.writing() as db:
            number, person = self._found(db, name)
            if person.disabled_at is None:
                self._keep_an_admin(db, number)
                db.execute("UPDATE person SET disabled_at = ? WHERE id = ?", (self._now(), number))
                self._end_sessions(db, number)
                self._note(db, by, "disabled", person.name)
            return self._found(db, name)[1]

    def enable(self, name: str, *, by: str) -> Person:
        """Lets a disabled person in again.

        Raises:
            PeopleRefused: There is no such person.
            PeopleFault: The file cannot be written.
        """
        with self._file.writing() as db:
            number, person = self._found(db, name)
            if person.disabled_at is not None:
                db.execute("UPDATE person SET disabled_at = NULL WHERE id = ?", (number,))
                self._note(db, by, "enabled", person.name)
            return self._found(db, name)[1]

    def set_secret(self, name: str, secret: str, *, by: str) -> Person:
        """Gives a person a new PIN or password; their sessions end at once, their wrong tries are forgotten.

        Raises:
            PeopleRefused: There is no such person, or the secret cannot be used.
            PeopleFault: The file cannot be written.
        """
        hashed = _hashed(self._vault, secret)
        with self._file.writing() as db:
            number, person = self._found(db, name)
            db.execute("UPDATE person SET secret_hash = ?, secret_by = ? WHERE id = ?", (hashed, by, number))
            self._end_sessions(db, number)
            forgive(db, _digest(name_key(name)))
            self._note(db, by, "new secret", person.name)
            return self._found(db, name)[1]

    def set_role(self, name: str, role: Role, *, by: str) -> Person:
        """Gives a person another role; their sessions end at once.

        Raises:
            PeopleRefused: There is no such person, or it is the last enabled admin.
            PeopleFault: The file cannot be written.
        """
        with self._file.writing() as db:
            number, person = self._found(db, name)
            if person.role is not role:
                self._keep_an_admin(db, number)
                db.execute("UPDATE person SET role = ? WHERE id = ?", (role.value, number))
                self._end_sessions(db, number)
                self._note(db, by, f"role {person.role} to {role}", person.name)
            return self._found(db, name)[1]

    def changes(self, *, limit: int = 100) -> list[Change]:
        """The newest changes of people, newest first.

        Raises:
            PeopleFault: The file cannot be read.
        """
        with self._file.reading() as db:
            rows = db.execute("SELECT at, by, what, about FROM change ORDER BY id DESC LIMIT ?", (limit,))
            return [Change(*row) for row in rows]

    # ---------------------------------------------------------------- sessions

    def sign_in(self, name: str, secret: str, *, client: str) -> SignedIn:
        """Begins a session; blocks for the time of one hash, whether there is such a person or not.

        Every try is written down before its secret is looked at, so that tries at the same time cannot slip
        through, and taken back where it was right.

        Args:
            name: As typed; upper and lower case are the same.
            secret: PIN or password.
            client: Network address that asks.

        Raises:
            SignInRefused: Name and secret do not fit, or there were too many wrong tries.
            PeopleFault: The file cannot be written.
        """
        tried = _digest(name_key(name))
        with self._file.writing() as db:
            wait = wait_s(db, tried, client, now=self._clock.now())
            if wait <= 0:
                note_try(db, tried, client, now=self._clock.now())
            found = db.execute(
                "SELECT id, secret_hash, disabled_at FROM person WHERE name_key = ?", (name_key(name),)
            ).fetchone()
        if wait > 0:
            raise SignInRefused("wait", wait)
        number, hashed, disabled_at = found or (None, None, None)
        right = self._vault.fits(hashed, secret) and disabled_at is None
        kept = self._vault.renewed(str(hashed), secret) if right else hashed
        with self._file.writing() as db:
            # Asked again: disabled or given a new secret meanwhile, this one fits no longer.
            row = db.execute(
                f"SELECT {COLUMNS} FROM person WHERE id = ? AND secret_hash = ? AND disabled_at IS NULL",
                (number, hashed),
            ).fetchone()
            right = right and row is not None
            if right:
                forgive(db, tried)
                token = secrets.token_urlsafe(32)
                now = self._now()
                db.execute("UPDATE person SET secret_hash = ? WHERE id = ?", (kept, number))
                db.execute(
                    "INSERT INTO session (token_sha256, person, started_at, active_at, client) VALUES (?, ?, ?, ?, ?)",
                    (_digest(token), number, now, now, client[:64]),
                )
                return SignedIn(token, _person(row))
            wait = wait_s(db, tried, client, now=self._clock.now())
        raise SignInRefused("wrong", wait)

    def signed_in(self, token: str, *, idle_s: float, active: bool = False) -> Person | None:
        """Whose session this is; ``None`` where it has ended, for whatever reason.

        Args:
            token: As the browser sends it.
            idle_s: Seconds without activity after which a session ends; 0: never.
            active: This is activity: the time begins anew.

        Raises:
            PeopleFault: The file cannot be read.
        """
        with self._file.reading() as db:
            row = db.execute(
                f"SELECT {COLUMNS}, active_at FROM session JOIN person ON person.id = session.person "
                "WHERE token_sha256 = ? AND ended_at IS NULL AND disabled_at IS NULL",
                (_digest(token),),
            ).fetchone()
        if row is None:
            return None
        idle = (self._clock.now() - datetime.fromisoformat(row[-1])).total_seconds()
        if idle_s and idle > idle_s:
            self.sign_out(token)
            return None
        if active and (idle > min(TOUCH_S, idle_s / 10 if idle_s else TOUCH_S) or idle < 0):
            with self._file.writing() as db:
                db.execute(
                    "UPDATE session SET active_at = ? WHERE token_sha256 = ? AND ended_at IS NULL",
                    (self._now(), _digest(token)),
                )
        return _person(row[:-1])

    def sign_out(self, token: str) -> None:
        """Ends a session; one that has ended stays as it is.

        Raises:
            PeopleFault: The file cannot be written.
        """
        with self._file.writing() as db:
            db.execute(
                "UPDATE session SET ended_at = ? WHERE token_sha256 = ? AND ended_at IS NULL",
                (self._now(), _digest(token)),
            )

    # ---------------------------------------------------------------- inside

    def _insert(self, db: sqlite3.Connection, name: str, role: Role, secret_hash: str, by: str) -> None:
        try:
            db.execute(
                "INSERT INTO person (name, name_key, role, secret_hash, secret_by, created_at, created_by) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, name_key(name), role.value, secret_hash, by, self._now(), by),
            )
        except sqlite3.IntegrityError as error:
            raise PeopleRefused("exists", f"there is a {name} already: choose another name") from error
        self._note(db, by, f"added as {role}", name)

    def _found(self, db: sqlite3.Connection, name: str) -> tuple[int, Person]:
        row = db.execute(f"SELECT id, {COLUMNS} FROM person WHERE name_key = ?", (name_key(name),)).fetchone()
        if row is None:
            raise PeopleRefused("unknown", f"there is no {name!r}: see 'station user list'")
        return row[0], _person(row[1:])

    def _keep_an_admin(self, db: sqlite3.Connection, number: int) -> None:
        admins = db.execute("SELECT id FROM person WHERE role = 'admin' AND disabled_at IS NULL").fetchall()
        if admins == [(number,)]:
            raise PeopleRefused("last_admin", "this is the last admin: make another one first")

    def _end_sessions(self, db: sqlite3.Connection, number: int) -> None:
        db.execute("UPDATE session SET ended_at = ? WHERE person = ? AND ended_at IS NULL", (self._now(), number))

    def _note(self, db: sqlite3.Connection, by: str, what: str, about: str) -> None:
        db.execute("INSERT INTO change (at, by, what, about) VALUES (?, ?, ?, ?)", (self._now(), by, what, about))

    def _now(self) -> str:
        return self._clock.now().astimezone(UTC).isoformat(timespec="microseconds")


def name_key(name: str) -> str:
    """What two spellings of one name have in common."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _person(row: tuple[str, str, str, str, str | None, str]) -> Person:
    name, role, created_at, created_by, disabled_at, secret_by = row
    return Person(name, Role(role), created_at, created_by, disabled_at, secret_by)


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


def _checked_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise PeopleRefused("invalid", "a name has 1 to 64 printable characters")
    return name


def _hashed(vault: Vault, secret: str) -> str:
    try:
        return vault.hash(secret)
    except ValueError as error:
        raise PeopleRefused("invalid", str(error)) from error
