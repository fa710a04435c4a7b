"""How does a recipe with its model come out of footage, and how is an old recipe taught?

```
shown or belt ──> draft of the recipe ──> model taught (or none, and why) ──> recipe written last
```

Nothing that exists is overwritten: a recipe's name must be free, a model takes the next free version.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from station.config import StationConfig
from station.core.errors import ConfigError, UsageError
from station.core.timing import Clock
from station.footage.book import is_footage
from station.recipe import FreeRunSettings, PresenceSettings, Recipe, load_recipe
from station.sources.footage import open_footage
from station.teaching.belt import BeltProposal, propose_belt
from station.teaching.shown import LEAST_PARTS, Shown, is_video, pictures_shown, video_shown
from station.teaching.written import ANOMALY, Draft, free_name, name_model, write_new

Progress = Callable[[str, float], None]
LARGEST_PX = 800
"""Parts with a longer side in pixels are looked at smaller, so that a look stays below a tenth of a second."""
LOOKED_AT_PX = 640
MOST_BYTES = 300_000_000
"""Of all pictures while teaching, in each worker; beyond, pictures are taken evenly from all."""
SMALL_PX = 120
"""Below this longer side a part shows few defects."""
LEAST_AUROC = 0.75
"""Below this on planted defects a model has not learned yet; 0.5 is chance."""
TRAIN_MISSING = "the training library is not installed: pip install 'inspection-station[train]'"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was made for a product, and on what grounds.

    Attributes:
        recipe: The recipe's file.
        model: <name>/<version> of the model; ``None`` where none was taught.
        no_model: Why there is none, in words.
        trigger: Kind of the trigger.
        parts: Parts it was made from.
        grounds: What was found, a sentence each.
        figures: Of the model, as on its card; empty without one.
        warnings: What a person should look at.
    """

    recipe: Path
    model: str | None
    no_model: str | None
    trigger: str
    parts: int
    grounds: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "recipe": str(self.recipe)}


def new_product(
    name: str,
    source: Path,
    config: StationConfig,
    *,
    clock: Clock,
    title: str | None = None,
    minutes: float = 8.0,
    seed: int = 0,
    with_model: bool = True,
    any_size: bool = False,
    length_mm: float | None = None,
    progress: Progress = lambda words, share: None,
) -> Proposal:
    """Proposes trigger and scale, teaches a model from the parts shown, and writes the recipe.

    Args:
        name: Of the new recipe; must be free.
        source: Folder of pictures, video, or a footage (its folder, or its name under ``footage/``).
        config: Where recipes, models and footage lie.
        clock: For the sources.
        title: What people read (default: from the name).
        minutes: Wall clock for teaching.
        seed: Of the model.
        with_model: ``False`` writes the recipe alone.
        any_size: Take photographs of different sizes.
        length_mm: Longer side of the part in millimetres, for the scale hint.
        progress: Told (what is done, share of the whole).

    Raises:
        UsageError: The name is taken or none, or the footage cannot be used; nothing was written then.
    """
    target = free_name(name, config.recipes)
    source = _found(source, config)
    with tempfile.TemporaryDirectory(prefix="station-teach-") as place:
        draft, shown, belt = _drafted(
            name, source, config, Path(place), clock, title, any_size, with_model, length_mm, progress
        )
        model: str | None = None
        no_model: str | None = "left out with --no-model"
        figures: dict[str, Any] = {}
        if with_model and shown is not None:
            draft.recipe()  # whole before minutes are spent
            model, no_model, figures = _taught(shown, name, ANOMALY, config, minutes, seed, progress)
        part_px = belt.part_px if belt is not None else shown.part_px if shown is not None else 0.0
        made = Draft(draft.name, draft.title, draft.trigger, draft.why, model, draft.size)
        made.recipe()
        write_new(target, made.words())
    load_recipe(name, config.recipes)
    return Proposal(
        recipe=target,
        model=model,
        no_model=None if model else no_model,
        trigger=draft.trigger.kind,
        parts=len(set(shown.parts)) if shown is not None else len(belt.seen) if belt is not None else 0,
        grounds=draft.why[1:],
        figures=figures,
        warnings=_warnings(shown, belt, part_px, figures),
    )


def teach_product(
    name: str,
    source: Path,
    config: StationConfig,
    *,
    clock: Clock,
    minutes: float = 8.0,
    seed: int = 0,
    any_size: bool = False,
    progress: Progress = lambda words, share: None,
) -> Proposal:
    """Teaches a model for a recipe that is there; the recipe's own trigger cuts the parts out of a video.

    A recipe without a model gets it written in. One with a model is left as it is: its limits belong to that model.

    Raises:
        UsageError: The recipe names several classes, or the footage cannot be used, or nothing can be taught here.
    """
    recipe = load_recipe(name, config.recipes)
    if len(recipe.class_names) != 1:
        raise ConfigError(
            f"recipe {name} names the classes {', '.join(recipe.class_names)}; good parts alone teach one class: make "
            "a recipe with 'station recipe new', or train with labels ('station train')"
        )
    passing = next(iter(recipe.limits.values())).pass_below
    if recipe.model is None and passing > 0.0:
        raise ConfigError(
            f"recipe {name} passes below {passing:g}, a limit not made for the model to come, which would release "
            f"parts by it: set pass_below = 0.0 in {config.recipes / name}.toml first"
        )
    source = _found(source, config)
    with tempfile.TemporaryDirectory(prefix="station-teach-") as place:
        if is_video(source):
            shown = video_shown(source, recipe, into=Path(place), station=config.station, clock=clock)
        else:
            shown = pictures_shown(source, clock=clock, any_size=any_size)
        model, no_model, figures = _taught(shown, name, recipe.class_names[0], config, minutes, seed, progress)
    if model is None:
        raise UsageError(f"no model was taught: {no_model}")
    path = config.recipes / f"{name}.toml"
    warnings = list(_warnings(shown, None, shown.part_px, figures))
    if recipe.model is None:
        name_model(path, model)
    else:
        warnings.insert(
            0, f"the recipe still names {recipe.model}: hold both against footage ('station diff') before changing it"
        )
    if isinstance(recipe.trigger, PresenceSettings) and shown.cut_by is None:
        warnings.append("the recipe cuts parts out of frames: the pictures must show parts cut as it cuts them")
    grounds = (f"{len(set(shown.parts))} parts taken as good from {shown.called}",)
    return Proposal(path, model, None, recipe.trigger.kind, len(set(shown.parts)), grounds, figures, tuple(warnings))


def _found(source: Path, config: StationConfig) -> Path:
    """The footage of that name where nothing else is called so."""
    named = config.footage / source
    return named if not source.exists() and is_footage(named) else source


def _drafted(
    name: str,
    source: Path,
    config: StationConfig,
    place: Path,
    clock: Clock,
    title: str | None,
    any_size: bool,
    with_model: bool,
    length_mm: float | None,
    progress: Progress,
) -> tuple[Draft, Shown | None, BeltProposal | None]:
    """The recipe without its model, the parts shown, and for a video what the trigger saw on the belt."""
    words = title or name.replace("-", " ").capitalize()
    day = f"{clock.now():%Y-%m-%d}"
    if is_video(source):
        belt = propose_belt(lambda: open_footage(source, clock=clock), progress=lambda what: progress(what, 0.0))
        why = (f"{words}, proposed on {day} from the video {source.name}.", *_belt_words(belt))
        why += _scale_words(belt.part_px, length_mm)
        draft = Draft(name, words, belt.settings, why, size=belt.size)
        if not with_model:
            return draft, None, belt
        shown = video_shown(source, draft.recipe(), into=place, station=config.station, clock=clock)
        return draft, shown, belt
    least = LEAST_PARTS if with_model else 1
    shown = pictures_shown(source, clock=clock, any_size=any_size, least=least)
    trigger, reason = _trigger_of(shown, config)
    why = (
        f"{words}, proposed on {day} from {len(set(shown.parts))} parts taken as good, {shown.called}.",
        reason,
        *_scale_words(shown.part_px, length_mm),
    )
    frame_is_part = isinstance(trigger, FreeRunSettings)
    return Draft(name, words, trigger, why, size=shown.one_size if frame_is_part else None), shown, None


def _trigger_of(shown: Shown, config: StationConfig) -> tuple[PresenceSettings | FreeRunSettings, str]:
    if shown.whole_frames or shown.cut_by is None:
        return FreeRunSettings(), "Trigger free-run: every picture is one part, and the region is the whole picture."
    recipe = load_recipe(shown.cut_by, config.recipes)
    return recipe.trigger, f"Trigger {recipe.trigger.kind}, as of recipe {recipe.name}, which cut these parts out."


def _belt_words(belt: BeltProposal) -> tuple[str, ...]:
    small, middle, large = belt.area
    r = belt.region
    return (
        f"Trigger presence: {len(belt.seen)} parts in {belt.frames} frames of {belt.size[0]} x {belt.size[1]}; "
        + ", ".join(f"{count} with a difference of {levels:g}" for levels, count in belt.tried)
        + ".",
        f"The empty belt differs from itself by up to {belt.noise:.1f} grey levels.",
        f"A part's box covers {middle:.1%} of the frame ({small:.1%} to {large:.1%}).",
        f"Region: parts were taken within x {r.x0:.0f} to {r.x1:.0f}, y {r.y0:.0f} to {r.y1:.0f}; light and focus "
        "count there, the rest of the view can go.",
    )


def _scale_words(part_px: float, length_mm: float | None) -> tuple[str, ...]:
    seen = f"Scale: a part is about {part_px:.0f} px long"
    if length_mm is None:
        return (f"{seen}; with its length known (--length-mm) that is a scale. 'station calibrate' measures it.",)
    scale = length_mm / part_px
    return (
        f"{seen}, so {length_mm:g} mm make about {scale:.3f} mm per px; marks below some {3 * scale:.2f} mm stay "
        "unseen. 'station calibrate' measures it.",
    )


def _warnings(
    shown: Shown | None, belt: BeltProposal | None, part_px: float, figures: Mapping[str, Any]
) -> tuple[str, ...]:
    found = []
    if figures and figures["planted_auroc"] < LEAST_AUROC:
        found.append(
            "the model hardly finds what was planted for a trial: teach it longer (--minutes) or from more parts"
        )
    if belt is not None and not belt.sure:
        tried = ", ".join(f"{count} at {levels:g}" for levels, count in belt.tried)
        found.append(f"the count of parts depends on the difference ({tried}): count the parts in the video yourself")
    if belt is not None and belt.area[2] > 1.6 * belt.area[1]:
        found.append("some parts look far larger than most: parts that touch count as one, keep them apart")
    if 0 < part_px < SMALL_PX:
        found.append(f"a part is only {part_px:.0f} px long: small defects cannot be seen, move the camera closer")
    if shown is not None:
        found += [f"left out: {count} {why}" for why, count in shown.left_out]
        if 0 < len(set(shown.parts)) < 50:
            found.append(f"taught from {len(set(shown.parts))} parts only: 50 to 200 show better what is usual")
    return tuple(found)


def _taught(
    shown: Shown, name: str, label: str, config: StationConfig, minutes: float, seed: int, progress: Progress
) -> tuple[str | None, str | None, dict[str, Any]]:
    """The model taught, or why there is none, and its figures."""
    try:
        from station.training.good_only import GoodParts, teach
    except ImportError as error:
        return None, f"{TRAIN_MISSING} ({error})", {}
    version = next_version(name, config.models)
    long_px = LOOKED_AT_PX if shown.part_px > LARGEST_PX else 0
    shrink = min(1.0, LOOKED_AT_PX / shown.part_px) if long_px else 1.0
    per_picture = 3.0 * shrink**2 * max(width * height for width, height in shown.sizes)
    count = min(len(shown.pictures), max(LEAST_PARTS, int(MOST_BYTES / per_picture)))
    taken = [int(k) for k in np.linspace(0, len(shown.pictures) - 1, count)]
    good = GoodParts(
        None,
        (label,),
        pictures=tuple(shown.pictures[k] for k in taken),
        parts=tuple(shown.parts[k] for k in taken),
        resize_long=long_px,
        pixels=max(width * height for width, height in shown.sizes),
        called=shown.called,
    )
    report = teach(good, out=config.models / name / version, minutes=minutes, seed=seed, progress=progress)
    return f"{name}/{version}", None, {**asdict(report.metrics), "minutes": report.minutes, "bytes": report.size_bytes}


def next_version(name: str, models: Path) -> str:
    """The next free number of a model's versions."""
    taken = [int(p.name) for p in (models / name).glob("*") if p.name.isdecimal()]
    return str(max(taken, default=0) + 1)


def recipes_in(config: StationConfig) -> dict[str, Recipe | str]:
    """Every recipe by name, or why it cannot be used."""
    found: dict[str, Recipe | str] = {}
    for path in sorted(config.recipes.glob("*.toml")):
        try:
            found[path.stem] = load_recipe(path.stem, config.recipes)
        except ConfigError as error:
            found[path.stem] = str(error)
    return found
