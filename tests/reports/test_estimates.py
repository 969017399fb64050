"""Numbers with intervals, the same resamples for every run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.evaluation.intervals import Interval
from leukfeat.evaluation.metrics import Score, score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty
from leukfeat.reports.comparison import compare
from leukfeat.reports.estimates import TOO_NARROW, Estimates
from leukfeat.reports.table import Column, Table

QUICK = Uncertainty(n_draws=200)
ESTIMATES = Table(
    "Scores",
    (Column("run"), Column("AUROC", form=".3f"), Column("n", form="d")),
    (
        ("svm", Estimate(Score(0.9), Interval(0.81, 0.987654321)), 3),
        ("knn", Estimate(Score(0.5), Interval.undefined("one subject only")), 4),
        ("tree", Estimate(Score.undefined("one class only"), Interval.undefined("one class only")), 5),
    ),
)


def test_an_estimate_shows_its_interval_and_why_there_is_none():
    assert [row[1] for row in ESTIMATES.texts] == ["0.900 (0.810–0.988)", "0.500 (–)", "–"]
    assert ESTIMATES.footnotes == ["– no interval: one subject only (AUROC)", "– one class only (AUROC)"]


def test_a_terminal_shows_intervals_below_their_numbers():
    lines = ESTIMATES.to_lines()
    assert lines[2].split() == ["svm", "0.900", "3"]
    assert lines[3].split() == [".810–.988"]


def test_a_csv_has_the_ends_of_every_interval_to_the_last_digit(tmp_path):
    lines = ESTIMATES.to_csv(tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "run,AUROC,AUROC low,AUROC high,n,undefined"
    assert lines[1] == "svm,0.9,0.81,0.987654321,3,"
    assert lines[2] == "knn,0.5,,,4,no interval: one subject only"
    assert lines[3] == "tree,,,,5,one class only"


def test_scores_of_a_comparison_are_those_without_intervals(two):
    run = two()
    assert compare([run], how=QUICK).by_cell.scores["svm"] == score(run.predictions)


def test_every_run_is_resampled_alike(two):
    """Otherwise differences between runs would not be paired."""
    estimates = Estimates.of([two("a"), two("b", gap=2.0)], "cell", QUICK)
    assert estimates.replicates["a"]["auroc"].clusters is estimates.replicates["b"]["auroc"].clusters


def test_the_table_says_what_its_intervals_are(two, four):
    subjects = compare([two()], how=Uncertainty(level=0.9, n_draws=200)).table("cell")
    assert "90 % t interval of the bootstrap over 12 subjects" in subjects.footnotes[0]
    assert TOO_NARROW not in subjects.footnotes[0]
    images = compare([four], how=QUICK).table("cell")
    assert "over 40 images" in images.footnotes[0]
    assert TOO_NARROW in images.footnotes[0]


def test_fewer_subjects_give_wider_intervals(two):
    run = two()
    half = run.predictions.take(np.isin(run.predictions.subject, [f"S{number}" for number in range(6)]))
    whole, part = (
        compare([replace(run, predictions=predictions)], how=QUICK).by_cell.estimate("svm", "brier").interval
        for predictions in (run.predictions, half)
    )
    assert part.high - part.low > whole.high - whole.low


def test_spread_between_repeats_is_told_from_that_between_subjects(two):
    """Repeats of one study share its subjects, so their SD says nothing of other subjects."""
    run = two()
    other = replace(two(gap=1.01).predictions, repeat=np.ones(48))
    repeated = replace(run, predictions=Predictions.concatenate([run.predictions, other]))
    comparison = compare([repeated], how=QUICK)
    (name, between, of_mean, subjects) = comparison.tables["spread"].rows[0]
    values = [score(one, ["auroc"])["auroc"].value for one in (run.predictions, replace(other, repeat=np.zeros(48)))]
    assert name == "svm"
    assert between.value == pytest.approx(np.std(values, ddof=1))
    assert of_mean.value == pytest.approx(between.value / np.sqrt(2))
    assert subjects.value == pytest.approx(comparison.by_cell.replicates["svm"]["auroc"].drawn.std(ddof=1))
    assert "spread" not in compare([run], how=QUICK).tables


def test_what_cannot_be_done_is_said_before_any_work():
    with pytest.raises(UnknownNameError, match="interval 'BCA' is not known"):
        Uncertainty("BCA")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"e\.g\. 0\.95"):
        Uncertainty(level=95)
    with pytest.raises(UsageError, match="at least 100"):
        Uncertainty(n_draws=10)


def test_subjects_that_are_all_called_alike_have_the_exact_interval(two):
    """Ten of ten is where a reviewer asks for an interval, and where resampling shows none."""
    perfect = two()
    p = np.where(perfect.predictions.y_true == "ALL", 0.9, 0.1)
    perfect = replace(perfect, predictions=replace(perfect.predictions, proba=np.column_stack([p, 1 - p])))
    comparison = compare([perfect], how=QUICK)
    found = comparison.by_subject.estimate("svm", "sensitivity")
    assert found.score.value == 1
    assert found.interval.low == pytest.approx(0.025 ** (1 / 6))
    assert "Clopper–Pearson" in comparison.table("subject").words[0]


def test_two_subjects_are_not_called_a_bootstrap(two):
    run = two()
    few = run.predictions.take(np.isin(run.predictions.subject, ["S0", "S1"]))
    words = compare([replace(run, predictions=few)], how=QUICK).table("cell").words[0]
    assert words.startswith("no intervals: class 'ALL' has 1 subject")
