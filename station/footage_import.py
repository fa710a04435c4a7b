"""Is this material pictures or a video, and how does it become footage of this station?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from station.config import StationConfig
from station.core.errors import UsageError
from station.core.timing import Clock
from station.footage.bring_in import BroughtIn, bring_in, bring_in_video
from station.recipe import load_recipe
from station.sources.footage import open_footage
from station.trigger import make_trigger


def import_footage(
    source: Path,
    name: str,
    config: StationConfig,
    *,
    recipe_name: str | None,
    by: str,
    clock: Clock,
    progress: Callable[[int], None] = lambda n: None,
) -> BroughtIn:
    """Brings material in as ``config.footage / name``.

    Args:
        source: Folder, data set, COCO file or video; it is only read.
        name: Of the footage.
        config: Where footage and recipes lie.
        recipe_name: For a video: whose trigger cuts the parts out.
        by: Who does it.
        clock: For the note when.
        progress: Called with the number of parts so far.

    Raises:
        DataRefused: Source or target cannot be used.
        UsageError: A video without a recipe.
        ConfigError: The recipe is wrong.
    """
    target = config.footage / name
    if source.is_dir() or source.suffix.lower() == ".json" or not source.exists():
        return bring_in(source, target, by=by, clock=clock, progress=progress)
    if recipe_name is None:
        raise UsageError(f"{source} is a video: name the recipe whose trigger finds the parts in it with --recipe")
    recipe = load_recipe(recipe_name, config.recipes)
    with closing(open_footage(source, clock=clock, max_pixels=recipe.health.max_pixels)) as video:
        trigger = make_trigger(recipe.trigger)
        return bring_in_video(
            video, trigger, recipe, target, by=by, station=config.station, clock=clock, progress=progress
        )
