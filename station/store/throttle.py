"""How long must someone wait after wrong secrets? Counted per name and per address, kept over a restart.

A name nobody has is counted like any other: waiting tells nobody which names there are. Wrong tries are forgotten
when the name's right secret is given, which also takes the owner's own slips off the address they came from.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

FREE_TRIES = 5
LONGEST_S = 300.0
KEPT = timedelta(hours=24)
"""A wrong try older than this counts no longer."""


def wait_s(db: sqlite3.Connection, name_sha256: str, client: str, *, now: datetime) -> float:
    """Seconds until the next try for this name from this address is taken; 0: now."""
    # A clock that was set back must not make anybody wait for longer than was meant.
    db.execute("UPDATE wrong_try SET at = ? WHERE at > ?", (_stamp(now), _stamp(now)))
    since = _stamp(now - KEPT)
    longest = 0.0
    for column, value in (("name_sha256", name_sha256), ("client", client[:64])):
        count, last = db.execute(
            f"SELECT count(*), max(at) FROM wrong_try WHERE {column} = ? AND at >= ?", (value, since)
        ).fetchone()
        if count >= FREE_TRIES:
            passed = (now - datetime.fromisoformat(last)).total_seconds()
            longest = max(longest, pause_s(count) - passed)
    return longest


def pause_s(wrong: int) -> float:
    """Seconds to wait after the last of so many wrong tries: 2, 4, 8 … 300 from the fifth on."""
    if wrong < FREE_TRIES:
        return 0.0
    return min(LONGEST_S, 2.0 ** min(wrong - FREE_TRIES + 1, 16))


def note_try(db: sqlite3.Connection, name_sha256: str, client: str, *, now: datetime) -> None:
    """Counts a try; what is too old to count goes."""
    db.execute("DELETE FROM wrong_try WHERE at < ?", (_stamp(now - KEPT),))
    db.execute(
        "INSERT INTO wrong_try (at, name_sha256, client) VALUES (?, ?, ?)", (_stamp(now), name_sha256, client[:64])
    )


def forgive(db: sqlite3.Connection, name_sha256: str) -> None:
    """Forgets the wrong tries for a name."""
    db.execute("DELETE FROM wrong_try WHERE name_sha256 = ?", (name_sha256,))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
