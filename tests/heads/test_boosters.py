"""XGBoost and LightGBM on their native interfaces."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss

from leukfeat.heads.boosters import LightGBM, XGBoost
from leukfeat.heads.spec import LEAST_GAIN

KINDS = [XGBoost, LightGBM]


def _rows(n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(120) % n_classes
    X = rng.normal(size=(120, 10)).astype(np.float32)
    X[:, 0] += y
    return X, y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_booster_that_stopped_predicts_with_the_trees_of_its_best_round(kind: type, n_classes: int) -> None:
    """The trees grown while it waited for something better are not used; the final fit grows just the others."""
    X, y = _rows(n_classes)
    held_X, held_y = _rows(n_classes, seed=1)
    stopped = kind(n_estimators=300, early_stopping_rounds=10).fit(X, y, stop=(held_X, held_y, None))
    assert 1 <= stopped.rounds_ < 290
    again = kind(n_estimators=stopped.rounds_).fit(X, y)
    assert np.array_equal(stopped.predict_proba(held_X), again.predict_proba(held_X))
    best = log_loss(held_y, stopped.predict_proba(held_X))
    for more in (-1, 1, 5):
        other = kind(n_estimators=max(1, stopped.rounds_ + more)).fit(X, y)
        assert best <= log_loss(held_y, other.predict_proba(held_X)) + LEAST_GAIN


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_have_a_column_for_each_class_and_add_up_to_one(kind: type, n_classes: int) -> None:
    X, y = _rows(n_classes)
    model = kind(n_estimators=5).fit(X, y)
    proba = model.predict_proba(X)
    assert proba.shape == (120, n_classes)
    assert proba.sum(axis=1) == pytest.approx(np.ones(120), abs=1e-12)
    assert np.array_equal(model.predict(X), proba.argmax(axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_stored_under_its_own_name(kind: type) -> None:
    """Half of them go through the constructor that both share, and a clone must be the same model."""
    given = {name: number for number, name in enumerate(kind().get_params(), start=2)}
    assert clone(kind(**given)).get_params() == given


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["learning_rate", "subsample", "colsample_bytree", "reg_lambda", "random_state"])
def test_a_parameter_that_both_share_reaches_the_library(kind: type, name: str) -> None:
    """Libraries pass over names they do not know in silence."""
    X, y = _rows(2)
    plain = {"n_estimators": 5, "subsample": 0.9, "colsample_bytree": 0.9}
    changed = {**plain, name: {"random_state": 7, "reg_lambda": 20.0}.get(name, 0.4)}
    assert not np.array_equal(kind(**plain).fit(X, y).predict_proba(X), kind(**changed).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_like_repeated_rows_in_direction(kind: type) -> None:
    X, y = _rows(2)
    heavy = kind(n_estimators=20).fit(X, y, sample_weight=np.where(y == 1, 1.8, 0.2))
    assert heavy.predict_proba(X)[:, 1].mean() > kind(n_estimators=20).fit(X, y).predict_proba(X)[:, 1].mean() + 0.1


def test_xgboost_runs_in_one_thread() -> None:
    model = XGBoost(n_estimators=2).fit(*_rows(2))
    model.predict_proba(_rows(2)[0])
    assert json.loads(model.booster_.save_config())["learner"]["generic_param"]["nthread"] == "1"


def test_lightgbm_runs_in_one_thread() -> None:
    model = LightGBM(n_estimators=2).fit(*_rows(2))
    assert model.booster_.params["num_threads"] == 1
