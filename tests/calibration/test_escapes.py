"""Do the bounds on escapes hold, also for who watches them?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from station.calibration import escapes
from station.calibration.escapes import (
    audit_card,
    audits_needed,
    disagreement,
    escapes_estimate,
    live_upper,
    product_bound,
    total_miss,
)
from station.calibration.guarantee import allowed_misses, at_most, parts_needed
from station.calibration.rates import Share, clopper_pearson_upper
from station.core.errors import DataRefused

STATIONS, AUDITS, DELTA = 2_000, 2_000, 0.05
J = np.array([0, 1 / 8, 1 / 4, 1 / 2, 3 / 4])
W = np.array([0.3, 0.175, 0.175, 0.175, 0.175])


def e_value(x: Any, n: Any, p0: float) -> Any:
    """The formula as it stands, over any shape; overflows for many audits."""
    x, n = np.asarray(x)[..., None], np.asarray(n)[..., None]
    return (W * J**x * ((1 - J * p0) / (1 - p0)) ** (n - x)).sum(axis=-1)


def test_zero_escapes_at_half_a_percent_take_728_audits_to_watch_and_598_to_settle_beforehand() -> None:
    assert audits_needed(0.005) == 728
    assert parts_needed(0.005, 0.95) == 598
    assert live_upper(0, 728) <= 0.005 < live_upper(0, 727)


@settings(deadline=None)
@given(st.integers(0, 6), st.integers(1, 300), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_live_bound_is_where_the_formula_reaches_one_over_delta(x: int, clean: int, delta: float) -> None:
    n = x + clean
    upper = live_upper(x, n, delta)
    if upper < 0.9:  # the plain formula can be computed
        assert e_value(x, n, upper) >= (1 / delta) * (1 - 1e-6)
        assert e_value(x, n, upper * (1 - 1e-6)) < 1 / delta


@settings(deadline=None)
@given(st.integers(0, 5000), st.data(), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_bounds_are_ordered(audits: int, data: st.DataObject, delta: float) -> None:
    found = data.draw(st.integers(0, audits))
    upper = live_upper(found, audits, delta)
    assert 0.0 < upper <= 1.0
    if audits:
        assert clopper_pearson_upper(found, audits, 1 - delta) <= upper + 1e-9  # to be watched costs something
    assert upper <= live_upper(found + 1, audits + 1, delta)  # one more escape
    assert live_upper(found, audits + 1, delta) <= upper  # one more clean audit
    assert live_upper(found, audits, delta / 2) >= upper


def test_hundreds_of_thousands_of_audits_do_not_overflow() -> None:
    assert live_upper(0, 10**6) == pytest.approx(-math.log1p(-live_upper(0, 10**6)), rel=1e-4)
    assert 1e-6 < live_upper(0, 10**6) < 5e-6
    # With many escapes the bet on three quarters as many is the nearest: the bound keeps its distance.
    assert 0.55 < live_upper(500_000, 10**6) < 0.58
    assert (live_upper(0, 0), live_upper(7, 7)) == (1.0, 1.0)


@settings(deadline=None)
@given(st.floats(0.001, 0.5), st.integers(0, 8), st.sampled_from([0.01, 0.05, 0.2]))
def test_one_audit_fewer_than_needed_is_too_few(target: float, found: int, delta: float) -> None:
    needed = audits_needed(target, found, delta)
    assert live_upper(found, needed, delta) <= target * (1 + 1e-9)
    assert live_upper(found, needed - 1, delta) > target * (1 - 1e-9)


@pytest.mark.parametrize("share", [0.005, 0.05])
def test_who_watches_the_live_bound_is_misled_no_more_often_than_promised(share: float) -> None:
    """2,000 stations look after each of 2,000 audits; a bound below the true share is a false claim."""
    random = np.random.default_rng(20260102)
    found = np.cumsum(random.random((STATIONS, AUDITS)) < share, axis=1)
    audits = np.arange(1, AUDITS + 1)
    evidence = np.array([[escapes._log_e(x, n, share, escapes._FEWER) for n in (1, 500, 2000)] for x in (0, 1)])
    assert np.exp(evidence) == pytest.approx(e_value(np.array([[0], [1]]), np.array([[1, 500, 2000]]), share), rel=1e-9)
    live = (e_value(found, audits, share) >= 1 / DELTA).any(axis=1).mean()
    slack = 3 * math.sqrt(DELTA * (1 - DELTA) / STATIONS)
    assert live <= DELTA + slack
    # Clopper-Pearson is below the share where the count is at most m*.
    settled = found <= np.array([allowed_misses(int(n), share, DELTA) for n in audits])
    assert settled[:, -1].mean() <= DELTA + slack  # read once: as promised
    assert settled.any(axis=1).mean() > 2 * DELTA  # read again and again: not


@pytest.mark.parametrize("bets", [escapes._FEWER, escapes._MORE])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_evidence_is_not_expected_to_grow_by_chance_alone(bets: tuple[tuple[float, float], ...], share: float) -> None:
    """E after n audits has the expectation 1 at the share itself: summed over all counts, not simulated."""
    assert sum(weight for _, weight in bets) == pytest.approx(1.0)
    for audits in (1, 40):
        chances = stats.binom.pmf(np.arange(audits + 1), audits, share)
        evidence = [math.exp(escapes._log_e(x, audits, share, bets)) for x in range(audits + 1)]
        assert float(chances @ evidence) == pytest.approx(1.0, rel=1e-9)


def test_a_bet_above_certainty_is_left_out() -> None:
    assert math.exp(escapes._log_e(1, 1, 0.2, escapes._MORE)) == pytest.approx(0.25 * 2 + 0.25 * 4)  # 8 * 0.2 > 1
    assert escapes._log_e(3, 3, 0.9, escapes._MORE) == -math.inf


def test_the_card_says_what_is_left_to_do() -> None:
    card = audit_card(Share(0, 500), 0.005)
    assert (card.to_audit_fixed, card.to_audit_live) == (98, 228)
    assert card.fixed == clopper_pearson_upper(0, 500)
    assert card.live == live_upper(0, 500)
    assert str(card) == "escapes in 0 of 500 audits: at most 0.727 % of passed parts; 0.5 % needs 228 more"
    done = audit_card(Share(0, 728), 0.005)
    assert (done.to_audit_fixed, done.to_audit_live) == (0, 0)
    assert str(done) == "escapes in 0 of 728 audits: at most 0.5 % of passed parts"
    one = audit_card(Share(1, 500), 0.005)
    assert (one.to_audit_fixed, one.to_audit_live) == (947 - 500, 1372 - 500)


def test_the_estimate_over_both_streams_is_without_bias() -> None:
    """1,000 passed parts with 30 escapes; near the limit every second is looked at, else 2 %."""
    random = np.random.default_rng(3)
    escaped = np.zeros(1000, bool)
    escaped[:20] = escaped[500:510] = True
    p_select = np.where(np.arange(1000) < 50, 0.51, 0.02)
    drawn = random.random((4000, 1000)) < p_select
    estimates = [escapes_estimate(escaped[row], p_select[row], 1000) for row in drawn]
    standard_error = np.std(estimates) / math.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(0.030, abs=4 * standard_error)
    assert standard_error < 0.0005


def test_the_estimate_by_hand() -> None:
    assert escapes_estimate(np.array([True, False, True]), np.array([0.5, 0.02, 0.02]), 1000) == (2 + 50) / 1000
    assert escapes_estimate(np.array([], bool), np.array([]), 10) == 0.0


def test_the_product_bound_is_its_formula() -> None:
    q, missed = clopper_pearson_upper(30, 10_030, 0.975), clopper_pearson_upper(2, 700, 0.975)
    expected = q / (1 - q) * missed / (1 - missed)
    assert product_bound(30, 10_000, Share(2, 700)) == pytest.approx(expected, rel=1e-12)
    assert product_bound(30, 10_000, Share(7, 7)) == math.inf
    assert product_bound(0, 10_000, Share(2, 700)) > 0.0


def test_the_product_bound_holds_for_simulated_lines() -> None:
    random = np.random.default_rng(5)
    defects, missed, overkill, parts, labelled = 0.02, 0.02, 0.1, 20_000, 300
    stops, escaped = defects * (1 - missed), defects * missed
    good_passed = (1 - defects) * (1 - overkill)
    confirmed, _, passed = random.multinomial(
        parts, [stops, 1 - stops - escaped - good_passed, escaped + good_passed], 500
    ).T
    misses = random.binomial(labelled, missed, 500)
    truth = escaped / (escaped + good_passed)
    bounds = [
        product_bound(int(c), int(p), Share(int(m), labelled))
        for c, p, m in zip(confirmed, passed, misses, strict=True)
    ]
    assert np.mean(np.array(bounds) < truth) <= DELTA


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 10_000), st.integers(1, 400), st.data())
def test_more_defects_and_more_misses_allow_more_escapes(
    confirmed: int, passed: int, defective: int, data: st.DataObject
) -> None:
    misses = data.draw(st.integers(0, defective - 1))
    bound = product_bound(confirmed, passed, Share(misses, defective))
    assert bound < product_bound(confirmed + 1, passed, Share(misses, defective))
    assert bound < product_bound(confirmed, passed, Share(misses + 1, defective))
    assert bound > product_bound(confirmed, passed + 1, Share(misses, defective))
    assert bound < product_bound(confirmed, passed, Share(misses, defective), delta=0.01)


def test_audits_that_find_more_than_there_should_be_raise_an_alarm() -> None:
    known = {"confirmed": 30, "passed": 10_000, "misses": Share(0, 299)}
    assert disagreement(Share(0, 500), **known) is None
    words = disagreement(Share(3, 500), **known)
    assert words is not None
    assert words.startswith("escapes in 3 of 500 audits, but with 0 of 299 defective parts missed and 30 confirmed")
    assert "a new kind of defect, or wrong labels" in words
    assert at_most(product_bound(30, 10_000, Share(0, 299), delta=DELTA / 2)) in words  # the other half is the test's
    assert disagreement(Share(3, 500), confirmed=30, passed=10_000, misses=Share(299, 299)) is None  # allows anything


def test_the_alarm_is_seldom_false_for_who_watches() -> None:
    """The line has exactly the escapes that the product bound allows: the worst case without a reason for alarm."""
    random = np.random.default_rng(11)
    known = {"confirmed": 300, "passed": 2_000, "misses": Share(10, 200)}
    share = product_bound(**known, delta=DELTA / 2)
    escaped = random.random((300, 1000)) < share
    found = np.cumsum(escaped, axis=1)
    alarms = [  # only an escape can raise it: a clean audit takes evidence away
        any(disagreement(Share(int(row[n]), int(n) + 1), **known) for n in np.flatnonzero(hits))
        for hits, row in zip(escaped, found, strict=True)
    ]
    assert np.mean(alarms) <= DELTA
    worse = np.cumsum(random.random((50, 2000)) < 4 * share, axis=1)[:, -1]
    assert np.mean([disagreement(Share(int(x), 2000), **known) is not None for x in worse]) > 0.95


def test_the_total_miss_adds_what_people_release() -> None:
    found = total_miss(0.005, 0.02)
    assert found.total == pytest.approx(0.0249)
    assert (found.model, found.inspector, found.unaudited) == pytest.approx((0.005, 0.0199, 0.005))
    assert total_miss(0.005, 0.02, audit_fraction=0.02).unaudited == pytest.approx(0.0049)
    assert total_miss(1.0, 1.0).total == 1.0


def test_what_cannot_be_is_refused() -> None:
    yes = np.array([True])
    calls: list[tuple[Any, str]] = [
        (lambda: live_upper(2, 1), "cannot be"),
        (lambda: live_upper(-1, 1), "cannot be"),
        (lambda: live_upper(0, 1, 0.0), "delta"),
        (lambda: audits_needed(0.0), "target"),
        (lambda: audits_needed(0.1, -1), "cannot be"),
        (lambda: audits_needed(1e-12), "promise less"),
        (lambda: audits_needed(0.1, 0, math.nan), "delta"),
        (lambda: audit_card(Share(0, 1), 1.0), "target"),
        (lambda: escapes_estimate(yes, np.array([0.0]), 10), "p_select"),
        (lambda: escapes_estimate(yes, np.array([1.5]), 10), "p_select"),
        (lambda: escapes_estimate(yes, np.array([math.nan]), 10), "p_select"),
        (lambda: escapes_estimate(yes, np.array([0.5, 0.5]), 10), "as long"),
        (lambda: escapes_estimate(np.array([1]), np.array([0.5]), 10), "1-D bool"),
        (lambda: escapes_estimate(yes, np.array([0.5]), 0), "all passed parts"),
        (lambda: product_bound(-1, 10, Share(0, 1)), "longer time"),
        (lambda: product_bound(1, 0, Share(0, 1)), "longer time"),
        (lambda: product_bound(1, 1, Share(0, 1), delta=1.0), "delta"),
        (lambda: total_miss(1.1, 0.0), "model"),
        (lambda: total_miss(0.0, math.nan), "inspector"),
        (lambda: total_miss(0.0, 0.0, -0.1), "audit fraction"),
    ]
    for call, message in calls:
        with pytest.raises(DataRefused, match=message):
            call()
