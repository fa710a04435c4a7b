"""Are limits chosen on one set and certified once on the other, and does the report say what cannot be known?"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from station.calibration.certificate import Certificate
from station.calibration.guarantee import lower_limit, parts_needed
from station.compare import changed, compare
from station.config import StationConfig
from station.core.errors import DataRefused, UsageError
from station.core.part import Detections
from station.footage.book import Footage, FootagePart
from station.footage.checked import Checked
from station.footage.reading import health_hash
from station.footage.scores import ScoreCache
from station.footage.split import SEALED, TUNING, deal, looks, read_split
from station.footage.truth import Mark, mark
from station.footage_replay import cache_root, model_card, preprocess_hash
from station.recipe import load_recipe
from station.tune import Tuning, tune
from tests.footage.builders import AT, about, csv_of

ROOT = Path(__file__).resolve().parents[1]
NOW = datetime(2026, 11, 21, tzinfo=UTC)
CLASSES = ("scratch", "dent", "stain", "missing_hole")


@pytest.fixture
def config(tmp_path: Path) -> StationConfig:
    return StationConfig(recipes=ROOT / "calibration" / "recipes", models=ROOT / "models", footage=tmp_path)


def scored(
    config: StationConfig, good: int, bad: int, *, seed: int = 0, split: bool = True, lots: bool = True
) -> Footage:
    """A footage whose pictures the model of ``demo-disc`` has seen already; bad parts score higher, with overlap."""
    made = Footage.make(config.footage / "shift", about("shift", "recorded"))
    rng = np.random.default_rng(seed)
    recipe = load_recipe("demo-disc", config.recipes)
    card = model_card(recipe, config)
    assert card is not None
    cache = ScoreCache(
        cache_root(made), model_sha256=card.sha256, preprocess=preprocess_hash(card.input), classes=card.head.classes
    )
    healthy = Checked(cache_root(made), health_hash(recipe.health, whole_frame=False))
    truths = ["ok"] * good + [CLASSES[n % 4] for n in range(bad)]
    parts = []
    for n, truth in enumerate(truths):
        sha = f"{n:064x}"
        lot = f"L{n % 40}" if lots else None
        parts.append(FootagePart(f"k{n}", None, sha, None, 9, 9, "camera", AT.isoformat(), serial=f"s{n}", lot=lot))
        scores = dict(zip(CLASSES, rng.beta(1, 12, 4).tolist(), strict=True))
        if truth != "ok":
            scores[truth] = float(rng.beta(8, 2))
        cache.add(sha, Detections((), scores), (9, 9))
        healthy.add(sha, None)
    cache.flush()
    healthy.flush()
    made.add(parts)
    for person in ("mia", "joe"):
        mark(made, [Mark(f"k{n}", t, person, AT.isoformat()) for n, t in enumerate(truths)])
    if split:
        deal(made)
    return made


def tuned(config: StationConfig, **more: Any) -> Tuning:
    wanted = {"miss": 0.05, "confidence": 0.95, "now": NOW, "person": "mia"} | more
    return tune("shift", "demo-disc", config, **wanted)


def scores_of(config: StationConfig, made: Footage, side: str, label: str | None = None) -> np.ndarray:
    """The score of each defective part of a side, computed here anew: the largest, or the class's own."""
    recipe = load_recipe("demo-disc", config.recipes)
    card = model_card(recipe, config)
    assert card is not None
    cache = ScoreCache(
        cache_root(made), model_sha256=card.sha256, preprocess=preprocess_hash(card.input), classes=card.head.classes
    )
    split = read_split(made)
    assert split is not None
    chosen = [n for n, p in enumerate(made.parts) if split.side[p.key] == side and n >= 200]
    rows = {n: cache.columns.scores[int(cache.rows([made.parts[n].sha256])[0])] for n in chosen}
    if label is None:
        return np.array([row.max() for row in rows.values()])
    k = CLASSES.index(label)
    return np.array([row[cache.classes.index(label)] for n, row in rows.items() if (n - 200) % 4 == k])


def test_the_limit_is_the_rank_rules_and_the_claim_is_the_sealed_sets(config: StationConfig) -> None:
    made = scored(config, 200, 400)
    result = tuned(config)
    expected = lower_limit(scores_of(config, made, TUNING), 0.05)
    (chosen,) = result.chosen
    assert (chosen.pass_below, chosen.promised) == (expected.pass_below, True)
    assert {c.pass_below for c in result.recipe.classes} == {expected.pass_below}
    assert result.certificate is not None
    (claim,) = result.certificate.claims
    sealed = scores_of(config, made, SEALED)
    assert (claim.parts, claim.misses) == (len(sealed), int((sealed < expected.pass_below).sum()))
    assert claim.lots == 40
    assert result.certificate.recipe_sha256 == result.recipe.sha256 != result.former.sha256
    holds = {a.name: a.holds for a in result.certificate.assumptions}
    assert holds["labels by two people"] is True
    assert holds["sealed set used once"] is True
    assert holds["apart from training and tuning"] is True
    assert result.certificate.model_sha256 == "".join(
        line.split('"')[1]
        for line in (config.models / "demo-disc/1/card.toml").read_text().splitlines()[:5]
        if line.startswith("sha256")
    )
    data = json.loads(json.dumps(result.to_dict()))
    assert Certificate.from_dict(data["certificate"]) == result.certificate
    assert data["sealed"]["overkill"]["of"] + claim.parts == data["sealed"]["review_load"]["of"]
    assert data["tuning"]["review_load"]["before"]["of"] == 300, "the sealed pictures are not in it"


def test_every_other_question_is_a_look_and_the_same_one_is_not(config: StationConfig) -> None:
    made = scored(config, 200, 400)
    first = tuned(config)
    assert [r["person"] for r in looks(made)] == ["mia"]
    again = tuned(config, person="joe")
    assert len(looks(made)) == 1
    assert again.certificate is not None
    assert first.certificate is not None
    assert again.certificate.claims == first.certificate.claims
    other = tuned(config, miss=0.1, why="what if")
    assert other.certificate is not None
    assert other.certificate.looks == 2
    assert looks(made)[1]["why"] == "what if"
    assert "looked at 2 times" in str(other.certificate.claims[0])
    assert tuned(config, miss=0.2, certify=False).certificate is None
    assert len(looks(made)) == 2


def test_too_few_parts_promise_nothing_raise_no_limit_and_say_how_many_more(config: StationConfig) -> None:
    scored(config, 200, 24)
    result = tuned(config, miss=0.01)
    (chosen,) = result.chosen
    assert not chosen.promised
    assert "1 % needs 287 more" in chosen.words
    assert any("no limit can promise 1 % here" in words for words in result.warnings)
    for old, new in zip(result.former.classes, result.recipe.classes, strict=True):
        assert new.pass_below <= old.pass_below, "too little evidence must not pass more parts"
    assert result.certificate is not None
    (claim,) = result.certificate.claims
    more = parts_needed(0.01, 0.95, claim.misses) - claim.parts
    assert result.to_dict()["missing"] == [f"every class: +{more} defective parts for 1 %"]


def test_a_limit_per_class_shares_the_risk(config: StationConfig) -> None:
    made = scored(config, 200, 800)
    result = tuned(config, miss=0.1, per_class=True)
    dents = scores_of(config, made, TUNING, "dent")
    expected = lower_limit(dents, 0.1, limits=4)
    assert expected.pass_below != lower_limit(dents, 0.1).pass_below
    assert {c.label: c.pass_below for c in result.chosen}["dent"] == expected.pass_below
    assert [c.label for c in result.chosen] == sorted(CLASSES)
    assert result.certificate is not None
    assert {round(c.delta, 6) for c in result.certificate.claims} == {0.0125}
    assert len({c.pass_below for c in result.recipe.classes}) == 4


def test_parts_that_the_model_was_trained_on_are_told_first(config: StationConfig) -> None:
    made = scored(config, 100, 200)
    book = made.folder / "parts.jsonl"
    lines = [json.loads(line) for line in book.read_text().splitlines()]
    for row in lines[-120:]:
        row |= {"simulated": True, "source": "simulator (seed 0)"}
    book.write_text("".join(json.dumps(row) + "\n" for row in lines))
    result = tuned(config)
    assert result.warnings[0].startswith("120 of 300 parts of this footage were used to train demo-disc/1")
    assert result.certificate is not None
    assert {a.name: a.holds for a in result.certificate.assumptions}["apart from training and tuning"] is False
    now = result.certificate
    assert any(
        "trained or tuned on" in r for r in now.valid_for(now.model_sha256, now.recipe_sha256, now.optics_sha256, NOW)
    )


def test_scores_from_a_file_certify_no_model_in_use(config: StationConfig, tmp_path: Path) -> None:
    made = scored(config, 100, 200)
    rng = np.random.default_rng(5)
    rows = [
        {"part": p.serial, "label": "ok" if n < 100 else CLASSES[n % 4]}
        | dict.fromkeys(CLASSES, round(float(rng.uniform(0, 0.3) if n < 100 else rng.uniform(0.2, 1)), 5))
        for n, p in enumerate(made.parts)
    ]
    result = tuned(config, scores=csv_of(tmp_path / "fold.csv", rows))
    assert result.tuning is None
    assert result.certificate is not None
    assert any("does not hold for the model in use" in words for words in result.warnings)
    card = model_card(result.former, config)
    assert card is not None
    assert result.certificate.model_sha256 != card.sha256


@pytest.mark.parametrize(
    ("more", "match"),
    [({"miss": 0.0}, "lie between 0 and 1"), ({"confidence": 1.0}, "lie between 0 and 1")],
)
def test_arguments_out_of_range_are_refused(config: StationConfig, more: dict[str, Any], match: str) -> None:
    scored(config, 10, 10)
    with pytest.raises(UsageError, match=match):
        tuned(config, **more)


def test_what_is_missing_is_named_and_nobody_looked(config: StationConfig) -> None:
    made = scored(config, 20, 0, split=False)
    with pytest.raises(UsageError, match="is not split"):
        tuned(config)
    deal(made)
    with pytest.raises(DataRefused, match="no defective parts on the tuning side"):
        tuned(config)
    with pytest.raises(UsageError, match="has no model"):
        tune("shift", "bolt", config, miss=0.01, confidence=0.95, now=NOW, person="mia")
    split = read_split(made)
    assert split is not None
    key = split.parts(made, TUNING)[0].key
    mark(made, [Mark(key, "dent", p, AT.isoformat()) for p in ("mia", "joe")])
    with pytest.raises(DataRefused, match="on the sealed side"):
        tuned(config)
    assert looks(made) == []


def test_disputed_unmarked_and_undealt_pictures_are_said(config: StationConfig) -> None:
    made = scored(config, 100, 200)
    mark(made, [Mark("k0", "dent", "zoe", AT.isoformat())])
    made.add([replace(made.parts[1], key="new", serial="new")])
    words = " ".join(tuned(config).warnings)
    assert "1 pictures stand on neither side yet" in words
    assert "1 pictures are disputed" in words
    assert "2 pictures were not inspected, are disputed or not marked" in words


def test_a_diff_asks_for_one_thing_and_counts_it(config: StationConfig, tmp_path: Path) -> None:
    scored(config, 100, 100)
    result = compare("shift", "demo-disc", config, changes=["dent=0.05:0.5", "stain=0.9"])
    assert result["limits"] == {
        "dent": {"before": [0.3, 0.9], "after": [0.05, 0.5]},
        "stain": {"before": [0.3, 0.9], "after": [0.9, 0.9]},
    }
    assert result["parts"] == 200
    assert result["flips"]
    assert compare("shift", "demo-disc", config, changes=["dent=0.3"])["flips"] == []
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    text = (config.recipes / "demo-disc.toml").read_text()
    (recipes / "demo-disc.toml").write_text(text)
    strict = text.replace('name = "demo-disc"', 'name = "strict"', 1).replace("pass_below = 0.3", "pass_below = 0.01")
    (recipes / "strict.toml").write_text(strict)
    (recipes / "other.toml").write_text(strict.replace("strict", "other").replace("demo-disc/1", "magnetic-tile/1"))
    here = config.model_copy(update={"recipes": recipes})
    other = compare("shift", "demo-disc", here, against="strict")
    assert other["misses"]["after"]["count"] <= other["misses"]["before"]["count"]
    assert other["against"] == "strict"
    for more, match in (
        ({}, "say what to hold it against"),
        ({"changes": ["dent=0.1"], "against": "strict"}, "say what to hold it against"),
        ({"changes": ["rust=0.1"]}, "'rust' is no class"),
        ({"changes": ["dent"]}, "is no limit"),
        ({"changes": ["dent=0.9:0.1"]}, "is no limit"),
        ({"changes": ["dent=nan"]}, "is no limit"),
        ({"against": "other"}, "differ in more than limits"),
    ):
        with pytest.raises(UsageError, match=match):
            compare("shift", "demo-disc", here, **more)  # type: ignore[arg-type]
    recipe = load_recipe("demo-disc", config.recipes)
    assert changed(recipe, ["scratch=0.97"]).limits["scratch"].fail_above == 0.97
