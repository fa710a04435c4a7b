"""What may be asked about the past, what may be set right afterwards, and by whom?

Engineers, ML staff and auditors read; engineers set right. Who does it comes from the session. What is set right
goes to the loop's process and moves no part.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from station.answers import GivenAnswer
from station.core.errors import ReviewRefused
from station.core.verdict import Answer, Disposition, Evaluation
from station.exchange import LoopClient
from station.panel import history_views
from station.panel.reading import Reading
from station.panel.session import Caller, allowed
from station.store import history, story

Reader = Annotated[Caller, Depends(allowed("history"))]
Corrector = Annotated[Caller, Depends(allowed("correct"))]
Words = Annotated[str | None, Query(max_length=128)]
PartName = Annotated[str, Field(min_length=1, max_length=128)]

MOST_A_PAGE = 200
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CorrectBody(_Body):
    """What a part really is, found out after it has gone."""

    key: str = Field(min_length=8, max_length=64)
    part_id: PartName
    answer: Answer
    label: str | None = Field(default=None, max_length=64)
    xyxy: tuple[float, float, float, float] | None = None
    cause: str | None = Field(default=None, max_length=64)
    note: str = Field(min_length=1, max_length=500)


class KnownBody(_Body):
    """A settled part becomes a known one, to be shown again as a challenge."""

    part_id: PartName
    expected: Literal["ok", "defect"]


class WithdrawBody(_Body):
    """A known part is one no longer."""

    part_id: PartName


def history_routes(reading: Reading, client: LoopClient) -> APIRouter:
    """The routes of the History tab."""
    router = APIRouter()

    @router.get("/api/history")
    def search(
        _: Reader,
        part: Words = None,
        serial: Words = None,
        lot: Words = None,
        label: Words = None,
        evaluation: Evaluation | None = None,
        disposition: Disposition | None = None,
        person: Words = None,
        since: Words = None,
        until: Words = None,
        before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_A_PAGE)] = 50,
    ) -> JSONResponse:
        wanted = history.Wanted(
            part=_some(part),
            serial=_some(serial),
            lot=_some(lot),
            label=_some(label),
            evaluation=None if evaluation is None else evaluation.value,
            disposition=None if disposition is None else disposition.value,
            person=_some(person),
            since=moment(since),
            until=moment(until),
        )
        page = history.search(reading.engine, wanted, before=before, limit=limit)
        return _fresh({"parts": [history_views.found(p) for p in page.parts], "next": page.next})

    @router.get("/api/history/names")
    def names(_: Reader) -> JSONResponse:
        return _fresh({"people": history.people(reading.engine), "lots": history.lots(reading.engine)})

    @router.get("/api/part/{part_id}")
    def whole(part_id: str, caller: Reader) -> JSONResponse:
        told = story.story(reading.engine, part_id)
        if told is None:
            raise ReviewRefused("unknown", f"there is no part {part_id}")
        return _fresh({**history_views.story(told), "correctable": "correct" in caller.permissions})

    @router.get("/api/part/{part_id}/heat.png")
    def heat(part_id: str, _: Reader) -> Response:
        found = story.heat(reading.engine, part_id)
        if found is None:
            return JSONResponse({"code": "no_image", "words": "no heat map of that part"}, status_code=404)
        return Response(found, media_type="image/png", headers={"cache-control": "no-store"})

    @router.get("/api/crop/{crop_id}")
    def crop(crop_id: int, _: Reader) -> Response:
        found = story.crop(reading.engine, crop_id) if crop_id < 2**63 else None
        if found is None:
            return JSONResponse({"code": "no_image", "words": "no crop of that number"}, status_code=404)
        return Response(found[1], media_type="image/png" if found[0] == "png" else "image/jpeg", headers=FOREVER)

    @router.get("/api/passed")
    def count_passed(_: Reader, since: str, until: Words = None, lot: Words = None) -> JSONResponse:
        until_moment = moment(until) or datetime.now(UTC).isoformat(timespec="microseconds")
        count = history.count_passed(reading.engine, since=_since(since), until=until_moment, lot=_some(lot))
        return _fresh({**history_views.counted(count), "until": until_moment})

    @router.get("/api/passed.csv")
    def passed(_: Reader, since: str, until: Words = None, lot: Words = None) -> StreamingResponse:
        begin = _since(since)
        parts = history.passed(reading.engine, since=begin, until=moment(until), lot=_some(lot))
        name = f"passed-since-{begin[:19].replace(':', '')}Z.csv"
        return StreamingResponse(
            _blocks(history_views.csv_lines(parts)),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
        )

    @router.post("/api/correct")
    def correct(body: CorrectBody, caller: Corrector) -> JSONResponse:
        given = GivenAnswer(
            key=body.key,
            review_id=0,
            answer=body.answer,
            person=caller.person,
            seconds=0.0,
            label=body.label,
            xyxy=body.xyxy,
            cause=body.cause,
            note=body.note,
            shown=json.dumps({"screen": "history"}),
        )
        return _fresh({"stored": client.correct(given, body.part_id)})

    @router.post("/api/known")
    def know(body: KnownBody, caller: Corrector) -> JSONResponse:
        client.know(body.part_id, body.expected, caller.person)
        return _fresh({"known": body.expected})

    @router.post("/api/known/withdraw")
    def forget(body: WithdrawBody, caller: Corrector) -> JSONResponse:
        client.forget(body.part_id, caller.person)
        return _fresh({"known": None})

    return router


def moment(words: str | None) -> str | None:
    """A moment as the ledger writes times; ``None`` for nothing.

    Raises:
        ReviewRefused: ``invalid``: it is no ISO 8601 time with its offset from UTC.
    """
    if not _some(words):
        return None
    try:
        at = datetime.fromisoformat(str(words).strip().replace(" ", "+"))
        if at.tzinfo is None:
            raise ValueError("without its offset from UTC it could be any time of a day")
        return at.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as error:
        raise ReviewRefused(
            "invalid", f"{words!r} is no time ({error}): write it like 2026-11-21T06:00:00+01:00"
        ) from error


def _since(words: str) -> str:
    since = moment(words)
    if since is None:
        raise ReviewRefused("invalid", "say since when: like 2026-11-21T06:00:00+01:00")
    return since


def _some(words: str | None) -> str | None:
    stripped = (words or "").strip()
    return stripped or None


def _blocks(lines: Iterator[str]) -> Iterator[bytes]:
    """Lines in blocks of some KiB: a line each would cost a turn of the event loop each."""
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == history.PASSED_CHUNK:
            yield "".join(block).encode()
            block.clear()
    yield "".join(block).encode()


def _fresh(what: dict[str, Any]) -> JSONResponse:
    return JSONResponse(what, headers={"cache-control": "no-store"})
