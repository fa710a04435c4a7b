"""Does footage without labels become a recipe that sends everything to review, and is nothing ever overwritten?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from station.core.errors import ConfigError, DataRefused, UsageError
from station.core.part import Detections
from station.core.timing import SystemClock
from station.core.verdict import Evaluation
from station.decision import evaluate
from station.footage.bring_in import bring_in
from station.recipe import FreeRunSettings, PresenceSettings, load_recipe
from station.teaching.check import check_recipe
from station.teaching.new_product import new_product, next_version, recipes_in, teach_product
from station.teaching.shown import LEAST_PARTS, pictures_shown
from station.teaching.written import Draft, free_name, name_model, write_new
from tests.teaching.builders import film, photographs, workplace

CLOCK = SystemClock()


def test_a_folder_of_photographs_makes_a_free_run_recipe(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    made = new_product(
        "plate", photographs(tmp_path / "p", 14), config, clock=CLOCK, title='Plate "A"\n', with_model=False
    )
    recipe = load_recipe("plate", config.recipes)
    assert recipe.trigger == FreeRunSettings()
    assert (recipe.health.width, recipe.health.height) == (80, 72)
    assert recipe.title == 'Plate "A"\n'
    assert (made.model, made.parts) == (None, 14)
    assert "--no-model" in (made.no_model or "")
    words = (config.recipes / "plate.toml").read_text()
    assert "NOTHING PASSES YET" in words
    assert "station tune" in words
    assert "station recipe teach plate" in words


@pytest.mark.parametrize("score", [0.0, 1e-9, 0.5, 1.0])
def test_no_score_passes_and_none_is_rejected_by_the_machine(score: float) -> None:
    limits = Draft("a", "A", FreeRunSettings(), ("why",)).recipe().limits
    assert evaluate(Detections((), {"anomaly": score}), limits).evaluation is Evaluation.NOT_DECIDABLE


def test_a_video_makes_a_presence_recipe_with_its_parts_counted(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    made = new_product("disc", film(tmp_path / "b.avi", parts=4), config, clock=CLOCK, with_model=False, length_mm=37.5)
    recipe = load_recipe("disc", config.recipes)
    assert isinstance(recipe.trigger, PresenceSettings)
    assert made.parts == 4
    assert any("0.5" in words and "mm per px" in words for words in made.grounds)
    assert (recipe.health.width, recipe.health.height) == (160, 120)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    photos = photographs(tmp_path / "p", 12)
    new_product("plate", photos, config, clock=CLOCK, with_model=False)
    before = (config.recipes / "plate.toml").read_bytes()
    with pytest.raises(ConfigError, match=r"never overwritten.*recipe teach plate"):
        new_product("plate", photos, config, clock=CLOCK, with_model=False)
    with pytest.raises(DataRefused, match="appeared meanwhile"):
        write_new(config.recipes / "plate.toml", "other")
    assert (config.recipes / "plate.toml").read_bytes() == before
    assert [p.name for p in config.recipes.iterdir()] == ["plate.toml"]


@pytest.mark.parametrize("lines", range(1, 12))
def test_a_recipe_cut_off_half_way_is_refused(lines: int, tmp_path: Path) -> None:
    words = Draft("plate", "Plate", PresenceSettings(), ("why",), size=(80, 72)).words().splitlines()
    (tmp_path / "plate.toml").write_text("\n".join(words[:-lines]) + "\n")
    with pytest.raises(ConfigError):
        load_recipe("plate", tmp_path)


@pytest.mark.parametrize("name", ["", "Bolt", "8bolt", "a/b", "../x", "bolt_8"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no name for a recipe"):
        free_name(name, tmp_path)


def test_too_few_pictures_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    with pytest.raises(DataRefused, match=f"5 parts.*{LEAST_PARTS} or more"):
        new_product("plate", photographs(tmp_path / "p", 5), config, clock=CLOCK)
    assert not config.recipes.exists()
    assert not config.models.exists()
    assert new_product("plate", tmp_path / "p", config, clock=CLOCK, with_model=False).parts == 5


def test_pictures_of_other_sizes_are_refused_unless_that_is_meant(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "p", 12)
    photographs(folder / "more", 3, width=160, height=144)
    with pytest.raises(DataRefused, match=r"2 sizes, from 80 x 72 to 160 x 144.*--any-size"):
        pictures_shown(folder, clock=CLOCK)
    shown = pictures_shown(folder, clock=CLOCK, any_size=True)
    assert len(shown.pictures) == 15
    assert shown.one_size is None


def test_what_is_labelled_defective_or_unreadable_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "p", 14)
    (folder / "note.txt").write_text("no picture")
    rows = ["image,part,label"] + [f"{n:03d}.png,t-{n // 2},{'crack' if n == 3 else 'ok'}" for n in range(14)]
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(DataRefused, match=r"7 parts .*1 labelled as something other than ok; 1 not to be read"):
        pictures_shown(folder, clock=CLOCK)


def test_a_footage_is_found_by_its_name_and_its_marks_count(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    folder = photographs(tmp_path / "p", 15)
    rows = ["image,part,label"] + [f"{n:03d}.png,t-{n},{'crack' if n == 3 else 'ok'}" for n in range(15)]
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    bring_in(folder, config.footage / "monday", by="Mia", clock=CLOCK)
    made = new_product("plate", Path("monday"), config, clock=CLOCK, with_model=False)
    assert made.parts == 14
    assert any("1 labelled" in words for words in made.warnings)


def test_without_the_training_library_a_recipe_is_written_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "station.training.good_only", None)  # importing it then raises ImportError
    config = workplace(tmp_path)
    photos = photographs(tmp_path / "p", 12)
    made = new_product("plate", photos, config, clock=CLOCK)
    assert made.model is None
    assert "inspection-station[train]" in (made.no_model or "")
    assert check_recipe("plate", config).all_to_review
    with pytest.raises(UsageError, match=r"inspection-station\[train\]"):
        teach_product("plate", photos, config, clock=CLOCK)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"there is no .*nowhere"):
        new_product("plate", tmp_path / "nowhere", workplace(tmp_path), clock=CLOCK)


def test_several_classes_cannot_be_taught_from_good_parts(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    words = Draft("two", "Two", FreeRunSettings(), ()).words()
    more = '\n[[classes]]\nname = "crack"\ntitle = "Crack"\npass_below = 0.0\nfail_above = 1.0\n'
    write_new(config.recipes / "two.toml", words + more)
    with pytest.raises(ConfigError, match="classes anomaly, crack"):
        teach_product("two", tmp_path, config, clock=CLOCK)


def test_a_limit_not_made_for_the_coming_model_is_refused_before_anything_is_taught(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    words = Draft("bolt", "Bolt", FreeRunSettings(), ()).words().replace("pass_below = 0.0\n", "pass_below = 0.3\n")
    write_new(config.recipes / "bolt.toml", words)
    with pytest.raises(ConfigError, match=r"passes below 0\.3.*set pass_below = 0\.0"):
        teach_product("bolt", photographs(tmp_path / "p", 12), config, clock=CLOCK)
    assert not config.models.exists()


def test_a_model_is_put_into_a_recipe_and_nothing_else_changes(tmp_path: Path) -> None:
    draft = Draft("plate", "Plate", PresenceSettings(), ("why",), size=(80, 72))
    write_new(tmp_path / "plate.toml", draft.words())
    name_model(tmp_path / "plate.toml", "plate/1")
    recipe = load_recipe("plate", tmp_path)
    assert recipe == draft.recipe().model_copy(update={"model": "plate/1"})
    assert "NOTHING PASSES YET" in (tmp_path / "plate.toml").read_text()
    with pytest.raises(ConfigError, match="names the model 'plate/1'"):
        name_model(tmp_path / "plate.toml", "plate/2")


def test_a_title_inside_a_table_is_not_taken_for_the_recipes(tmp_path: Path) -> None:
    words = Draft("plate", "Plate", FreeRunSettings(), ()).words().replace('title = "Plate"', '"title" = "Plate"')
    (tmp_path / "plate.toml").write_text(words)
    with pytest.raises(ConfigError, match="cannot be changed safely"):
        name_model(tmp_path / "plate.toml", "plate/1")
    assert (tmp_path / "plate.toml").read_text() == words


def test_versions_are_counted_on(tmp_path: Path) -> None:
    assert next_version("plate", tmp_path) == "1"
    for name in ("2", "10", "draft"):
        (tmp_path / "plate" / name).mkdir(parents=True)
    assert next_version("plate", tmp_path) == "11"


def test_recipes_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    config = workplace(tmp_path)
    write_new(config.recipes / "good.toml", Draft("good", "Good", FreeRunSettings(), ()).words())
    write_new(config.recipes / "bad.toml", "name = 3")
    found = recipes_in(config)
    assert list(found) == ["bad", "good"]
    assert isinstance(found["bad"], str)
    assert not isinstance(found["good"], str)
