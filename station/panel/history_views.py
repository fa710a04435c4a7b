"""What may the browser know of a part's past? Pure: rows of the ledger in, plain dicts and CSV lines out.

A part whose story is hidden now gives its number, picture and time, and that it is held: nothing that follows from
what the machine thinks of it, and nothing that tells why it is held.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from station.core.part import Detection
from station.decision import strongest_per_place
from station.panel.views import MOST_CANDIDATES, Json, image_url
from station.store.history import FoundPart, PassedCount, PassedPart
from station.store.story import AnswerOf, ReviewOf, Story

COLUMNS = (
    "number", "part_id", "serial", "lot", "triggered_at", "released_at", "released_by", "evaluation", "score",
    "nearest_class", "model", "recipe",
)  # fmt: skip
"""Header of the list of passed parts."""

MACHINE = "machine"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings that a spreadsheet takes for a formula."""

_RANK = ("event", "trigger", "verdict", "answer", "undone", "settled", "asked", "command", "correction")
"""What comes first of things that happened in the same moment."""


def found(part: FoundPart) -> Json:
    """One line of a search."""
    return {
        "number": part.number,
        "part_id": part.part_id,
        "triggered_at": part.triggered_at,
        "serial": part.serial,
        "lot": part.lot,
        "simulated": part.simulated,
        "image": None if part.image_dropped else image_url(part.image_sha256),
        "image_dropped": part.image_dropped,
        "disposition": part.disposition,
        "hidden": part.hidden,
        "evaluation": part.evaluation,
        "score": part.score,
        "label": part.label,
        "answer": None
        if part.answer is None
        else {
            "person": part.answer.person,
            "answer": part.answer.answer,
            "label": part.answer.label,
            "answered_at": part.answer.answered_at,
            "reason": part.answer.reason,
        },
    }


def counted(count: PassedCount) -> Json:
    """How many parts passed."""
    return {"parts": count.parts, "by_person": count.by_person, "first": count.first, "last": count.last}


def story(told: Story) -> Json:
    """A part's whole story."""
    it, run = told.inspection, told.run
    recipe = json.loads(run.recipe_json)
    classes = [c for c in recipe.get("classes", ()) if isinstance(c, dict)]
    seen: Json = {
        "number": it.number,
        "part_id": it.part_id,
        "triggered_at": it.triggered_at,
        "source": it.source,
        "frame_index": it.frame_index,
        "serial": it.serial,
        "lot": it.lot,
        "simulated": it.simulated,
        "image": None if it.image_dropped_at else image_url(it.image_sha256),
        "image_sha256": it.image_sha256,
        "image_dropped_at": it.image_dropped_at,
        "width": it.width,
        "height": it.height,
        "hidden": told.hidden,
        "disposition": "HOLD",
        "run": {
            "id": run.id,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "station": run.station,
            "recipe": run.recipe,
            "title": recipe.get("title", run.recipe),
            "model": run.model,
            "source": run.source,
            "line": run.line,
            "software": run.software,
            "limits_version": run.limits_version,
        },
        "classes": [{k: c.get(k) for k in ("name", "title", "severity", "pass_below", "fail_above")} for c in classes],
        "causes": recipe.get("review", {}).get("causes", []),
    }
    trigger = {"at": it.triggered_at, "kind": "trigger", "source": it.source, "frame_index": it.frame_index}
    if told.hidden:
        return {**seen, "line": [trigger]}
    limits = {str(c["name"]): (float(c["pass_below"]), float(c["fail_above"])) for c in classes}
    return {
        **seen,
        "truth": it.truth,
        "disposition": told.commands[-1].disposition if told.commands else "HOLD",
        "evaluation": it.evaluation,
        "reason": it.reason,
        "label": it.label,
        "score": it.score,
        "pass_below": limits[it.label][0] if it.label in limits else None,
        "fail_above": limits[it.label][1] if it.label in limits else None,
        "model_sha256": it.model_sha256,
        "preprocess": it.preprocess,
        "recipe_sha256": it.recipe_sha256,
        "recipe_is_the_runs": it.recipe_sha256 == run.recipe_sha256,
        "p_select": it.p_select,
        "audit": it.audit,
        "stage_ms": dict(it.stage_ms),
        "scores": _scores(it.scores, limits, [str(c["name"]) for c in classes]),
        "candidates": _candidates(it.candidates, limits),
        "heat": f"/api/part/{it.part_id}/heat.png" if it.has_heat else None,
        "known": next(
            ({"expected": k.expected, "by": k.noted_by, "at": k.noted_at} for k in told.known if not k.withdrawn_at),
            None,
        ),
        "line": sorted([trigger, *_line(told)], key=lambda e: (e["at"], _rank(e["kind"]))),
    }


def _relation(score: float, limits: tuple[float, float] | None) -> str:
    if limits is None:
        return "unknown"
    return "above" if score > limits[1] else "between" if score >= limits[0] else "below"


def _scores(scores: Mapping[str, float], limits: Mapping[str, tuple[float, float]], order: Sequence[str]) -> list[Json]:
    """Every class of recipe and model, in the recipe's order; a class without a score or without limits says so."""
    names = [*order, *sorted(scores.keys() - set(order))]
    return [
        {
            "label": name,
            "score": scores.get(name),
            "pass_below": limits[name][0] if name in limits else None,
            "fail_above": limits[name][1] if name in limits else None,
            "relation": _relation(scores[name], limits.get(name)) if name in scores else "unscored",
        }
        for name in names
    ]


def _candidates(candidates: Sequence[Detection], limits: Mapping[str, tuple[float, float]]) -> list[Json]:
    return [
        {
            "label": c.label,
            "score": round(c.score, 4),
            "xyxy": list(c.box.xyxy),
            "relation": _relation(c.score, limits.get(c.label)),
        }
        for c in strongest_per_place(candidates)[:MOST_CANDIDATES]
    ]


def _line(told: Story) -> Iterator[Json]:
    """Everything that happened to the part, in no order."""
    it = told.inspection
    written = told.commands[0].decided_at if told.commands else it.triggered_at
    yield {"at": written, "kind": "verdict", "evaluation": it.evaluation, "audit": it.audit, "p_select": it.p_select}
    person = {a.id: a.person for a in told.answers}
    for c in told.commands:
        by = None if c.confirmation_id is None else person.get(c.confirmation_id)
        yield {
            "at": c.decided_at,
            "kind": "command",
            "disposition": c.disposition,
            "by": by,
            "acknowledged_at": c.acknowledged_at,
        }
    for r in told.reviews:
        if r.reason == "correction":
            continue
        yield {
            "at": r.opened_at,
            "kind": "asked",
            "reason": r.reason,
            "blind": r.blind,
            "shown_as": r.shown_as,
            "excluded_person": r.excluded_person,
            "open": r.settled_at is None,
        }
        if r.settled_at is not None:
            yield {"at": r.settled_at, "kind": "settled", "moves": r.moves}
    reviews = {r.id: r for r in told.reviews}
    for a in told.answers:
        yield _answer(a, reviews[a.review_id], told)
        if a.undone_at is not None:
            yield {"at": a.undone_at, "kind": "undone", "by": a.undone_by, "person": a.person}
    for k in told.known:
        yield {"at": k.noted_at, "kind": "known", "expected": k.expected, "by": k.noted_by}
        if k.withdrawn_at is not None:
            yield {"at": k.withdrawn_at, "kind": "withdrawn", "expected": k.expected, "by": k.withdrawn_by}
    if it.image_dropped_at is not None:
        yield {"at": it.image_dropped_at, "kind": "dropped"}
    for e in told.events:
        yield {"at": e.at, "kind": "event", "event": e.kind, "words": e.text}


def _answer(a: AnswerOf, review: ReviewOf, told: Story) -> Json:
    return {
        "at": a.answered_at,
        "kind": "correction" if review.reason == "correction" else "answer",
        "person": a.person,
        "answer": a.answer,
        "label": a.label,
        "seconds": a.seconds,
        "note": a.note,
        "cause": a.cause,
        "judgements": list(a.judgements),
        "xyxy": None if a.box is None else list(a.box),
        "shown": dict(a.shown),
        "blind": review.blind,
        "challenge": review.reason == "challenge",
        "undone": a.undone_at is not None,
        "crops": [
            {
                "id": c.id,
                "url": f"/api/crop/{c.id}",
                "label": c.label,
                "proposed": c.proposed,
                "score": c.score,
                "box": list(c.box),
                "bytes": c.crop_bytes,
                "format": c.crop_format,
                "sha256": c.crop_sha256,
                "p_select": c.p_select,
            }
            for c in told.crops
            if c.confirmation_id == a.id
        ],
    }


def _rank(kind: str) -> int:
    return _RANK.index(kind) if kind in _RANK else len(_RANK)


def csv_lines(parts: Iterable[PassedPart]) -> Iterator[str]:
    """The list of passed parts as CSV (RFC 4180), header first, line by line."""
    yield _csv(COLUMNS)
    for p in parts:
        model = None if p.model is None else f"{p.model} {(p.model_sha256 or '')[:12]}".strip()
        yield _csv(
            (
                p.number, p.part_id, p.serial, p.lot, p.triggered_at, p.released_at, p.person or MACHINE, p.evaluation,
                None if p.score is None else f"{p.score:.4f}", p.label, model, f"{p.recipe} {p.recipe_sha256[:12]}",
            )
        )  # fmt: skip


def _csv(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([harmless(c) for c in cells])
    return line.getvalue()


def harmless(cell: object) -> str:
    """A cell as text no spreadsheet runs: one that looks like a formula begins with an apostrophe."""
    words = "" if cell is None else str(cell)
    return f"'{words}" if words.startswith(FORMULA) else words
