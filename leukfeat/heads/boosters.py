"""XGBoost and LightGBM behind the scikit-learn contract, on their native interfaces.

The libraries' own scikit-learn wrappers cannot be restored from a native model file (LightGBM) and warn about feature
names that no array has; these have little more than ``fit`` and ``predict_proba``. Classes must be numbered 0 … K-1.
Everything runs in one thread, so that results do not depend on how many there are.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

Stop = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64] | None]
"""Rows that tell when to stop: X, y, weights."""

_BINS = 64  # of a feature's histogram; more cost time and change nothing measurable on embeddings


class _Booster(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """What both have in common: how probabilities come out."""

    booster_: Any
    classes_: NDArray[np.int64]
    rounds_: int

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, K)."""
        check_is_fitted(self)
        raw = np.asarray(self._raw(np.ascontiguousarray(X)), dtype=np.float64)
        if raw.ndim == 1:
            return np.column_stack([1.0 - raw, raw])
        return np.asarray(raw / raw.sum(axis=1, keepdims=True))  # float32 adds up to 1 within its precision only

    def predict(self, X: Any) -> NDArray[np.int64]:
        """The most probable class of each row."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class XGBoost(_Booster):
    """Gradient-boosted trees of XGBoost.

    Parameters
    ----------
    rounds : int
        Trees a class, or the most there may be when ``fit`` is given rows to stop on.
    patience : int or None
        Stop after so many rounds without a better log-loss on those rows.
    learning_rate, depth, min_child_weight, row_share, feature_share, l2 : float
        ``eta``, ``max_depth``, ``min_child_weight``, ``subsample``, ``colsample_bytree`` and ``lambda`` of XGBoost.
    random_state : int
        Seeds the draws of rows and features.
    """

    def __init__(
        self,
        *,
        rounds: int = 150,
        patience: int | None = None,
        learning_rate: float = 0.1,
        depth: int = 4,
        min_child_weight: float = 1.0,
        row_share: float = 0.8,
        feature_share: float = 0.3,
        l2: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.rounds = rounds
        self.patience = patience
        self.learning_rate = learning_rate
        self.depth = depth
        self.min_child_weight = min_child_weight
        self.row_share = row_share
        self.feature_share = feature_share
        self.l2 = l2
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any, sample_weight: NDArray[np.float64] | None = None, *, stop: Stop | None = None
    ) -> Self:
        """Add trees; ``rounds_`` tells how many are used."""
        import xgboost

        self.classes_ = np.arange(int(np.max(y)) + 1)
        self.n_features_in_ = X.shape[1]
        two = len(self.classes_) == 2
        settings = {
            "tree_method": "hist",
            "device": "cpu",
            "nthread": 1,
            "max_bin": _BINS,
            "verbosity": 0,
            "seed": self.random_state,
            "eta": self.learning_rate,
            "max_depth": int(self.depth),
            "min_child_weight": self.min_child_weight,
            "subsample": self.row_share,
            "colsample_bytree": self.feature_share,
            "lambda": self.l2,
            **(
                {"objective": "binary:logistic"}
                if two
                else {"objective": "multi:softprob", "num_class": len(self.classes_)}
            ),
            "eval_metric": "logloss" if two else "mlogloss",
        }
        rows = xgboost.QuantileDMatrix(X, y, weight=sample_weight, max_bin=_BINS, nthread=1)
        watched: dict[str, Any] = {}
        if stop is not None:
            held_X, held_y, held_weight = stop
            held = xgboost.QuantileDMatrix(held_X, held_y, weight=held_weight, max_bin=_BINS, nthread=1, ref=rows)
            watched = {"evals": [(held, "stop")], "early_stopping_rounds": self.patience, "verbose_eval": False}
        self.booster_ = xgboost.train(settings, rows, num_boost_round=int(self.rounds), **watched)
        self.rounds_ = int(self.booster_.best_iteration) + 1 if watched else int(self.rounds)
        return self

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        self.booster_.set_param({"nthread": 1})
        return np.asarray(self.booster_.inplace_predict(X, iteration_range=(0, self.rounds_)))


class LightGBM(_Booster):
    """Gradient-boosted trees of LightGBM.

    Parameters
    ----------
    rounds : int
        Trees a class, or the most there may be when ``fit`` is given rows to stop on.
    patience : int or None
        Stop after so many rounds without a better log-loss on those rows.
    learning_rate, leaves, min_leaf_rows, row_share, feature_share, l2 : float
        ``learning_rate``, ``num_leaves``, ``min_data_in_leaf``, ``bagging_fraction``, ``feature_fraction`` and
        ``lambda_l2`` of LightGBM.
    random_state : int
        Seeds the draws of rows and features.
    """

    def __init__(
        self,
        *,
        rounds: int = 150,
        patience: int | None = None,
        learning_rate: float = 0.1,
        leaves: int = 15,
        min_leaf_rows: int = 10,
        row_share: float = 0.8,
        feature_share: float = 0.3,
        l2: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.rounds = rounds
        self.patience = patience
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.min_leaf_rows = min_leaf_rows
        self.row_share = row_share
        self.feature_share = feature_share
        self.l2 = l2
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any, sample_weight: NDArray[np.float64] | None = None, *, stop: Stop | None = None
    ) -> Self:
        """Add trees; ``rounds_`` tells how many are used."""
        import lightgbm

        self.classes_ = np.arange(int(np.max(y)) + 1)
        self.n_features_in_ = X.shape[1]
        two = len(self.classes_) == 2
        settings = {
            "device_type": "cpu",
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "max_bin": _BINS,
            "verbosity": -1,
            "seed": self.random_state,
            "learning_rate": self.learning_rate,
            "num_leaves": int(self.leaves),
            "min_data_in_leaf": int(self.min_leaf_rows),
            "min_data_in_bin": 1,
            "bagging_fraction": self.row_share,
            "bagging_freq": 1,
            "feature_fraction": self.feature_share,
            "lambda_l2": self.l2,
            **({"objective": "binary"} if two else {"objective": "multiclass", "num_class": len(self.classes_)}),
        }
        rows = lightgbm.Dataset(X, y, weight=sample_weight, params=settings)
        watched: dict[str, Any] = {}
        if stop is not None:
            held_X, held_y, held_weight = stop
            watched = {
                "valid_sets": [lightgbm.Dataset(held_X, held_y, weight=held_weight, reference=rows, params=settings)],
                "callbacks": [lightgbm.early_stopping(self.patience, verbose=False)],
            }
        self.booster_ = lightgbm.train(settings, rows, num_boost_round=int(self.rounds), **watched)
        self.rounds_ = int(self.booster_.best_iteration) if watched else int(self.rounds)
        return self

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.booster_.predict(X, num_iteration=self.rounds_, num_threads=1))
