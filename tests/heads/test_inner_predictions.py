"""Inner predictions of a head: every training row by a model with the best parameters that had not seen it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leukfeat.errors import HeadError
from leukfeat.heads import inner, tuning
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.tuning import TunedHead

pytestmark = pytest.mark.usefixtures("few_rounds")

FEW_TREES = {"random-forest": {"n_estimators": 8}}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_head_has_one_prediction_of_every_row(cells_of, name: str, classes: int) -> None:
    cells = cells_of(subjects=24, classes=classes)
    head = TunedHead(name, n_trials=1, inner_folds=3, params=FEW_TREES.get(name)).fit(cells.X, cells.y, cells.groups)
    assert head.inner_rows_.tolist() == list(range(len(cells.y)))
    assert head.inner_proba_.shape == (len(cells.y), classes)
    assert head.inner_proba_.sum(axis=1) == pytest.approx(np.ones(len(cells.y)), abs=1e-6)
    right = head.classes_[head.inner_proba_.argmax(axis=1)] == cells.y
    assert right.mean() > (0.7 if classes == 2 else 0.5)


@pytest.mark.parametrize("name", HEADS)
def test_a_row_is_predicted_by_a_model_that_did_not_see_its_label(cells, name: str) -> None:
    """Turning round the labels of one half changes the predictions of the other half and none of its own."""
    first, second = np.flatnonzero(_half(cells) == 0), np.flatnonzero(_half(cells) == 1)
    pairs = [(first, second), (second, first)]
    turned = cells.y.copy()
    turned[first] = np.where(cells.y[first] == "all", "hem", "all")
    plain, other = (
        TunedHead(name, n_trials=0, inner_folds=pairs, params=FEW_TREES.get(name)).fit(cells.X, y, cells.groups)
        for y in (cells.y, turned)
    )
    assert plain.inner_proba_[first] == pytest.approx(other.inner_proba_[first], abs=1e-12)
    assert np.abs(plain.inner_proba_[second] - other.inner_proba_[second]).max() > 0.1


def _half(cells) -> np.ndarray:
    """Which half each subject belongs to; both halves have 4 subjects of each class."""
    half = {}
    for name in ("all", "hem"):
        for place, subject in enumerate(np.unique(cells.groups[cells.y == name])):
            half[subject] = place % 2
    return np.array([half[subject] for subject in cells.groups])


def test_a_head_that_knows_its_rows_by_heart_does_not_know_them_inside(cells_of) -> None:
    """Nearest neighbours in noise: all right on the rows it was fitted on, chance on new subjects."""
    areas = []
    for seed in range(8):
        cells = cells_of(seed, signal=0.0, features=8)
        head = TunedHead("knn", n_trials=0, params={"n_neighbors": 1, "reduction": "none"})
        head.fit(cells.X, cells.y, cells.groups)
        assert roc_auc_score(cells.y == "hem", head.predict_proba(cells.X)[:, 1]) == 1
        areas.append(roc_auc_score(cells.y == "hem", head.inner_proba_[:, 1]))
    assert np.mean(areas) < 0.62


@pytest.mark.parametrize("name", ["logistic", "knn", "random-forest"])
def test_they_are_those_that_the_best_trial_was_judged_by(cells_of, name: str) -> None:
    """The same models once more, so that the mean of their scores is the best score."""
    cells = cells_of(signal=0.5)
    head = TunedHead(name, n_trials=3, inner_folds=3, params=FEW_TREES.get(name))
    pairs = []
    original = tuning.grouped_pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "grouped_pairs", lambda *given: pairs.extend(original(*given)) or pairs)
        head.fit(cells.X, cells.y, cells.groups)
    areas = [roc_auc_score(cells.y[rows] == "hem", head.inner_proba_[rows, 1]) for _, rows in pairs]
    assert np.mean(areas) == pytest.approx(head.best_score_, abs=1e-12)


def test_one_given_pair_predicts_its_validation_rows(cells) -> None:
    half = _half(cells)
    pair = (np.flatnonzero(half == 0), np.flatnonzero(half == 1))
    head = TunedHead("logistic", n_trials=1, inner_folds=[pair]).fit(cells.X, cells.y, cells.groups)
    assert head.inner_rows_.tolist() == pair[1].tolist()


def test_rows_of_several_validation_parts_have_their_mean(cells) -> None:
    half = _half(cells)
    pair = (np.flatnonzero(half == 0), np.flatnonzero(half == 1))
    kept = pair[0], pair[0][cells.groups[pair[0]] != cells.groups[pair[0][0]]]  # with and without one subject
    once = [
        TunedHead("logistic", n_trials=0, inner_folds=[(rows, pair[1])]).fit(cells.X, cells.y, cells.groups)
        for rows in kept
    ]
    both = TunedHead("logistic", n_trials=0, inner_folds=[(rows, pair[1]) for rows in kept])
    both.fit(cells.X, cells.y, cells.groups)
    assert both.inner_rows_.tolist() == pair[1].tolist()
    assert np.abs(once[0].inner_proba_ - once[1].inner_proba_).max() > 1e-3
    assert both.inner_proba_ == pytest.approx(np.mean([one.inner_proba_ for one in once], axis=0))


def test_a_calibrated_head_with_too_few_groups_has_none(cells_of) -> None:
    """Four subjects in two folds leave one of each class to fit on: a sigmoid inside would need two."""
    cells = cells_of(subjects=4)
    head = TunedHead("svm", n_trials=1, inner_folds=2).fit(cells.X, cells.y, cells.groups)
    assert (head.inner_rows_.shape, head.inner_proba_.shape) == ((0,), (0, 2))
    assert TunedHead("logistic", n_trials=1, inner_folds=2).fit(cells.X, cells.y, cells.groups).inner_rows_.shape == (
        20,
    )


def test_no_more_components_are_offered_than_folds_for_calibration_can_carry() -> None:
    """They are others than the given pair, and without the largest group one has sixty rows to learn 64 from."""
    row = np.arange(280)
    groups, y = np.where(row < 200, 0, 1 + row % 16), row % 2
    X = np.random.default_rng(0).normal(size=(280, 100)) + y[:, None]
    held = np.isin(groups, [1, 2, 3, 4])
    given = {"inner_folds": [(np.flatnonzero(~held), np.flatnonzero(held))]}
    TunedHead("svm", n_trials=0, params={"reduction": "forest-64"}, **given).fit(X, y, groups)
    with pytest.raises(HeadError, match=r"reduction 'pca-64' is given, but the smallest inner fold has 6\d rows"):
        TunedHead("svm", n_trials=0, params={"reduction": "pca-64"}, **given).fit(X, y, groups)
    TunedHead("logistic", n_trials=0, params={"reduction": "pca-64"}, **given).fit(X, y, groups)


@pytest.mark.parametrize(("name", "fits_a_fold"), [("logistic", 0), ("svm", 3), ("xgboost", 1)])
def test_they_cost_what_the_best_trial_has_not_done(cells, name: str, fits_a_fold: int, monkeypatch) -> None:
    """A best trial's models predict rows they have not seen; a machine is calibrated, a booster uses more rows."""
    fits = []
    original = inner.classifier
    monkeypatch.setattr(inner, "classifier", lambda *given: fits.append(1) or original(*given))
    head = TunedHead(name, n_trials=4, inner_folds=3).fit(cells.X, cells.y, cells.groups)
    assert len(fits) == head.inner_fits_ + 3 * fits_a_fold


@pytest.mark.parametrize("name", ["logistic", "svm"])
def test_they_are_the_same_where_the_best_trial_was_run_by_another_process(cells, name: str, tmp_path) -> None:
    """Nothing is at hand then, and everything is fitted again."""
    place = str(tmp_path / "trials.journal")
    first, again = (
        TunedHead(name, n_trials=4, inner_folds=3, storage=place).fit(cells.X, cells.y, cells.groups) for _ in range(2)
    )
    assert np.array_equal(first.inner_proba_, again.inner_proba_)
    assert np.array_equal(first.predict_proba(cells.X), again.predict_proba(cells.X))


def test_a_booster_uses_the_rows_it_would_stop_on(cells, monkeypatch) -> None:
    """As the model to keep: the number of rounds is known by then, so no row is set aside."""
    fitted = []

    class Recorder:
        def __init__(self, params) -> None:
            self.params = params

        def fit(self, X, y, **more) -> None:
            fitted.append((len(X), self.params["n_estimators"], "stop" in more))

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    head = TunedHead("xgboost", n_trials=1, inner_folds=2).fit(cells.X, cells.y, cells.groups)
    original = inner.InnerFits.out_of_fold

    def watched(self, params):
        with monkeypatch.context() as patch:
            patch.setattr(inner, "classifier", lambda spec, params, frame: Recorder(params))
            assert all(len(fold.stop) for fold in self.folds)
            return original(self, params)

    monkeypatch.setattr(inner.InnerFits, "out_of_fold", watched)
    again = TunedHead("xgboost", n_trials=1, inner_folds=2).fit(cells.X, cells.y, cells.groups)
    assert again.best_params_ == head.best_params_
    assert fitted == [(40, head.best_params_["n_estimators"], False)] * 2
