"""AUROCs and their covariance: as R's pROC has them, as the formulas say pair by pair, and undefined where they are."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.delong import Areas, clustered_delong, delong

UNHURRIED = settings(max_examples=50, deadline=None)  # the first example pays for lazy imports

# Turck et al. 2010 (doi:10.1007/s00134-009-1641-y), the example data of R's pROC: 113 patients with a subarachnoid
# haemorrhage, outcome and three scores. The numbers below are those of pROC 1.18.0: auc, var, cov, ci.auc, roc.test.
ASAH = Path(__file__).parent / "data" / "asah.csv"
MARKERS = ("s100b", "wfns", "ndka")
AREA = [0.731368563685637, 0.823678861788618, 0.611957994579946]
VARIANCE = [0.00266868245717244, 0.00146991470882363, 0.0031908105493913]
COVARIANCE = {(0, 1): 0.00119615567376754, (0, 2): -0.000756164938056579, (1, 2): -0.000532967856762438}
INTERVAL = [
    (0.630118211761623, 0.832618915609651),
    (0.748534887819453, 0.898822835757783),
    (0.501244999271703, 0.722670989888189),
]
TESTS = {
    (0, 2): (1.39077002573558, 0.164295175223054, -0.0488706064228094, 0.287691744634191),
    (0, 1): (-2.20898359144091, 0.0271757822291882, -0.174214419249478, -0.0104061769564846),
    (1, 2): (2.79777591868904, 0.00514557970691098, 0.0634011709339876, 0.360040563483357),
}


@pytest.fixture(scope="module")
def asah() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    with ASAH.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[name]) for row in rows] for name in MARKERS]), np.array(
        [row["poor"] == "1" for row in rows]
    )


def test_areas_and_covariances_are_those_of_proc(asah: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> None:
    areas = delong(*asah)
    assert areas.area == pytest.approx(AREA, abs=1e-12)
    assert areas.covariance.diagonal() == pytest.approx(VARIANCE, abs=1e-12)
    assert {pair: areas.covariance[pair] for pair in COVARIANCE} == pytest.approx(COVARIANCE, abs=1e-12)
    for model, (low, high) in enumerate(INTERVAL):
        found = areas.interval(model)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("pair", TESTS)
def test_differences_are_those_of_proc(
    asah: tuple[NDArray[np.float64], NDArray[np.bool_]], pair: tuple[int, int]
) -> None:
    outcome = delong(*asah).compare(*pair)
    between = outcome.interval()
    assert (outcome.statistic, outcome.p, between.low, between.high) == pytest.approx(TESTS[pair], abs=1e-9)
    assert outcome.estimates == pytest.approx([AREA[pair[0]], AREA[pair[1]]])


def test_the_order_of_the_models_turns_the_sign_only(asah: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> None:
    areas = delong(*asah)
    one, other = areas.compare(0, 1), areas.compare(1, 0)
    assert (one.p, one.standard_error) == (other.p, other.standard_error)
    assert one.statistic == -other.statistic


# ---------------------------------------------------------------------- the formulas, pair by pair


def obuchowski(
    scores: NDArray[np.float64], y: NDArray[np.bool_], clusters: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas and covariance as Obuchowski 1997 writes them, with ψ for every pair and a loop over clusters."""
    names = np.unique(clusters)
    m, n = int(y.sum()), int((~y).sum())
    v10, v01 = [], []
    for one in scores:
        psi = np.array([[1.0 if x > z else 0.5 if x == z else 0.0 for z in one[~y]] for x in one[y]])
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    area = np.array([one.mean() for one in v10])
    with_positives = [c for c in names if y[clusters == c].any()]
    with_negatives = [c for c in names if (~y)[clusters == c].any()]
    i10, i01, i = len(with_positives), len(with_negatives), len(names)

    def x(a: int, c: int) -> float:
        inside = clusters[y] == c
        return float(v10[a][inside].sum() - inside.sum() * area[a])

    def z(a: int, c: int) -> float:
        inside = clusters[~y] == c
        return float(v01[a][inside].sum() - inside.sum() * area[a])

    covariance = np.empty((len(scores), len(scores)))
    for a, b in product(range(len(scores)), repeat=2):
        s10 = i10 / ((i10 - 1) * m) * sum(x(a, c) * x(b, c) for c in with_positives)
        s01 = i01 / ((i01 - 1) * n) * sum(z(a, c) * z(b, c) for c in with_negatives)
        s11 = i / (i - 1) * sum(x(a, c) * z(b, c) for c in names)
        s11_turned = i / (i - 1) * sum(x(b, c) * z(a, c) for c in names)
        covariance[a, b] = s10 / m + s01 / n + (s11 + s11_turned) / (m * n)
    return area, covariance


@st.composite
def cells(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Two models on rows with many ties, in clusters that may hold both classes; each class is in two clusters."""
    n = draw(st.integers(4, 24))
    numbers = st.integers(0, 4)
    scores = np.array([draw(st.lists(numbers, min_size=n, max_size=n)) for _ in range(2)], dtype=float)
    y = np.array([True, True, False, False, *draw(st.lists(st.booleans(), min_size=n - 4, max_size=n - 4))])
    clusters = np.array([0, 1, 0, 1, *draw(st.lists(numbers, min_size=n - 4, max_size=n - 4))])
    return scores, y, clusters


@UNHURRIED
@given(cells())
def test_midranks_give_what_the_pairs_give(
    data: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]],
) -> None:
    scores, y, clusters = data
    areas = clustered_delong(scores, y, clusters)
    area, covariance = obuchowski(scores, y, clusters)
    assert areas.area == pytest.approx(area, abs=1e-12)
    np.testing.assert_allclose(areas.covariance, covariance, atol=1e-12)
    assert np.linalg.eigvalsh(areas.covariance).min() > -1e-12  # S11 may be negative, a variance may not


@UNHURRIED
@given(cells())
def test_one_row_a_cluster_is_the_plain_test(
    data: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]],
) -> None:
    scores, y, _ = data
    plain, clustered = delong(scores, y), clustered_delong(scores, y, np.arange(len(y))[::-1])
    np.testing.assert_allclose(clustered.covariance, plain.covariance, atol=1e-15)
    one, other = plain.compare(), clustered.compare()
    assert (one.p, one.statistic) == pytest.approx((other.p, other.statistic), nan_ok=True)


@UNHURRIED
@given(cells(), st.permutations(range(5)))
def test_only_the_order_of_scores_and_who_belongs_together_count(
    data: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]], names: list[int]
) -> None:
    scores, y, clusters = data
    there, here = clustered_delong(scores, y, clusters), clustered_delong(np.exp(scores), y, np.array(names)[clusters])
    np.testing.assert_allclose(there.covariance, here.covariance, atol=1e-14)


def test_copies_of_rows_in_their_cluster_add_no_evidence() -> None:
    """What a naive test gets wrong: ten photographs of a cell are not ten cells."""
    rng = np.random.default_rng(0)
    scores, y = rng.normal(size=(2, 40)), np.arange(40) < 20
    scores[0] += y
    once = clustered_delong(scores, y, np.arange(40)).compare()
    tenfold = np.tile(scores, 10), np.tile(y, 10)
    assert clustered_delong(*tenfold, np.tile(np.arange(40), 10)).compare().p == pytest.approx(once.p)
    assert delong(*tenfold).compare().p < once.p / 2


def test_areas_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(1)
    scores, y = rng.integers(0, 9, size=(3, 200)).astype(float), rng.random(200) < 0.3
    assert delong(scores, y).area == pytest.approx([roc_auc_score(y, one) for one in scores])


# ---------------------------------------------------------------------- repeats of a cross-validation


def test_repeats_are_ranked_apart_and_averaged() -> None:
    rng = np.random.default_rng(2)
    scores, y, clusters = rng.normal(size=(2, 60)), np.arange(60) < 30, np.arange(60) // 3
    again = rng.normal(size=(2, 60)) + 100  # another repeat has another scale
    both = np.hstack([scores, again])
    areas = clustered_delong(both, np.tile(y, 2), np.tile(clusters, 2), np.repeat([0, 1], 60))
    one, two = clustered_delong(scores, y, clusters), clustered_delong(again, y, clusters)
    assert areas.area == pytest.approx((one.area + two.area) / 2)
    # independent repeats on the same subjects: the mean varies less than one of them, and more than nothing
    assert (areas.standard_error < np.maximum(one.standard_error, two.standard_error)).all()


def test_a_repeat_that_says_the_same_again_adds_no_evidence() -> None:
    rng = np.random.default_rng(3)
    scores, y, clusters = rng.normal(size=(2, 60)), np.arange(60) < 30, np.arange(60) // 3
    once = clustered_delong(scores, y, clusters)
    thrice = clustered_delong(np.tile(scores, 3), np.tile(y, 3), np.tile(clusters, 3), np.repeat([0, 1, 2], 60))
    np.testing.assert_allclose(thrice.covariance, once.covariance)


# ---------------------------------------------------------------------- where there is no test


def undefined(areas: Areas) -> str:
    """The reason, after checking that no number stands beside it."""
    outcome = areas.compare()
    assert not outcome.defined
    assert np.isnan([outcome.p, outcome.statistic, outcome.standard_error]).all()
    assert not outcome.interval().defined
    return outcome.reason


def test_one_class_has_no_area() -> None:
    scores = np.arange(8.0).reshape(2, 4)
    assert undefined(delong(scores, np.ones(4, dtype=bool))) == "one class only"
    assert undefined(delong(np.empty((2, 0)), np.empty(0, dtype=bool))) == "one class only"
    repeats = np.array([0, 0, 1, 1])  # a repeat without negatives has no area, whatever the other has
    lacking = clustered_delong(scores, np.array([True, False, True, True]), np.arange(4), repeats)
    assert undefined(lacking) == "one class only"
    assert np.isnan(lacking.area).all()


def test_two_clusters_of_one_class_each_have_an_area_and_no_variance() -> None:
    scores, y = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 2.0, 4.0]]), np.array([True, True, False, False])
    areas = clustered_delong(scores, y, np.array([0, 0, 1, 1]))
    assert undefined(areas) == "the positive class has 1 cluster; at least 2 are needed"
    assert areas.area.tolist() == [1.0, 0.25]
    assert areas.compare().estimates == (1.0, 0.25)
    assert np.isnan(areas.covariance).all()
    assert areas.interval().reason == areas.reason
    turned = clustered_delong(scores, ~y, np.array([0, 0, 1, 2]))
    assert undefined(turned) == "the negative class has 1 cluster; at least 2 are needed"


def test_two_clusters_with_both_classes_are_enough() -> None:
    scores, y = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 2.0, 4.0]]), np.array([True, False, False, True])
    assert clustered_delong(scores, y, np.array([0, 0, 1, 1])).compare().defined


def test_models_that_rank_alike_are_not_tested() -> None:
    rng = np.random.default_rng(4)
    score, y = rng.random(50), rng.random(50) < 0.5
    areas = clustered_delong(np.stack([score, score**3]), y, np.arange(50) // 5)
    assert undefined(areas) == "both rank every row alike"
    assert areas.compare().difference == 0


def test_areas_without_variance_are_not_tested() -> None:
    """A perfect model and a constant one: every row says the same, so nothing is known about its spread."""
    y = np.arange(10) < 5
    areas = delong(np.stack([y.astype(float), np.zeros(10)]), y)
    assert areas.area.tolist() == [1.0, 0.5]
    assert undefined(areas) == "the difference is the same for all rows"
    assert "1.000 is the same for every row" in areas.interval(0).reason
    assert "0.500 is the same for every row" in areas.interval(1).reason


def test_an_infinite_score_is_a_rank_and_a_missing_one_is_refused() -> None:
    y = np.array([True, True, False, False])
    assert delong([[np.inf, 1.0, 0.0, -np.inf]], y).area == pytest.approx([1.0])
    with pytest.raises(PredictionsError, match=r"row 2 of model 1 is not a number \(1 such"):
        delong([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, np.nan, 4.0]], y)


@pytest.mark.parametrize(
    ("scores", "y", "clusters", "words"),
    [
        ([1.0, 2.0], [True, False], [0, 1], "scores must be"),
        ([[1.0, 2.0]], [True], [0, 1], "scores must be"),
        ([[1.0, 2.0]], [True, False], [0], "scores must be"),
        ([[1.0, 2.0]], [1, 2], [0, 1], "give booleans"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(scores: object, y: object, clusters: object, words: str) -> None:
    with pytest.raises(PredictionsError, match=words):
        clustered_delong(scores, y, clusters)


# ---------------------------------------------------------------------- does the variance tell the truth?


@pytest.mark.parametrize("mixed", [False, True])
def test_the_clustered_error_is_the_spread_over_studies(mixed: bool) -> None:
    """Over simulated studies the mean clustered variance is that of the areas; the plain one is far below."""
    rng = np.random.default_rng(5)
    subject = np.repeat(np.arange(60), 8)
    found, clustered, plain = [], [], []
    for _ in range(150):
        y = rng.random(480) < 0.5 if mixed else subject < 30
        score = y + 1.0 * rng.normal(size=60)[subject] * (1 - 2.0 * (y & mixed)) + rng.normal(size=480)
        areas = clustered_delong(score[None], y, subject)
        found.append(areas.area[0])
        clustered.append(areas.covariance[0, 0])
        plain.append(delong(score[None], y).covariance[0, 0])
    assert np.mean(clustered) == pytest.approx(np.var(found, ddof=1), rel=0.3)
    assert np.mean(plain) < 0.6 * np.mean(clustered)
