"""Who is right more often: exact where rows are independent, by cluster where not, undefined where both agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar as reference

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.mcnemar import clustered_mcnemar, mcnemar

UNHURRIED = settings(max_examples=50, deadline=None)  # the first example pays for lazy imports

Right = NDArray[np.bool_]


def rows(both: int, only_first: int, only_second: int, neither: int) -> tuple[Right, Right]:
    """Two models that are right together, alone or not at all on so many rows."""
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first, second


@st.composite
def compared(draw: st.DrawFn) -> tuple[Right, Right, NDArray[np.int64]]:
    """Two models on rows in clusters."""
    n = draw(st.integers(2, 40))
    first, second = (np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) for _ in range(2))
    return first, second, np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))


@UNHURRIED
@given(compared())
def test_the_exact_test_is_that_of_statsmodels(
    data: tuple[Right, Right, NDArray[np.int64]],
) -> None:
    first, second, _ = data
    table = np.array([[(first & second).sum(), (first & ~second).sum()], [(~first & second).sum(), 0]])
    assume(table[0, 1] + table[1, 0] > 0)
    outcome = mcnemar(first, second)
    assert outcome.p == pytest.approx(reference(table, exact=True).pvalue)
    assert outcome.difference == pytest.approx(first.mean() - second.mean())


def test_five_to_twelve_is_the_p_value_of_r() -> None:
    """R: binom.test(5, 17)$p.value."""
    outcome = mcnemar(*rows(3, 5, 12, 7))
    assert outcome.p == pytest.approx(0.143463134765625, abs=1e-12)
    assert outcome.basis.startswith("17 of 27 rows")
    assert str(outcome) == "p = 0.143"  # it has no statistic and no standard error
    assert "no standard error" in outcome.interval().reason


def test_rows_on_which_the_two_agree_change_nothing() -> None:
    assert mcnemar(*rows(0, 5, 12, 0)).p == mcnemar(*rows(500, 5, 12, 80)).p


# ---------------------------------------------------------------------- clusters


def test_the_clustered_statistic_is_durkalskis() -> None:
    """The example of R's clust.bin.pair, durkalski.test, with its formula evaluated in R."""
    counts = np.array([[1, 3, 0, 1, 2], [51, 67, 44, 58, 47], [18, 26, 43, 21, 28], [0, 2, 1, 3, 4]])
    parts = [rows(*column) for column in counts.T.tolist()]
    first, second = (np.concatenate([part[k] for part in parts]) for k in range(2))
    outcome = clustered_mcnemar(first, second, np.repeat(range(5), counts.sum(axis=0)))
    assert (outcome.statistic, outcome.p) == pytest.approx((3.84116695339322, 0.0500087041260506), abs=1e-12)
    assert outcome.statistic == pytest.approx((outcome.difference / outcome.standard_error) ** 2)
    assert outcome.basis == "5 clusters"


@UNHURRIED
@given(compared())
def test_one_row_a_cluster_is_the_plain_chi_square(data: tuple[Right, Right, NDArray[np.int64]]) -> None:
    first, second, _ = data
    table = [[0, int((first & ~second).sum())], [int((second & ~first).sum()), 0]]
    assume(table[0][1] + table[1][0] > 0)
    expected = reference(table, exact=False, correction=False)
    outcome = clustered_mcnemar(first, second, np.arange(len(first)))
    assert (outcome.statistic, outcome.p) == pytest.approx((expected.statistic, expected.pvalue))


@UNHURRIED
@given(compared())
def test_clusters_count_the_same_whatever_their_size(data: tuple[Right, Right, NDArray[np.int64]]) -> None:
    """Copies of the rows of one cluster bring nothing new; the statistic cannot exceed the number of clusters."""
    first, second, clusters = data
    outcome = clustered_mcnemar(first, second, clusters)
    more = np.concatenate([np.arange(len(first)), np.tile(np.flatnonzero(clusters == clusters[0]), 3)])
    again = clustered_mcnemar(first[more], second[more], clusters[more])
    assert (again.p, again.difference) == pytest.approx((outcome.p, outcome.difference), nan_ok=True)
    if outcome.defined:
        assert outcome.statistic <= len(np.unique(clusters)) + 1e-9


@UNHURRIED
@given(compared())
def test_the_order_of_the_models_and_of_the_rows_does_not_matter(data: tuple[Right, Right, NDArray[np.int64]]) -> None:
    first, second, clusters = data
    one, other = clustered_mcnemar(first, second, clusters), clustered_mcnemar(second, first, clusters)
    turned = clustered_mcnemar(first[::-1], second[::-1], 7 - clusters[::-1])
    assert (one.p, one.difference) == pytest.approx((other.p, -other.difference), nan_ok=True)
    assert one.p == pytest.approx(turned.p, nan_ok=True)


def test_what_is_compared_is_the_mean_accuracy_of_subjects() -> None:
    """A subject of 90 cells counts as much as one of 10: pooled, the first is better; over subjects, the second."""
    first = np.concatenate([np.repeat([True, False], [60, 30]), np.repeat([True, False], [1, 9])])
    second = np.concatenate([np.repeat([True, False], [50, 40]), np.repeat([True, False], [9, 1])])
    outcome = clustered_mcnemar(first, second, np.repeat([0, 1], [90, 10]))
    assert mcnemar(first, second).difference > 0 > outcome.difference
    assert outcome.estimates == pytest.approx(((60 / 90 + 0.1) / 2, (50 / 90 + 0.9) / 2))


# ---------------------------------------------------------------------- where there is no test


def test_models_that_are_right_together_are_not_tested() -> None:
    first, second = rows(5, 0, 0, 3)
    assert mcnemar(first, second).reason == "both are right on the same rows"
    outcome = clustered_mcnemar(first, second, np.arange(8) // 2)
    assert outcome.reason == "both are right equally often in every cluster"
    assert np.isnan([outcome.p, outcome.statistic]).all()
    assert outcome.difference == 0


def test_equal_counts_in_every_cluster_are_no_difference() -> None:
    """Rounding must not turn 3/7 - 3/7 into a test."""
    first, second = rows(0, 3, 3, 1)
    outcome = clustered_mcnemar(np.tile(first, 9), np.tile(second, 9), np.repeat(range(9), 7))
    assert not outcome.defined
    assert mcnemar(first, second).p == 1


def test_one_cluster_is_not_tested_and_two_never_reject() -> None:
    first, second = rows(0, 40, 0, 0)
    assert clustered_mcnemar(first, second, np.zeros(40, dtype=int)).reason == "1 cluster; at least 2 are needed"
    two = clustered_mcnemar(first, second, np.arange(40) % 2)
    assert (two.statistic, two.p > 0.1) == (pytest.approx(2), True)


def test_no_rows_and_rows_that_do_not_fit() -> None:
    nothing = np.empty(0, dtype=bool)
    assert mcnemar(nothing, nothing).reason == clustered_mcnemar(nothing, nothing, nothing).reason == "no rows"
    with pytest.raises(PredictionsError, match="the same rows of both"):
        mcnemar([True], [True, False])
    with pytest.raises(PredictionsError, match="one number a row"):
        clustered_mcnemar([True, False], [True, False], [1])
    with pytest.raises(PredictionsError, match="give booleans"):
        mcnemar([1, 0], [1, 1])
