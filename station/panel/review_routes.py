"""Which questions may a reviewing screen ask, and how is each answered?

Who answers comes from the session, never from what the screen sends. Everything that changes something goes to the
loop's process; "stored" is said only after it has committed.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from station.answers import GivenAnswer, GivenJudgement
from station.core.errors import ReviewRefused
from station.core.verdict import Answer
from station.exchange import LoopClient
from station.panel import views
from station.panel.alignment import Alignment
from station.panel.reading import Reading
from station.panel.session import Caller, allowed
from station.store import evidence, queries

Reviewer = Annotated[Caller, Depends(allowed("review"))]
ReviewIds = Annotated[list[int], Field(max_length=64)]
Key = Annotated[str, Field(min_length=8, max_length=64)]
Label = Annotated[str, Field(max_length=64)]
Corners = tuple[float, float, float, float]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClaimBody(_Body):
    """A screen asks for its next part; ``skip`` names those it already has or is sending."""

    skip: ReviewIds = []


class RenewBody(_Body):
    """A screen still shows these parts."""

    holding: ReviewIds


class JudgementBody(_Body):
    """What is said of one defect, proposed (``defect``) or drawn (``xyxy``)."""

    defect: int | None = Field(default=None, ge=0)
    answer: Answer
    label: Label | None = None
    xyxy: Corners | None = None
    cause: Label | None = None


class AnswerBody(_Body):
    """An inspector's answer: for the whole part, or defect by defect."""

    key: Key
    review_id: int
    answer: Answer | None = None
    seconds: float = Field(ge=0, le=1e7)
    label: Label | None = None
    xyxy: Corners | None = None
    cause: Label | None = None
    note: str | None = Field(default=None, max_length=500)
    judgements: list[JudgementBody] = Field(default=[], max_length=64)
    shown: dict[str, str | int | float | bool | None] = Field(default={}, max_length=24)


class UndoBody(_Body):
    """An inspector takes the last answer back."""

    key: Key


def review_routes(reading: Reading, client: LoopClient) -> APIRouter:
    """Claiming, answering, taking back, and what helps to answer."""
    router = APIRouter()
    alignment = Alignment(reading)

    @router.get("/api/review/{review_id}")
    def review(review_id: int, _: Reviewer) -> JSONResponse:
        return _fresh({"review": _question(reading, review_id)})

    @router.post("/api/claim")
    def claim(body: ClaimBody, caller: Reviewer) -> JSONResponse:
        claimed = client.claim(caller.person, skip=tuple(body.skip))
        return _fresh({"review": None if claimed is None else _question(reading, claimed)})

    @router.post("/api/renew")
    def renew(body: RenewBody, caller: Reviewer) -> JSONResponse:
        # Asking again for a part while skipping all others renews its lease; another id means it is lost.
        held = [
            mine
            for mine in body.holding
            if client.claim(caller.person, skip=tuple(i for i in body.holding if i != mine)) == mine
        ]
        return _fresh({"held": held})

    @router.post("/api/answer")
    def answer(body: AnswerBody, caller: Reviewer) -> JSONResponse:
        given = GivenAnswer(
            key=body.key,
            review_id=body.review_id,
            answer=body.answer,
            person=caller.person,
            seconds=body.seconds,
            label=body.label,
            xyxy=body.xyxy,
            note=body.note,
            shown=json.dumps(body.shown, separators=(",", ":")),
            cause=body.cause,
            judgements=tuple(GivenJudgement(j.defect, j.answer, j.label, j.xyxy, j.cause) for j in body.judgements),
        )
        return _fresh({"stored": client.confirm(given)})

    @router.post("/api/undo")
    def undo(body: UndoBody, caller: Reviewer) -> JSONResponse:
        review_id, _ = client.undo(caller.person, body.key)
        return _fresh({"review": _question(reading, review_id)})

    @router.post("/api/leave")
    def leave(caller: Reviewer) -> JSONResponse:
        client.leave(caller.person)
        return _fresh({"left": caller.person})

    @router.get("/api/first-look/{review_id}")
    def first_look(review_id: int, caller: Reviewer) -> JSONResponse:
        look = evidence.first_look(reading.engine, review_id)
        if look is None or look.person != caller.person:
            raise ReviewRefused("unknown", f"review {review_id} has no settled first look of {caller.person}")
        part = queries.part(reading.engine, look.part_id)
        assert part is not None
        return _fresh({"said": {"answer": look.answer, "label": look.label}, "machine": views.opinion_in_short(part)})

    @router.get("/heat/{review_id}.png")
    def heat(review_id: int, _: Reviewer) -> Response:
        png = evidence.heat(reading.engine, review_id)
        if png is None:
            return JSONResponse({"code": "no_image", "words": "no heat map for that question"}, status_code=404)
        return Response(png, media_type="image/png", headers=_KEPT)

    @router.get("/aligned/{review_id}.jpg")
    def aligned(review_id: int, _: Reviewer) -> Response:
        found = queries.review(reading.engine, review_id)
        picture = alignment.reference_on(found.part) if found is not None else None
        if picture is None:
            return JSONResponse(
                {"code": "no_image", "words": "no reference picture for that question"}, status_code=404
            )
        headers = {**_KEPT, "x-aligned": "yes" if picture.good else "no"}
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    return router


_KEPT = {"cache-control": "private, max-age=600"}


def _question(reading: Reading, review_id: int) -> dict[str, Any]:
    found = queries.review(reading.engine, review_id)
    if found is None:
        raise ReviewRefused("unknown", f"there is no review {review_id}")
    recipe = reading.recipe(found.part.run_id)
    record = None
    if not found.blind and found.part.label is not None:
        model = evidence.model_of(reading.engine, found.part.part_id)
        record = evidence.class_record(reading.engine, found.part.label, model)
    return views.question(found, recipe, record, reference=reading.reference_path() is not None)


def _fresh(what: dict[str, Any]) -> JSONResponse:
    return JSONResponse(what, headers={"cache-control": "no-store"})
