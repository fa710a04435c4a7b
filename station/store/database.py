"""How is the ledger's file opened, by its one writer and by its readers?"""

from __future__ import annotations

import logging
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, ExceptionContext, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from station.core.errors import LedgerFault
from station.store.migrations import MIGRATIONS, migrate

log = logging.getLogger(__name__)

SAFE_SQLITE = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""Releases without the WAL-reset fault that needs several writers to show."""

BUSY_TIMEOUT_MS = 5_000

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
AWAY = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL})
"""Causes that lie in the file or its disk. All others are mistakes of this program and stay as they are."""

Reader = Engine
"""A read-only door to the ledger, as :func:`open_reader` gives it."""


class WriterLock:
    """Keeps a second loop off the same ledger; the system lets go of it when the process dies.

    Raises:
        LedgerFault: Another process (or another writer in this one) holds it.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a")
        except OSError as error:
            raise LedgerFault(f"cannot open {path}: {error}") from error
        try:
            _lock(self._file.fileno())
        except OSError as error:
            self._file.close()
            raise LedgerFault(
                f"the ledger {database} is in use by another loop ({error}): stop that one, or name another with --db"
            ) from error

    def release(self) -> None:
        """Lets others write; may be called twice."""
        self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_writer(path: Path, *, durable: bool = True) -> Engine:
    """Opens (and makes, and migrates) the ledger for the one writing process.

    Args:
        path: The SQLite file; its folder is made.
        durable: ``synchronous=FULL``: a commit has reached the disk. False only for throw-away ledgers.

    Raises:
        LedgerFault: The file cannot be opened, is no database, or is newer than this software. Later, at any
            question: a page of it is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = sqlite3.connect(path, isolation_level=None)
        try:
            raw.execute("PRAGMA journal_mode = WAL")
            migrate(raw)
        finally:
            raw.close()
    except (OSError, sqlite3.Error) as error:
        fault = _fault_of_file(path, error)
        raise LedgerFault(f"cannot open the ledger {path}: {fault or error}") from error
    _say_if_old()
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # Taking the write lock at the start: a read that later writes would fail under a second writer.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    _say_what_to_do(engine, path)
    return engine


def open_reader(path: Path) -> Reader:
    """Opens the ledger read-only, for the panel, exports and checks; several may do so.

    Raises:
        LedgerFault: There is no ledger at ``path``, or it is of a version this software does not read. Later, at
            any question: the file is damaged or its disk is away.
    """
    if not path.is_file():
        raise LedgerFault(f"no ledger at {path}: start the loop first, or name its file with --db")

    def connect() -> sqlite3.Connection:
        # No immutable flag: the writer is alive, its WAL must be read.
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA query_only = ON")
        return connection

    try:
        with closing(connect()) as first:
            version = first.execute("SELECT max(version) FROM migration").fetchone()[0]
    except sqlite3.Error as error:
        fault = _fault_of_file(path, error)
        if fault is not None and _code(error) != sqlite3.SQLITE_NOTADB:
            raise fault from error
        raise LedgerFault(f"{path} is no ledger of this station ({error}): name the right file with --db") from error
    if version != len(MIGRATIONS):
        raise LedgerFault(
            f"the ledger {path} is of version {version}, this software reads {len(MIGRATIONS)}: "
            "start the loop once to bring it up, or install the release that made it"
        )
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=8)
    _say_what_to_do(engine, path)
    return engine


def _say_what_to_do(engine: Engine, path: Path) -> None:
    """Has every question to a damaged or absent file end in a :class:`LedgerFault` instead of the driver's words."""

    @event.listens_for(engine, "handle_error")
    def _handle(context: ExceptionContext) -> None:
        fault = _fault_of_file(path, context.original_exception)
        if fault is not None:
            raise fault from context.original_exception


def _fault_of_file(path: Path, error: BaseException) -> LedgerFault | None:
    """What is wrong with the file, and the remedy; ``None`` where the error is not the file's."""
    code = _code(error)
    # Without a code: the driver met text that is no UTF-8, which only a changed page can hold.
    if code in DAMAGED or (code is None and isinstance(error, sqlite3.OperationalError)):
        return LedgerFault(
            f"the ledger {path} is damaged and cannot be read ({error}): stop the loop, keep the file and restore "
            "the newest backup; without one, '.recover' in SQLite's own shell saves what can still be read "
            "(sqlite.org has a shell with it where the system's has none)"
        )
    if code in AWAY:
        return LedgerFault(f"the ledger {path} cannot be read now ({error}): is its disk there, is it locked?")
    return None


def _code(error: BaseException) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the low byte is the cause, the rest its detail


def _say_if_old() -> None:
    version = sqlite3.sqlite_version_info
    safe = version >= SAFE_SQLITE[0] or any(version[:2] == s[:2] and version >= s for s in SAFE_SQLITE[1:])
    if not safe:
        log.info(
            "SQLite %s has the WAL-reset fault with several writers; this station writes from one process only",
            sqlite3.sqlite_version,
        )
