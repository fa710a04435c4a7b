"""What may be asked of recorded footage, which limits may be tried on it, and who may look at the sealed side?

Engineers and admins. Trying changes nothing; limits come into force through :mod:`station.panel.limits_routes` alone.
Three acts leave a trace: dealing a split, scoring a footage (a process of its own) and a look at the sealed side.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from station.calibration.guarantee import DELTA
from station.calibration.rates import Share
from station.core.errors import DataRefused, UsageError
from station.exchange import LoopClient
from station.footage.diff import diff
from station.footage.split import deal, looks
from station.footage.table import Rules
from station.panel import workbench_views as views
from station.panel.audit_card import TARGET, Auditing
from station.panel.certifying import certify
from station.panel.kept_scores import KeptScores, Loaded
from station.panel.scoring import Scoring
from station.panel.session import Caller, allowed
from station.panel.thumbnails import Thumbnails
from station.panel.tuning import alpha_of, severity_of
from station.panel.workbench_bodies import (
    CertifyBody,
    DraftBody,
    FootageBody,
    LimitsBody,
    SplitBody,
    TryBody,
    with_limits,
)
from station.recipe import Recipe
from station.store.limits import PANEL, Act

Engineer = Annotated[Caller, Depends(allowed("workbench"))]
Drafter = Annotated[Caller, Depends(allowed("limits"))]
PICTURE_FORMS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".bmp": "image/bmp",
}  # fmt: skip


CERTIFICATES_KEPT = 50
"""Issued lately, to be attached to a draft."""

FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
"""A picture is named by its pixels: what was once right stays right."""


def workbench_routes(kept: KeptScores, scoring: Scoring, auditing: Auditing, client: LoopClient) -> APIRouter:
    """The routes under ``/api/workbench``."""
    router = APIRouter(prefix="/api/workbench")
    looking = threading.Lock()
    issued: OrderedDict[str, dict[str, Any]] = OrderedDict()

    @router.get("/footages")
    def footages(_: Engineer) -> JSONResponse:
        rows: list[dict[str, Any]] = []
        for name in kept.names():
            try:
                rows.append(kept.listed(name))
            except UsageError as error:
                rows.append({"name": name, "refused": str(error)})
        return _fresh({"footages": rows})

    @router.get("/footage/{name}")
    def bench(name: str, _: Engineer) -> JSONResponse:
        return _bench(kept.load(name))

    @router.post("/try")
    def attempt(body: TryBody, _: Engineer) -> JSONResponse:
        loaded = kept.load(body.footage)
        tried, assumed, tuning = with_limits(loaded.recipe, body.limits), body.assumed, loaded.tuning
        severity = severity_of(tried, body.moved)
        swept = tuning.sweep(tried, body.moved, prevalence=assumed.prevalence, costs=assumed.costs, severity=severity)
        return _fresh(
            {
                "in_force": views.point(tuning.point(loaded.recipe, prevalence=assumed.prevalence)),
                "tried": views.point(tuning.point(tried, prevalence=assumed.prevalence)),
                "moved": body.moved,
                "histogram": views.histogram(tuning.histogram(tried, body.moved)),
                "curves": views.sweep(swept, minutes_per_load=assumed.parts_per_h * assumed.review_s / 60.0),
            }
        )

    @router.post("/propose")
    def propose(body: TryBody, _: Engineer) -> JSONResponse:
        loaded = kept.load(body.footage)
        tried, assumed, tuning = with_limits(loaded.recipe, body.limits), body.assumed, loaded.tuning
        label, severity = body.moved, severity_of(tried, body.moved)
        shared = DELTA / max(1, len(tuning.by_class))
        refused = views.too_few(len(tuning.own_scores(tried, label)), alpha_of(tried, label), shared)
        promised = None if refused is not None else tuning.promise(tried, label)
        cheapest, words = None, None
        try:
            cheapest = tuning.cheapest(tried, label, assumed.costs, severity=severity, prevalence=assumed.prevalence)
        except DataRefused as error:
            words = str(error)
        return _fresh(
            {
                "moved": label,
                "promise": None
                if promised is None
                else {
                    "pass_below": promised.pass_below,
                    "alpha": promised.alpha,
                    "delta": promised.delta,
                    "misses": views.share(promised.misses),
                    "claim": promised.claim,
                },
                "too_few": refused,
                "cost": cheapest,
                "cost_refused": words,
            }
        )

    @router.post("/diff")
    def difference(body: LimitsBody, _: Engineer) -> JSONResponse:
        loaded = kept.load(body.footage)
        if not len(loaded.shown):
            raise DataRefused(f"footage {body.footage} has no tuning side: split it first")
        return _fresh(_difference(loaded, with_limits(loaded.recipe, body.limits)))

    @router.post("/certify")
    def seal(body: CertifyBody, caller: Engineer) -> JSONResponse:
        loaded = kept.load(body.footage)
        tried = with_limits(loaded.recipe, body.limits)
        now = datetime.now(UTC)
        with looking:  # who was told of so many looks must not find another one when the seal is broken
            before = len(looks(loaded.footage))
            if body.looks != before:
                raise DataRefused(f"the sealed side was looked at {before} times by now, not {body.looks}: look again")
            found = certify(loaded, tried, person=caller.person, why=body.why, now=now)
            told = views.certificate(found, now)
            issued[told["certificate"]["sha256"]] = told["certificate"]
            while len(issued) > CERTIFICATES_KEPT:
                issued.popitem(last=False)
        return _fresh(told | {"footage": body.footage, "looks_before": before, "limits": views.limits_of(tried)})

    @router.post("/draft")
    def draft(body: DraftBody, caller: Drafter) -> JSONResponse:
        # Difference and certificate are attached here, as they were found: none comes from the browser, where a
        # number may change its form, and a certificate with it its hash.
        loaded = kept.load(body.footage)
        tried = with_limits(loaded.recipe, body.limits)
        given: dict[str, Any] = {"limits": views.limits_of(tried)}
        if len(loaded.shown):
            given["diff"] = views.without_pictures(_difference(loaded, tried))
        if body.certificate is not None:
            with looking:
                found = issued.get(body.certificate)
            if found is None:
                raise DataRefused("this certificate is not at hand any more: certify again; asked twice it is one look")
            given["certificate"] = found
        act = Act(body.key, caller.person, body.reason, PANEL)
        return _fresh(client.limits("draft", act, given, recipe=loaded.recipe.name))

    @router.post("/split")
    def split(body: SplitBody, _: Engineer) -> JSONResponse:
        loaded = kept.load(body.footage)
        if loaded.split is not None:  # another share or seed is a decision for the command line
            deal(loaded.footage, seed=loaded.split.seed, sealed_share=loaded.split.sealed_share, by=loaded.split.by)
        else:
            deal(loaded.footage, by=body.by)
        return _bench(kept.load(body.footage))

    @router.post("/score")
    def score(body: FootageBody, _: Engineer) -> JSONResponse:
        loaded = kept.load(body.footage)
        if not loaded.unscored:
            raise DataRefused("the model has been asked about every picture of this footage: there is nothing to score")
        begun = scoring.start(loaded.footage, loaded.recipe, loaded.unscored)
        return _fresh({"scoring": views.progress(begun)})

    @router.post("/score/stop")
    def stop(_: Engineer) -> JSONResponse:
        scoring.stop()
        return _fresh({"scoring": views.progress(scoring.progress())})

    @router.get("/score")
    def scored(_: Engineer) -> JSONResponse:
        return _fresh({"scoring": views.progress(scoring.progress())})

    @router.get("/picture/{name}/{sha256}")
    def picture(name: str, sha256: str, _: Engineer, small: bool = False) -> Response:
        path = _picture(kept.load(name), sha256)
        if path is None:
            return JSONResponse({"code": "no_image", "words": "no picture of that part"}, status_code=404)
        stamp = Thumbnails().of(path) if small else None
        if stamp is not None:
            return Response(stamp, media_type="image/jpeg", headers=FOREVER)
        return FileResponse(path, media_type=PICTURE_FORMS[path.suffix.lower()], headers=FOREVER)

    @router.get("/escapes")
    def escapes(
        _: Engineer,
        target: Annotated[float, Query(gt=0.0, lt=1.0)] = TARGET,
        footage: Annotated[str | None, Query(max_length=64)] = None,
    ) -> JSONResponse:
        misses: Share | None = None
        if footage:
            loaded = kept.load(footage)
            if len(loaded.tuning):
                misses = loaded.tuning.point(loaded.recipe, prevalence=0.0).misses.share
        return _fresh(views.escapes(auditing.escapes(target=target, misses=misses)))

    return router


def answer_refused_data(app: FastAPI) -> None:
    """Turns what a person can mend into a status and the words that say how."""

    @app.exception_handler(UsageError)
    def refused(_: Request, error: UsageError) -> JSONResponse:
        return JSONResponse({"code": "invalid", "words": str(error)}, status_code=422)


def _difference(loaded: Loaded, tried: Recipe) -> dict[str, Any]:
    """What the limits change on the tuning side: over sealed parts it would be a look."""
    shown = loaded.shown
    before, after = (shown.judged(Rules.of(r, loaded.mm_per_px)) for r in (loaded.recipe, tried))
    return views.difference(diff(shown, before, after, loaded.known.agreed), tried, loaded)


def _bench(loaded: Loaded) -> JSONResponse:
    return _fresh(views.bench(loaded, len(looks(loaded.footage))))


def _picture(loaded: Loaded, sha256: str) -> Path | None:
    """The picture of a tuning part: those of the sealed side are shown to nobody here."""
    row = loaded.pictures.get(sha256)
    picture = None if row is None else loaded.shown.parts[row].picture
    if picture is None:
        return None
    folder = loaded.footage.folder.resolve()
    path = (folder / picture).resolve()
    inside = path.is_relative_to(folder) and path.suffix.lower() in PICTURE_FORMS
    return path if inside and path.is_file() else None


def _fresh(what: dict[str, Any]) -> JSONResponse:
    return JSONResponse(what, headers={"cache-control": "no-store"})
