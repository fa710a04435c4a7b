"""What does the camera see right now, and how does the line do? For the Live tab, the same for every viewer.

The loop is asked for a picture at most ten times a second, however many look, through a door of its own: neither an
answer nor the loop's state waits behind a picture, and a loop that hangs holds up one thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from station.core.errors import LedgerFault
from station.exchange import LoopAway, LoopClient, LoopFrame
from station.panel.reading import Reading
from station.panel.session import Caller, allowed
from station.store.challenges import challenge_results
from station.store.tally import audited, parts_since

Viewer = Annotated[Caller, Depends(allowed("live"))]

KEEP_S = 0.1
"""A picture younger than this is shown to everybody who asks."""

FIGURES_S = 2.0
"""Figures younger than this are shown to everybody who asks."""

RATE_MINUTES = 5
CHECKED_DAYS = 30


class NewestFrame:
    """The camera's newest picture, shared by all viewers; safe to use from several threads.

    Args:
        client: A door to the loop of its own.
        monotonic: Seconds, for the age of what is kept.
    """

    def __init__(self, client: LoopClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._asking = threading.Lock()
        self._kept: LoopFrame | None = None
        self._why = "none"
        self._at = float("-inf")

    def newest(self) -> tuple[LoopFrame | None, str]:
        """The picture, or ``None`` and why: ``none`` (the camera gives none) or ``away`` (the loop does not answer).

        One caller asks the loop; meanwhile the others get what is kept.
        """
        if self._monotonic() - self._at >= KEEP_S and self._asking.acquire(blocking=False):
            try:
                self._kept, self._why = self._client.frame(), "none"
            except LoopAway:
                self._kept, self._why = None, "away"
            finally:
                self._at = self._monotonic()
                self._asking.release()
        return self._kept, self._why


def live_routes(reading: Reading, client: LoopClient) -> APIRouter:
    """The routes of the Live tab.

    Args:
        reading: The store.
        client: A door to the loop that nothing else uses.
    """
    router = APIRouter()
    camera = NewestFrame(client)
    kept: dict[str, tuple[float, dict[str, Any]]] = {}

    @router.get("/api/frame.jpg")
    def frame(request: Request, _: Viewer) -> Response:
        picture, why = camera.newest()
        if picture is None:
            return Response(status_code=204, headers={"cache-control": "no-store", "x-why": why})
        age = datetime.now(UTC) - datetime.fromisoformat(picture.at)
        headers = {
            "cache-control": "no-store",
            "etag": f'"{picture.index}-{picture.at}"',
            "x-frame": str(picture.index),
            "x-age-ms": str(max(0, round(age.total_seconds() * 1000))),
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    @router.get("/api/figures")
    def figures(caller: Viewer) -> JSONResponse:
        now = time.monotonic()
        made = kept.get("figures")
        if made is None or now - made[0] >= FIGURES_S:
            made = kept["figures"] = (now, _figures(reading))
        told = dict(made[1])
        if "history" not in caller.permissions:
            told["checks"] = None
        return JSONResponse(told, headers={"cache-control": "no-store"})

    return router


def _figures(reading: Reading) -> dict[str, Any]:
    """Parts of the last minutes, and how machine and people did on checks; checks name nobody."""
    now = datetime.now(UTC)
    try:
        engine = reading.engine
    except LedgerFault:
        return {"rate": None, "checks": None}
    checked = _stamp(now - timedelta(days=CHECKED_DAYS))
    results = challenge_results(engine, since=checked)
    judged, escapes = audited(engine, since=checked)
    return {
        "rate": {"parts": parts_since(engine, _stamp(now - timedelta(minutes=RATE_MINUTES))), "minutes": RATE_MINUTES},
        "checks": {
            "days": CHECKED_DAYS,
            "defects": [sum(r.defects[i] for r in results) for i in (0, 1)],
            "good": [sum(r.good[i] for r in results) for i in (0, 1)],
            "audits": [judged, escapes],
        },
    }


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
