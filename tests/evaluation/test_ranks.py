"""Ranks over data sets: Demšar's worked example, scipy, scikit-posthocs, and folds that are no data sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare

from leukfeat.errors import ComparisonError, UsageError
from leukfeat.evaluation.ranks import Ranking, one_data_set, rank

UNHURRIED = settings(max_examples=25, deadline=None)  # the first example pays for lazy imports

# Demšar 2006, Table 6: AUROC of C4.5 with its parameters m and cf tuned or not, on 14 data sets. The two .975 of
# voting carry ranks 2 and 3 there, so they differ in a digit that is not printed.
C45 = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
DEMSAR = {
    "adult": (0.763, 0.768, 0.771, 0.798),
    "breast cancer": (0.599, 0.591, 0.590, 0.569),
    "breast cancer wisconsin": (0.954, 0.971, 0.968, 0.967),
    "cmc": (0.628, 0.661, 0.654, 0.657),
    "ionosphere": (0.882, 0.888, 0.886, 0.898),
    "iris": (0.936, 0.931, 0.916, 0.931),
    "liver disorders": (0.661, 0.668, 0.609, 0.685),
    "lung cancer": (0.583, 0.583, 0.563, 0.625),
    "lymphography": (0.775, 0.838, 0.866, 0.875),
    "mushroom": (1.000, 1.000, 1.000, 1.000),
    "primary tumor": (0.940, 0.962, 0.965, 0.962),
    "rheum": (0.619, 0.666, 0.614, 0.669),
    "voting": (0.972, 0.981, 0.9751, 0.975),
    "wine": (0.957, 0.978, 0.946, 0.970),
}


def ranked(scores: object, **changes: object) -> Ranking:
    """Rank made-up data sets and candidates."""
    n, k = np.asarray(scores).shape
    given_ = {"data_sets": [f"set {'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[i]}" for i in range(n)]}
    return rank(scores, **{**given_, "candidates": [f"model {j}" for j in range(k)], **changes})


def test_demsars_example() -> None:
    """Section 3.2.2: mean ranks, χ² = 9.28, F = 3.69, and a critical difference of 1.25 for Nemenyi's test."""
    found = rank(list(DEMSAR.values()), data_sets=list(DEMSAR), candidates=C45, correct_ties=False)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.chi_square == pytest.approx(9.28, abs=5e-3)
    assert found.f == pytest.approx(3.69, abs=5e-3)
    assert found.f_p < 0.05  # F(3, 39) has 2.85 for 5 %
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.differ
    # "the difference between the best and the worst performing algorithm is already smaller than" 1.25
    assert found.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)
    at_ten = rank(list(DEMSAR.values()), data_sets=list(DEMSAR), candidates=C45, level=0.10)
    assert at_ten.critical_difference == pytest.approx(1.12, abs=5e-3)
    assert at_ten.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


@pytest.mark.parametrize(
    ("k", "q"),
    list(enumerate((1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164), start=2)),
)
def test_critical_values_are_those_of_the_table(k: int, q: float) -> None:
    """Demšar 2006, Table 5a."""
    scores = np.random.default_rng(0).random((7, k))
    # the table is cut, not rounded, in places
    assert ranked(scores).critical_difference / np.sqrt(k * (k + 1) / 42) == pytest.approx(q, abs=1.1e-3)


@st.composite
def grids(draw: st.DrawFn) -> NDArray[np.float64]:
    """Scores with many ties, of 3 to 6 candidates on 5 to 12 data sets."""
    n, k = draw(st.integers(5, 12)), draw(st.integers(3, 6))
    return np.array(draw(st.lists(st.integers(0, 5), min_size=n * k, max_size=n * k)), dtype=float).reshape(n, k)


@UNHURRIED
@given(grids())
def test_friedman_is_that_of_scipy(scores: NDArray[np.float64]) -> None:
    found = ranked(scores)
    if found.defined:
        expected = friedmanchisquare(*scores.T)
        assert (found.chi_square, found.chi_p) == pytest.approx((expected.statistic, expected.pvalue))


@UNHURRIED
@given(grids())
def test_nemenyi_is_that_of_scikit_posthocs(scores: NDArray[np.float64]) -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    found = ranked(scores)
    if found.defined:
        np.testing.assert_allclose(found.pairwise, posthocs.posthoc_nemenyi_friedman(scores).to_numpy(), atol=1e-6)


@UNHURRIED
@given(grids(), st.sampled_from([0.05, 0.1, 0.5]))
def test_bars_join_what_does_not_differ_and_nothing_else(scores: NDArray[np.float64], level: float) -> None:
    """A pair shares a bar exactly where Nemenyi's p value is above the level; no bar lies within another."""
    found = ranked(scores, level=level)
    if not found.defined:
        return
    place = {name: k for k, name in enumerate(found.candidates)}
    for one in found.candidates:
        for other in set(found.candidates) - {one}:
            joined = any({one, other} <= set(group) for group in found.groups)
            assert joined == (found.pairwise[place[one], place[other]] > level)
    assert not any(set(a) < set(b) for a in found.groups for b in found.groups)


@UNHURRIED
@given(grids())
def test_the_tests_see_ranks_only(scores: NDArray[np.float64]) -> None:
    """Any scale of a data set's own gives the same answer; lower-is-better scores are ranked the other way."""
    one = ranked(scores)
    other = ranked(-np.exp(scores) * np.arange(1, len(scores) + 1)[:, None], direction="lower")
    assert one.reason == other.reason
    np.testing.assert_array_equal(one.ranks, other.ranks)


def test_two_candidates_are_a_sign_test() -> None:
    """scipy takes three or more; of two, χ² = (wins - losses)² / N."""
    scores = np.array([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2)
    found = ranked(scores)
    assert found.chi_square == pytest.approx(2.0)
    assert found.pairwise[0, 1] == pytest.approx(found.chi_p, abs=1e-6)  # the same normal distribution


def test_complete_agreement_has_the_p_value_of_one_arrangement() -> None:
    """F is infinite, and yet 5 data sets that rank 3 candidates alike do so by chance once in 6⁴ times (Conover)."""
    found = ranked(np.tile([0.9, 0.8, 0.7], (5, 1)))
    assert found.f == np.inf
    assert found.f_p == pytest.approx(6.0**-4)
    assert ranked(np.tile([0.9, 0.8, 0.8], (5, 1))).f_p == pytest.approx(3.0**-4)
    assert found.order == ("model 0", "model 1", "model 2")


# ---------------------------------------------------------------------- where there is no test


@pytest.mark.parametrize(
    "names",
    [
        ["cnmc fold 0", "cnmc fold 1", "cnmc fold 2", "cnmc fold 3", "cnmc fold 4"],
        ["cnmc/fold-0", "cnmc/fold-1", "a", "b", "c"],
        ["fold_1", "fold_2", "fold_3", "fold_4", "fold_5"],
        ["cnmc", "taleqani", "blood", "CNMC (seed 2)", "pbc"],
        ["cnmc", "taleqani", "cnmc", "blood", "pbc"],
    ],
)
def test_folds_of_one_data_set_are_refused_in_words(names: list[str]) -> None:
    found = ranked(np.random.default_rng(0).random((5, 3)), data_sets=names)
    assert not found.defined
    assert "one data set" in found.reason
    assert "corrected resampled t" in found.reason
    assert np.isnan([found.chi_p, found.f_p, found.critical_difference]).all()
    assert (found.groups, found.differ, found.order) == ((), False, ())


def test_names_with_numbers_may_be_data_sets() -> None:
    assert one_data_set(["ALL-IDB1", "ALL-IDB2", "cnmc 2019", "cnmc 2020", "fold 1", "taleqani"]) == ""


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (np.ones((5, 1)), "1 candidate; at least 2 are needed"),
        (np.random.default_rng(0).random((4, 3)), "4 data sets; at least 5 are needed"),
        (np.full((6, 3), 0.5), "all candidates tie on every data set"),
        (np.where(np.eye(6, 3) > 0, np.nan, 0.5), "undefined for 'model 0' on 'set A'"),
    ],
)
def test_undefined_with_the_reason(scores: NDArray[np.float64], reason: str) -> None:
    found = ranked(scores)
    assert found.reason == reason
    assert np.isnan([found.chi_square, found.f, found.critical_difference]).all()


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ComparisonError, match=r"\(5, 3\) for 5 data sets and 2 candidates"):
        ranked(np.ones((5, 3)), candidates=["a", "b"])
    with pytest.raises(ComparisonError, match="'a' stands twice"):
        ranked(np.ones((5, 2)), candidates=["a", "a"])
    with pytest.raises(UsageError, match="significance level of 5"):
        ranked(np.ones((5, 2)), level=5)
