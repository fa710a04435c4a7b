"""These limits instead of those: what would it have changed on this footage?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from station.config import StationConfig
from station.core.errors import UsageError
from station.footage.book import find
from station.footage.diff import diff
from station.footage.table import Rules
from station.footage.truth import truths
from station.footage_replay import footage_scale, scored_table
from station.limits_fit import recipe_here
from station.recipe import Recipe, load_recipe


def compare(
    name: str,
    recipe_name: str,
    config: StationConfig,
    *,
    changes: Sequence[str] = (),
    against: str | None = None,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> dict[str, Any]:
    """Holds a recipe's limits against others on a footage; asks the model only for pictures it has not seen.

    Args:
        name: The footage.
        recipe_name: Those limits: the ones in force at this station.
        config: Where things lie.
        changes: ``CLASS=pass_below[:fail_above]``: these limits are that recipe's with these changes ...
        against: ... or another recipe's, with its sizes and regions.
        jobs: Worker processes.
        progress: Called with the number of parts so far.

    Raises:
        UsageError: Footage, recipe or a change cannot be used.
    """
    before, version = recipe_here(recipe_name, config)
    if (against is None) == (not changes):
        raise UsageError("say what to hold it against: --limit CLASS=pass_below[:fail_above], or --against RECIPE")
    after = load_recipe(against, config.recipes) if against is not None else changed(before, changes)
    if after.model != before.model or after.health != before.health or set(after.limits) != set(before.limits):
        raise UsageError(f"recipes {before.name} and {after.name} differ in more than limits: model, health or classes")
    footage = find(name, config.footage)
    table, model, _, _ = scored_table(footage, before, config, jobs=jobs, progress=progress)
    known = truths(footage).agreed
    scale = footage_scale(footage, config)
    result = diff(table, table.judged(Rules.of(before, scale)), table.judged(Rules.of(after, scale)), known)
    now = after.limits
    return {
        "footage": footage.about.name,
        "recipe": before.name,
        "base": version,
        "against": after.name,
        "model": str(model) if model else None,
        "parts": len(table),
        "limits": {
            label: {"before": [old.pass_below, old.fail_above], "after": [now[label].pass_below, now[label].fail_above]}
            for label, old in before.limits.items()
            if old != now[label]
        },
    } | result.to_dict()


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with other limits, checked whole; a ``fail_above`` that is not given moves up where it must.

    Raises:
        UsageError: A change names no class of the recipe or is no pair of limits.
    """
    data = recipe.model_dump(mode="json")
    by_name = {c["name"]: c for c in data["classes"]}
    for words in changes:
        label, _, numbers = words.partition("=")
        low, colon, high = numbers.partition(":")
        if label not in by_name:
            raise UsageError(f"{words!r}: {label!r} is no class of {recipe.name} ({', '.join(by_name)})")
        kind = by_name[label]
        try:
            kind["pass_below"] = float(low)
            kind["fail_above"] = float(high) if colon else max(kind["fail_above"], kind["pass_below"])
            recipe = Recipe.model_validate(data)
        except ValueError as error:
            raise UsageError(f"{words!r} is no limit: write CLASS=pass_below[:fail_above], each in [0, 1]") from error
    return recipe
