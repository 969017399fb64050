"""What is said of two runs: who is ahead, by how much, and whether that could be chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.uncertainty import Uncertainty
from leukfeat.reports.comparison import compare
from leukfeat.reports.pairs import p_in_words, spoken

QUICK = Uncertainty(n_draws=300)


def sharpened(run: Run, name: str, factor: float, seed: int = 1) -> Run:
    """The same run with more or less noise on its logits."""
    p = run.predictions.proba[:, 0]
    noise = np.random.default_rng(seed).normal(0, 1, len(p))
    truth = np.where(run.predictions.y_true == "ALL", 1, -1)
    logit = np.log(p / (1 - p)) + factor * truth + 0.2 * noise
    p = 1 / (1 + np.exp(-logit))
    return replace(run, name=name, predictions=replace(run.predictions, proba=np.column_stack([p, 1 - p])))


def test_a_clear_difference_is_said_in_a_sentence_with_all_its_numbers(two):
    worse = two("resnet18 → svm", gap=0.4)
    better = sharpened(worse, "densenet201 → xgboost", 1.5)
    comparison = compare([worse, better], how=QUICK)
    (pair,) = comparison.pairs.pairs
    found = pair.difference
    assert found.estimate.value > 0  # the better run stands first
    assert comparison.pairs.sentences == (
        f"xgboost on densenet201 is better than svm on resnet18 by {found.estimate.value:.3f} AUROC (95 % CI"
        f" {found.interval.low:.3f} to {found.interval.high:.3f}, Holm p {p_in_words(pair.adjusted.value)}, 12"
        " subjects).",
    )


def test_where_a_lower_number_is_better_the_sentence_still_names_the_better_run(two):
    worse = two("a", gap=0.4)
    better = sharpened(worse, "b", 1.5)
    (sentence,) = compare([worse, better], main="log_loss", how=QUICK).pairs.sentences
    assert sentence.startswith("b is better than a by 0.")
    low, high = sentence.split("CI ")[1].split(",")[0].split(" to ")
    assert 0 < float(low) < float(high)


def test_runs_that_hardly_differ_are_not_called_different(two):
    run = two("a", gap=0.4)
    (sentence,) = compare([run, sharpened(run, "b", 0.01)], how=QUICK).pairs.sentences
    assert "cannot be told from" in sentence


def test_equal_runs_have_no_test_and_a_reason(two):
    run = two("a")
    comparison = compare([run, replace(run, name="b")], how=QUICK)
    assert "untested: the same in every resample" in comparison.pairs.sentences[0]
    assert comparison.to_dict()["pairs"]["differences"][0]["p"] is None


def test_one_run_has_nobody_to_be_compared_with(two):
    comparison = compare([two()], how=QUICK)
    assert comparison.pairs.sentences == ()
    assert comparison.tables["pairs"].footnotes == ["None: there is one run only"]


def test_a_reference_makes_the_family_smaller(two):
    runs = [two("a", gap=0.5), two("b", gap=1.0), two("c", gap=2.0)]
    every, against = compare(runs, how=QUICK).pairs, compare(runs, how=QUICK, reference="a").pairs
    assert len(every.pairs) == 3
    assert [(pair.difference.first, pair.difference.second) for pair in against.pairs] == [("c", "a"), ("b", "a")]
    with_all = {pair.difference.second: pair for pair in every.pairs if pair.difference.first == "c"}["a"]
    assert against.pairs[0].difference.p == with_all.difference.p
    assert against.pairs[0].adjusted.value <= with_all.adjusted.value
    assert "every run against a" in against.family
    with pytest.raises(ComparisonError, match="reference 'd' is not among the runs"):
        compare(runs, reference="d")


def test_of_many_runs_those_against_the_best_get_words_and_the_table_has_all(two):
    runs = [two(f"run {number}", gap=0.3 + 0.2 * number) for number in range(5)]
    comparison = compare(runs, how=QUICK)
    assert len(comparison.tables["pairs"].rows) == 10
    assert len(comparison.pairs.sentences) == 4


def test_the_other_tests_that_fit_are_named_with_what_they_rest_on(two):
    worse = two("a", gap=0.4)
    table = compare([worse, sharpened(worse, "b", 0.6)], how=QUICK).tables["other-tests"]
    kinds = {(row[2], row[3].split(" (")[0]) for row in table.rows}
    assert kinds == {
        ("AUROC of cells", "clustered DeLong test"),
        ("accuracy of cells", "clustered McNemar test"),
        ("accuracy of subjects", "exact McNemar test"),
        ("AUROC of cells by fold", "corrected resampled t test"),
    }


def test_several_classes_have_no_delong_test(four):
    other = replace(four, name="other", predictions=replace(four.predictions, proba=four.predictions.proba[::-1]))
    table = compare([four, other], how=QUICK).tables["other-tests"]
    assert not any("DeLong" in row[3] for row in table.rows)


def test_folds_say_how_probable_practical_equivalence_is(two):
    run = two("a", gap=0.4)
    table = compare([run, sharpened(run, "b", 0.0)], how=QUICK).tables["equivalence"]
    worse, equivalent, better = (cell.value for cell in table.rows[0][2:5])
    assert worse + equivalent + better == pytest.approx(1)
    one_fold = replace(run.predictions, fold=np.zeros(48, dtype=int))
    held = [replace(run, name=name, predictions=one_fold, split={}) for name in "ab"]
    assert "no cross-validation" in compare(held, how=QUICK).tables["equivalence"].footnotes[0]


def test_a_run_is_spoken_of_head_first():
    assert spoken("efficientnet_b0 + cbam → svm") == "svm on efficientnet_b0 + cbam"
    assert spoken("predictions") == "predictions"


def test_what_is_told_apart_goes_with_the_level_of_the_intervals(two):
    """'Better' beside an interval that holds 0 would be a contradiction on one line."""
    worse = two("a", gap=0.4)
    better = sharpened(worse, "b", 0.75)
    for level in (0.9, 0.95, 0.99, 0.999):
        (pair,) = compare([worse, better], how=Uncertainty(level=level, n_draws=300)).pairs.pairs
        assert pair.told_apart == (0 not in pair.difference.interval), level


def test_differences_have_t_intervals_whatever_those_of_metrics_are(two):
    """Their p values come from t; a percentile interval beside them could leave out 0 where p does not."""
    runs = [two("a", gap=0.4), two("b", gap=0.8)]
    one, other = (compare(runs, how=Uncertainty(method, n_draws=300)).pairs.pairs[0] for method in ("t", "percentile"))
    assert one.difference == other.difference
