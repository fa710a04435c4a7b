"""Which parts does somebody look for, and which passed since a moment? The History tab's lists; read-only.

No list ever scans the ledger to its end. A search that names something rare (a serial, a person, a class that was
found) starts from there; any other walks back through time over at most :data:`WALK` parts a page and says where the
next page goes on. Parts come newest first, by trigger time and then number.

A part under an open blind question is found by what the machine did not judge (number, serial, lot, time, person)
and never by verdict or class: a filter would tell what the question hides. The same goes for a part whose number an
open challenge has borrowed; it looks as if it were held, as an audited part would be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, text

FEW = 4_000
"""Matches of one filter up to which a search starts from them instead of walking back through time."""

WALK = 10_000
"""Most parts looked at for one page."""

PASSED_CHUNK = 500
"""Rows of the list of passed parts read at a time: no reader stands in the writer's way while somebody downloads."""

HIDDEN = """(EXISTS (SELECT 1 FROM review h WHERE h.part_id = i.part_id AND h.settled_at IS NULL AND h.blind = 1
  AND h.reason <> 'challenge') OR EXISTS (SELECT 1 FROM review h WHERE h.shown_as = i.part_id AND h.settled_at IS NULL))
"""
"""Whether the machine's opinion of part ``i`` must not be shown now."""

_FINAL = "SELECT 1 FROM command c WHERE c.part_id = i.part_id AND c.disposition <> 'HOLD'"
_RELEASED_AT = "coalesce(c.acknowledged_at, c.decided_at)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search asks for; ``None`` asks for anything.

    Attributes:
        part: A part's id, or its number as text.
        label: A class the machine found (passed parts: was nearest, only together with ``evaluation='OK'``) or a
            person named.
        disposition: What stands for the part now.
        person: Somebody who answered for it, also where the answer was taken back.
        since: First trigger time, ISO UTC as the ledger writes it.
        until: Trigger time from which on parts are left out.
    """

    part: str | None = None
    serial: str | None = None
    lot: str | None = None
    label: str | None = None
    evaluation: str | None = None
    disposition: str | None = None
    person: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class GivenAnswerOf:
    """The newest standing answer about a part."""

    person: str
    answer: str
    label: str | None
    answered_at: str
    reason: str


@dataclass(frozen=True, slots=True)
class FoundPart:
    """One line of a search; ``hidden`` ones carry no opinion of the machine."""

    number: int
    part_id: str
    triggered_at: str
    serial: str | None
    lot: str | None
    simulated: bool
    image_sha256: str | None
    image_dropped: bool
    disposition: str
    hidden: bool
    evaluation: str | None
    score: float | None
    label: str | None
    answer: GivenAnswerOf | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Parts of one page; ``next`` is the number to go on before, ``None`` at the end.

    A page may hold fewer parts than asked for, or none, and still have a next one.
    """

    parts: tuple[FoundPart, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class PassedPart:
    """A part that left as good."""

    number: int
    part_id: str
    serial: str | None
    lot: str | None
    triggered_at: str
    released_at: str
    person: str | None
    evaluation: str
    score: float | None
    label: str | None
    model: str | None
    model_sha256: str | None
    recipe: str
    recipe_sha256: str


@dataclass(frozen=True, slots=True)
class PassedCount:
    """How many parts left as good, of how many decided in that time."""

    parts: int
    by_person: int
    first: str | None
    last: str | None


def search(engine: Engine, wanted: Wanted, *, before: int | None = None, limit: int = 50) -> Page:
    """One page of the parts that fit ``wanted``, newest first.

    Args:
        engine: The ledger.
        wanted: What to look for.
        before: Number of the last part of the page before (or where that page said to go on); ``None``: the newest.
        limit: Parts on the page.
    """
    with engine.connect() as connection:
        found, following = _numbers(connection, wanted, before, limit)
        parts = _parts(connection, found)
    return Page(tuple(parts), following)


def _numbers(connection: Connection, wanted: Wanted, before: int | None, limit: int) -> tuple[list[int], int | None]:
    given: dict[str, Any] = {"limit": limit + 1, "few": FEW + 1, "walk": WALK}
    time = ["i.triggered_at >= :since"] if wanted.since else []
    time += ["i.triggered_at < :until"] if wanted.until else []
    given |= {"since": wanted.since, "until": wanted.until}
    if before is not None:
        at = connection.execute(text("SELECT triggered_at FROM inspection WHERE number = :n"), {"n": before}).scalar()
        if at is None:
            return [], None
        time.append("(i.triggered_at, i.number) < (:before_at, :before)")
        given |= {"before_at": at, "before": before}
    rare, fits, values = _filters(wanted)
    given |= values
    where = " AND ".join([*time, *fits]) or "1"
    newest_first = "ORDER BY i.triggered_at DESC, i.number DESC"
    start = next((s for s in rare if _are_few(connection, s, given)), None)
    if start is not None:
        # The unary plus keeps SQLite from walking through time after all.
        sql = (
            f"SELECT i.number FROM (SELECT DISTINCT n FROM ({start})) few "
            f"CROSS JOIN inspection i ON i.number = few.n WHERE {where} {newest_first} LIMIT :limit"
        )
        found = [int(n) for n in connection.execute(text(sql), given).scalars()]
        return found[:limit], found[limit - 1] if len(found) > limit else None
    along = ["i.lot = :lot AND i.lot IS NOT NULL"] if wanted.lot is not None else []
    if not along and wanted.evaluation not in (None, "OK"):
        along = ["i.evaluation = :evaluation AND i.evaluation <> 'OK'"]
    walked = f"FROM inspection i WHERE {' AND '.join([*along, *time]) or '1'} {newest_first}"
    sql = (
        f"SELECT w.n FROM (SELECT i.number AS n {walked} LIMIT :walk) w "
        f"CROSS JOIN inspection i ON i.number = w.n WHERE {' AND '.join(fits) or '1'} LIMIT :limit"
    )
    found = [int(n) for n in connection.execute(text(sql), given).scalars()]
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    last = connection.execute(text(f"SELECT i.number {walked} LIMIT 1 OFFSET :walk - 1"), given).scalar()
    return found, None if last is None else int(last)


def _are_few(connection: Connection, start: str, given: Mapping[str, Any]) -> bool:
    counted = connection.execute(text(f"SELECT count(*) FROM (SELECT n FROM ({start}) LIMIT :few)"), given).scalar_one()
    return int(counted) <= FEW


def _filters(wanted: Wanted) -> tuple[list[str], list[str], dict[str, Any]]:
    """Where a search may start (``SELECT … AS n``, rarest first), what must hold of ``i``, and the values named."""
    rare: list[str] = []
    fits: list[str] = []
    values = {k: getattr(wanted, k) for k in ("serial", "lot", "label", "evaluation", "disposition", "person")}
    if wanted.part is not None:
        asked = wanted.part.strip().removeprefix("#")
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 18 else -1
        values |= {"part": asked, "number": number}
        rare.append(
            "SELECT number AS n FROM inspection WHERE number = :number "
            "UNION SELECT number FROM inspection WHERE part_id IN (:part, upper(:part))"
        )
    for column in ("serial", "lot"):
        if values[column] is not None:
            rare.append(f"SELECT number AS n FROM inspection WHERE {column} = :{column} AND {column} IS NOT NULL")
            fits.append(f"+i.{column} = :{column}")
    if wanted.person is not None:
        rare.append(
            "SELECT j.number AS n FROM confirmation f CROSS JOIN inspection j ON j.part_id = f.part_id "
            "WHERE f.person = :person"
        )
        # Answers to a challenge are no answers for the part as long as it is open, nor for the number it borrowed.
        fits.append(
            "EXISTS (SELECT 1 FROM confirmation f JOIN review q ON q.id = f.review_id WHERE f.part_id = i.part_id "
            "AND f.person = :person AND (q.reason <> 'challenge' OR q.settled_at IS NOT NULL))"
        )
    if wanted.label is not None:
        named = "s.label = :label AND f.undone_at IS NULL AND s.reason <> 'challenge'"
        if wanted.evaluation == "OK":
            fits.append("+i.label = :label")
        else:
            rare.append(
                "SELECT number AS n FROM inspection WHERE label = :label AND evaluation <> 'OK' "
                "UNION ALL SELECT j.number FROM sample s CROSS JOIN inspection j ON j.part_id = s.part_id "
                "WHERE s.label = :label"
            )
            fits.append(
                "((+i.label = :label AND +i.evaluation <> 'OK') OR EXISTS (SELECT 1 FROM sample s "
                f"JOIN confirmation f ON f.id = s.confirmation_id WHERE s.part_id = i.part_id AND {named}))"
            )
    if wanted.disposition == "HOLD":
        rare.append(
            "SELECT j.number AS n FROM review r CROSS JOIN inspection j ON j.part_id = r.part_id "
            "WHERE r.settled_at IS NULL UNION SELECT j.number FROM review r "
            "CROSS JOIN inspection j ON j.part_id = r.shown_as WHERE r.settled_at IS NULL"
        )
        fits.append(f"(NOT EXISTS ({_FINAL}) OR {HIDDEN})")
    elif wanted.disposition is not None:
        if wanted.disposition != "RELEASE":
            rare.append(
                "SELECT j.number AS n FROM command c CROSS JOIN inspection j ON j.part_id = c.part_id "
                "WHERE c.disposition = :disposition AND c.disposition IN ('REJECT', 'REWORK')"
            )
        fits.append(f"EXISTS ({_FINAL} AND c.disposition = :disposition) AND NOT {HIDDEN}")
    if wanted.evaluation is not None:
        if wanted.evaluation != "OK":
            rare.append("SELECT number AS n FROM inspection WHERE evaluation = :evaluation AND evaluation <> 'OK'")
        fits.append("+i.evaluation = :evaluation")
    if wanted.evaluation is not None or wanted.label is not None:
        fits.append(f"NOT {HIDDEN}")
    return rare, fits, values


def _parts(connection: Connection, numbers: list[int]) -> list[FoundPart]:
    asked = {"numbers": json.dumps(numbers)}
    rows = connection.execute(
        text(
            "SELECT i.number, i.part_id, i.triggered_at, i.serial, i.lot, i.simulated, i.image_sha256, "
            "EXISTS (SELECT 1 FROM dropped_image d WHERE d.image_sha256 = i.image_sha256), "
            "(SELECT disposition FROM command c WHERE c.part_id = i.part_id ORDER BY c.id DESC LIMIT 1), "
            f"{HIDDEN}, i.evaluation, i.score, i.label "
            "FROM json_each(:numbers) asked CROSS JOIN inspection i ON i.number = asked.value ORDER BY asked.key"
        ),
        asked,
    ).all()
    answers = {
        str(r[0]): GivenAnswerOf(*r[1:])
        for r in connection.execute(
            text(
                "SELECT f.part_id, f.person, f.answer, f.label, f.answered_at, q.reason "
                "FROM json_each(:numbers) asked CROSS JOIN inspection i ON i.number = asked.value "
                "CROSS JOIN confirmation f ON f.part_id = i.part_id JOIN review q ON q.id = f.review_id "
                "WHERE f.undone_at IS NULL AND q.reason <> 'challenge' ORDER BY f.id"
            ),
            asked,
        ).all()
    }
    parts = []
    for r in rows:
        row = list(r)
        row[5], row[7], row[8], row[9] = bool(row[5]), bool(row[7]), row[8] or "HOLD", bool(row[9])
        part = FoundPart(*row)
        if part.hidden:
            part = replace(part, disposition="HOLD", evaluation=None, score=None, label=None)
        else:
            part = replace(part, answer=answers.get(part.part_id))
        parts.append(part)
    return parts


def count_passed(engine: Engine, *, since: str, until: str | None = None, lot: str | None = None) -> PassedCount:
    """How many parts :func:`passed` lists, how many of them a person released."""
    with engine.connect() as connection:
        row = connection.execute(
            text(
                f"SELECT count(*), count(c.confirmation_id), min({_RELEASED_AT}), max({_RELEASED_AT}) "
                f"{_passed_from(lot)} WHERE {_passed_where(until, lot)}"
            ),
            {"since": since, "until": until, "lot": lot},
        ).one()
    return PassedCount(int(row[0]), int(row[1]), row[2], row[3])


def passed(engine: Engine, *, since: str, until: str | None = None, lot: str | None = None) -> Iterator[PassedPart]:
    """Every part released from ``since`` on and decided before ``until``, in the order of release, in short steps.

    What counts is when the line acknowledged the release (when it was decided, while it has not): a part let go
    before ``since`` whose command reached the line after it is in the list. Nothing that happens while it is read
    takes a part out of the list or puts it in twice.
    """
    given: dict[str, Any] = {"since": since, "until": until, "lot": lot, "chunk": PASSED_CHUNK}
    sql = (
        "SELECT i.number, i.part_id, i.serial, i.lot, i.triggered_at, "
        f"{_RELEASED_AT}, f.person, i.evaluation, i.score, i.label, u.model, i.model_sha256, u.recipe, "
        f"i.recipe_sha256, c.acknowledged_at IS NULL, c.id {_passed_from(lot)} JOIN run u ON u.id = i.run_id "
        "LEFT JOIN confirmation f ON f.id = c.confirmation_id "
        f"WHERE {_passed_where(until, lot)} {{after}} ORDER BY {_RELEASED_AT}, c.id LIMIT :chunk"
    )
    after = ""
    on_their_way: set[int] = set()  # their place in the order changes once the line has acknowledged
    while True:
        with engine.connect() as connection:
            rows = connection.execute(text(sql.format(after=after)), given).all()
        for *part, unacknowledged, command in rows:
            if command in on_their_way:
                continue
            if unacknowledged:
                on_their_way.add(command)
            yield PassedPart(*part)
        if len(rows) < PASSED_CHUNK:
            return
        given |= {"last_at": rows[-1][5], "last_id": rows[-1][-1]}
        after = f"AND ({_RELEASED_AT}, c.id) > (:last_at, :last_id)"


def _passed_from(lot: str | None) -> str:
    if lot is None:
        return "FROM command c CROSS JOIN inspection i ON i.part_id = c.part_id"
    return "FROM inspection i CROSS JOIN command c ON c.part_id = i.part_id"


def _passed_where(until: str | None, lot: str | None) -> str:
    where = f"c.disposition = 'RELEASE' AND {_RELEASED_AT} >= :since"
    where += " AND c.decided_at < :until" if until else ""
    return where + (" AND i.lot = :lot AND i.lot IS NOT NULL" if lot else "")


def people(engine: Engine) -> list[str]:
    """Everybody who ever answered, in the order of their names."""
    return _values(engine, "confirmation", "person", "ASC", 500)


def lots(engine: Engine) -> list[str]:
    """Lots parts came from, the last in the order of their names first."""
    return _values(engine, "inspection", "lot", "DESC", 200)


def _values(engine: Engine, table: str, column: str, order: str, most: int) -> list[str]:
    """Distinct values, one look into the index each: however many rows share one."""
    step = "<" if order == "DESC" else ">"
    one = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL {{}} ORDER BY {column} {order} LIMIT 1"
    first, following = one.format(""), one.format(f"AND {column} {step} v.value")
    sql = (
        f"WITH RECURSIVE v(value) AS (SELECT * FROM ({first}) UNION ALL SELECT ({following}) FROM v "
        "WHERE v.value IS NOT NULL LIMIT :most) SELECT value FROM v WHERE value IS NOT NULL"
    )
    with engine.connect() as connection:
        return [str(v) for v in connection.execute(text(sql), {"most": most}).scalars()]
