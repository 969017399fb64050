"""TunedHead: what it learns, what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_info, threadpool_limits

from leukfeat.data.folds import grouped_folds, iterate_folds
from leukfeat.errors import HeadError, UnknownNameError, UsageError
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.scaling import Scaler
from leukfeat.heads.space import BALANCE
from leukfeat.heads.tuning import TunedHead

pytestmark = pytest.mark.usefixtures("few_rounds")

FEW_TREES = {"random-forest": {"n_estimators": 8}}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_head_learns_classes_of_new_subjects(cells_of, name: str, classes: int) -> None:
    cells = cells_of(subjects=30, classes=classes)
    train, test = next(iterate_folds(grouped_folds(cells.y, cells.groups, 3, seed=0)))
    head = TunedHead(name, n_trials=3, params=FEW_TREES.get(name)).fit(
        cells.X[train], cells.y[train], cells.groups[train]
    )
    proba = head.predict_proba(cells.X[test])
    assert head.classes_.tolist() == ["all", "hem", "other"][:classes]
    assert proba.shape == (len(test), classes)
    assert proba.sum(axis=1) == pytest.approx(np.ones(len(test)))
    assert (head.predict(cells.X[test]) == head.classes_[proba.argmax(axis=1)]).all()
    assert (head.predict(cells.X[test]) == cells.y[test]).mean() > (0.7 if classes == 2 else 0.55)
    assert head.implementation_.split()[0] in {"scikit-learn", "xgboost", "lightgbm"}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_labels_without_meaning_give_chance(cells_of, name: str) -> None:
    """Labels permuted between whole subjects carry nothing, and a head that finds something has looked."""
    areas = [_mean_area(name, cells_of(seed, signal=0.0, features=8), grouped=True, seed=seed) for seed in range(20)]
    error = np.std(areas, ddof=1) / np.sqrt(len(areas))
    assert abs(np.mean(areas) - 0.5) < 3 * error
    assert error < 0.05


def test_subjects_on_both_sides_would_give_more_than_chance(cells_of) -> None:
    """The test above can fail: the same cells, split by image, are told apart by who they are of."""
    areas = [_mean_area("knn", cells_of(seed, signal=0.0, features=8), grouped=False, seed=seed) for seed in range(8)]
    assert np.mean(areas) > 0.9


def _mean_area(name: str, cells, *, grouped: bool, seed: int) -> float:
    """AUROC of two outer folds, each by itself, after permuting labels between subjects."""
    groups = cells.groups if grouped else None
    _, first, row_subject = np.unique(cells.groups, return_index=True, return_inverse=True)
    y = np.random.default_rng(seed).permutation(cells.y[first])[row_subject]
    areas = []
    for train, test in iterate_folds(grouped_folds(y, groups, 2, seed)):
        head = TunedHead(name, n_trials=2, inner_folds=2, params=FEW_TREES.get(name), random_state=seed)
        head.fit(cells.X[train], y[train], cells.groups[train] if grouped else None)
        areas.append(roc_auc_score(y[test] == "hem", head.predict_proba(cells.X[test])[:, 1]))
    return float(np.mean(areas))


THREADS = """
    import hashlib, sys
    import numpy as np
    from leukfeat.heads import inner
    from leukfeat.heads.tuning import TunedHead

    inner.MOST_ROUNDS = 9
    data = np.load(sys.argv[1])
    given = {"svm": {"reduction": "pca-64"}, "logistic": {}, "xgboost": {}, "lightgbm": {}}
    for name, params in given.items():
        head = TunedHead(name, n_trials=1, inner_folds=2, params=params)
        head.fit(data["X"], data["y"], data["groups"])
        print(name, hashlib.sha256(head.predict_proba(data["X"]).tobytes()).hexdigest())
"""


def test_predictions_do_not_depend_on_the_number_of_threads(cells_of, tmp_path: Path) -> None:
    """Sums in another order differ in the last bit, and a tuned study may then take another way."""
    cells = cells_of(subjects=30, features=130)
    np.savez(tmp_path / "cells.npz", X=cells.X, y=cells.y, groups=cells.groups)
    code = [sys.executable, "-c", textwrap.dedent(THREADS), str(tmp_path / "cells.npz")]
    printed = []
    for threads in ("1", "4"):
        variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        done = subprocess.run(code, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
        printed.append(done.stdout)
    assert printed[0] == printed[1]
    assert printed[0].count("\n") == 4


def test_numerical_libraries_have_one_thread_while_a_head_is_fitted_and_predicts(cells, monkeypatch) -> None:
    found = []
    original = Scaler.transform

    def watched(self, X):
        found.extend(library["num_threads"] for library in threadpool_info())
        return original(self, X)

    monkeypatch.setattr(Scaler, "transform", watched)
    with threadpool_limits(limits=2):
        head = TunedHead("logistic", n_trials=1).fit(cells.X, cells.y, cells.groups)
        in_fit = len(found)
        head.predict_proba(cells.X)
    assert 0 < in_fit < len(found)
    assert set(found) == {1}


@pytest.mark.parametrize("name", HEADS)
def test_the_same_seed_gives_the_same_head(cells, name: str) -> None:
    first, second = (
        TunedHead(name, n_trials=2, params=FEW_TREES.get(name), random_state=3).fit(cells.X, cells.y, cells.groups)
        for _ in range(2)
    )
    assert np.array_equal(first.predict_proba(cells.X), second.predict_proba(cells.X))
    assert first.best_params_ == second.best_params_


def test_another_seed_gives_other_inner_folds(cells) -> None:
    scores = {
        TunedHead("tree", n_trials=1, random_state=s).fit(cells.X, cells.y, cells.groups).best_score_ for s in range(6)
    }
    assert len(scores) > 1


def test_groups_keep_subjects_together(cells_of) -> None:
    """Without groups a subject's cells judge its other cells, and the inner score is flattering."""
    cells = cells_of(signal=0.0)
    grouped = TunedHead("knn", n_trials=4).fit(cells.X, cells.y, cells.groups)
    alone = TunedHead("knn", n_trials=4).fit(cells.X, cells.y)
    assert alone.best_score_ > 0.95
    assert grouped.best_score_ < 0.9


def test_a_given_validation_part_is_the_only_judge(cells) -> None:
    validation = np.flatnonzero(np.isin(cells.groups, ["S0", "S1", "S2", "S3", "S4", "S5"]))
    train = np.setdiff1d(np.arange(80), validation)
    for name in ("logistic", "svm"):
        head = TunedHead(name, n_trials=3, inner_folds=[(train, validation)]).fit(cells.X, cells.y, cells.groups)
        assert head.n_inner_folds_ == 1
        assert head.inner_fits_ == 3
        assert head.n_pruned_ == 0


def test_fewer_inner_folds_where_a_class_has_few_subjects(cells_of) -> None:
    cells = cells_of(subjects=4)
    assert TunedHead("logistic", n_trials=1).fit(cells.X, cells.y, cells.groups).n_inner_folds_ == 2


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_a_given_number_of_rounds_is_neither_searched_nor_stopped(cells, name: str) -> None:
    """Parameters that are given stay as they are given."""
    head = TunedHead(name, n_trials=2, params={"n_estimators": 40}).fit(cells.X, cells.y, cells.groups)
    assert {used for trial in head.trials_ for used in trial["rounds"]} == {40}
    assert head.best_params_["n_estimators"] == head.estimator_[-1].rounds_ == 40
    stopped = TunedHead(name, n_trials=2).fit(cells.X, cells.y, cells.groups)
    assert stopped.best_params_["n_estimators"] == stopped.estimator_[-1].rounds_ <= 15


@pytest.mark.parametrize("name", ["svm", "xgboost", "tree"])
def test_without_trials_the_defaults_are_fitted(cells, name: str) -> None:
    head = TunedHead(name, n_trials=0, params={"balance": "subject"}).fit(cells.X, cells.y, cells.groups)
    assert head.trials_ == []
    assert head.best_score_ is None
    assert head.inner_fits_ == 0
    assert head.best_params_["balance"] == "subject"
    assert (head.predict(cells.X) == cells.y).mean() > 0.8


@pytest.mark.parametrize("name", [n for n, spec in HEADS.items() if BALANCE in spec.space])
def test_row_weights_reach_the_classifier(cells_of, name: str) -> None:
    """A subject with a copy of each of its cells weighs no more, where subjects count equally."""
    cells = cells_of(subjects=8, signal=0.3)
    settings = {"n_trials": 0, "params": {**FEW_TREES.get(name, {}), "balance": "none"}}
    rare = np.flatnonzero((cells.y == "all") | np.isin(cells.groups, np.unique(cells.groups[cells.y == "hem"])[:2]))
    X, y, groups = cells.X[rare], cells.y[rare], cells.groups[rare]
    plain = TunedHead(name, **settings).fit(X, y, groups)
    settings["params"]["balance"] = "subject"
    balanced = TunedHead(name, **settings).fit(X, y, groups)
    assert not np.array_equal(plain.predict_proba(X), balanced.predict_proba(X))
    assert balanced.predict_proba(cells.X)[:, 1].mean() > plain.predict_proba(cells.X)[:, 1].mean() - 0.02


def test_precision_of_the_features_is_enough(cells) -> None:
    """Feature files hold float32; converting them first must not change which class is predicted."""
    head = TunedHead("svm", n_trials=2).fit(cells.X, cells.y, cells.groups)
    double = TunedHead("svm", n_trials=2).fit(cells.X.astype(np.float64), cells.y, cells.groups)
    assert head.predict_proba(cells.X) == pytest.approx(double.predict_proba(cells.X), abs=1e-3)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "first NaN in row 7, feature 3"), (-np.inf, r"infinity \(inf\)")]
)
def test_features_that_are_not_finite_are_named(cells, value: float, message: str) -> None:
    X = cells.X.copy()
    X[7, 3] = value
    with pytest.raises(HeadError, match=message):
        TunedHead("tree", n_trials=1).fit(X, cells.y, cells.groups)
    head = TunedHead("tree", n_trials=1).fit(cells.X, cells.y, cells.groups)
    with pytest.raises(HeadError, match=message):
        head.predict_proba(X)


def test_one_class_is_refused(cells) -> None:
    with pytest.raises(HeadError, match="the 80 rows are of one class, 'all'"):
        TunedHead("tree").fit(cells.X, np.full(80, "all"), cells.groups)


def test_a_class_with_one_subject_is_refused(cells) -> None:
    y = np.where(cells.groups == "S0", "hem", "all")
    with pytest.raises(HeadError, match=r"class 'hem' has 1 subject\(s\)"):
        TunedHead("tree").fit(cells.X, y, cells.groups)


def test_groups_of_another_length_are_refused(cells) -> None:
    with pytest.raises(HeadError, match=r"groups has shape \(79,\) for 80 rows"):
        TunedHead("tree").fit(cells.X, cells.y, cells.groups[:-1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_trials": -1}, "n_trials is -1"),
        ({"n_trials": 2.5}, "n_trials is 2.5"),
        ({"inner_folds": 1}, "inner_folds is 1"),
        ({"timeout": 0}, "timeout is 0"),
        ({"metric": "auc"}, "metric 'auc' is not known"),
        ({"head": "forest"}, "head 'forest' is not known"),
        ({"params": {"C": 1.0}}, "parameter of head tree 'C' is not known"),
    ],
)
def test_wrong_settings_are_refused_in_fit(cells, settings, message: str) -> None:
    head = TunedHead(**{"head": "tree", **settings})  # the constructor takes everything, as scikit-learn wants it
    with pytest.raises((UsageError, UnknownNameError), match=message):
        head.fit(cells.X, cells.y, cells.groups)
