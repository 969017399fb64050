"""Calibration learns inside the training part, makes probabilities better, and leaves alone what it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

from leukfeat.errors import LeakageError, PredictionsError, UnknownNameError
from leukfeat.evaluation.calibration import METHODS, calibrated, without_calibration
from leukfeat.evaluation.inner import InnerPredictions
from leukfeat.evaluation.metrics import score, score_by_fold
from leukfeat.evaluation.predictions import Predictions


def _of_fold(predictions: Predictions, fold: int) -> np.ndarray:
    return np.flatnonzero(predictions.fold == fold)


@pytest.mark.parametrize("sureness", [0.5, 1.0, 2.5])
def test_temperature_undoes_what_made_a_model_too_sure(study_of, sureness: float) -> None:
    """Log-odds that are right are multiplied by a number, and the temperature is that number."""
    predictions, inner = study_of(subjects=40, cells=100, sureness=sureness)
    found = calibrated(predictions, inner)
    for fold in found.folds:
        assert fold.learned["T"] == pytest.approx(sureness, rel=0.15)
        assert (fold.cells, fold.groups, fold.learned["at_bound"]) == (3200, 32, False)
    before, after = (score(each, ["log_loss"])["log_loss"].value for each in (predictions, found.predictions))
    assert after <= before + 1e-3


def test_temperature_is_the_one_of_highest_likelihood(study) -> None:
    predictions, inner = study
    part = inner.of_fold(0, 0)
    own = np.where(part.y_true == "ALL", 1, -1) * np.log(part.proba[:, 0] / part.proba[:, 1])
    grid = np.geomspace(0.2, 5, 4001)
    losses = [np.logaddexp(0, -own / T).mean() for T in grid]
    found = calibrated(predictions, inner).folds[0].learned["T"]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=1e-3)


def test_temperature_leaves_the_predicted_class_and_the_ranking_of_a_fold(study_of) -> None:
    predictions, inner = study_of(seed=3, sureness=3.0)
    after = calibrated(predictions, inner).predictions
    assert not np.allclose(after.proba, predictions.proba)
    assert np.array_equal(after.y_pred, predictions.y_pred)
    areas = [score_by_fold(each, ["auroc"]) for each in (predictions, after)]
    assert [one["auroc"].value for one in areas[1].values()] == [one["auroc"].value for one in areas[0].values()]
    assert np.allclose(after.proba.sum(axis=1), 1, atol=1e-12)


def test_certainty_survives_temperature(study) -> None:
    """Probabilities that round to 1 are still told apart by the other column, before and after."""
    predictions, inner = study
    z = np.linspace(-80, 80, len(predictions))
    small = np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z)))
    first = np.where(z >= 0, 1 - small, small)
    sure = replace(predictions, proba=np.column_stack([first, np.where(z >= 0, small, 1 - small)]))
    after = calibrated(sure, inner).predictions.proba
    for fold in range(5):  # each has a temperature of its own
        rows = _of_fold(sure, fold)
        assert (np.diff(after[rows, 0] / after[rows, 1]) > 0).all()


def test_temperature_of_several_classes_is_softmax_of_scaled_logarithms() -> None:
    rng = np.random.default_rng(0)
    classes = ("a", "b", "c")
    logits = rng.normal(scale=1.2, size=(900, 3))
    y = np.array([rng.choice(3, p=softmax(row)) for row in logits])
    names = np.array(classes)[y]
    columns = {
        "sample": np.array([f"c{n}" for n in range(900)]),
        "subject": np.array([f"S{n % 30}" for n in range(900)]),
        "group": np.array([f"S{n % 30}" for n in range(900)]),
        "repeat": np.zeros(900),
        "y_true": names,
        "proba": softmax(2 * logits, axis=1),
        "classes": classes,
    }
    fold = np.arange(900) % 30 % 3
    predictions = Predictions(**columns, fold=fold)
    inner = InnerPredictions.concatenate(
        [replace(InnerPredictions(**columns, fold=np.full(900, k)).take(fold != k)) for k in range(3)]
    )
    found = calibrated(predictions, inner)
    assert [one.learned["T"] for one in found.folds] == pytest.approx([2] * 3, rel=0.2)
    T = found.folds[1].learned["T"]
    assert found.predictions.proba[fold == 1] == pytest.approx(softmax(2 * logits[fold == 1] / T, axis=1), abs=1e-9)
    assert np.array_equal(found.predictions.y_pred, predictions.y_pred)
    assert without_calibration(predictions, inner, "isotonic").startswith("isotonic calibration is for two classes")


def test_platt_is_that_of_scikit_learn(study) -> None:
    predictions, inner = study
    part = inner.of_fold(0, 2)
    z = np.log(part.proba[:, 1] / part.proba[:, 0])
    a, b = _sigmoid_calibration(z, (part.y_true == "HEM").astype(float))
    (found,) = [one for one in calibrated(predictions, inner, "platt").folds if one.fold == 2]
    assert (found.learned["slope"], found.learned["intercept"]) == pytest.approx((-a, -b), abs=2e-3)


def test_isotonic_is_that_of_scikit_learn(study) -> None:
    """Steps depend on the order alone, so log-odds and probabilities give the same ones at the inner scores."""
    predictions, inner = study
    part = inner.of_fold(0, 2)
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(part.proba[:, 0], part.y_true == "ALL")
    same = replace(predictions.take(_of_fold(predictions, 2)[: len(part)]))
    rows = _of_fold(predictions, 2)
    proba = predictions.proba.copy()
    proba[rows] = part.proba[: len(rows)]
    found = calibrated(replace(predictions, proba=proba), inner, "isotonic").predictions.proba[rows, 0]
    assert len(same) == len(rows)
    assert found == pytest.approx(model.predict(part.proba[: len(rows), 0]), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_labels_of_the_test_part_change_nothing(study, method: str) -> None:
    predictions, inner = study
    permuted = replace(predictions, y_true=np.random.default_rng(0).permutation(predictions.y_true))
    plain, other = (calibrated(each, inner, method) for each in (predictions, permuted))
    assert plain.folds == other.folds
    assert np.array_equal(plain.predictions.proba, other.predictions.proba)


@pytest.mark.parametrize("method", METHODS)
def test_a_fold_learns_from_its_own_inner_predictions_alone(study, method: str) -> None:
    predictions, inner = study
    rows = inner.fold == 1
    other = replace(inner, proba=np.where(rows[:, None], inner.proba[:, ::-1], inner.proba))
    plain, changed = (calibrated(predictions, each, method) for each in (inner, other))
    same = [a == b for a, b in zip(plain.folds, changed.folds, strict=True)]
    assert same == [True, False, True, True, True]
    moved = (plain.predictions.proba != changed.predictions.proba).any(axis=1)
    assert set(predictions.fold[moved].tolist()) == {1}


def test_a_temperature_that_nothing_fixes_is_said(study) -> None:
    """Inner predictions that are all right have no best temperature: the surer the better."""
    predictions, inner = study
    right = np.where((inner.y_true == "ALL")[:, None], [0.7, 0.3], [0.3, 0.7])
    found = calibrated(predictions, replace(inner, proba=right))
    assert all(one.learned["at_bound"] for one in found.folds)
    assert any("5 fold(s) is at the end of its range" in words for words in found.words)


def test_platt_of_equal_scores_says_the_share(study) -> None:
    predictions, inner = study
    flat = replace(inner, proba=np.full_like(inner.proba, 0.5))
    found = calibrated(predictions, flat, "platt")
    assert {one.learned["slope"] for one in found.folds} == {0.0}
    assert found.predictions.proba == pytest.approx(np.full_like(predictions.proba, 0.5), abs=1e-9)
    assert any("a slope of 0 or less" in words for words in found.words)


def test_scores_that_turned_round_are_said(study) -> None:
    predictions, inner = study
    found = calibrated(predictions, replace(inner, proba=inner.proba[:, ::-1]), "platt")
    assert any(words.startswith("5 fold(s) have a slope of 0 or less") for words in found.words)


def test_what_was_learned_from_is_named_as_it_is(study) -> None:
    assert "(16 or more subjects each)" in calibrated(*study).words[0]
    unknown = [replace(one, subject=np.full(len(one), "unknown"), group=one.sample) for one in study]
    assert "(320 or more images each)" in calibrated(*unknown).words[0]


def test_what_cannot_be_calibrated_is_refused(study) -> None:
    predictions, inner = study
    with pytest.raises(PredictionsError, match="no inner predictions"):
        calibrated(predictions, None)
    with pytest.raises(PredictionsError, match="fold 0 of repeat 0 has no inner predictions"):
        calibrated(predictions, inner.take(inner.fold != 0))
    with pytest.raises(UnknownNameError, match="did you mean 'platt'"):
        calibrated(predictions, inner, "plat")
    with pytest.raises(LeakageError, match="tested in this very fold"):
        calibrated(predictions, replace(inner, fold=(inner.fold + 1) % 5))


def test_constant_scores_have_no_temperature_of_their_own():
    """Any temperature leaves them as they are, so where an optimiser stops says nothing."""
    learned = METHODS["temperature"].learn(np.full((20, 2), 0.5), np.arange(20) % 2)
    assert learned == {"T": 1.0, "at_bound": True}
