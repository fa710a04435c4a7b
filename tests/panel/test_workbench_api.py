"""Do the workbench's figures equal counting by hand, part by part, with the decision itself? And who may ask?"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # other people's modules
    from fastapi.testclient import TestClient

    from station.panel.app import create_app

from station.calibration.rates import clopper_pearson_upper
from station.core.verdict import Evaluation
from station.decision import counts_of, evaluate, judge
from station.footage.book import Footage, FootagePart
from station.footage.scores import Columns
from station.footage.split import SEALED, TUNING, looks, read_split
from station.footage.table import Table
from station.footage.truth import OK, truths
from station.panel.kept_scores import KeptScores
from station.panel.reading import Reading
from station.panel.tuning import TuningSet
from station.panel.workbench_bodies import Assumed, ClassLimits, with_limits
from station.recipe import Recipe
from tests.panel.bench_footage import NAMES, bench_config, make_footage, make_model
from tests.panel.rehearsal import Rehearsal
from tests.panel.rehearsal import recipe as rehearsed
from tests.panel.serving import make_people
from tests.panel.test_history import HOST, Person

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

Make = Callable[..., Rehearsal]
TRIED = {
    "scratch": {"pass_below": 0.45, "fail_above": 0.8},
    "dent": {"pass_below": 0.2, "fail_above": 0.7, "min_area_px": 100.0},
    "stain": {"pass_below": 0.35, "fail_above": 0.9, "min_area_px": 2000.0},
    "missing_hole": {"pass_below": 0.3, "fail_above": 0.8},
}


@pytest.fixture
def sign(tmp_path: Path) -> Iterator[Callable[[str], Person]]:
    """Signs people in at one panel."""
    make_people(tmp_path)
    make_model(tmp_path)
    app = create_app(bench_config(tmp_path), pages=False)
    with TestClient(app, base_url=HOST):
        yield lambda name: Person(app, name)


def by_hand(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """The rates of the tuning side's physical parts, each picture judged by the decision itself."""
    loaded = KeptScores(config := bench_config(folder), Reading(config))
    loaded.in_force = lambda: recipe  # type: ignore[method-assign]
    table = loaded.load("shift").shown
    agreed = truths(Footage.open(folder / "footage" / "shift")).agreed
    counts = counts_of(recipe, None)
    passes: dict[str, list[tuple[str, bool, bool]]] = {}
    for k, part in enumerate(table.parts):
        detections = table.detections(k)
        if detections is not None and part.key in agreed:
            verdict = judge(detections, recipe.limits, counts, size=(part.height, part.width)).evaluation
            it = (agreed[part.key], verdict is Evaluation.OK, verdict is Evaluation.NOT_OK)
            passes.setdefault(part.unit, []).append(it)
    told: dict[str, Any] = {"missed": 0, "defective": 0, "overkill": 0, "good": 0, "rejected": 0, "classes": {}}
    for views in passes.values():
        bad = [v for v in views if v[0] != OK]
        if bad:
            told["defective"] += 1
            told["missed"] += any(ok for _, ok, _ in bad)
            for label in {v[0] for v in bad}:
                missed, total = told["classes"].get(label, (0, 0))
                told["classes"][label] = (missed + any(ok for t, ok, _ in bad if t == label), total + 1)
        else:
            told["good"] += 1
            told["overkill"] += any(not ok for _, ok, _ in views)
        told["rejected"] += any(reject for _, _, reject in bad or views)
    return told


def hold_against(point: dict[str, Any], told: dict[str, Any]) -> None:
    assert (point["misses"]["count"], point["misses"]["of"]) == (told["missed"], told["defective"])
    assert point["misses"]["upper"] == pytest.approx(clopper_pearson_upper(told["missed"], told["defective"], 0.95))
    assert point["overkill"] == {"count": told["overkill"], "of": told["good"]}
    stopped = told["defective"] - told["missed"] + told["overkill"]
    assert point["review_load"] == {"count": stopped, "of": told["good"] + told["defective"]}
    assert point["rejected"]["count"] == told["rejected"]
    share = 0.01 * (1 - told["missed"] / told["defective"]) + 0.99 * told["overkill"] / told["good"]
    assert point["line_load"] == pytest.approx(share)
    assert {n: (b["count"], b["of"]) for n, b in point["by_class"].items()} == told["classes"]


@pytest.mark.parametrize("views", [1, 3], ids=["a picture each", "three pictures each"])
def test_figures_are_those_of_the_decision_asked_part_by_part(
    rehearse: Make, sign: Callable[[str], Person], tmp_path: Path, views: int
) -> None:
    rehearse("p", parts=1)
    eva = sign("Eva")
    make_footage(tmp_path, 240, views=views)
    asked = {"footage": "shift", "limits": TRIED, "moved": "dent", "assumed": {"prevalence": 0.01}}
    status, said = eva.post("/api/workbench/try", **asked)
    assert status == 200, said
    base = rehearsed()
    tried = with_limits(base, {n: ClassLimits(**t) for n, t in TRIED.items()})
    hold_against(said["in_force"], by_hand(tmp_path, base))
    hold_against(said["tried"], by_hand(tmp_path, tried))
    assert said["tried"] != said["in_force"]
    curves = said["curves"]
    for at in (0, 20, 33, 60, 100):
        limit = curves["limits"][at]
        moved = with_limits(base, {n: ClassLimits(**t) for n, t in TRIED.items()} | {
            "dent": ClassLimits(pass_below=limit, fail_above=1.0, min_area_px=100.0)
        })  # fmt: skip
        told = by_hand(tmp_path, moved)
        missed, total = told["classes"]["dent"]
        assert curves["miss_bound"][at] == pytest.approx(clopper_pearson_upper(missed, total, 1 - 0.05 / 4), abs=1e-6)
        load = 0.01 * (1 - told["missed"] / told["defective"]) + 0.99 * told["overkill"] / told["good"]
        assert curves["minutes"][at] == pytest.approx(load * 60.0, abs=1e-5)  # 600 parts of 6 s an hour
    drawn = said["histogram"]
    assert (sum(drawn["good"]), sum(drawn["own"])) == (said["tried"]["overkill"]["of"], told["classes"]["dent"][1])
    assert sum(drawn["own"]) + sum(drawn["other"]) == said["tried"]["misses"]["of"]


def test_only_engineers_and_admins_may_tune(rehearse: Make, sign: Callable[[str], Person], tmp_path: Path) -> None:
    rehearse("p", parts=1)
    make_footage(tmp_path, 40)
    mia, max_, ada = sign("Mia"), sign("Max"), sign("Ada")
    asked: dict[str, Any] = {"footage": "shift", "limits": TRIED}
    posts: dict[str, dict[str, Any]] = {
        "try": {**asked, "moved": "dent"}, "propose": {**asked, "moved": "dent"}, "diff": asked,
        "certify": {**asked, "why": "x", "looks": 0}, "split": {"footage": "shift"}, "score": {"footage": "shift"},
        "score/stop": {},
    }  # fmt: skip
    sha = Footage.open(tmp_path / "footage" / "shift").parts[0].sha256
    for path in ("footages", "footage/shift", "score", "escapes", f"picture/shift/{sha}"):
        assert mia.get(f"/api/workbench/{path}").status_code == max_.get(f"/api/workbench/{path}").status_code == 403
        assert ada.get(f"/api/workbench/{path}").status_code in (200, 404)
    for path, body in posts.items():
        assert mia.post(f"/api/workbench/{path}", **body)[0] == max_.post(f"/api/workbench/{path}", **body)[0] == 403
    assert looks(Footage.open(tmp_path / "footage" / "shift")) == []


def test_what_is_wrong_is_said_in_words(rehearse: Make, sign: Callable[[str], Person], tmp_path: Path) -> None:
    eva = sign("Eva")
    make_footage(tmp_path, 40, split=False)
    assert eva.get("/api/workbench/footage/shift").json()["code"] == "no_ledger"
    rehearse("p", parts=1)

    def refused(path: str, **body: Any) -> str:
        status, said = eva.post(f"/api/workbench/{path}", **body)
        assert status == 422, said
        return str(said["words"])

    good: dict[str, Any] = {"footage": "shift", "limits": TRIED}
    assert "split" in refused("diff", **good)
    assert "labelled" in refused("try", **good, moved="dent")
    assert "station run --record" in refused("diff", footage="../shift", limits={})
    assert eva.get("/api/workbench/footage/..%2Fshift").status_code in (404, 422)
    status, said = eva.post("/api/workbench/split", footage="shift")
    assert status == 200
    assert said["sides"]["by"] == "part"
    assert "no class rust" in refused("try", footage="shift", moved="dent", limits={"rust": TRIED["dent"]})
    assert "no class" in refused("try", **good, moved="rust")
    crossed = {"dent": {"pass_below": 0.9, "fail_above": 0.5}}
    assert "lower the first" in refused("try", footage="shift", moved="dent", limits=crossed)
    square = {"dent": {"pass_below": 0.2, "fail_above": 0.5, "min_area_mm2": 2.0}}
    assert "scale" in refused("try", footage="shift", moved="dent", limits=square)
    assert "nothing to score" in refused("score", footage="shift")
    nan = {"dent": {"pass_below": "NaN", "fail_above": 0.5}}
    assert eva.post("/api/workbench/try", footage="shift", moved="dent", limits=nan)[0] == 422
    assert eva.post("/api/workbench/try", footage="shift", moved="dent", limits={}, assumed={"prevalence": 2})[0] == 422
    assert "not 3" in refused("certify", **good, why="x", looks=3)


def test_a_promise_needs_parts_and_says_how_many(rehearse: Make, sign: Callable[[str], Person], tmp_path: Path) -> None:
    rehearse("p", parts=1)
    eva = sign("Eva")
    make_footage(tmp_path, 240)
    asked = {"footage": "shift", "limits": TRIED, "moved": "dent"}
    said = eva.post("/api/workbench/propose", **asked)[1]
    assert said["promise"] is None
    parts = said["too_few"]["parts"]
    assert said["too_few"]["more"] == 437 - parts  # 1 % at 1 - 0.05 / 4
    assert 0.0 < said["cost"] < 1.0
    cheap = {**asked, "assumed": {"escape_cost": {"major": 1e6}}}
    assert eva.post("/api/workbench/propose", **cheap)[1]["cost"] <= said["cost"], "dearer escapes, lower limit"


def test_a_difference_lists_the_parts_that_flip_and_never_a_sealed_one(
    rehearse: Make, sign: Callable[[str], Person], tmp_path: Path
) -> None:
    rehearse("p", parts=1)
    eva = sign("Eva")
    footage = make_footage(tmp_path, 240)
    split = read_split(footage)
    assert split is not None
    status, said = eva.post("/api/workbench/diff", footage="shift", limits=TRIED)
    assert status == 200
    assert said["flipped"] == len(said["flips"]) == sum(said["counted"].values()) > 0
    assert {split.side[f["part"]] for f in said["flips"]} == {TUNING}
    assert said["parts"] == len(split.parts(footage, TUNING))
    told = by_hand(tmp_path, with_limits(rehearsed(), {n: ClassLimits(**t) for n, t in TRIED.items()}))
    assert said["misses"]["after"]["count"] == told["missed"]
    flip = said["flips"][0]
    for small in ("0", "1"):
        reply = eva.get(f"/api/workbench/picture/shift/{flip['picture']}", small=small)
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("image/")
    sealed = next(p for p in footage.parts if split.side[p.key] == SEALED)
    assert eva.get(f"/api/workbench/picture/shift/{sealed.sha256}").status_code == 404
    assert len(json.dumps(said)) < 64 * 1024


def test_a_certificate_is_a_look_and_the_same_question_is_one(
    rehearse: Make, sign: Callable[[str], Person], tmp_path: Path
) -> None:
    rehearse("p", parts=1)
    eva = sign("Eva")
    footage = make_footage(tmp_path, 240)
    asked: dict[str, Any] = {"footage": "shift", "limits": TRIED, "why": "new lens"}
    status, said = eva.post("/api/workbench/certify", **asked, looks=0)
    assert status == 200, said
    assert (said["looks_before"], said["looks"]) == (0, 1)
    written = looks(footage)
    assert [(row["person"], row["why"]) for row in written] == [("Eva", "new lens")]
    assert written[0]["limits"] == {n: t["pass_below"] for n, t in TRIED.items()}
    assert {c["label"] for c in said["claims"]} == set(NAMES)
    assert all(c["more"] > 0 and not c["reached"] for c in said["claims"])
    assert {a["holds"] for a in said["assumptions"]} == {True, False, None}
    again = eva.post("/api/workbench/certify", **asked, looks=1)[1]
    assert (again["looks"], len(looks(footage))) == (1, 1), "the same question"
    other = {**TRIED, "dent": {"pass_below": 0.25, "fail_above": 0.7}}
    third = eva.post("/api/workbench/certify", footage="shift", limits=other, why="again", looks=1)[1]
    assert third["looks"] == 2
    held = {a["name"]: a["holds"] for a in third["assumptions"]}
    assert held["sealed set used once"] is None, "whether two looks were settled beforehand is not known"
    assert all(c["upper"] >= c["single"] for c in third["claims"])
    assert any(c["upper"] > c["single"] for c in third["claims"]), "two looks promise less than one"


def test_what_was_not_scored_is_counted_and_can_be_scored(
    rehearse: Make, sign: Callable[[str], Person], tmp_path: Path
) -> None:
    rehearse("p", parts=1)
    eva = sign("Eva")
    make_footage(tmp_path, 40, keep=0.8)
    assert eva.get("/api/workbench/footage/shift").json()["unscored"] == 8
    limits: dict[str, Any] = {"footage": "shift", "limits": TRIED}
    assert "score the footage first" in eva.post("/api/workbench/certify", **limits, why="x", looks=0)[1]["words"]
    status, said = eva.post("/api/workbench/score", footage="shift")
    assert status == 200, said
    assert said["scoring"]["total"] == 8
    end = time.monotonic() + 120
    while (now := eva.get("/api/workbench/score").json()["scoring"])["running"]:
        assert time.monotonic() < end
        time.sleep(0.3)
    assert now["failed"] is None
    assert now["done"] == now["total"] == 8
    assert eva.get("/api/workbench/footage/shift").json()["unscored"] == 0


def test_escapes_are_told_without_any_footage(rehearse: Make, sign: Callable[[str], Person], tmp_path: Path) -> None:
    stage = rehearse("pr", parts=6, held=6, audit=1.0, undo_s=0.1)
    mia, eva = sign("Mia"), sign("Eva")
    for _ in range(6):
        mia.answer("false_alarm")
    stage.thread.join(timeout=10)
    time.sleep(0.5)
    said = eva.get("/api/workbench/escapes", target=0.01).json()
    assert said["audits"] == {"count": 0, "of": 3}
    assert said["bounds"]["to_audit_live"] > said["bounds"]["to_audit_fixed"] == 299 - 3
    assert said["passed"] == 3
    assert said["product"] is None
    make_footage(tmp_path, 240)
    said = eva.get("/api/workbench/escapes", footage="shift").json()
    assert said["misses"]["of"] > 0
    assert said["alarm"] is False
    assert said["total"]["total"] >= said["total"]["model"]


def test_a_hundred_thousand_parts_answer_at_once() -> None:
    n = 100_000
    rng = np.random.default_rng(1)
    bad = rng.random(n) < 0.02
    scores = rng.beta(1.2, 12.0, (n, len(NAMES)))
    kind = rng.integers(0, len(NAMES), n)
    scores[bad, kind[bad]] = rng.beta(6.0, 2.0, int(bad.sum()))
    parts = [FootagePart(f"p{k}", None, None, None, 64, 48, "a test", "x") for k in range(n)]
    nothing = np.zeros(0)
    columns = Columns(
        NAMES, np.zeros((n, 32), np.uint8), scores, np.full(scores.shape, np.nan), np.full((n, 2), 48, np.int32),
        np.zeros(n + 1, np.int64), nothing.astype(np.uint8), nothing, np.zeros((0, 4)),
    )  # fmt: skip
    known = {f"p{k}": NAMES[kind[k]] if bad[k] else OK for k in range(n)}
    tuning = TuningSet(Table(parts, columns, np.arange(n), [None] * n), known)
    base, assumed, took = rehearsed(), Assumed(), []
    for limit in np.linspace(0.05, 0.75, 15):
        begin = time.perf_counter()
        tried = with_limits(base, {"dent": ClassLimits(pass_below=float(limit), fail_above=0.8)})
        point = tuning.point(tried, prevalence=0.01)
        tuning.sweep(tried, "dent", prevalence=0.01, costs=assumed.costs, severity="major")
        tuning.histogram(tried, "dent")
        took.append(time.perf_counter() - begin)
    assert sorted(took)[len(took) // 2] < 0.1, took  # 5 ms on a quiet core
    passed = sum(evaluate(tuning._columns.row(k), tried.limits).evaluation is Evaluation.OK for k in range(0, n, 1000))
    assert passed == int((scores[::1000] < [tried.limits[c].pass_below for c in NAMES]).all(axis=1).sum())
    assert point.review_load.total == n
