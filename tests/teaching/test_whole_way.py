"""Do photographs of good parts become a recipe with a verified model, as people do it on the command line?"""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from station.cli import app
from station.core.errors import StationError
from tests.teaching.builders import photographs

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'inspection-station[train]'")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """On small pictures a second thread costs more than it gives, above all beside other tests."""
    torch.set_num_threads(1)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty station with photographs, where teaching takes seconds and stays in this process."""
    from station.training import good_only, workers

    settings = good_only.for_good_parts

    def tiny(*, colour: bool) -> Any:
        base = settings(colour=colour)
        return replace(
            base,
            geometry=replace(base.geometry, shapes=((64, 64),)),
            net=replace(base.net, widths=(8, 8, 8, 8), blocks=(1, 1, 1), head=8),
            batch_pixels=4 * 64 * 64,
        )

    monkeypatch.setattr(good_only, "for_good_parts", tiny)
    monkeypatch.setattr(good_only, "worker_count", lambda folds: 1)
    assert workers.worker_count(2) >= 1
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "photos", 14)
    return tmp_path


def told(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json", "-"], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    assert done.stderr.strip(), "people still read it, on standard error"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_from_photographs_to_a_verified_model_and_the_next_one(place: Path) -> None:
    made = told("recipe", "new", "plate", "--from", "photos", "--minutes", "0.05")
    assert made["model"] == "plate/1"
    assert made["figures"]["n_good_parts"] == 14
    assert 0.0 <= made["figures"]["planted_auroc"] <= 1.0
    assert told("models", "verify", "plate/1")["good"]
    assert told("recipe", "check", "plate")["all_to_review"]
    replayed = told("replay", "photos", "--recipe", "plate")
    assert "NOT_DECIDABLE" in json.dumps(replayed)
    assert "RELEASE" not in json.dumps(replayed.get("summary", {}))

    recipe = Path("calibration/recipes/plate.toml")
    before = recipe.read_bytes()
    again = told("recipe", "teach", "plate", "--from", "photos", "--minutes", "0.05")
    assert again["model"] == "plate/2"
    assert "still names plate/1" in again["warnings"][0]
    assert recipe.read_bytes() == before, "its limits belong to the model that it names"
    assert [row["recipe"] for row in told("recipe", "list")["recipes"]] == ["plate"]


def test_a_recipe_without_a_model_is_taught_later(place: Path) -> None:
    assert told("recipe", "new", "plate", "--from", "photos", "--no-model")["model"] is None
    assert told("recipe", "teach", "plate", "--from", "photos", "--minutes", "0.05")["model"] == "plate/1"
    assert told("recipe", "check", "plate")["model"] == "plate/1"


def test_large_parts_are_looked_at_smaller_and_still_inspected(place: Path) -> None:
    photographs(place / "large", 12, width=900, height=860)
    told("recipe", "new", "large", "--from", "large", "--minutes", "0.05")
    card = tomllib.loads(Path("models/large/1/card.toml").read_text())
    assert card["input"]["resize_long"] == 640
    assert "NOT_DECIDABLE" in json.dumps(told("replay", "large", "--recipe", "large"))


def test_a_model_folder_that_is_there_is_never_written_to(place: Path) -> None:
    from station.training.good_only import GoodParts, teach

    out = place / "models" / "plate" / "1"
    out.mkdir(parents=True)
    with pytest.raises(StationError, match="never overwritten"):
        teach(GoodParts(None, ("anomaly",), pictures=(), parts=()), out=out)


def test_a_failed_teaching_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from station.training import good_only

    def fails(*_: Any, **__: Any) -> None:
        raise StationError("the disk is full")

    monkeypatch.setattr(good_only, "train_all", fails)
    with pytest.raises(StationError, match="disk is full"):
        told("recipe", "new", "plate", "--from", "photos", "--minutes", "0.05")
    assert not Path("calibration/recipes/plate.toml").exists()
    assert not Path("models").exists()
