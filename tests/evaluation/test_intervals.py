"""Intervals: from whole subjects, on the scale of the metric, or a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import ComparisonError, UnknownNameError, UsageError
from leukfeat.evaluation.intervals import METHODS, Interval, Replicates, intervals, replicates, scale_of
from leukfeat.evaluation.metrics import METRICS, Score, score
from leukfeat.evaluation.paired import difference, differences
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters, Draws
from tests.evaluation.conftest import MakePredictions


def cells(n_subjects: int = 20, n_cells: int = 15, seed: int = 0, shift: float = 1.5, noise: int = 0) -> Predictions:
    """Cells with strong subject effects; ``noise`` gives another model of the same cells."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n_subjects), n_cells)
    y = owner % 2
    logit = shift * (2 * y - 1) + rng.normal(0, 1.5, n_subjects)[owner] + rng.normal(0, 1, len(owner))
    if noise:
        logit = logit + np.random.default_rng(noise).normal(0, 0.7, n_subjects)[owner]
    p = 1 / (1 + np.exp(-logit))
    names = np.char.add("s", owner.astype(str))
    return Predictions(
        sample=np.arange(len(owner)).astype(str),
        subject=names,
        group=names,
        repeat=np.zeros(len(owner)),
        fold=owner % 3,
        y_true=np.where(y == 1, "ALL", "HEM"),
        proba=np.column_stack([p, 1 - p]),
        classes=("ALL", "HEM"),
        positive="ALL",
    )


def as_images(predictions: Predictions) -> Predictions:
    return replace(predictions, subject=np.full(len(predictions), "unknown"), group=predictions.sample)


@pytest.mark.parametrize("method", METHODS)
def test_every_metric_lies_within_its_interval_and_the_interval_within_its_bounds(method: str) -> None:
    predictions = cells()
    found = intervals(predictions, method=method)
    for name, value in score(predictions).items():
        scale = scale_of(name, 2)
        assert scale.low <= found[name].low < value.value < found[name].high <= scale.high, name


def test_subjects_make_intervals_wider_than_images() -> None:
    """The reason for it all: cells of one subject are not independent."""
    predictions = cells()
    by_subject = intervals(predictions, ["auroc"])["auroc"]
    by_image = intervals(as_images(predictions), ["auroc"])["auroc"]
    assert by_subject.high - by_subject.low > 2 * (by_image.high - by_image.low)


def test_the_printed_interval_is_wider_than_the_percentiles_with_few_subjects_and_not_with_many() -> None:
    def ratio(n_subjects: int) -> float:
        predictions = cells(n_subjects, 4)
        drawn = replicates(predictions, ["balanced_accuracy"])["balanced_accuracy"]
        t, plain = drawn.interval("t"), drawn.interval("percentile")
        return (t.high - t.low) / (plain.high - plain.low)

    assert ratio(10) > 1.2
    assert ratio(300) == pytest.approx(1, abs=0.07)


def test_a_proportion_of_independent_cells_has_the_interval_of_textbooks() -> None:
    """With one cell a subject the standard error is that of a binomial proportion on the logit scale."""
    rng = np.random.default_rng(1)
    n = 400
    right = rng.random(n) < 0.8
    predictions = _proportions(right)
    found = intervals(predictions, ["sensitivity"])["sensitivity"]
    hit = right[: n // 2].mean()
    reach = 1.972 / np.sqrt(n / 2 * hit * (1 - hit))  # t quantile of 199 degrees, logit scale
    expected = [1 / (1 + np.exp(-(np.log(hit / (1 - hit)) + sign * reach))) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(expected, abs=0.005)


def _proportions(right: np.ndarray) -> Predictions:
    n = len(right)
    subjects = np.arange(n).astype(str)
    y_first = np.arange(n) < n // 2
    p = np.where(right == y_first, 0.9, 0.1)
    return Predictions(
        sample=subjects,
        subject=subjects,
        group=subjects,
        repeat=np.zeros(n),
        fold=np.zeros(n),
        y_true=np.where(y_first, "ALL", "HEM"),
        proba=np.column_stack([p, 1 - p]),
        classes=("ALL", "HEM"),
        positive="ALL",
    )


def test_bca_is_scipys_where_every_cluster_is_one_row() -> None:
    """scipy has BCa for one sample; accuracy of subjects of one stratum each is such a mean."""
    from scipy.stats import bootstrap

    rng = np.random.default_rng(5)
    right = rng.random(120) < 0.85
    predictions = _proportions(right)
    clusters = Clusters.of(predictions)
    ours = replicates(predictions, ["sensitivity"], draws=Draws.of(clusters, 20_000, 3))["sensitivity"].interval("bca")
    hits = right[:60].astype(float)
    theirs = bootstrap((hits,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(3))
    interval = theirs.confidence_interval
    assert [ours.low, ours.high] == pytest.approx([interval.low, interval.high], abs=0.018)  # a cell is 0.017


def test_a_seed_gives_the_interval_again() -> None:
    assert intervals(cells(), ["auroc"]) == intervals(cells(), ["auroc"])


def test_two_subjects_have_no_interval(make: MakePredictions) -> None:
    two = make(["ALL", "ALL", "HEM"], [0.9, 0.4, 0.2], subject=["1", "1", "2"], group=["1", "1", "2"])
    assert "class 'ALL' has 1 subject" in intervals(two, ["accuracy"])["accuracy"].reason


def test_a_metric_without_a_value_has_no_interval_and_the_same_reason(make: MakePredictions) -> None:
    one_class = make(["ALL"] * 4, [0.9, 0.8, 0.3, 0.4], subject=list("1234"), group=list("1234"))
    assert intervals(one_class, ["auroc"])["auroc"].reason == score(one_class, ["auroc"])["auroc"].reason


def test_perfect_predictions_do_not_get_an_interval_without_width(make: MakePredictions) -> None:
    """Resampling subjects that are all right shows no spread; [1, 1] would be a lie."""
    names = [f"s{k}" for k in range(12)]
    perfect = make(["ALL"] * 6 + ["HEM"] * 6, [0.9] * 6 + [0.1] * 6, subject=names, group=names)
    found = intervals(perfect, ["auroc", "sensitivity"])
    assert "the same in every resample of the 12 subjects" in found["auroc"].reason
    assert not found["sensitivity"].defined


def test_a_metric_that_many_resamples_lack_has_no_interval(make: MakePredictions) -> None:
    """Precision needs a predicted positive; here one subject of each class has all of them."""
    names = ["1", "2", "3", "H1", "H2", "H3"]
    rare = make(["ALL"] * 3 + ["HEM"] * 3, [0.9, 0.1, 0.2, 0.8, 0.1, 0.2], subject=names, group=names)
    assert "of the resamples" in intervals(rare, ["precision"])["precision"].reason


def test_constant_scores_rank_nothing(make: MakePredictions) -> None:
    names = ["1", "2", "3", "H1", "H2", "H3"]
    constant = make(["ALL"] * 3 + ["HEM"] * 3, [0.5] * 6, subject=names, group=names)
    assert score(constant, ["auroc"])["auroc"].value == 0.5
    assert "the same in every resample" in intervals(constant, ["auroc"])["auroc"].reason


def test_several_classes_have_intervals_too() -> None:
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(12), 6)
    y = owner % 3
    odds = np.exp(np.eye(3)[y] + rng.normal(0, 0.8, (12, 3))[owner] + rng.normal(0, 1, (72, 3)))
    names = np.char.add("s", owner.astype(str))
    predictions = Predictions(
        sample=np.arange(72).astype(str),
        subject=names,
        group=names,
        repeat=np.zeros(72),
        fold=np.zeros(72),
        y_true=np.array(["a", "b", "c"])[y],
        proba=odds / odds.sum(axis=1, keepdims=True),
        classes=("a", "b", "c"),
    )
    found = intervals(predictions)
    assert all(found[name].defined for name in METRICS)
    assert found["brier"].high < 2


def test_an_unknown_method_and_an_impossible_level_are_named() -> None:
    drawn = replicates(cells(), ["auroc"])["auroc"]
    with pytest.raises(UnknownNameError, match="bca, percentile, t"):
        drawn.interval("bootstrap")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"e\.g\. 0\.95"):
        drawn.interval(level=95)


# ------------------------------------------------------------------ two models


def test_a_difference_has_a_small_p_exactly_where_its_interval_leaves_out_nothing() -> None:
    """One standard error and one t for both, so they cannot contradict each other."""
    first = cells(shift=1.5)
    draws = Draws.of(Clusters.of(first))
    for seed in range(1, 12):
        other = cells(shift=1.5 - 0.1 * seed, noise=seed)
        found = difference(
            replicates(first, ["auroc"], draws=draws)["auroc"], replicates(other, ["auroc"], draws=draws)["auroc"]
        )
        assert (found.p.value < 0.05) == (0.0 not in found.interval)


def test_pairing_takes_out_what_subjects_do_to_both_models() -> None:
    first, second = cells(), cells(noise=3)
    draws = Draws.of(Clusters.of(first))
    one, two = (replicates(each, ["auroc"], draws=draws)["auroc"] for each in (first, second))
    found = difference(one, two)
    apart = np.hypot(one.drawn.std(), two.drawn.std())
    assert found.interval.high - found.interval.low < 2 * 2.4 * apart  # what unpaired models would have


def test_a_model_does_not_differ_from_itself(make: MakePredictions) -> None:
    predictions = cells()
    drawn = replicates(predictions, ["auroc"])
    found = difference(drawn["auroc"], drawn["auroc"])
    assert found.estimate == Score(0.0)
    assert "the same in every resample" in found.p.reason


def test_models_that_were_resampled_apart_are_refused() -> None:
    one, two = replicates(cells(), ["auroc"])["auroc"], replicates(cells(), ["auroc"])["auroc"]
    with pytest.raises(ComparisonError, match="the same draws"):
        difference(one, two)


def test_every_pair_or_every_run_against_a_reference() -> None:
    runs = [cells(), cells(noise=1), cells(noise=2)]
    draws = Draws.of(Clusters.of(runs[0]), 200)
    drawn = {name: replicates(run, ["auroc"], draws=draws) for name, run in zip("abc", runs, strict=True)}
    assert [(d.first, d.second) for d in differences(drawn, "auroc")] == [("a", "b"), ("a", "c"), ("b", "c")]
    against = differences(drawn, "auroc", reference="b")
    assert [(d.first, d.second) for d in against] == [("a", "b"), ("c", "b")]
    with pytest.raises(ComparisonError, match="reference 'd' is not among the runs: a, b, c"):
        differences(drawn, "auroc", reference="d")


def test_an_interval_prints_itself_or_a_dash() -> None:
    assert str(Interval(0.5, 0.75)) == "0.500–0.750"
    assert str(Interval.undefined("no")) == "–"


def test_what_is_left_out_is_one_cluster_after_the_other() -> None:
    rows = cells(n_subjects=8)
    draws = Draws.of(Clusters.of(rows), 50)
    found = replicates(rows, ["auroc", "log_loss"], draws=draws)
    for number, name in enumerate(draws.clusters.names):
        expected = score(rows.take(rows.group != name), ["auroc", "log_loss"])
        for metric, one in found.items():
            assert one.left_out is not None
            assert one.left_out[number] == pytest.approx(expected[metric].value)


def test_every_class_lends_its_degrees_of_freedom_to_a_difference() -> None:
    """Welch and Satterthwaite: two classes of ten subjects with equal variances have eighteen, not nine."""
    pooled = _both()
    apart = np.array([float((part**2).sum()) / 9 for part in pooled.influences])
    assert pooled.freedom == pytest.approx(9 * apart.sum() ** 2 / (apart**2).sum())
    assert 9 < pooled.freedom <= 18


def _both() -> Replicates:
    draws = Draws.of(Clusters.of(cells()), 200)
    one, two = (replicates(each, ["accuracy"], draws=draws)["accuracy"] for each in (cells(), cells(noise=1)))
    return Replicates(
        estimate=Score(one.estimate.value - two.estimate.value),
        drawn=one.drawn - two.drawn,
        left_out=one.left_out - two.left_out,
        clusters=one.clusters,
        pooled=True,
    )


def test_the_same_predictions_in_two_repeats_have_the_interval_of_one() -> None:
    """Repeating a study says nothing new about its subjects, also near a bound."""
    once = cells(shift=4.0)
    again = Predictions.concatenate([once, replace(once, repeat=np.ones(len(once)))])
    assert intervals(again, ["auroc", "sensitivity"]) == intervals(once, ["auroc", "sensitivity"])
