"""A recipe is checked whole before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from station.core.errors import ConfigError
from station.recipe import HealthLimits, HoldSettings, Limits, PresenceSettings, Recipe, load_recipe
from tests.builders import recipe

GOOD = """
name = "disc"
title = "Disc"

[[classes]]
name = "scratch"
title = "Scratch"
pass_below = 0.3
fail_above = 0.7
"""


def load(folder: Path, words: str, name: str = "disc") -> Recipe:
    (folder / f"{name}.toml").write_text(words, encoding="utf-8")
    return load_recipe(name, folder)


def test_a_recipe_is_read_with_safe_defaults(tmp_path: Path) -> None:
    it = load(tmp_path, GOOD)
    assert it.class_names == ("scratch",)
    assert it.limits["scratch"] == Limits(pass_below=0.3, fail_above=0.7)
    assert it.model is None
    assert it.hold.mode == "stop"
    assert it.hold.capacity == 1
    assert it.review.audit_fraction == 0.02


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("pass_below = 0.3", "pass_below = 0.8"), "pass_below 0.8 is above fail_above 0.7"),
        (("pass_below = 0.3", "pass_below = nan"), "pass_below"),
        (("pass_below = 0.3", "pass_below = -0.1"), "pass_below"),
        (("fail_above = 0.7", "fail_above = 1.5"), "fail_above"),
        (("fail_above = 0.7", ""), "fail_above"),
        (('name = "scratch"', 'name = "ok"'), "must not be called"),
        (('name = "scratch"', 'name = "Scratch!"'), "name"),
        (('title = "Disc"', 'title = "Disc"\nlimit = 3'), "limit"),
        (('title = "Disc"', 'title = "Disc"\nhold = {undo_s = inf}'), "undo_s"),
        (('title = "Disc"', 'title = "Disc"\nhold = {mode = "pass"}'), "mode"),
        (('title = "Disc"', 'title = "Disc"\nreview = {audit_fraction = 2}'), "audit_fraction"),
        (('title = "Disc"', 'title = "Disc"\ntrigger = {kind = "magic"}'), "trigger"),
        (('title = "Disc"', 'title = "Disc" ]'), "not TOML"),
        (('name = "disc"', 'name = "tile"'), "must agree"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_field_named(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, GOOD.replace(*change, 1))


def test_a_missing_recipe_says_which_there_are(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="there: disc"):
        load_recipe("tile", tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disc.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        load_recipe("disc", tmp_path)


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="share a name"):
        Recipe.model_validate(recipe().model_dump() | {"classes": [recipe().classes[0]] * 2})


def test_a_recipe_without_classes_is_refused() -> None:
    with pytest.raises(ValidationError):
        Recipe(name="disc", title="Disc", classes=())


def test_the_hash_changes_with_every_limit_and_with_nothing_else() -> None:
    before = recipe()
    assert before.sha256 == recipe().sha256
    tighter = before.classes[0].model_copy(update={"pass_below": 0.29})
    assert before.model_copy(update={"classes": (tighter, before.classes[1])}).sha256 != before.sha256
    assert Recipe.model_validate_json(before.model_dump_json()).sha256 == before.sha256


def test_stop_waits_at_the_first_held_part_and_divert_when_the_lane_is_full() -> None:
    assert HoldSettings(mode="stop", lane_capacity=7).capacity == 1
    assert HoldSettings(mode="divert", lane_capacity=7).capacity == 7


@pytest.mark.parametrize(
    "make",
    [
        lambda: PresenceSettings(enter_area=0.1, leave_area=0.2),
        lambda: PresenceSettings(difference=0),
        lambda: HealthLimits(dark_mean=float("nan")),
        lambda: HealthLimits(min_sharpness=float("inf")),
        lambda: HoldSettings(undo_s=float("inf")),
        lambda: HoldSettings(lane_capacity=0),
    ],
)
def test_settings_that_would_switch_a_check_off_by_accident_are_refused(make: Any) -> None:
    with pytest.raises(ValidationError):
        make()


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError):
        recipe().title = "other"  # type: ignore[misc]


RULES = """
[[ignore]]
xyxy = [0.0, 0.0, 0.2, 0.1]
why = "stamped number"
classes = ["scratch"]
"""


def test_sizes_and_regions_are_read_and_change_the_hash(tmp_path: Path) -> None:
    plain = load(tmp_path, GOOD)
    first = "pass_below"
    sized = load(tmp_path, GOOD.replace(first, f"min_area_px = 12.5\nmin_area_mm2 = 0.25\n{first}", 1) + RULES)
    assert (sized.classes[0].min_area_px, sized.classes[0].min_area_mm2) == (12.5, 0.25)
    assert sized.ignore[0].xyxy == (0.0, 0.0, 0.2, 0.1)
    assert sized.sha256 != plain.sha256
    assert Recipe.model_validate_json(sized.model_dump_json()) == sized


def test_a_recipe_that_uses_no_size_and_no_region_keeps_the_hash_it_had_before_there_were_any() -> None:
    words = recipe().model_dump_json()
    assert "min_area" not in words
    assert "ignore" not in words


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (RULES.replace("0.2, 0.1", "0.0, 0.1"), "is empty"),
        (RULES.replace("0.2, 0.1", "1.0, 1.0"), "must not be the whole part"),
        (RULES.replace("0.2", "1.2"), "ignore"),
        (RULES.replace('"scratch"', '"rust"'), "names rust, which is no class"),
        (RULES.replace('"stamped number"', '""'), "why"),
    ],
)
def test_a_region_that_hides_too_much_or_nothing_is_refused(tmp_path: Path, rules: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, GOOD + rules)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize("field", ["min_area_px", "min_area_mm2"])
def test_a_least_size_is_a_number_above_0(tmp_path: Path, field: str, value: str) -> None:
    with pytest.raises(ConfigError, match=field):
        load(tmp_path, GOOD.replace("pass_below", f"{field} = {value}\npass_below", 1))
