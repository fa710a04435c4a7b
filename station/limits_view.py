"""What do people see of a recipe's limits: versions, what was done with them, what is in force? JSON-ready."""

from __future__ import annotations

from typing import Any

from station.limits import LimitsSet, compare, read_limits
from station.store.limits import Did, Event, Past, Version


def overview(past: Past, *, model: str | None, file: LimitsSet | None, file_words: str | None = None) -> dict[str, Any]:
    """All versions of a recipe's limits, newest first, and what is in force.

    Args:
        past: What was done.
        model: The recipe's.
        file: The limits of the recipe file; ``None`` where it cannot be read.
        file_words: Why not.
    """
    made = None if past.in_force is None else past.version(past.in_force)
    now = file if made is None else read_limits(made.limits)
    step = _step_back(past, model)
    return {
        "recipe": past.recipe,
        "model": model,
        "in_force": past.in_force,
        "limits": None if now is None else now.to_dict(),
        "file": None if file is None else file.to_dict(),
        "file_words": file_words,
        "roll_back_to": None if not past.pile else {"version": step},
        "versions": [_version(v, past, now, model) for v in reversed(past.versions)],
        "events": [_event(e) for e in reversed(past.events)],
    }


def compared(before: LimitsSet, after: LimitsSet) -> dict[str, Any]:
    """What differs, and whether more may be released by it."""
    changes = compare(before, after)
    return {"changes": [c.to_dict() for c in changes], "widens": any(c.widens for c in changes)}


def standing(version: Version, past: Past) -> str:
    """``draft``, ``approved``, ``in_force``, ``was_in_force`` or ``withdrawn``."""
    if past.withdrawn(version.id):
        return "withdrawn"
    if past.in_force == version.id:
        return "in_force"
    if any(e.kind in (Did.ACTIVATED, Did.ROLLED_BACK) for e in past.of(version.id)):
        return "was_in_force"
    return "approved" if past.approvers(version.id) else "draft"


def _version(version: Version, past: Past, now: LimitsSet | None, model: str | None) -> dict[str, Any]:
    given = read_limits(version.limits)
    changes = () if now is None else compare(now, given)
    # What is in force for another model, or cannot be read, proves nothing.
    known = now is not None and (past.in_force is None or _model_of(past.in_force, past) == model)
    wider = not known or any(c.widens for c in changes)
    approved_by = past.approvers(version.id)
    usable = past.in_force != version.id and not past.withdrawn(version.id)
    return {
        "id": version.id,
        "recipe": past.recipe,
        "model": version.model,
        "made_at": version.made_at,
        "made_by": version.made_by,
        "base": version.base,
        "limits": given.to_dict(),
        "reason": version.reason,
        "diff": version.diff,
        "certificate": version.certificate,
        "widens": version.widens,
        "standing": standing(version, past),
        "approved_by": list(approved_by),
        "changes": [c.to_dict() for c in changes],
        "needs_approval": usable and wider and not approved_by,
        "events": [_event(e) for e in past.of(version.id)],
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "version": event.version,
        "kind": event.kind.value,
        "at": event.at,
        "person": event.person,
        "via": event.via,
        "reason": event.reason,
        "widens": event.widens,
    }


def _model_of(version: int, past: Past) -> str | None:
    made = past.version(version)
    return None if made is None else made.model


def _step_back(past: Past, model: str | None) -> int | None:
    """Where a rollback would lead, as far as can be told without the station: see ``LimitsDesk.step_back``."""
    for version in reversed(past.pile[:-1]):
        if version is None or (not past.withdrawn(version) and _model_of(version, past) == model):
            return version
    return None
