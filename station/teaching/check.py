"""Is a recipe whole, does its model verify, and what will it do with a part?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from station.build import open_detector, usable_here
from station.config import StationConfig
from station.core.errors import ConfigError
from station.recipe import FreeRunSettings, load_recipe


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe that passed.

    Attributes:
        recipe: Its name.
        model: The model's name, version and hash; ``None`` without one.
        all_to_review: Whether every part goes before a person.
        words: What it does, by topic.
    """

    recipe: str
    model: str | None
    all_to_review: bool
    words: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "words": dict(self.words), "good": True}


def check_recipe(name: str, config: StationConfig) -> Checked:
    """Reads the recipe, runs its model on the parity pictures, and says what follows from its limits.

    Raises:
        ConfigError: The recipe is wrong, cannot be used at this station, or its reference picture is missing.
        ModelRefused: The model is not what its card says, or names other classes.
    """
    recipe = load_recipe(name, config.recipes)
    usable_here(config)(recipe)
    if recipe.reference is not None and not (config.recipes / recipe.reference).is_file():
        raise ConfigError(f"recipe {name}: its reference {recipe.reference} is not in {config.recipes}: put it there")
    detector = open_detector(recipe, config)
    nothing = [c.name for c in recipe.classes if c.pass_below <= 0.0]
    review = detector is None or bool(nothing)
    if detector is None:
        passing = "every part goes before a person: there is no model yet"
    elif nothing:
        passing = f"every part goes before a person: {', '.join(nothing)} passes below 0, which no score is"
    else:
        passing = "parts pass below " + ", ".join(f"{c.name} {c.pass_below:g}" for c in recipe.classes)
    trigger = recipe.trigger
    words = (
        ("title", recipe.title),
        ("trigger", "free-run: every picture is a part" if isinstance(trigger, FreeRunSettings) else str(trigger)),
        ("model", str(detector.model) if detector is not None else "none"),
        ("passing", passing),
        ("while a part waits", "the line stops" if recipe.hold.mode == "stop" else "parts leave to the review lane"),
    )
    return Checked(name, str(detector.model) if detector is not None else None, review, words)
