"""What do other limits change of a recipe, and may more parts be released by them? Pure.

The limits of a recipe are one value: what every class has for limits and least sizes, and the places where candidates
do not count. A recipe comes from its file; other limits are laid over it and nothing else of it changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from station.core.errors import LimitsRefused
from station.recipe import Fraction, IgnoredRegion, Limits, Recipe

FIELDS = ("pass_below", "fail_above", "min_area_px", "min_area_mm2")
"""What a class has for limits, under the names of the recipe file."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClassLimits(_Strict):
    """Limits of one class with its least sizes; ``None``: no least size."""

    pass_below: Fraction
    fail_above: Fraction
    min_area_px: float | None = Field(default=None, gt=0)
    min_area_mm2: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _ = Limits(pass_below=self.pass_below, fail_above=self.fail_above)
        return self


class LimitsSet(_Strict):
    """The limits of every class of a recipe, and its ignored regions."""

    classes: dict[str, ClassLimits] = Field(min_length=1)
    ignore: tuple[IgnoredRegion, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(self.to_dict(), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing in which limits differ.

    Attributes:
        what: ``scratch.pass_below``, ``ignore``, or a class that only one side has.
        before: Its value there; ``None`` where there was none.
        after: Its value here.
        widens: More parts may be released by it.
        words: The change as people read it.
    """

    what: str
    before: Any
    after: Any
    widens: bool
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: getattr(self, name) for name in ("what", "before", "after", "widens", "words")}


def limits_of(recipe: Recipe) -> LimitsSet:
    """The recipe's limits as one value."""
    kinds = {c.name: ClassLimits(**{name: getattr(c, name) for name in FIELDS}) for c in recipe.classes}
    return LimitsSet(classes=kinds, ignore=recipe.ignore)


def read_limits(data: object) -> LimitsSet:
    """Limits from plain values.

    Raises:
        LimitsRefused: ``invalid``: they are none, with what is wrong.
    """
    try:
        return LimitsSet.model_validate(data)
    except ValidationError as error:
        raise LimitsRefused("invalid", f"these are no limits: {_first_faults(error)}") from error


def overlay(recipe: Recipe, limits: LimitsSet) -> Recipe:
    """The recipe under other limits; nothing else of it changes.

    Raises:
        LimitsRefused: ``does_not_fit``: the limits are for other classes, or the recipe refuses them.
    """
    if set(limits.classes) != set(recipe.class_names):
        raise LimitsRefused(
            "does_not_fit",
            f"the limits are for {', '.join(sorted(limits.classes))}, recipe {recipe.name} names "
            f"{', '.join(sorted(recipe.class_names))}: draft limits for every class of the recipe",
        )
    data = recipe.model_dump(mode="json")
    for kind in data["classes"]:
        for name in FIELDS:
            kind[name] = getattr(limits.classes[kind["name"]], name)
    data["ignore"] = [region.model_dump(mode="json") for region in limits.ignore]
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise LimitsRefused("does_not_fit", f"recipe {recipe.name} refuses them: {_first_faults(error)}") from error


def compare(before: LimitsSet, after: LimitsSet) -> tuple[Change, ...]:
    """Everything in which they differ, class by class, then region by region; empty where they are the same."""
    found = []
    for label in (*before.classes, *(c for c in after.classes if c not in before.classes)):
        old, new = before.classes.get(label), after.classes.get(label)
        if old is None or new is None:
            side = "was not there before" if old is None else "is no longer there"
            plain = [None if it is None else it.model_dump(mode="json") for it in (old, new)]
            # Nothing can be said of what has nothing to be held against: a second person shall look.
            found.append(Change(label, plain[0], plain[1], True, f"class {label} {side}"))
            continue
        for name in FIELDS:
            was, now = getattr(old, name), getattr(new, name)
            if was != now:
                widens = name != "fail_above" and (now or 0.0) > (was or 0.0)
                words = f"{label}: {name} {_said(was)} -> {_said(now)}"
                found.append(Change(f"{label}.{name}", was, now, widens, words))
    return (*found, *_regions(before, after))


def widens(before: LimitsSet, after: LimitsSet) -> bool:
    """Whether any part that was stopped before might be released now.

    False is a proof: every score that stopped a part then stops it now, whatever the model said. ``fail_above`` has
    no say in it, as it only tells two ways of stopping apart.
    """
    return any(change.widens for change in compare(before, after))


def with_changes(limits: LimitsSet, changes: Iterable[str]) -> LimitsSet:
    """The limits with single values changed, checked whole.

    Args:
        limits: Those before.
        changes: ``CLASS.FIELD=VALUE``, such as ``scratch.pass_below=0.35``; ``none`` takes a least size away.

    Raises:
        LimitsRefused: ``invalid``: one names no class or field, or the value is none.
    """
    data = limits.to_dict()
    for words in changes:
        where, equals, value = words.partition("=")
        label, dot, name = where.strip().rpartition(".")
        if not (equals and dot and label in data["classes"] and name in FIELDS):
            raise LimitsRefused(
                "invalid",
                f"{words!r} changes nothing here: write CLASS.FIELD=VALUE with a class of "
                f"{', '.join(data['classes'])} and a field of {', '.join(FIELDS)}",
            )
        try:
            data["classes"][label][name] = None if value.strip().lower() == "none" else float(value)
        except ValueError as error:
            raise LimitsRefused("invalid", f"{value!r} is no number: write {where.strip()}=0.35") from error
    return read_limits(data)


def with_values(limits: LimitsSet, values: Mapping[str, Any]) -> LimitsSet:
    """The limits with those of some classes replaced: ``{class: {"pass_below": 0.35, "fail_above": 0.8}}``.

    Raises:
        LimitsRefused: ``invalid``: one is no class, or the values are none.
    """
    data = limits.to_dict()
    for label, given in values.items():
        if label not in data["classes"] or not isinstance(given, Mapping):
            raise LimitsRefused(
                "invalid", f"{label!r} with {given!r} is no class with limits: name {', '.join(data['classes'])}"
            )
        data["classes"][label] |= given
    return read_limits(data)


def _regions(before: LimitsSet, after: LimitsSet) -> Iterable[Change]:
    names = tuple(after.classes)
    for region in before.ignore:
        if region not in after.ignore:
            yield Change("ignore", region.model_dump(mode="json"), None, False, f"no longer ignored: {_place(region)}")
    for region in after.ignore:
        if region not in before.ignore:
            new = not all(_covered(region, label, before) for label in region.classes or names)
            yield Change("ignore", None, region.model_dump(mode="json"), new, f"ignored: {_place(region)}")


def _covered(region: IgnoredRegion, label: str, before: LimitsSet) -> bool:
    """Whether what lies wholly inside the region lay wholly inside one that was ignored for the class before."""
    x0, y0, x1, y1 = region.xyxy
    return any(
        (not old.classes or label in old.classes)
        and old.xyxy[0] <= x0
        and old.xyxy[1] <= y0
        and x1 <= old.xyxy[2]
        and y1 <= old.xyxy[3]
        for old in before.ignore
    )


def _place(region: IgnoredRegion) -> str:
    return f"{list(region.xyxy)} for {', '.join(region.classes) or 'all classes'} ({region.why})"


def _said(value: float | None) -> str:
    return "none" if value is None else f"{value:.10g}"


def _first_faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(str(p) for p in e['loc']) or 'limits'}: {e['msg']}" for e in error.errors()[:5])
