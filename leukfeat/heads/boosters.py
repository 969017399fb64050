"""XGBoost and LightGBM behind the scikit-learn contract, on their native interfaces.

The libraries' own scikit-learn wrappers cannot be restored from a native model file (LightGBM), warn about feature
names that no array has, and bin the features anew for every fit; these have little more than ``fit`` and
``predict_proba``, the wrappers' names of parameters, and bins that fits share. Classes must be numbered 0 … K-1. On the
CPU everything runs in one thread, so that results do not depend on how many there are.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import HeadError
from leukfeat.heads.bins import MOST_BINS, Booster, Weights
from leukfeat.heads.blocks import quantized
from leukfeat.heads.spec import DEFAULT_ROUNDS, LEAST_GAIN, Matrix


class XGBoost(Booster):
    """Gradient-boosted trees of XGBoost.

    Parameters
    ----------
    n_estimators : int
        Trees a class, or the most there may be when ``fit`` is given rows to stop on.
    early_stopping_rounds : int or None
        Stop after so many rounds without a log-loss on those rows that is better by :data:`LEAST_GAIN`.
    learning_rate, max_depth, min_child_weight, subsample, colsample_bytree, reg_lambda : float
        As in ``xgboost.XGBClassifier``.
    device : str
        ``cpu`` or ``cuda``.
    random_state : int
        Seeds the draws of rows and features.
    """

    bytes_a_number = 2.25  # by rows and by columns

    def __init__(
        self,
        *,
        n_estimators: int = DEFAULT_ROUNDS,
        early_stopping_rounds: int | None = None,
        learning_rate: float = 0.1,
        max_depth: int = 4,
        min_child_weight: float = 1.0,
        subsample: float = 0.8,
        colsample_bytree: float = 0.3,
        reg_lambda: float = 1.0,
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        super().__init__(
            n_estimators,
            early_stopping_rounds,
            learning_rate,
            subsample,
            colsample_bytree,
            reg_lambda,
            device,
            random_state,
        )
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight

    @staticmethod
    def binned(X: Matrix, y: NDArray[np.int64], device: str, reference: Any = None) -> Any:
        """Rows in bins; a device takes these, for its own would depend on the weights of whichever trial came first."""

        return quantized(X, y, max_bin=MOST_BINS, nthread=1, ref=reference)

    @staticmethod
    def weigh(rows: Any, weight: Weights) -> None:
        """Give binned rows their weights; None makes all equal, whatever they were."""
        rows.set_weight(np.ones(rows.num_row()) if weight is None else weight)

    def _train(self, rows: Any, stop: Any) -> tuple[Any, int]:
        import xgboost

        settings = {
            **self._settings("binary:logistic", "multi:softprob"),
            "eval_metric": "logloss" if len(self.classes_) == 2 else "mlogloss",
            "tree_method": "hist",
            "device": self.device,
            "nthread": 1,
            "verbosity": 0,
            "max_depth": int(self.max_depth),
            "min_child_weight": self.min_child_weight,
        }
        watched: dict[str, Any] = {}
        if stop is not None:
            watched = {
                "evals": [(stop, "stop")],
                "callbacks": [xgboost.callback.EarlyStopping(rounds=self.early_stopping_rounds, min_delta=LEAST_GAIN)],
                "verbose_eval": False,
            }
        booster = xgboost.train(settings, rows, num_boost_round=int(self.n_estimators), **watched)
        if self.device != "cpu":
            _require_device(booster, self.device)
            booster.set_param({"device": "cpu"})  # where rows to predict are
        return booster, int(booster.best_iteration) + 1 if watched else int(self.n_estimators)

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        self.booster_.set_param({"nthread": 1})
        return np.asarray(self.booster_.inplace_predict(X, iteration_range=(0, self.rounds_)))


def _require_device(booster: Any, device: str) -> None:
    """Refuse what XGBoost does in silence: where it finds no such device it trains on the CPU."""
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if not used.startswith(device):
        raise HeadError(f"device is {device!r}, but XGBoost found none and trained on {used}; leave device='cpu'")


class LightGBM(Booster):
    """Gradient-boosted trees of LightGBM.

    Parameters
    ----------
    n_estimators : int
        Trees a class, or the most there may be when ``fit`` is given rows to stop on.
    early_stopping_rounds : int or None
        Stop after so many rounds without a log-loss on those rows that is better by :data:`LEAST_GAIN`.
    learning_rate, num_leaves, min_child_samples, subsample, colsample_bytree, reg_lambda : float
        As in ``lightgbm.LGBMClassifier``; rows are drawn anew for every tree.
    device : str
        ``cpu`` or ``cuda``.
    random_state : int
        Seeds the draws of rows and features.
    """

    bytes_a_number = 1.05

    def __init__(
        self,
        *,
        n_estimators: int = DEFAULT_ROUNDS,
        early_stopping_rounds: int | None = None,
        learning_rate: float = 0.1,
        num_leaves: int = 15,
        min_child_samples: int = 10,
        subsample: float = 0.8,
        colsample_bytree: float = 0.3,
        reg_lambda: float = 1.0,
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        super().__init__(
            n_estimators,
            early_stopping_rounds,
            learning_rate,
            subsample,
            colsample_bytree,
            reg_lambda,
            device,
            random_state,
        )
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples

    @staticmethod
    def binned(X: Matrix, y: NDArray[np.int64], device: str, reference: Any = None) -> Any:
        """Rows in bins."""
        import lightgbm

        rows = lightgbm.Dataset(X[:], y, reference=reference, params=_lightgbm_rows(device))
        try:
            return rows.construct()
        except lightgbm.basic.LightGBMError as error:
            raise _without_device(device, error) from error

    @staticmethod
    def weigh(rows: Any, weight: Weights) -> None:
        """Give binned rows their weights; None makes all equal, whatever they were."""
        rows.set_field("weight", weight)  # set_weight takes equal weights for none, and none for nothing to do

    def _train(self, rows: Any, stop: Any) -> tuple[Any, int]:
        import lightgbm

        settings = {
            **self._settings("binary", "multiclass"),
            **_lightgbm_rows(self.device),
            "deterministic": True,
            "num_leaves": int(self.num_leaves),
            "min_child_samples": int(self.min_child_samples),
            "subsample_freq": 1,
        }
        watched: dict[str, Any] = {}
        if stop is not None:
            watched = {
                "valid_sets": [stop],
                "callbacks": [lightgbm.early_stopping(self.early_stopping_rounds, verbose=False, min_delta=LEAST_GAIN)],
            }
        try:
            booster = lightgbm.train(settings, rows, num_boost_round=int(self.n_estimators), **watched)
        except lightgbm.basic.LightGBMError as error:
            raise _without_device(self.device, error) from error
        return booster, int(booster.best_iteration) if watched else int(self.n_estimators)

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.booster_.predict(X, num_iteration=self.rounds_, num_threads=1))


def _lightgbm_rows(device: str) -> dict[str, Any]:
    """Settings that decide how rows are binned; those of a fit must agree with them."""
    return {
        "max_bin": MOST_BINS,
        "min_data_in_bin": 1,
        "feature_pre_filter": False,  # would leave out features by a limit that differs between trials
        "force_col_wise": device == "cpu",
        "device_type": device,
        "num_threads": 1,
        "verbosity": -1,
    }


def _without_device(device: str, error: Exception) -> Exception:
    """What to tell of a LightGBM that was built without the device; its own error where it is another."""
    if device == "cpu" or "not enabled in this build" not in str(error):
        return error
    return HeadError(
        f"device is {device!r}, but this LightGBM was built without it; leave device='cpu', or take xgboost"
    )
