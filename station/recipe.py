"""What is inspected on a product, and what happens to a part that is not clear?

A recipe is one TOML file under ``calibration/recipes/``; unknown keys are refused and the whole
file is checked before anything runs.
"""

from __future__ import annotations

import hashlib
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from station.core.errors import ConfigError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Severity(StrEnum):
    """How bad it is when a part with this defect reaches the customer."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Limits(_Strict):
    """Limits of one class: below ``pass_below`` passes, above ``fail_above`` is rejected, between is uncertain."""

    pass_below: Fraction
    fail_above: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.pass_below > self.fail_above:
            raise ValueError(f"pass_below {self.pass_below} is above fail_above {self.fail_above}")
        return self


class DefectClass(_Strict):
    """One kind of defect."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name in the model and the data, e.g. missing_hole.")
    title: str = Field(description="What people read, e.g. Missing hole.")
    severity: Severity = Severity.MAJOR
    pass_below: Fraction
    fail_above: Fraction
    min_area_px: float | None = Field(
        default=None, gt=0, description="Candidates whose box covers fewer square pixels do not count."
    )
    min_area_mm2: float | None = Field(
        default=None,
        gt=0,
        description="Candidates whose box covers fewer square millimetres do not count; needs the station's scale.",
    )

    @property
    def limits(self) -> Limits:
        """The limits of this class."""
        return Limits(pass_below=self.pass_below, fail_above=self.fail_above)

    @model_validator(mode="after")
    def _checked(self) -> Self:
        _ = self.limits
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_unset(handler(self), "min_area_px", "min_area_mm2")


class IgnoredRegion(_Strict):
    """A place on the part where candidates do not count, such as a stamped number or the glare of an edge.

    In shares of the part's picture, not in pixels: the trigger cuts each part with its margin, so cuts of one product
    differ by some pixels, and a camera of more pixels shall not need another recipe.
    """

    xyxy: tuple[Fraction, Fraction, Fraction, Fraction] = Field(
        description="Left, top, right and bottom edge as shares of the part picture's width and height."
    )
    why: str = Field(min_length=1, description="What is there, for whoever reads the recipe next year.")
    classes: tuple[str, ...] = Field(default=(), description="Defect classes it holds for; none named: all of them.")

    @model_validator(mode="after")
    def _spans(self) -> Self:
        x0, y0, x1, y1 = self.xyxy
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"region {list(self.xyxy)} is empty: write left, top, right, bottom")
        if (x0, y0, x1, y1) == (0.0, 0.0, 1.0, 1.0):
            raise ValueError("a region must not be the whole part: nothing would be inspected")
        return self


class PresenceSettings(_Strict):
    """Trigger by background difference with hysteresis: the part is taken where it is best centred."""

    kind: Literal["presence"] = "presence"
    difference: Annotated[float, Field(gt=0, le=255)] = Field(
        default=25.0, description="Grey levels by which a pixel must differ from the empty belt."
    )
    enter_area: Fraction = Field(default=0.02, description="Share of the frame a part must cover to count as present.")
    leave_area: Fraction = Field(default=0.01, description="Share of the frame below which it has left.")
    margin: Fraction = Field(default=0.08, description="Margin around the part's box, as a share of its longer side.")

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.leave_area > self.enter_area:
            raise ValueError("leave_area must not be above enter_area")
        return self


class FreeRunSettings(_Strict):
    """Every frame is one part (folders of part photographs)."""

    kind: Literal["free-run"] = "free-run"


class HealthLimits(_Strict):
    """When a picture cannot be trusted. All on grey levels 0..255."""

    dark_mean: float = Field(default=4.0, ge=0, description="Mean grey level at or below which a picture is black.")
    bright_share: Fraction = Field(default=0.6, description="Share of pixels at 255 above which it is saturated.")
    min_sharpness: float = Field(
        default=0.0, ge=0, description="Least variance of the Laplacian (grey levels squared); 0 does not check."
    )
    frozen_frames: int = Field(
        default=30, ge=0, description="So many byte-identical frames in a row from a live camera mean frozen; 0: off."
    )
    width: int | None = Field(default=None, gt=0, description="Exact frame width in pixels, where fixed.")
    height: int | None = Field(default=None, gt=0, description="Exact frame height in pixels, where fixed.")
    max_pixels: int = Field(default=40_000_000, gt=0, description="Pictures with more pixels are not decoded.")


class HoldSettings(_Strict):
    """What happens while a part waits for a person."""

    mode: Literal["stop", "divert"] = Field(
        default="stop", description="stop: the line waits. divert: the part leaves to a review lane, the line runs on."
    )
    lane_capacity: int = Field(
        default=20, ge=1, description="Parts the review lane takes before the line waits (divert)."
    )
    undo_s: float = Field(default=3.0, ge=0, description="Seconds after an answer in which it can be undone.")
    escalate_s: float = Field(
        default=60.0, gt=0, description="Seconds after which a waiting part calls for help on the screen."
    )

    @property
    def capacity(self) -> int:
        """Held parts at which the line waits."""
        return 1 if self.mode == "stop" else self.lane_capacity


class AlarmCause(_Strict):
    """Why the machine stopped a good part, in the inspector's words."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name in the data, e.g. reflection.")
    title: str = Field(min_length=1, description="What people read.")
    key: str = Field(pattern=r"^[a-z]$", description="Its key on the keyboard.")

    @model_validator(mode="after")
    def _free_key(self) -> Self:
        if self.key in TAKEN_KEYS:
            raise ValueError(f"key {self.key!r} belongs to an answer ({', '.join(sorted(TAKEN_KEYS))} are taken)")
        return self


TAKEN_KEYS = frozenset("bdfhmnruz")
"""Letters the review screen uses for its answers and views."""


class ReviewSettings(_Strict):
    """What goes before a person beyond the parts the machine stops."""

    audit_fraction: Fraction = Field(default=0.02, description="Share of passed parts drawn for a blind audit.")
    blind_fraction: Fraction = Field(
        default=0.1,
        description="Share of stopped parts shown without the model's verdict, so that audits look like others.",
    )
    crop_margin: Fraction = Field(
        default=0.5, description="Context around a confirmed box, as a share of its longer side."
    )
    challenge_fraction: Fraction = Field(
        default=0.01, description="Known parts shown again, unmarked, as a share of the stopped ones."
    )
    causes: tuple[AlarmCause, ...] = Field(
        default=(
            AlarmCause(name="reflection", title="Reflection", key="q"),
            AlarmCause(name="dust", title="Dust", key="w"),
            AlarmCause(name="mark", title="Harmless mark", key="e"),
            AlarmCause(name="model_error", title="Model error", key="t"),
        ),
        description="Reasons an inspector can give for a false alarm.",
    )

    @model_validator(mode="after")
    def _causes_differ(self) -> Self:
        for what in ("name", "key"):
            values = [getattr(c, what) for c in self.causes]
            if len(set(values)) != len(values):
                raise ValueError(f"two causes share a {what}: {values}")
        return self


class Recipe(_Strict):
    """What to inspect on one product."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    model: str | None = Field(
        default=None, description="<name>/<version> under models/; none: every part goes to review."
    )
    reference: str | None = Field(default=None, description="Picture of a good part, relative to the recipe file.")
    trigger: Annotated[PresenceSettings | FreeRunSettings, Field(discriminator="kind")] = PresenceSettings()
    health: HealthLimits = HealthLimits()
    hold: HoldSettings = HoldSettings()
    review: ReviewSettings = ReviewSettings()
    classes: tuple[DefectClass, ...] = Field(min_length=1)
    ignore: tuple[IgnoredRegion, ...] = Field(default=(), description="Places where candidates do not count.")

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_unset(handler(self), "ignore")

    @model_validator(mode="after")
    def _regions_name_classes(self) -> Self:
        unknown = sorted({c for region in self.ignore for c in region.classes} - set(self.class_names))
        if unknown:
            raise ValueError(f"an ignored region names {', '.join(unknown)}, which is no class of this recipe")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"two classes share a name: {names}")
        if {"ok", "good"} & set(names):
            raise ValueError("a defect class must not be called 'ok' or 'good'")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the defect classes in the order of their keys 1-9."""
        return tuple(c.name for c in self.classes)

    @property
    def limits(self) -> dict[str, Limits]:
        """Limits by class name."""
        return {c.name: c.limits for c in self.classes}

    @property
    def sha256(self) -> str:
        """Hash of the recipe's whole content; kept in every inspection."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def _without_unset(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """Leaves out what is not set, so that a recipe that does not use a later field keeps its hash."""
    for name in names:
        if not data.get(name):
            data.pop(name, None)
    return data


def load_recipe(name: str, folder: Path) -> Recipe:
    """Reads ``<folder>/<name>.toml`` and checks it whole.

    Raises:
        ConfigError: There is no such recipe, it is no TOML, or a field is wrong.
    """
    path = folder / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml"))) or "none"
        raise ConfigError(f"no recipe {name!r} in {folder} (there: {known}); name one of them or write {path.name}")
    try:
        recipe = Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_faults(error)}") from error
    if recipe.name != name:
        raise ConfigError(f"{path} calls itself {recipe.name!r}; file name and name must agree")
    return recipe


def _first_faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(str(p) for p in e['loc']) or 'recipe'}: {e['msg']}" for e in error.errors()[:5])
