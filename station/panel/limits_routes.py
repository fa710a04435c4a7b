"""Which limits are in force, which were, and who may put others in force? The routes of limits as versions.

Everybody with the permission ``limits`` (engineer, admin) reads and acts; who acts comes from the session, never from
the body. What is changed goes to the loop's process, which alone writes; the loop takes it up between two parts.

Limits of one recipe, everywhere in these routes::

    {"classes": {"scratch": {"pass_below": 0.3, "fail_above": 0.7, "min_area_px": null, "min_area_mm2": null}},
     "ignore": [{"xyxy": [0.1, 0.1, 0.2, 0.2], "why": "stamped number", "classes": []}]}

``min_area_*`` are null where there is no least size; ``xyxy`` are shares of the part's picture; no ``classes``: all.

``GET /api/limits`` ->::

    {"recipe": "disc", "model": "disc/1",
     "in_force": 2,                  # version in force; null: the limits of the recipe file
     "limits": {...},                # in force now
     "file": {...},                  # of the recipe file; null where it cannot be read ("file_words" says why)
     "file_words": null,
     "roll_back_to": {"version": null},     # what a rollback would put in force (null: the file); null: nothing to undo
     "versions": [                   # newest first
       {"id": 3, "recipe": "disc", "model": "disc/1", "made_at": "2026-11-21T06:00:00.000000+00:00", "made_by": "Eva",
        "base": 2,                   # derived from this version; null: from the file
        "limits": {...}, "reason": "too many false scratches",
        "diff": {...},               # as `station diff --json` writes it; null: none attached
        "certificate": {...},        # as Certificate.to_dict() writes it; null: none
        "widens": true,              # against what was in force when it was made
        "standing": "draft",         # draft, approved, in_force, was_in_force or withdrawn
        "approved_by": ["Ada"],
        "changes": [                 # against what is in force now; empty where nothing differs
          {"what": "scratch.pass_below", "before": 0.3, "after": 0.35, "widens": true,
           "words": "scratch: pass_below 0.3 -> 0.35"}],
        "needs_approval": true,      # activating it now would widen, and nobody else has approved it yet
        "events": [...]}],           # its own, oldest first
     "events": [                     # all, newest first
       {"id": 7, "version": 3, "kind": "approved", "at": "...", "person": "Ada", "via": "panel", "reason": "seen",
        "widens": null}]}            # kind: drafted, approved, activated, rolled_back, withdrawn; widens: true or false
                                     # for activated and rolled_back; version null: the recipe file

``GET /api/limits/compare?a=file&b=3`` -> ``{"changes": [as above, from a to b], "widens": true}``

Posts; ``key`` (8-64 characters, new for each act) makes sending twice harmless, ``reason`` is never empty::

    /api/limits/draft     {"key": "...", "limits": {...}, "reason": "...", "base": 2, "diff": {...}, "certificate": {}}
    /api/limits/approve   {"key": "...", "version": 3, "reason": "..."}
    /api/limits/withdraw  {"key": "...", "version": 3, "reason": "..."}
    /api/limits/activate  {"key": "...", "version": 3, "reason": "...", "without_diff": "no footage of this lot yet"}
    /api/limits/rollback  {"key": "...", "reason": "..."}

``base`` null: from the file; left out: from what is in force. ``version`` null in ``activate``: the recipe file.
``without_diff`` is needed where the version has no diff. ``diff`` and ``certificate`` may be left out. A whole body may
have 64 KiB: of a long diff, leave out the later ``flips``; ``counted`` still says how many there are.

Each answers ``{"version": 3, "event": 7, "in_force": 2}`` once it is stored. Refusals are
``{"code": "...", "words": "..."}``: 404 ``unknown``; 422 ``invalid``; 409 ``same_person``, ``not_approved``,
``no_diff``, ``withdrawn``, ``does_not_fit``, ``in_force`` (it is already), ``nothing_to_roll_back``; 503 ``loop_away``
(nothing is stored, or it is not known: send it again with the same key).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from station.core.errors import LimitsRefused, UsageError
from station.exchange import LoopClient
from station.limits import LimitsSet, limits_of, read_limits
from station.limits_view import compared, overview
from station.panel.reading import Reading
from station.panel.session import Caller, allowed
from station.recipe import load_recipe
from station.store.limits import PANEL, Act, Past, past

STATUS_OF = {"unknown": 404, "invalid": 422}
FILE = "file"

Engineer = Annotated[Caller, Depends(allowed("limits"))]
Key = Annotated[str, Field(min_length=8, max_length=64)]
Reason = Annotated[str, Field(min_length=1, max_length=900)]
VersionId = Annotated[int, Field(ge=1, lt=2**63)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: Key
    reason: Reason


class DraftBody(_Body):
    """New limits, in force for nobody yet."""

    limits: LimitsSet
    base: VersionId | None = None
    diff: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None


class VersionBody(_Body):
    """Something is done with a version."""

    version: VersionId


class ActivateBody(_Body):
    """A version, or the recipe file, is put in force."""

    version: VersionId | None
    without_diff: Reason | None = None


class RollBackBody(_Body):
    """One step back."""


def limits_routes(reading: Reading, client: LoopClient) -> APIRouter:
    """The routes under ``/api/limits``."""
    router = APIRouter(prefix="/api/limits")

    @router.get("")
    def everything(_: Engineer) -> JSONResponse:
        recipe = reading.recipe()
        words = file = None
        try:
            file = _file(reading)
        except LimitsRefused as error:
            words = str(error)
        done = past(reading.engine, recipe.name)
        return _fresh(overview(done, model=recipe.model, file=file, file_words=words))

    @router.get("/compare")
    def compare(_: Engineer, a: str, b: str) -> JSONResponse:
        recipe = reading.recipe().name
        done = past(reading.engine, recipe)
        before, after = (_named(name, done, reading) for name in (a, b))
        return _fresh(compared(before, after))

    @router.post("/draft")
    def draft(body: DraftBody, caller: Engineer) -> JSONResponse:
        given = body.model_dump(mode="json", exclude={"key", "reason"}, exclude_unset=True)
        # Values that were left out of a class are none, not those of the base: what is drafted is what was sent.
        return _done(client, "draft", body, caller, given | {"limits": body.limits.to_dict()})

    @router.post("/approve")
    def approve(body: VersionBody, caller: Engineer) -> JSONResponse:
        return _done(client, "approve", body, caller, {"version": body.version})

    @router.post("/withdraw")
    def withdraw(body: VersionBody, caller: Engineer) -> JSONResponse:
        return _done(client, "withdraw", body, caller, {"version": body.version})

    @router.post("/activate")
    def activate(body: ActivateBody, caller: Engineer) -> JSONResponse:
        given = {"version": body.version, "without_diff": body.without_diff}
        return _done(client, "activate", body, caller, given)

    @router.post("/rollback")
    def roll_back(body: RollBackBody, caller: Engineer) -> JSONResponse:
        return _done(client, "rollback", body, caller, {})

    return router


def answer_limits_refusals(app: FastAPI) -> None:
    """Turns limits that were refused into a status and a code."""

    @app.exception_handler(LimitsRefused)
    def refused(_: Request, error: LimitsRefused) -> JSONResponse:
        return JSONResponse({"code": error.code, "words": str(error)}, status_code=STATUS_OF.get(error.code, 409))


def _file(reading: Reading) -> LimitsSet:
    """The limits of the recipe file: as the loop has read it where it judges by them, else as it is now."""
    run, recipe = reading.run(), reading.recipe()
    if run is not None and run.limits_version is None:
        return limits_of(recipe)
    try:
        return limits_of(load_recipe(recipe.name, reading.config.recipes))
    except UsageError as error:
        raise LimitsRefused("unknown", str(error)) from error


def _named(name: str, done: Past, reading: Reading) -> LimitsSet:
    if name == FILE:
        return _file(reading)
    made = done.version(int(name)) if name.isascii() and name.isdigit() else None
    if made is None:
        raise LimitsRefused("unknown", f"there is no version {name!r} of the limits of {done.recipe}")
    return read_limits(made.limits)


def _done(client: LoopClient, what: str, body: _Body, caller: Caller, given: dict[str, Any]) -> JSONResponse:
    act = Act(body.key, caller.person, body.reason, PANEL)
    return _fresh(client.limits(what, act, given))


def _fresh(what: dict[str, Any]) -> JSONResponse:
    return JSONResponse(what, headers={"cache-control": "no-store"})
