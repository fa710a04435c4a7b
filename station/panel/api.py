"""Which questions may the browser ask, and how is each answered? The panel's routes.

Reading goes to the ledger, everything that changes something to the loop's process. "Stored" is said only after
the loop has committed.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from station.core.errors import LedgerFault, ReviewRefused
from station.core.verdict import Answer
from station.exchange import LoopAway, LoopClient
from station.panel import views
from station.panel.push import Push
from station.panel.reading import REFERENCE_FORMS, Reading
from station.review import GivenAnswer
from station.store import queries

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
QUEUE_SHOWN = 24
RECENT_SHOWN = 20
STATUS_OF = {"unknown": 404, "invalid": 422}
"""HTTP status of a refusal by its code; every other one is a conflict (409)."""

Person = Annotated[str, Field(min_length=1, max_length=64)]
ReviewIds = Annotated[list[int], Field(max_length=64)]
Key = Annotated[str, Field(min_length=8, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClaimBody(_Body):
    """A screen asks for its next part; ``skip`` names those it already has or is sending."""

    person: Person
    skip: ReviewIds = []


class RenewBody(_Body):
    """A screen still shows these parts."""

    person: Person
    holding: ReviewIds


class AnswerBody(_Body):
    """An inspector's answer."""

    key: Key
    review_id: int
    answer: Answer
    person: Person
    seconds: float = Field(ge=0, le=1e7)
    label: str | None = Field(default=None, max_length=64)
    xyxy: tuple[float, float, float, float] | None = None
    note: str | None = Field(default=None, max_length=500)
    shown: dict[str, str | int | float | bool | None] = Field(default={}, max_length=24)


class UndoBody(_Body):
    """An inspector takes the last answer back."""

    person: Person
    key: Key


def snapshot(reading: Reading) -> dict[str, Any]:
    """What every screen is sent when the ledger has changed.

    Raises:
        LedgerFault: There is no ledger yet.
    """
    engine = reading.engine
    hidden = reading.hidden_parts()
    run = reading.run()
    recipe = reading.recipe() if run is not None else None
    recent = queries.recent_parts(engine, limit=RECENT_SHOWN)
    waiting = queries.count_open_reviews(engine)
    known = {p.part_id: p for p in recent}
    hidden_views = [v for v in (known.get(p) or queries.part(engine, p) for p in hidden) if v is not None]
    since = _midnight()
    today = [v for v in hidden_views if v.triggered_at >= since]
    return {
        "now": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "run": run.id if run else None,
        "waiting": waiting,
        "queue": [views.waiting(r) for r in queries.open_reviews(engine, limit=QUEUE_SHOWN)],
        "recent": [views.on_the_line(p, recipe, hidden) for p in recent],
        "counts": views.counts(queries.shift_counts(engine, since=since), waiting, today),
        "since": since,
    }


def routes(reading: Reading, client: LoopClient, push: Push) -> APIRouter:
    """All routes of the panel but Gradio's own."""
    router = APIRouter()

    @router.get("/api/boot")
    def boot() -> JSONResponse:
        strings = json.loads((STATIC / "strings.en.json").read_text(encoding="utf-8"))
        try:
            run = reading.run()
            recipe = reading.recipe() if run else None
        except LedgerFault:
            run, recipe = None, None
        reference = reading.reference_path() is not None
        return _fresh({**views.boot(reading.config, recipe, run, reference=reference), "strings": strings})

    @router.get("/api/live")
    def live() -> JSONResponse:
        return _fresh({**snapshot(reading), "loop": push.loop})

    @router.get("/api/review/{review_id}")
    def review(review_id: int) -> JSONResponse:
        return _fresh({"review": _question(reading, review_id)})

    @router.post("/api/claim")
    def claim(body: ClaimBody) -> JSONResponse:
        claimed = client.claim(body.person, skip=tuple(body.skip))
        return _fresh({"review": None if claimed is None else _question(reading, claimed)})

    @router.post("/api/renew")
    def renew(body: RenewBody) -> JSONResponse:
        # Asking again for a part while skipping all others renews its lease; another id means it is lost.
        held = [
            mine
            for mine in body.holding
            if client.claim(body.person, skip=tuple(i for i in body.holding if i != mine)) == mine
        ]
        return _fresh({"held": held})

    @router.post("/api/answer")
    def answer(body: AnswerBody) -> JSONResponse:
        given = GivenAnswer(
            key=body.key,
            review_id=body.review_id,
            answer=body.answer,
            person=body.person,
            seconds=body.seconds,
            label=body.label,
            xyxy=body.xyxy,
            note=body.note,
            shown=json.dumps(body.shown, separators=(",", ":")),
        )
        return _fresh({"stored": client.confirm(given)})

    @router.post("/api/undo")
    def undo(body: UndoBody) -> JSONResponse:
        review_id, _ = client.undo(body.person, body.key)
        return _fresh({"review": _question(reading, review_id)})

    @router.post("/api/leave")
    async def leave(request: Request) -> JSONResponse:
        # A beacon sent while the page closes: its body may come as plain text.
        body = ClaimBody.model_validate_json(await request.body())
        await run_in_threadpool(client.leave, body.person)
        return _fresh({"left": body.person})

    @router.get("/image/{name}.jpg")
    def image(name: str) -> Response:
        path = reading.image_path(name)
        if path is None:
            return JSONResponse({"code": "no_image", "words": "no picture of that name"}, status_code=404)
        # Named by its content: what was once right stays right.
        forever = {"cache-control": "private, max-age=31536000, immutable", "etag": f'"{name}"'}
        return FileResponse(path, media_type="image/jpeg", headers=forever)

    @router.get("/reference")
    def reference() -> Response:
        path = reading.reference_path()
        if path is None:
            return JSONResponse({"code": "no_image", "words": "no reference picture"}, status_code=404)
        return FileResponse(
            path, media_type=REFERENCE_FORMS[path.suffix.lower()], headers={"cache-control": "no-cache"}
        )

    @router.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(
            push.stream(),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return router


def answer_failures(app: FastAPI) -> None:
    """Turns the house's errors into statuses the browser's script can tell apart."""

    @app.exception_handler(ReviewRefused)
    def refused(_: Request, error: ReviewRefused) -> JSONResponse:
        return JSONResponse({"code": error.code, "words": str(error)}, status_code=STATUS_OF.get(error.code, 409))

    @app.exception_handler(LoopAway)
    def away(_: Request, error: LoopAway) -> JSONResponse:
        return JSONResponse({"code": "loop_away", "words": str(error)}, status_code=503)

    @app.exception_handler(LedgerFault)
    def no_ledger(_: Request, error: LedgerFault) -> JSONResponse:
        return JSONResponse({"code": "no_ledger", "words": str(error)}, status_code=503)


def _question(reading: Reading, review_id: int) -> dict[str, Any]:
    found = queries.review(reading.engine, review_id)
    if found is None:
        raise ReviewRefused("unknown", f"there is no review {review_id}")
    return views.question(found, reading.recipe())


def _fresh(what: dict[str, Any]) -> JSONResponse:
    return JSONResponse(what, headers={"cache-control": "no-store"})


def _midnight() -> str:
    """The start of today at this place, as the ledger writes times."""
    local = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return local.astimezone(UTC).isoformat(timespec="microseconds")
