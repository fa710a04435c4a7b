"""What happened to one part, from the trigger to the last word about it? Everything the ledger holds; read-only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from station.core.part import Box, Detection
from station.store.history import HIDDEN

AROUND_S = 60
"""Seconds before and after the trigger from which the station's events are told."""

MOST_EVENTS = 40


@dataclass(frozen=True, slots=True)
class RunOf:
    """The run in which the part was inspected, with the whole recipe then in force."""

    id: int
    started_at: str
    ended_at: str | None
    station: str
    recipe: str
    recipe_sha256: str
    recipe_json: str
    model: str | None
    model_sha256: str | None
    source: str
    line: str
    software: str
    limits_version: int | None


@dataclass(frozen=True, slots=True)
class InspectionOf:
    """The inspection's row; ``image_dropped_at`` where the picture has left for the disk budget."""

    number: int
    part_id: str
    triggered_at: str
    source: str
    frame_index: int
    serial: str | None
    lot: str | None
    truth: str | None
    simulated: bool
    image_sha256: str | None
    image_dropped_at: str | None
    width: int | None
    height: int | None
    recipe_sha256: str
    model_sha256: str | None
    preprocess: str | None
    evaluation: str
    reason: str
    score: float | None
    label: str | None
    scores: Mapping[str, float]
    candidates: tuple[Detection, ...]
    p_select: float
    audit: bool
    stage_ms: Mapping[str, float]
    has_heat: bool


@dataclass(frozen=True, slots=True)
class ReviewOf:
    """One question about the part; ``shown_as`` is the part under whose number a challenge was shown."""

    id: int
    opened_at: str
    reason: str
    blind: bool
    moves: bool
    shown_as: str | None
    excluded_person: str | None
    settled_at: str | None


@dataclass(frozen=True, slots=True)
class AnswerOf:
    """One answer, standing or taken back."""

    id: int
    review_id: int
    answer: str
    person: str
    answered_at: str
    seconds: float
    label: str | None
    box: tuple[float, ...] | None
    note: str | None
    cause: str | None
    judgements: Sequence[Mapping[str, Any]]
    shown: Mapping[str, Any]
    undone_at: str | None
    undone_by: str | None


@dataclass(frozen=True, slots=True)
class CommandOf:
    """One command to the line."""

    id: int
    disposition: str
    confirmation_id: int | None
    decided_at: str
    acknowledged_at: str | None


@dataclass(frozen=True, slots=True)
class CropOf:
    """One stored crop, without its pixels."""

    id: int
    confirmation_id: int
    label: str
    box: tuple[float, ...]
    crop_box: tuple[float, ...]
    crop_format: str
    crop_bytes: int
    crop_sha256: str
    proposed: str | None
    score: float | None
    p_select: float


@dataclass(frozen=True, slots=True)
class KnownOf:
    """That the part was marked as known, and perhaps withdrawn."""

    expected: str
    noted_at: str
    noted_by: str
    withdrawn_at: str | None
    withdrawn_by: str | None


@dataclass(frozen=True, slots=True)
class EventOf:
    """Something that happened at the station around the trigger."""

    at: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """A part's whole story.

    Attributes:
        hidden: A blind question about it is open, or an open challenge borrows its number: what the machine thinks
            must not be shown. The caller leaves it out.
    """

    inspection: InspectionOf
    run: RunOf
    hidden: bool
    reviews: tuple[ReviewOf, ...]
    answers: tuple[AnswerOf, ...]
    commands: tuple[CommandOf, ...]
    crops: tuple[CropOf, ...]
    known: tuple[KnownOf, ...]
    events: tuple[EventOf, ...]


def story(engine: Engine, part_id: str) -> Story | None:
    """Everything about one part; ``None`` where there is none of that id.

    A challenge with the part that is still open is left out, with its answers: the part's story must not tell
    anybody who may be asked that this is one.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")  # one state of the ledger for the whole story
        try:
            return _story(connection, part_id)
        finally:
            connection.rollback()


def heat(engine: Engine, part_id: str) -> bytes | None:
    """The part's heat map as PNG; ``None`` where there is none, or where it must not be shown now."""
    with engine.connect() as connection:
        found = connection.execute(
            text(f"SELECT heat FROM inspection i WHERE part_id = :p AND NOT {HIDDEN}"), {"p": part_id}
        ).scalar()
    return None if found is None else bytes(found)


def crop(engine: Engine, crop_id: int) -> tuple[str, bytes] | None:
    """Format (``png`` or ``jpg``) and pixels of a stored crop; ``None`` where there is none to show now."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT s.crop_format, s.crop FROM sample s JOIN inspection i ON i.part_id = s.part_id "
                f"WHERE s.id = :id AND NOT {HIDDEN}"
            ),
            {"id": crop_id},
        ).first()
    return None if found is None else (str(found[0]), bytes(found[1]))


def _story(connection: Connection, part_id: str) -> Story | None:
    def rows(sql: str, **more: Any) -> list[tuple[Any, ...]]:
        return [tuple(r) for r in connection.execute(text(sql), {"p": part_id, **more}).all()]

    found = rows(
        "SELECT number, part_id, triggered_at, source, frame_index, serial, lot, truth, simulated, image_sha256, "
        "(SELECT dropped_at FROM dropped_image d WHERE d.image_sha256 = i.image_sha256), image_width, image_height, "
        "recipe_sha256, model_sha256, preprocess, evaluation, reason, score, label, scores, candidates, p_select, "
        f"audit, stage_ms, heat IS NOT NULL, run_id, {HIDDEN} FROM inspection i WHERE part_id = :p"
    )
    if not found:
        return None
    *row, run_id, hidden = found[0]
    inspection = _inspection(row)
    run = rows(
        "SELECT id, started_at, ended_at, station, recipe, recipe_sha256, recipe_json, model, model_sha256, source, "
        "line, software, limits_version FROM run WHERE id = :run",
        run=run_id,
    )[0]
    told = "(r.reason <> 'challenge' OR r.settled_at IS NOT NULL)"
    reviews = rows(
        "SELECT id, opened_at, reason, blind, moves, shown_as, excluded_person, settled_at FROM review r "
        f"WHERE part_id = :p AND {told} ORDER BY id"
    )
    answers = rows(
        "SELECT c.id, c.review_id, c.answer, c.person, c.answered_at, c.seconds, c.label, c.box, c.note, c.cause, "
        "c.judgements, c.shown, c.undone_at, c.undone_by FROM confirmation c JOIN review r ON r.id = c.review_id "
        f"WHERE c.part_id = :p AND {told} ORDER BY c.id"
    )
    commands = rows(
        "SELECT id, disposition, confirmation_id, decided_at, acknowledged_at FROM command WHERE part_id = :p "
        "ORDER BY id"
    )
    crops = rows(
        "SELECT s.id, s.confirmation_id, s.label, s.box, s.crop_box, s.crop_format, length(s.crop), s.crop_sha256, "
        "s.proposed, s.score, s.p_select FROM confirmation c JOIN sample s ON s.confirmation_id = c.id "
        "WHERE c.part_id = :p ORDER BY s.id"
    )
    known = rows(
        "SELECT expected, noted_at, noted_by, withdrawn_at, withdrawn_by FROM known_part WHERE part_id = :p ORDER BY id"
    )
    return Story(
        inspection=inspection,
        run=RunOf(*run),
        hidden=bool(hidden),
        reviews=tuple(_review(r) for r in reviews),
        answers=tuple(_answer(r) for r in answers),
        commands=tuple(CommandOf(*r) for r in commands),
        crops=tuple(_crop(r) for r in crops),
        known=tuple(KnownOf(*r) for r in known),
        events=tuple(EventOf(*r) for r in _events(connection, inspection)),
    )


def _events(connection: Connection, part: InspectionOf) -> list[tuple[Any, ...]]:
    found = connection.execute(
        text(
            "SELECT at, kind, text FROM event WHERE at >= strftime('%Y-%m-%dT%H:%M:%f', :at, :before) "
            "AND at <= strftime('%Y-%m-%dT%H:%M:%f', :at, :after) ORDER BY at, id LIMIT :most"
        ),
        {"at": part.triggered_at, "before": f"-{AROUND_S} seconds", "after": f"+{AROUND_S} seconds",
         "most": MOST_EVENTS},
    )  # fmt: skip
    return [tuple(r) for r in found.all()]


def _inspection(row: Sequence[Any]) -> InspectionOf:
    r = list(row)
    r[8], r[23], r[25] = bool(r[8]), bool(r[23]), bool(r[25])
    r[20], r[24] = json.loads(r[20]), json.loads(r[24])
    r[21] = tuple(Detection(c["label"], c["score"], Box(*c["xyxy"])) for c in json.loads(r[21]))
    return InspectionOf(*r)


def _review(row: tuple[Any, ...]) -> ReviewOf:
    r = list(row)
    r[3], r[4] = bool(r[3]), bool(r[4])
    return ReviewOf(*r)


def _crop(row: tuple[Any, ...]) -> CropOf:
    r = list(row)
    r[3], r[4] = _numbers(r[3]), _numbers(r[4])
    return CropOf(*r)


def _answer(row: tuple[Any, ...]) -> AnswerOf:
    r = list(row)
    r[7] = _numbers(r[7]) if r[7] else None
    r[10] = json.loads(r[10] or "[]")
    r[11] = _object(r[11])
    return AnswerOf(*r)


def _numbers(words: str) -> tuple[float, ...]:
    return tuple(float(v) for v in json.loads(words))


def _object(words: str) -> Mapping[str, Any]:
    """What a screen said it showed: JSON of ours, or words of a script that answered."""
    try:
        found = json.loads(words) if words else {}
    except ValueError:
        return {"words": words}
    return found if isinstance(found, dict) else {"words": words}
