"""What may a browser send to the workbench, and which recipe do the limits in it make?

Numbers that are none, unknown fields and classes, and limits that cross are refused here, in words.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from station.calibration.cost import Costs
from station.core.errors import DataRefused
from station.recipe import Recipe

Name = Annotated[str, Field(min_length=1, max_length=64)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(ge=0.0, le=1e9)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class FootageBody(_Body):
    """Which footage."""

    footage: Name


class ClassLimits(_Body):
    """Limits of one class; least sizes are null where there is none."""

    pass_below: Fraction
    fail_above: Fraction
    min_area_px: Positive | None = None
    min_area_mm2: Positive | None = None


class Assumed(_Body):
    """What the engineer says of the line; the footage cannot tell it."""

    prevalence: Fraction = Field(default=0.01, description="Share of defective parts on the line.")
    parts_per_h: Positive = 600.0
    review_s: Positive = 6.0
    escape_cost: dict[str, Positive] = Field(default={"critical": 2000.0, "major": 200.0, "minor": 20.0}, max_length=8)
    review_minute: Positive = Field(default=1.0, description="Cost of a minute of an inspector.")
    overkill: Positive = Field(default=0.1, description="Cost of stopping a good part beyond its review.")

    @property
    def costs(self) -> Costs:
        """As the cost rule takes them."""
        return Costs(self.escape_cost, self.review_minute, self.review_s, self.overkill)


class LimitsBody(FootageBody):
    """Limits to be held against those in force."""

    limits: dict[Name, ClassLimits] = Field(max_length=64)


class TryBody(LimitsBody):
    """Limits to be tried, and the class whose curve is drawn."""

    moved: Name
    assumed: Assumed = Assumed()


class CertifyBody(LimitsBody):
    """A look at the sealed side; ``looks`` is how often it was looked at when the person was asked."""

    why: str = Field(min_length=1, max_length=300)
    looks: int = Field(ge=0)


class DraftBody(LimitsBody):
    """Limits tried become a draft, with what is known of them; ``certificate`` is the SHA-256 of one issued here."""

    key: str = Field(min_length=8, max_length=64)
    reason: str = Field(min_length=1, max_length=1000)
    certificate: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class SplitBody(FootageBody):
    """Deal the parts into a tuning and a sealed side."""

    by: Literal["part", "lot"] = "part"


def with_limits(recipe: Recipe, limits: dict[str, ClassLimits]) -> Recipe:
    """The recipe with these limits, checked whole; classes that are not named keep theirs.

    Raises:
        DataRefused: A class is unknown, or limits cross.
    """
    strangers = sorted(set(limits) - set(recipe.class_names))
    if strangers:
        raise DataRefused(
            f"recipe {recipe.name} has no class {', '.join(strangers)}: one of {', '.join(recipe.class_names)}"
        )
    data = recipe.model_dump(mode="json")
    for kind in data["classes"]:
        if kind["name"] in limits:
            it = limits[kind["name"]]
            if it.pass_below > it.fail_above:
                raise DataRefused(
                    f"{kind['name']}: pass_below {it.pass_below:g} is above fail_above {it.fail_above:g}: lower the "
                    "first or raise the second"
                )
            given = it.model_dump()
            # A least size of nothing is none at all.
            kind.update(given | {name: given[name] or None for name in ("min_area_px", "min_area_mm2")})
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise DataRefused("; ".join(e["msg"] for e in error.errors()[:3])) from error
