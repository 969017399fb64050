"""Rows are binned once for all trials, by the rows a fold fits on."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.errors import HeadError, UsageError
from leukfeat.heads.bins import Bins
from leukfeat.heads.boosters import LightGBM, XGBoost
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.inner import InnerFits
from leukfeat.heads.scoring import METRICS
from leukfeat.heads.spec import Parts
from leukfeat.heads.table import Table, grouped_pairs, inner_folds
from leukfeat.heads.tuning import TunedHead

KINDS = [XGBoost, LightGBM]
SMALL = {XGBoost: {"max_depth": 2}, LightGBM: {"num_leaves": 4}}
LARGE = {XGBoost: {"max_depth": 5, "min_child_weight": 0.1}, LightGBM: {"num_leaves": 20, "min_child_samples": 2}}


def _parts(seed: int = 0) -> tuple[Parts, Parts]:
    rng = np.random.default_rng(seed)
    y = np.arange(180) % 3
    X = rng.normal(size=(180, 12)).astype(np.float32)
    X[:, :2] += y[:, None]
    return Parts(X[:100], X[100:140], X[140:]), Parts(y[:100], y[100:140], y[140:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_on_bins_that_others_have_used_is_one_on_bins_of_its_own(kind: type) -> None:
    """Neither the weights nor the parameters of the trial before may linger."""
    X, y = _parts()
    rng = np.random.default_rng(1)
    weight, stop_weight = rng.uniform(0.2, 3.0, 100), rng.uniform(0.2, 3.0, 40)
    shared = Bins.made(kind, X, y, "cpu")
    shared.fit(kind(n_estimators=40, early_stopping_rounds=5, **SMALL[kind]), weight, stop_weight)
    for given in (None, weight):
        stop_given = None if given is None else stop_weight
        again = kind(n_estimators=40, early_stopping_rounds=5, **LARGE[kind])
        shared.fit(again, given, stop_given)
        alone = kind(n_estimators=40, early_stopping_rounds=5, **LARGE[kind])
        alone.fit(X.fit, y.fit, given, stop=(X.stop, y.stop, stop_given))
        assert again.rounds_ == alone.rounds_
        assert np.array_equal(again.predict_proba(X.validation), alone.predict_proba(X.validation))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_to_stop_on_do_not_move_the_bins(kind: type) -> None:
    """Rows of quite other sizes may change how many trees are used, and leave every tree as it was."""
    X, y = _parts()
    models = []
    for stop in (X.stop, X.stop * 100 - 5000):
        models.append(kind(n_estimators=10, early_stopping_rounds=1000))
        Bins.made(kind, X._replace(stop=stop), y, "cpu").fit(models[-1], None, None)
    fewest = min(model.rounds_ for model in models)
    for model in models:
        model.rounds_ = fewest
    assert np.array_equal(*(model.predict_proba(X.validation) for model in models))


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_trials_share_bins_and_none_has_a_row_that_judges(cells, name: str, monkeypatch) -> None:
    """Binned are the rows to fit on and to stop on, once for each fold and reduction, whatever the weights."""
    binned = []
    original = Bins.made.__func__

    def counted(cls, kind, X, y, device):
        binned.append(X)
        return original(cls, kind, X, y, device)

    monkeypatch.setattr(Bins, "made", classmethod(counted))
    codes = np.unique(cells.y, return_inverse=True)[1]
    table = Table(cells.X, codes, np.unique(cells.groups, return_inverse=True)[1], ("all", "hem"))
    folds = inner_folds(table, grouped_pairs(table, 3, 0), stops_early=True, seed=0)
    fits = InnerFits(HEADS[name], table, folds, METRICS["auroc"], largest_reduction=5, seed=0)
    params = {d.name: d.default for d in HEADS[name].space} | {"n_estimators": 5}
    for balance in ("none", "class", "subject"):
        list(fits.judge({**params, "balance": balance}))
    assert len(binned) == 3
    for fold, X in zip(folds, binned, strict=True):
        assert np.array_equal(X.fit[:], cells.X[fold.fit])
        assert np.array_equal(X.stop[:], cells.X[fold.stop])
        assert not set(fold.validation) & {*fold.fit, *fold.stop}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rows_are_binned_before_any_weight_is_known(device: str) -> None:
    """A device that binned for itself would do so with the weights of the trial that came first, and keep the bins."""
    from xgboost import QuantileDMatrix

    X, y = _parts()
    rows = XGBoost.binned(X.fit, y.fit, device)
    assert isinstance(rows, QuantileDMatrix)
    assert all(map(np.array_equal, rows.get_quantile_cut(), XGBoost.binned(X.fit, y.fit, "cpu").get_quantile_cut()))
    XGBoost.weigh(rows, np.random.default_rng(0).uniform(0.1, 10.0, 100))
    assert all(map(np.array_equal, rows.get_quantile_cut(), XGBoost.binned(X.fit, y.fit, "cpu").get_quantile_cut()))


def test_a_device_that_is_not_there_is_refused(cells) -> None:
    """XGBoost would train on the processor and say nothing."""
    if _has_cuda():
        pytest.skip("there is a CUDA device")
    with pytest.raises(HeadError, match="device is 'cuda', but"):
        TunedHead("xgboost", n_trials=0, device="cuda").fit(cells.X, cells.y, cells.groups)


def test_a_lightgbm_that_was_built_without_a_device_says_so(cells) -> None:
    if _has_cuda():
        pytest.skip("there is a CUDA device")
    with pytest.raises(HeadError, match="this LightGBM was built without it"):
        TunedHead("lightgbm", n_trials=0, device="cuda").fit(cells.X, cells.y, cells.groups)


def test_a_head_that_knows_no_device_refuses_one(cells) -> None:
    with pytest.raises(UsageError, match="head svm runs on cpu"):
        TunedHead("svm", n_trials=0, device="cuda").fit(cells.X, cells.y, cells.groups)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
