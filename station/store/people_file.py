"""Where are people and sessions kept? One small SQLite file that panel and command line write at the same time.

It keeps a rollback journal: SQLite before 3.51.3 can lose a write-ahead log that has several writers.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from station.core.errors import StationError

BUSY_TIMEOUT_S = 5.0

SCHEMA = """
CREATE TABLE person (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  name_key TEXT NOT NULL UNIQUE,
  role TEXT NOT NULL CHECK (role IN ('inspector', 'engineer', 'ml', 'admin')),
  secret_hash TEXT NOT NULL CHECK (secret_hash LIKE '$argon2id$%'),
  secret_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  created_by TEXT NOT NULL,
  disabled_at TEXT
) STRICT;
CREATE TABLE change (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  by TEXT NOT NULL,
  what TEXT NOT NULL,
  about TEXT NOT NULL
) STRICT;
CREATE TABLE session (
  token_sha256 TEXT PRIMARY KEY CHECK (length(token_sha256) = 64),
  person INTEGER NOT NULL REFERENCES person (id),
  started_at TEXT NOT NULL,
  active_at TEXT NOT NULL,
  ended_at TEXT,
  client TEXT NOT NULL
) STRICT;
CREATE INDEX session_open ON session (person) WHERE ended_at IS NULL;
CREATE TABLE wrong_try (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  name_sha256 TEXT NOT NULL,
  client TEXT NOT NULL
) STRICT;
CREATE INDEX wrong_try_name ON wrong_try (name_sha256);
CREATE INDEX wrong_try_client ON wrong_try (client);
CREATE TRIGGER change_stays BEFORE UPDATE ON change BEGIN SELECT RAISE(ABORT, 'a change is never altered'); END;
CREATE TRIGGER change_kept BEFORE DELETE ON change BEGIN SELECT RAISE(ABORT, 'a change is never removed'); END;
CREATE TRIGGER person_kept BEFORE DELETE ON person BEGIN SELECT RAISE(ABORT, 'a person is disabled, not removed'); END;
CREATE TRIGGER person_named BEFORE UPDATE OF name, name_key ON person
  BEGIN SELECT RAISE(ABORT, 'a name stays: answers carry it'); END;
CREATE TRIGGER session_ended BEFORE UPDATE ON session WHEN OLD.ended_at IS NOT NULL
  BEGIN SELECT RAISE(ABORT, 'an ended session stays ended'); END;
"""
VERSION = 1


class PeopleFault(StationError):
    """``people.db`` cannot be read or written: nobody can sign in."""


class PeopleFile:
    """The open file, made and brought up at the first use; safe to use from several threads.

    Args:
        path: ``people.db``; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """Gives the file back; it is opened again where it is needed."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Hashes of short PINs are guessed quickly by whoever has them.
            self.path.touch(mode=0o600, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            try:
                db.execute("PRAGMA foreign_keys = ON")
                db.execute("PRAGMA synchronous = FULL")
                _bring_up(db, self.path)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone.

        Raises:
            PeopleFault: The file cannot be used.
        """
        with self._lock:
            try:
                yield self._open()
            except (sqlite3.Error, OSError) as error:
                raise PeopleFault(f"{self.path} cannot be used ({error}): check the file and the disk") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction that is kept at the end, or undone by an exception.

        Raises:
            PeopleFault: The file cannot be used.
        """
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def _bring_up(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise PeopleFault(f"{path} is of version {version}, this software knows {VERSION}: install the newer release")
    if version == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # another process may have been quicker
            for statement in _statements(SCHEMA):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """The statements one by one: sqlite3's executescript would commit in between."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
