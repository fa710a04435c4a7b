"""Does a certificate promise what its evidence shows, and die when something changes?"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from station.calibration.certificate import EVERY_CLASS, Certificate
from station.calibration.certify import LEAST_LOTS, SealedPart, issue, set_sha256
from station.calibration.guarantee import allowed_misses, parts_needed
from station.calibration.rates import clopper_pearson_upper
from station.core.errors import DataRefused

MODEL, RECIPE, OPTICS = "a" * 64, "b" * 64, "c" * 64
ISSUED = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
EXPIRES = ISSUED + timedelta(days=90)
LATER = ISSUED + timedelta(days=1)


def sealed(count: int, *, truth: str = "crack", missed: int = 0, lots: int = 50, people: int = 2) -> list[SealedPart]:
    """Defective parts, the first ``missed`` of them below 0.5."""
    return [
        SealedPart(f"{truth}-{n}", truth, 0.2 if n < missed else 0.9, f"lot-{n % lots}" if lots else "", people)
        for n in range(count)
    ]


def certify(parts: list[SealedPart], limits: dict[str, float] | None = None, **changed: Any) -> Certificate:
    """Issues with everything in order, but for what is changed."""
    limits = limits or {"crack": 0.5}
    given_values: dict[str, Any] = {
        "alpha": dict.fromkeys(limits, 0.01),
        "model_sha256": MODEL,
        "recipe_sha256": RECIPE,
        "optics_sha256": OPTICS,
        "issued_at": ISSUED,
        "expires_at": EXPIRES,
        "looks": 1,
        "seen": (),
    }
    return issue(parts, limits, **given_values | changed)


def holding(certificate: Certificate) -> dict[str, bool | None]:
    return {a.name: a.holds for a in certificate.assumptions}


def test_what_was_counted_is_promised() -> None:
    good = [SealedPart("g", "ok", 0.1)]
    (claim,) = certify(sealed(473, missed=1) + good).claims
    assert (claim.parts, claim.misses, claim.lots, claim.limit) == (473, 1, 50, 0.5)
    assert claim.upper == claim.single == clopper_pearson_upper(1, 473)
    assert claim.reached
    assert str(claim) == "crack: 1 of 473 defective parts from 50 lots missed below 0.5; at most 0.999 % at 95 %"


def test_it_holds_for_what_it_was_issued_for() -> None:
    certificate = certify(sealed(299))
    assert certificate.valid_for(MODEL, RECIPE, OPTICS, LATER) == []
    assert certificate.missing == ()
    assert set(holding(certificate).values()) == {True}


@pytest.mark.parametrize(
    ("where", "words"),
    [(0, "the model is another one"), (1, "the recipe is another"), (2, "the camera or its optics is")],
)
def test_it_dies_when_model_recipe_or_camera_change(where: int, words: str) -> None:
    hashes = [MODEL, RECIPE, OPTICS]
    hashes[where] = "d" * 64
    (reason,) = certify(sealed(299)).valid_for(hashes[0], hashes[1], hashes[2], LATER)
    assert reason.startswith(words)
    assert "dddddddddddd" in reason


def test_a_station_without_calibration_certifies_and_says_what_nobody_knows() -> None:
    certificate = certify(sealed(299), optics_sha256=None)
    assert certificate.valid_for(MODEL, RECIPE, None, LATER) == []
    assert holding(certificate)["camera as it was"] is None
    assert Certificate.from_dict(json.loads(json.dumps(certificate.to_dict()))) == certificate
    (reason,) = certificate.valid_for(MODEL, RECIPE, OPTICS, LATER)
    assert reason.startswith("the camera or its optics is another one: certified without calibration, in use cccc")


def test_it_expires_and_does_not_hold_before_it_was_issued() -> None:
    certificate = certify(sealed(299))
    assert certificate.valid_for(MODEL, RECIPE, OPTICS, EXPIRES - timedelta(seconds=1)) == []
    assert certificate.valid_for(MODEL, RECIPE, OPTICS, EXPIRES) == ["it expired 2026-05-30T08:00:00+00:00"]
    (reason,) = certificate.valid_for(MODEL, RECIPE, OPTICS, ISSUED - timedelta(seconds=1))
    assert "check the clock" in reason
    with pytest.raises(DataRefused, match="no time zone"):
        certificate.valid_for(MODEL, RECIPE, OPTICS, LATER.replace(tzinfo=None))


def test_too_few_parts_say_what_is_missing_and_certify_nothing() -> None:
    certificate = certify(sealed(12))
    assert certificate.missing == ("crack: +287 defective parts for 1 %",)
    assert "not reached, crack: +287 defective parts for 1 %" in certificate.valid_for(MODEL, RECIPE, OPTICS, LATER)
    assert str(certificate.claims[0]).endswith("at most 22.1 % at 95 %; +287 defective parts for 1 %")
    assert certify(sealed(473, missed=2)).missing == (
        f"crack: +{parts_needed(0.01, 0.95, 2) - 473} defective parts for 1 %",
    )


def test_a_score_equal_to_the_limit_stops() -> None:
    parts = [replace(part, score=0.5) for part in sealed(299)]
    assert certify(parts).claims[0].misses == 0
    assert certify(parts, {"crack": float(np.nextafter(0.5, 1.0))}).claims[0].misses == 299


def test_classes_share_delta_and_a_joint_limit_does_not() -> None:
    parts = sealed(400, missed=1) + sealed(600, truth="dent", missed=2)
    crack, dent = certify(parts, {"crack": 0.5, "dent": 0.5}).claims
    assert (crack.parts, crack.misses, dent.parts, dent.misses) == (400, 1, 600, 2)
    assert crack.delta == dent.delta == 0.025
    assert crack.upper == clopper_pearson_upper(1, 400, 0.975)
    assert dent.upper == clopper_pearson_upper(2, 600, 0.975)
    (joint,) = certify(parts, {EVERY_CLASS: 0.5}).claims
    assert (joint.parts, joint.misses, joint.upper) == (1000, 3, clopper_pearson_upper(3, 1000))
    assert str(joint).startswith("every class: 3 of 1000")


def test_several_looks_promise_less_and_say_so() -> None:
    certificate = certify(sealed(299), looks=4)
    (claim,) = certificate.claims
    assert claim.single == clopper_pearson_upper(0, 299)
    assert claim.upper == clopper_pearson_upper(0, 299, 1 - 0.05 / 4)
    assert not claim.reached
    assert claim.missing == f"+{parts_needed(0.01, 1 - 0.05 / 4) - 299} defective parts for 1 %"
    assert (
        "looked at 4 times: the best of several looks promises less than the 0.997 % of one look; "
        "at most 1.46 % at 95 % for all of them at once" in str(claim)
    )
    assert holding(certificate)["sealed set used once"] is None
    enough = certify(sealed(parts_needed(0.01, 1 - 0.05 / 4)), looks=4)
    assert enough.valid_for(MODEL, RECIPE, OPTICS, LATER) == []


def test_the_best_of_several_looks_breaks_its_promise_and_the_divided_one_does_not() -> None:
    """20 models of one miss rate, 2,000 stations: each takes the model with the fewest misses."""
    random, looks, parts, rate = np.random.default_rng(9), 20, 300, 0.03
    best = random.binomial(parts, rate, (2_000, looks)).min(axis=1)
    plain = {int(k): clopper_pearson_upper(int(k), parts) for k in np.unique(best)}
    divided = {k: certify(sealed(parts, missed=k), looks=looks).claims[0].upper for k in plain}
    assert np.mean([plain[int(k)] < rate for k in best]) > 0.3
    assert np.mean([divided[int(k)] < rate for k in best]) <= 0.05


@pytest.mark.parametrize(
    ("changed", "name", "holds"),
    [
        ({"lots": 12}, "lots", False),
        ({"lots": 0}, "lots", None),
        ({"people": 1}, "labels by two people", False),
        ({"people": 0}, "labels by two people", None),
    ],
)
def test_what_is_known_of_the_parts_is_said(changed: dict[str, int], name: str, holds: bool | None) -> None:
    certificate = certify(sealed(299, **changed))  # type: ignore[arg-type]
    assert holding(certificate)[name] is holds
    reasons = certificate.valid_for(MODEL, RECIPE, OPTICS, LATER)
    assert [r.startswith(name) for r in reasons] == ([True] if holds is False else [])


def test_the_lots_are_counted_where_they_are_fewest() -> None:
    certificate = certify(sealed(900) + sealed(900, truth="dent", lots=7), {"crack": 0.5, "dent": 0.5})
    words = {a.name: a.words for a in certificate.assumptions}["lots"]
    assert words == "dent: 900 defective parts from 7 lots, 30 are asked for"
    assert [claim.lots for claim in certificate.claims] == [50, 7]


@pytest.mark.parametrize(
    ("alpha", "lots", "least", "most"),
    [(0.05, 12, 0.20, 0.28), (0.05, LEAST_LOTS, 0.11, 0.16), (0.01, 12, 0.08, 0.13), (0.01, LEAST_LOTS, 0.03, 0.07)],
)
def test_parts_of_few_lots_break_the_promise(alpha: float, lots: int, least: float, most: float) -> None:
    """1,000 stations, 600 defective parts each; 30 % of the variance of their scores lies between lots."""
    random, parts = np.random.default_rng(17), 600
    of_lots = np.repeat(random.normal(0.0, math.sqrt(0.3), (1_000, lots)), parts // lots, axis=1)
    scores = of_lots + random.normal(0.0, math.sqrt(0.7), (1_000, parts))
    allowed = allowed_misses(parts, alpha)
    broken = np.mean(special.ndtr(np.partition(scores, allowed, axis=1)[:, allowed]) > alpha)
    assert least < broken < most


def test_unknown_lots_are_no_lot() -> None:
    (claim,) = certify(sealed(299, lots=0)).claims
    assert claim.lots == 0
    mixed = certify(sealed(299, lots=12) + sealed(1, truth="other", lots=0), {EVERY_CLASS: 0.5})
    assert mixed.claims[0].lots == 12
    assert holding(mixed)["lots"] is None  # the unknown ones may be many


def test_parts_the_model_was_trained_on_break_it() -> None:
    certificate = certify(sealed(299), seen={"crack-3", "crack-4", "other"})
    (reason,) = certificate.valid_for(MODEL, RECIPE, OPTICS, LATER)
    assert reason == "apart from training and tuning: 2 of 299 defective parts were trained or tuned on"
    assert holding(certify(sealed(299), seen=None))["apart from training and tuning"] is None


def test_it_survives_json_and_no_change_to_it() -> None:
    certificate = certify(sealed(299, missed=1) + sealed(80, truth="dent"), {"crack": 0.5, "dent": 0.4}, looks=2)
    text = json.dumps(certificate.to_dict())
    assert Certificate.from_dict(json.loads(text)) == certificate
    assert json.loads(text)["sha256"] == certificate.to_dict()["sha256"]
    for changed in (
        text.replace('"misses": 1', '"misses": 0'),
        text.replace("2026-05-30", "2036-05-30"),
        text.replace("null", "true").replace("false", "true"),
        text.replace("aaaa", "dddd"),
    ):
        if changed != text:
            with pytest.raises(DataRefused, match="was changed"):
                Certificate.from_dict(json.loads(changed))
    assert text.replace('"misses": 1', "") != text
    assert text.replace("2026-05-30", "") != text
    for no_certificate in ({}, {"sha256": "x"}, [], None, 3):
        with pytest.raises(DataRefused):
            Certificate.from_dict(no_certificate)  # type: ignore[arg-type]


def test_a_later_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.calibration.certificate.FORMAT", 2)
    later = certify(sealed(299)).to_dict()
    monkeypatch.undo()
    with pytest.raises(DataRefused, match="format 1"):
        Certificate.from_dict(later)


@settings(deadline=None, max_examples=30)
@given(st.permutations(sealed(8, missed=2) + sealed(5, truth="dent")))
def test_the_order_of_the_parts_does_not_matter(parts: list[SealedPart]) -> None:
    limits = {"crack": 0.5, "dent": 0.4}
    assert certify(parts, limits) == certify(sealed(8, missed=2) + sealed(5, truth="dent"), limits)


def test_the_set_is_its_parts_their_truth_and_lots_and_not_the_scores() -> None:
    parts = sealed(5)
    assert set_sha256(parts) == set_sha256([replace(p, score=0.1) for p in parts[::-1]])
    for other in (parts[1:], [replace(parts[0], truth="dent"), *parts[1:]], [replace(parts[0], lot="x"), *parts[1:]]):
        assert set_sha256(other) != set_sha256(parts)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 6), st.data())
def test_fewer_misses_and_fewer_looks_promise_more(count: int, looks: int, data: st.DataObject) -> None:
    missed = data.draw(st.integers(1, count))

    def upper(missed: int, looks: int) -> float:
        return certify(sealed(count, missed=missed), looks=looks).claims[0].upper

    assert upper(missed - 1, looks) < upper(missed, looks)
    assert upper(missed - 1, looks) < upper(missed - 1, looks + 1)


def test_what_cannot_be_certified_is_refused() -> None:
    parts = sealed(20)
    calls: list[tuple[Any, str]] = [
        (lambda: certify([*parts, parts[0]]), "1 parts have several scores, such as crack-0"),
        (lambda: certify([replace(parts[0], score=math.nan)]), "score nan"),
        (lambda: certify([replace(parts[0], score=1.1)]), r"score 1\.1"),
        (lambda: certify(parts, {"dent": 0.5}), "is crack, for which there is no limit"),
        (lambda: certify(parts, {"crack": 0.5, "dent": 0.5}), "no defective part for the limit of dent"),
        (lambda: certify([], {"crack": 0.5}), "good parts alone say nothing"),
        (lambda: certify(parts, {"crack": 0.5, EVERY_CLASS: 0.5}), "one or the other"),
        (lambda: certify(parts, {"crack": math.nan}), "limit nan"),
        (lambda: issue_without_limits(), "no limit to certify"),
        (lambda: certify(parts, alpha={}), "no miss rate to show"),
        (lambda: certify(parts, alpha={"crack": 1.0}), "alpha of crack"),
        (lambda: certify(parts, delta=0.0), "delta"),
        (lambda: certify(parts, looks=0), "this one counts"),
        (lambda: certify(parts, model_sha256=""), "model_sha256 '' is no SHA-256"),
        (lambda: certify(parts, optics_sha256="C" * 64), "is no SHA-256"),
        (lambda: certify(parts, issued_at=ISSUED.replace(tzinfo=None)), "time zone"),
        (lambda: certify(parts, expires_at=ISSUED), "later expiry"),
        (lambda: replace(certify(parts), claims=()), "without a claim"),
    ]
    for call, message in calls:
        with pytest.raises(DataRefused, match=message):
            call()


def issue_without_limits() -> Certificate:
    return issue(
        sealed(3),
        {},
        alpha={},
        model_sha256=MODEL,
        recipe_sha256=RECIPE,
        optics_sha256=OPTICS,
        issued_at=ISSUED,
        expires_at=EXPIRES,
        looks=1,
    )
