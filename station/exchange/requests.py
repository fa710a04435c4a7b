"""What may a caller ask of the loop? One function per request: a message in, what is done out, JSON-ready."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import cv2

from station.exchange.wire import GIVEN
from station.limits_desk import Outcome, perform
from station.loop import InspectionLoop
from station.store.limits import Act

FRAME_PX = 960
"""Longer side of the live picture."""


def _do_state(loop: InspectionLoop, message: dict[str, Any]) -> dict[str, Any]:
    now = loop.status()
    return {
        "state": now.state.value,
        "faults": [[f.kind, f.words, f.since.isoformat()] for f in now.faults],
        "parts": now.parts,
        "waiting": now.waiting,
        "dropped_frames": now.dropped_frames,
        "stage_ms": now.stage_ms,
        "at": now.at.isoformat(),
    }


def _do_claim(loop: InspectionLoop, message: dict[str, Any]) -> int | None:
    skip = tuple(int(s) for s in message.get("skip", ()))
    person = _text(message, "person")
    claimed: int | None = loop.ask(lambda desk: desk.claim(person, skip=skip))
    return claimed


def _do_leave(loop: InspectionLoop, message: dict[str, Any]) -> None:
    person = _text(message, "person")
    loop.ask(lambda desk: desk.leave(person))


def _do_confirm(loop: InspectionLoop, message: dict[str, Any]) -> int:
    given = GIVEN.validate_python(message["given"])
    confirmed: int = loop.ask(lambda desk: desk.confirm(given))
    return confirmed


def _do_correct(loop: InspectionLoop, message: dict[str, Any]) -> int:
    given, part_id = GIVEN.validate_python(message["given"]), _text(message, "part_id")
    corrected: int = loop.ask(lambda desk: desk.correct(given, part_id))
    return corrected


def _do_know(loop: InspectionLoop, message: dict[str, Any]) -> None:
    part_id, expected, person = (_text(message, name) for name in ("part_id", "expected", "person"))
    loop.ask(lambda desk: desk.know(part_id, expected, person))


def _do_forget(loop: InspectionLoop, message: dict[str, Any]) -> None:
    part_id, person = _text(message, "part_id"), _text(message, "person")
    loop.ask(lambda desk: desk.forget(part_id, person))


def _do_frame(loop: InspectionLoop, message: dict[str, Any]) -> dict[str, Any] | None:
    # In the caller's thread: neither eyes nor hand spend time on it.
    frame = loop.newest_frame
    if frame is None or frame.image is None:
        return None
    image: Any = frame.image
    scale = FRAME_PX / max(image.shape[:2])
    if scale < 1.0:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    if not done:
        return None
    return {
        "jpeg": base64.b64encode(data.tobytes()).decode("ascii"),
        "index": frame.index,
        "at": frame.captured_at.isoformat(),
    }


def _do_undo(loop: InspectionLoop, message: dict[str, Any]) -> list[Any]:
    person, key = _text(message, "person"), _text(message, "key")
    review_id, part_id = loop.ask(lambda desk: desk.undo(person, key))
    return [review_id, part_id]


def _do_limits(loop: InspectionLoop, message: dict[str, Any]) -> dict[str, Any]:
    what, given = _text(message, "what"), message["given"]
    if not isinstance(given, dict) or not isinstance(given.get("without_diff") or "", str):
        raise TypeError("what it is about is no JSON object of the kinds it should be")
    act = Act(**{name: _text(message["act"], name) for name in ("key", "person", "reason", "via")})
    recipe = message.get("recipe")
    done: Outcome = loop.ask_limits(lambda desk: perform(desk, what, act, given, recipe=recipe))
    return done.to_dict()


def _text(message: dict[str, Any], name: str) -> str:
    if not isinstance(message[name], str):
        raise TypeError(f"{name} is no text")
    return str(message[name])


WORK: dict[str, Callable[[InspectionLoop, dict[str, Any]], Any]] = {
    "state": _do_state,
    "claim": _do_claim,
    "leave": _do_leave,
    "confirm": _do_confirm,
    "undo": _do_undo,
    "correct": _do_correct,
    "know": _do_know,
    "forget": _do_forget,
    "frame": _do_frame,
    "limits": _do_limits,
}
