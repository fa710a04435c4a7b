"""Does a training end in a model folder that the station itself accepts and runs, with torch's scores?"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from station.detector.onnx import OnnxDetector
from station.registry import ModelRegistry
from station.training.card import ClassMetrics
from station.training.export_onnx import export, part_scores
from station.training.fit import TrainingReport, parity_pictures, train
from station.training.members import pad_to_multiple
from station.training.network import Trainee
from station.training.settings import Settings
from station.training.workers import worker_count
from tests.training.conftest import CLASSES

Trained = tuple[TrainingReport, list[tuple[str, float]]]


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    told: list[tuple[str, float]] = []
    report = train(
        tiny_folder,
        recipe_name="tiny",
        classes=CLASSES,
        out=tmp_path_factory.mktemp("models") / "tiny" / "3",
        minutes=0.1,
        seed=4,
        folds=2,
        progress=lambda step, share: told.append((step, share)),
        settings=tiny_settings,
        workers=1,
    )
    return report, told


def test_the_folder_is_a_model_that_the_station_runs(trained: Trained):
    report, _ = trained
    model = ModelRegistry(report.folder.parent.parent).open("tiny/3")
    assert model.card.sha256 == report.sha256
    assert model.card.head.classes == CLASSES
    found = OnnxDetector(model).detect(parity_pictures(4)[1])
    assert set(found.scores) == set(CLASSES)


def test_the_figures_name_their_denominators(trained: Trained):
    report, _ = trained
    assert 0.0 <= report.metrics.auroc <= 1.0
    assert (report.metrics.n_good_images, report.metrics.n_defective_images) == (7, 6)
    assert (report.metrics.n_good_parts, report.metrics.n_defective_parts) == (6, 6)


def test_progress_rises_to_one(trained: Trained):
    _, told = trained
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_report_is_json_and_the_card_says_the_same(trained: Trained):
    report, _ = trained
    plain = json.loads(json.dumps(report.to_dict()))
    card = tomllib.loads((report.folder / "card.toml").read_text(encoding="utf-8"))
    assert card["metrics"]["auroc"] == pytest.approx(plain["metrics"]["auroc"], abs=1e-5)
    assert card["training"]["images"] == 13
    assert len(card["metrics"]["per_class"]) == len(CLASSES)
    first = report.metrics.per_class[0]
    assert isinstance(first, ClassMetrics)
    assert card["metrics"]["per_class"][first.name]["n_images"] == first.n_images


def test_out_of_fold_scores_are_kept_for_drawing_limits(trained: Trained):
    report, _ = trained
    lines = (report.folder / "out-of-fold.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "part,label,pit,line"
    assert len(lines) == 14


@pytest.mark.parametrize("count", [1, 3])
def test_the_graph_computes_what_torch_computes(tmp_path: Path, tiny_settings: Settings, count: int):
    members = []
    for seed in range(count):
        torch.manual_seed(seed)
        member = Trainee(classes=3, shape=tiny_settings.net).eval()
        with torch.no_grad():
            member.member.any.bias.zero_()  # scores in the middle of the range, where a difference shows most
        members.append(member)
    deployed = export(members, path=tmp_path / "m.onnx", multiple=16)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    for picture in (*parity_pictures(0), *parity_pictures(1)):
        image = pad_to_multiple(picture, multiple=16)[None]
        with torch.no_grad():
            expected = deployed(torch.from_numpy(image)).numpy()
        (maps,) = session.run(None, {"image": image})
        assert maps.shape == expected.shape
        assert np.abs(maps - expected).max() < 1e-4
        scores = part_scores(deployed, picture, multiple=16, stride=4)
        assert scores.shape == (3,)


def test_the_parity_pictures_are_drawn_from_the_seed():
    assert all((a == b).all() for a, b in zip(parity_pictures(1), parity_pictures(1), strict=True))
    assert any((a != b).any() for a, b in zip(parity_pictures(1), parity_pictures(2), strict=True))


def test_the_number_of_workers_never_exceeds_the_folds():
    assert 1 <= worker_count(2) <= 2


@pytest.mark.long
def test_members_are_trained_side_by_side(tiny_folder: Path, tiny_settings: Settings, tmp_path: Path):
    report = train(
        tiny_folder,
        recipe_name="tiny",
        classes=CLASSES,
        out=tmp_path / "tiny" / "1",
        minutes=0.8,
        folds=2,
        settings=replace(tiny_settings, reserve=0.1),
        workers=2,
    )
    assert report.members == 2


def test_torch_is_not_imported_with_the_package():
    code = "import sys, station.training.samples, station.training.card; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
