"""Folds that share training rows: the corrected t test and the posterior, by hand and against baycomp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from leukfeat.errors import PredictionsError, UsageError
from leukfeat.evaluation.resampled_t import corrected_resampled_t, correlated_t

UNHURRIED = settings(max_examples=50, deadline=None)  # the first example pays for lazy imports

FIRST = [0.91, 0.88, 0.93, 0.90, 0.86, 0.92, 0.89, 0.94, 0.87, 0.90]
SECOND = [0.89, 0.87, 0.90, 0.91, 0.85, 0.88, 0.88, 0.92, 0.86, 0.87]

values = st.lists(st.floats(0, 1), min_size=10, max_size=10)


def test_the_statistic_is_that_of_a_calculation_by_hand() -> None:
    """Differences .02 .01 .03 -.01 .01 .04 .01 .02 .01 .03: Σd = 0.17, Σd² = 0.0047, so 9 s² = 0.0047 - 0.17²/10."""
    outcome = corrected_resampled_t(FIRST, SECOND, n_test=20, n_train=80)
    assert outcome.difference == pytest.approx(0.017)
    assert outcome.standard_error == pytest.approx(math.sqrt(0.35 * 0.00181 / 9))
    assert outcome.statistic == pytest.approx(0.017 / math.sqrt(0.35 * 0.00181 / 9))
    assert outcome.freedom == 9
    assert outcome.p == pytest.approx(0.0735, abs=5e-4)  # t = 2.026; the table has 2.262 for 5 % and 1.833 for 10 %
    assert outcome.basis == "10 folds"


@UNHURRIED
@given(values, values)
def test_the_plain_paired_t_is_what_is_left_without_overlap(first: list[float], second: list[float]) -> None:
    """n_test/n_train = 0 leaves the textbook test, which takes folds as independent and rejects too often."""
    outcome = corrected_resampled_t(first, second, n_test=1, n_train=1e15)
    if outcome.defined:
        plain = ttest_rel(first, second)
        assert (outcome.statistic, outcome.p) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-6)
        assert corrected_resampled_t(first, second, 20, 80).p >= outcome.p


def test_uneven_folds_have_the_ratio_of_their_split() -> None:
    """Five folds of 28 subjects: 6 6 6 5 5 in test; over all folds n_test/n_train is 1/4, as for even folds."""
    n_test = np.array([6, 6, 6, 5, 5])
    uneven = corrected_resampled_t(FIRST[:5], SECOND[:5], n_test, 28 - n_test)
    assert uneven.p == pytest.approx(corrected_resampled_t(FIRST[:5], SECOND[:5], 1, 4).p)


def test_the_interval_belongs_to_the_test() -> None:
    """At the level 1 - p the interval just touches 0."""
    outcome = corrected_resampled_t(FIRST, SECOND, 20, 80)
    assert outcome.interval(1 - outcome.p).low == pytest.approx(0, abs=1e-12)


# ---------------------------------------------------------------------- the posterior


@pytest.mark.parametrize(("runs", "rope"), [(1, 0.01), (2, 0.01), (2, 0.0), (1, 0.03)])
def test_the_posterior_is_that_of_baycomp(runs: int, rope: float) -> None:
    baycomp = pytest.importorskip("baycomp")
    # baycomp gives (first better, equivalent, second better) and leaves out the middle where there is none
    found = baycomp.two_on_single(np.array(FIRST), np.array(SECOND), rope=rope, runs=runs)
    better, equivalent, worse = found if rope else (found[0], 0.0, found[1])
    folds = len(FIRST) // runs
    posterior = correlated_t(FIRST, SECOND, n_test=1, n_train=folds - 1, rope=rope)
    assert (posterior.better, posterior.equivalent, posterior.worse) == pytest.approx(
        (better, equivalent, worse), abs=1e-9
    )


@UNHURRIED
@given(values, values, st.floats(0, 0.2))
def test_probabilities_are_whole_and_turn_with_the_models(first: list[float], second: list[float], rope: float) -> None:
    one, other = (correlated_t(*pair, 20, 80, rope=rope) for pair in ((first, second), (second, first)))
    assert one.defined == other.defined
    if one.defined:
        assert one.worse + one.equivalent + one.better == pytest.approx(1)
        assert one.worse == pytest.approx(other.better, abs=1e-12)
        assert one.equivalent == pytest.approx(other.equivalent, abs=1e-12)


def test_half_the_p_value_is_the_posterior_of_the_other_sign() -> None:
    """Without a region the posterior and the corrected t test are the same distribution read twice."""
    posterior = correlated_t(FIRST, SECOND, 20, 80, rope=0)
    assert posterior.worse == pytest.approx(corrected_resampled_t(FIRST, SECOND, 20, 80).p / 2)


def test_a_verdict_needs_95_percent() -> None:
    assert correlated_t(FIRST, SECOND, 20, 80, rope=0.0).verdict == "better"
    assert correlated_t(SECOND, FIRST, 20, 80, rope=0.0).verdict == "worse"
    assert correlated_t(FIRST, SECOND, 20, 80, rope=0.05).verdict == "equivalent"
    undecided = correlated_t(FIRST, SECOND, 20, 80)
    assert undecided.verdict == "undecided"
    assert str(undecided).startswith("P(worse) 0.0")


# ---------------------------------------------------------------------- where there is no test


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([0.9], [0.8], "1 fold; at least 2 are needed"),
        ([], [], "0 folds; at least 2 are needed"),
        ([0.9, math.nan, 0.8], [0.8, 0.7, math.nan], "undefined in 2 of 3 folds"),
        ([0.9, math.inf], [0.8, math.inf], "undefined in 1 of 2 folds"),
        ([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], "the same difference (+0.000) in every fold"),
        ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], "the same difference (+0.100) in every fold"),
    ],
)
def test_undefined_with_the_reason(first: list[float], second: list[float], reason: str) -> None:
    outcome, posterior = corrected_resampled_t(first, second, 2, 8), correlated_t(first, second, 2, 8)
    assert outcome.reason == posterior.reason == reason
    assert np.isnan([outcome.p, outcome.statistic, posterior.better, posterior.worse]).all()
    assert posterior.verdict == "undecided"
    assert str(posterior) == f"undefined: {reason}"


def test_what_is_compared_is_told_where_it_is_known() -> None:
    assert corrected_resampled_t([0.9, 0.8], [0.7, 0.6], 2, 8).estimates == pytest.approx((0.85, 0.65))
    assert np.isnan(corrected_resampled_t([0.9, math.nan], [0.7, 0.6], 2, 8).estimates).all()


def test_folds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(PredictionsError, match="the same folds of both"):
        corrected_resampled_t([0.9, 0.8], [0.9], 2, 8)
    with pytest.raises(PredictionsError, match="at least 1, of each of 2 folds"):
        corrected_resampled_t([0.9, 0.8], [0.9, 0.7], [2, 0], 8)
    with pytest.raises(PredictionsError, match="of each of 2 folds"):
        corrected_resampled_t([0.9, 0.8], [0.9, 0.7], [2, 2, 2], 8)
    with pytest.raises(UsageError, match="practical equivalence of ±-1"):
        correlated_t([0.9, 0.8], [0.9, 0.7], 2, 8, rope=-1)
