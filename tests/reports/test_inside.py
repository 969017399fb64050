"""What is learned inside training parts and judged outside, as tables with intervals and reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.evaluation.proportions import clopper_pearson
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.thresholds import at
from leukfeat.evaluation.uncertainty import Uncertainty
from leukfeat.reports.comparison import compare
from leukfeat.reports.estimates import EXACT
from leukfeat.reports.inside import Asked
from tests.evaluation.conftest import make_study

QUICK = Uncertainty(n_draws=200)


@pytest.fixture(scope="module")
def run() -> Run:
    """A run that is twice too sure of itself, with inner predictions."""
    predictions, inner = make_study(sureness=2.0)
    return Run("svm", predictions, inner=inner, split={"kind": "grouped", "protection": "subject", "digest": "a" * 64})


def test_calibration_stands_before_and_after_with_what_was_learned(run):
    table = compare([run], how=QUICK).tables["calibration"]
    assert [row[1] for row in table.rows] == ["as predicted", "temperature"]
    slope = [column.title for column in table.columns].index("calibration slope")
    before, after = (row[slope].value for row in table.rows)
    assert abs(after - 1) < abs(before - 1)
    assert "learned on the inner predictions" in table.words[0]


def test_an_operating_point_says_what_it_reaches_outside_with_intervals(run):
    asked = Asked(targets=("sensitivity=0.9", "youden"))
    table = compare([run], how=QUICK, asked=asked).tables["operating-points"]
    youden = str(at("youden"))
    assert [(row[1], row[2]) for row in table.rows] == [
        ("sensitivity ≥ 0.9", "cell"),
        ("sensitivity ≥ 0.9", "subject"),
        (youden, "cell"),
        (youden, "subject"),
    ]
    reached = table.rows[0][6]
    assert reached.score.value > 0.8
    assert reached.score.value in reached.interval


def test_turning_test_labels_round_moves_no_threshold(run):
    """Thresholds come from inner predictions alone."""
    turned = replace(
        run,
        predictions=replace(run.predictions, y_true=np.where(run.predictions.y_true == "ALL", "HEM", "ALL")),
    )
    columns = slice(3, 6)
    plain, other = (compare([one], how=QUICK).tables["operating-points"] for one in (run, turned))
    assert [row[columns] for row in plain.rows] == [row[columns] for row in other.rows]
    assert plain.rows[0][6] != other.rows[0][6]


def test_predictive_values_follow_the_prevalence(run):
    table = compare([run], how=QUICK, asked=Asked(prevalences=(0.5, 0.01))).tables["predictive-values"]
    by_cell = [row for row in table.rows if row[2] == "cell"]
    assert by_cell[0][4].score.value > by_cell[1][4].score.value  # PPV falls with the prevalence
    assert by_cell[0][5].score.value < by_cell[1][5].score.value


def test_every_subject_gets_a_verdict(run):
    tables = compare([run], how=QUICK).tables
    assert tables["verdicts"].rows[0][1] == 20
    assert len(tables["verdict-per-subject"].rows) == 20
    assert "Clopper–Pearson" in tables["verdicts"].words[0]


def test_without_inner_predictions_the_tables_say_why_they_are_empty(run):
    tables = compare([replace(run, inner=None)], how=QUICK).tables
    assert "no inner predictions" in tables["operating-points"].footnotes[0]
    assert "not calibrated, no inner predictions" in tables["calibration"].words[0]
    assert "verdicts" not in tables


def test_an_encoder_that_saw_what_is_learned_from_is_told_of(run):
    seen = replace(run, folds=({"inner_seen": True},))
    table = compare([seen], how=QUICK).tables["operating-points"]
    assert any("flatter (svm)" in words for words in table.words)


def test_what_cannot_be_learned_is_said_before_any_work():
    with pytest.raises(UnknownNameError, match="calibration 'temprature' is not known; did you mean 'temperature'"):
        Asked("temprature")
    with pytest.raises(UsageError, match="sensitivity"):
        Asked(targets=("sensitivity=95",))
    with pytest.raises(UsageError, match="prevalence of 5"):
        Asked(prevalences=(5.0,))


def test_a_share_of_subjects_has_one_kind_of_interval_in_every_table(run):
    """A reviewer who finds two intervals for 17 of 20 believes neither."""
    comparison = compare([run], how=QUICK)
    verdict = comparison.tables["verdicts"].rows[0]
    (reached,) = (row for row in comparison.tables["operating-points"].rows if row[2] == "subject")
    plain = comparison.by_subject
    for found, of in (
        (verdict[2], 20),
        (verdict[3], 10),
        (verdict[4], 10),
        (reached[6], 10),
        (reached[7], 10),
        (plain.estimate("svm", "accuracy"), 20),
        (plain.estimate("svm", "sensitivity"), 10),
        (plain.estimate("svm", "specificity"), 10),
    ):
        exact = clopper_pearson(round(found.score.value * of), of)
        assert (found.interval.low, found.interval.high) == (exact.low, exact.high)
    for name in ("verdicts", "operating-points", "by-subject"):
        assert any(EXACT in words for words in comparison.tables[name].words), name


def test_subjects_that_are_all_called_right_have_the_exact_interval():
    """20 of 20 is no proof of 100 %."""
    predictions, inner = make_study(sureness=6.0, effect=0.0, cells=60)
    table = compare([Run("svm", predictions, inner=inner)], how=QUICK).tables["operating-points"]
    (subjects,) = (row for row in table.rows if row[2] == "subject")
    perfect = [cell for cell in subjects[6:] if cell.score.value == 1]
    assert perfect
    assert perfect[0].interval.low == pytest.approx(0.025 ** (1 / 10))
