"""What may every screen ask, whoever looks at it? Names and words, the newest state, pictures; nothing is changed."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from station.core.errors import LedgerFault, ReviewRefused
from station.exchange import LoopAway
from station.panel import views
from station.panel.push import Push
from station.panel.reading import REFERENCE_FORMS, Reading
from station.panel.session import Caller, allowed
from station.panel.thumbnails import Thumbnails
from station.store import queries

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
QUEUE_SHOWN = 24
RECENT_SHOWN = 20
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
"""A picture is named by its content: what was once right stays right."""

STATUS_OF = {"unknown": 404, "invalid": 422}
"""HTTP status of a refusal by its code; every other one is a conflict (409)."""

Watcher = Annotated[Caller, Depends(allowed("live"))]


def snapshot(reading: Reading) -> dict[str, Any]:
    """What every screen is sent when the ledger has changed.

    Raises:
        LedgerFault: There is no ledger yet.
    """
    engine = reading.engine
    hidden = reading.hidden_parts()
    run = reading.run()
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
        "recent": [views.on_the_line(p, reading.recipe(p.run_id), hidden) for p in recent],
        "counts": views.counts(reading.tally.counts(engine, since=since), waiting, today),
        "since": since,
        "systematic": views.in_a_row(
            queries.stopped_parts(engine, limit=50), reading.recipe() if run is not None else None, hidden
        ),
    }


def words(language: str | None, otherwise: str) -> dict[str, Any]:
    """A language's words, those it lacks in English, and which languages there are.

    Args:
        language: What the screen asks for, such as ``de``.
        otherwise: What is taken where that one is not there.
    """
    there = sorted(p.name.split(".")[1] for p in STATIC.glob("strings.*.json"))
    chosen = next((x for x in (language, otherwise) if x in there), "en")
    said = {x: json.loads((STATIC / f"strings.{x}.json").read_text(encoding="utf-8")) for x in {"en", chosen}}
    return {"language": chosen, "languages": there, "strings": {**said["en"], **said[chosen]}}


def routes(reading: Reading, push: Push) -> APIRouter:
    """What every screen asks: names and words, the newest state, pictures."""
    router = APIRouter()
    thumbnails = Thumbnails()

    @router.get("/api/boot")
    def boot(_: Watcher, lang: str | None = None) -> JSONResponse:
        strings = words(lang, reading.config.panel.language)
        try:
            run = reading.run()
            recipe = reading.recipe() if run else None
        except LedgerFault:
            run, recipe = None, None
        reference = reading.reference_path() is not None
        return _fresh({**views.boot(reading.config, recipe, run, reference=reference), **strings})

    @router.get("/api/live")
    def live(_: Watcher) -> JSONResponse:
        return _fresh({**snapshot(reading), "loop": push.loop})

    @router.get("/image/{name}.jpg")
    def image(name: str, _: Watcher) -> Response:
        path = reading.image_path(name)
        if path is None:
            return JSONResponse({"code": "no_image", "words": "no picture of that name"}, status_code=404)
        return FileResponse(path, media_type="image/jpeg", headers={**FOREVER, "etag": f'"{name}"'})

    @router.get("/thumbnail/{name}.jpg")
    def thumbnail(name: str, _: Watcher) -> Response:
        path = reading.image_path(name)
        small = None if path is None else thumbnails.of(path)
        if small is None:
            return JSONResponse({"code": "no_image", "words": "no picture of that name"}, status_code=404)
        return Response(small, media_type="image/jpeg", headers=FOREVER)

    @router.get("/reference")
    def reference(_: Watcher) -> Response:
        path = reading.reference_path()
        if path is None:
            return JSONResponse({"code": "no_image", "words": "no reference picture"}, status_code=404)
        return FileResponse(
            path, media_type=REFERENCE_FORMS[path.suffix.lower()], headers={"cache-control": "no-cache"}
        )

    @router.get("/events")
    async def events(_: Watcher) -> StreamingResponse:
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


def _fresh(what: dict[str, Any]) -> JSONResponse:
    return JSONResponse(what, headers={"cache-control": "no-store"})


def _midnight() -> str:
    """The start of today at this place, as the ledger writes times."""
    local = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return local.astimezone(UTC).isoformat(timespec="microseconds")
