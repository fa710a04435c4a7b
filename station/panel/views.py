"""What may the browser know of a part, a question, the station? Pure: values of the ledger in, plain dicts out.

A blind question is answered without the machine's opinion, so nothing that follows from that opinion leaves this
module for it: no verdict, reason, score, candidate, not even why the part was held. An audited good part and a
blind rejected one give dicts of exactly the same form.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from station.config import StationConfig
from station.core.part import Detection
from station.core.verdict import Evaluation
from station.decision import proposals, strongest_per_place
from station.exchange import LoopState
from station.recipe import Recipe
from station.store.evidence import ClassRecord
from station.store.queries import PartView, ReviewView, RunInfo, ShiftCounts
from station.systematic import Stopped, systematic

MOST_CANDIDATES = 24
"""Boxes sent to a screen; more would hide the part."""

Json = dict[str, Any]


def image_url(sha256: str | None) -> str | None:
    """Where the browser fetches a part's picture."""
    return None if sha256 is None else f"/image/{sha256}.jpg"


def relation(candidate: Detection, recipe: Recipe) -> str:
    """Where a score lies to its class's limits: ``below``, ``between``, ``above``, or ``unknown`` without limits."""
    limits = recipe.limits.get(candidate.label)
    if limits is None:
        return "unknown"
    if candidate.score > limits.fail_above:
        return "above"
    return "between" if candidate.score >= limits.pass_below else "below"


def boot(config: StationConfig, recipe: Recipe | None, run: RunInfo | None, *, reference: bool) -> Json:
    """What a screen needs once: names, classes with keys and limits."""
    return {
        "station": run.station if run else config.station,
        "run": run.id if run else None,
        "started_at": run.started_at if run else None,
        "product": recipe.title if recipe else "",
        "model": run.model if run else None,
        "reference": "/reference" if reference else None,
        "undo_s": recipe.hold.undo_s if recipe else 0.0,
        "escalate_s": recipe.hold.escalate_s if recipe else None,
        "hold_mode": recipe.hold.mode if recipe else None,
        "capacity": recipe.hold.capacity if recipe else None,
        "causes": [c.model_dump() for c in recipe.review.causes] if recipe else [],
        "classes": [
            {
                "key": str(number) if number <= 9 else None,
                "name": c.name,
                "title": c.title,
                "severity": c.severity.value,
                "pass_below": c.pass_below,
                "fail_above": c.fail_above,
            }
            for number, c in enumerate(recipe.classes if recipe else (), start=1)
        ],
    }


def waiting(review: ReviewView) -> Json:
    """A question as the strip of waiting parts shows it: nothing of the machine's opinion."""
    number, part_id, _ = review.shown_as
    return {
        "id": review.id,
        "number": number,
        "part_id": part_id,
        "image": image_url(review.part.image_sha256),
        "opened_at": review.opened_at,
        "claimed_by": review.claimed_by,
    }


def question(review: ReviewView, recipe: Recipe, record: ClassRecord | None = None, *, reference: bool = False) -> Json:
    """A question as the review screen shows it, without the machine's opinion where it is blind.

    Args:
        review: The question with its part.
        recipe: The one the part was inspected with.
        record: How the model did on the deciding class before.
        reference: Whether there is a picture of a good part.
    """
    part = review.part
    seen: Json = {
        **waiting(review),
        "blind": review.blind,
        "width": part.width,
        "height": part.height,
        "simulated": part.simulated,
        "serial": review.shown_as[2],
        "answered_by": review.answered_by,
        "settled": review.settled,
    }
    if review.blind:
        return seen
    proposed = proposals(part.candidates, recipe.limits)
    return {
        **seen,
        "why": review.reason,
        **opinion(part, recipe),
        "proposed": proposed[0].label if proposed else None,
        "heat": f"/heat/{review.id}.png" if part.has_heat else None,
        "aligned": f"/aligned/{review.id}.jpg" if reference and part.image_sha256 else None,
        "record": asdict(record) if record is not None and record.judged else None,
    }


def opinion(part: PartView, recipe: Recipe) -> Json:
    """What the machine thinks of a part."""
    limits = recipe.limits.get(part.label) if part.label else None
    return {
        "evaluation": part.evaluation,
        "reason": part.reason,
        "label": part.label,
        "score": part.score,
        "pass_below": limits.pass_below if limits else None,
        "fail_above": limits.fail_above if limits else None,
        "scores": {k: round(v, 4) for k, v in part.scores.items()},
        "candidates": candidates(part, recipe),
    }


def candidates(part: PartView, recipe: Recipe) -> list[Json]:
    """The strongest candidate of each place with its relation to the limits, strongest first."""
    proposed = proposals(part.candidates, recipe.limits)
    more = [c for c in strongest_per_place(part.candidates) if relation(c, recipe) in ("below", "unknown")]
    return [
        {
            "label": c.label,
            "score": round(c.score, 4),
            "xyxy": list(c.box.xyxy),
            "relation": relation(c, recipe),
            "defect": index if index < len(proposed) else None,
        }
        # Never fewer than are proposed: each of them can be asked to be judged.
        for index, c in enumerate([*proposed, *more][: max(MOST_CANDIDATES, len(proposed))])
    ]


def opinion_in_short(part: PartView) -> Json:
    """What the machine said, once a first look is over."""
    return {"evaluation": part.evaluation, "label": part.label, "score": part.score, "reason": part.reason}


def on_the_line(part: PartView, recipe: Recipe, hidden: Collection[str]) -> Json:
    """A part as the live screen shows it; a part under a blind question shows that it is held, no more."""
    seen: Json = {
        "number": part.number,
        "part_id": part.part_id,
        "triggered_at": part.triggered_at,
        "image": image_url(part.image_sha256),
        "width": part.width,
        "height": part.height,
        "simulated": part.simulated,
        "disposition": part.disposition,
    }
    if part.part_id in hidden:
        return {**seen, "hidden": True}
    return {**seen, "hidden": False, **opinion(part, recipe)}


def in_a_row(stopped: Sequence[PartView], recipe: Recipe | None, hidden: Collection[str]) -> Json | None:
    """Whether the newest stopped parts look like one fault again and again; see :mod:`station.systematic`."""
    if recipe is None:
        return None
    titles = {c.name: c.title for c in recipe.classes}
    found = systematic(
        (
            Stopped(
                number=p.number,
                evaluation=Evaluation(p.evaluation),
                label=p.label,
                box=next((c.box for c in p.candidates if c.label == p.label), None),
                width=p.width or 1,
                height=p.height or 1,
                hidden=p.part_id in hidden,
            )
            for p in stopped
        ),
        titles=titles,
    )
    return {**asdict(found), "title": titles.get(found.label, found.label)} if found else None


def counts(shift: ShiftCounts, open_reviews: int, hidden: Sequence[PartView]) -> Json:
    """The shift in numbers; parts under a blind question are counted as held, not by their verdict."""
    by = dict(shift.by_evaluation)
    for part in hidden:
        by[part.evaluation] = max(by.get(part.evaluation, 0) - 1, 0)
    return {
        "parts": shift.parts,
        "passed": by.get("OK", 0),
        "uncertain": by.get("NOT_DECIDABLE", 0),
        "rejected": by.get("NOT_OK", 0),
        "undefined": by.get("UNDEFINED", 0),
        "hidden": len(hidden),
        "waiting": open_reviews,
        "held": shift.waiting,
        "released": shift.by_disposition.get("RELEASE", 0),
        "scrapped": shift.by_disposition.get("REJECT", 0),
        "rework": shift.by_disposition.get("REWORK", 0),
        "answers": sum(shift.by_answer.values()),
        "labels": shift.labels,
        "undone": shift.undone,
        "overkill": shift.overkill,
        "confirmed_defects": shift.confirmed_defects,
    }


def loop_state(state: LoopState | None, words: str) -> Json:
    """The loop's state as the screens show it; ``None`` means that it does not answer."""
    if state is None:
        return {"away": True, "state": "AWAY", "words": words, "faults": [], "stage_ms": {}}
    return {
        "away": False,
        "state": state.state,
        "words": words,
        "faults": [{"kind": k, "words": w, "since": s} for k, w, s in state.faults],
        "parts": state.parts,
        "waiting": state.waiting,
        "dropped_frames": state.dropped_frames,
        "stage_ms": state.stage_ms,
        "at": state.at,
    }
