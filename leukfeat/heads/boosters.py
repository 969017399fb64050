"""XGBoost and LightGBM behind the scikit-learn contract, on their native interfaces.

The libraries' own scikit-learn wrappers cannot be restored from a native model file (LightGBM) and warn about feature
names that no array has; these have little more than ``fit`` and ``predict_proba``, and the wrappers' names of
parameters. Classes must be numbered 0 … K-1. Everything runs in one thread, so that results do not depend on how many
there are.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from leukfeat.heads.spec import DEFAULT_ROUNDS

Weights = NDArray[np.float64] | None
Stop = tuple[NDArray[Any], NDArray[np.int64], Weights]
"""Rows that tell when to stop: X, y, weights."""

_BINS = 64  # of a feature's histogram; more cost time and change nothing measurable on embeddings


class _Booster(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """What both have in common: most parameters, how a fit begins, and how probabilities come out."""

    booster_: Any
    classes_: NDArray[np.int64]
    n_features_in_: int
    rounds_: int

    def __init__(
        self,
        n_estimators: int,
        early_stopping_rounds: int | None,
        learning_rate: float,
        subsample: float,
        colsample_bytree: float,
        reg_lambda: float,
        random_state: int,
    ) -> None:
        self.n_estimators = n_estimators
        self.early_stopping_rounds = early_stopping_rounds
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Weights = None, *, stop: Stop | None = None) -> Self:
        """Add trees; ``rounds_`` tells how many are used."""
        self.classes_ = np.arange(int(np.max(y)) + 1)
        self.n_features_in_ = X.shape[1]
        self.booster_, self.rounds_ = self._train(X, y, sample_weight, stop)
        return self

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

    def _train(self, X: Any, y: Any, weight: Weights, stop: Stop | None) -> tuple[Any, int]:
        """The library's own model, and how many of its rounds are used."""
        raise NotImplementedError

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        """Probabilities as the library gives them: one column for two classes."""
        raise NotImplementedError

    def _settings(self, two_classes: str, more_classes: str) -> dict[str, Any]:
        """What both libraries call the same; the arguments are their names of the log-loss."""
        n_classes = len(self.classes_)
        objective = (
            {"objective": two_classes} if n_classes == 2 else {"objective": more_classes, "num_class": n_classes}
        )
        return {
            **objective,
            "max_bin": _BINS,
            "seed": self.random_state,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
        }


class XGBoost(_Booster):
    """Gradient-boosted trees of XGBoost.

    Parameters
    ----------
    n_estimators : int
        Trees a class, or the most there may be when ``fit`` is given rows to stop on.
    early_stopping_rounds : int or None
        Stop after so many rounds without a better log-loss on those rows.
    learning_rate, max_depth, min_child_weight, subsample, colsample_bytree, reg_lambda : float
        As in ``xgboost.XGBClassifier``.
    random_state : int
        Seeds the draws of rows and features.
    """

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
        random_state: int = 0,
    ) -> None:
        super().__init__(
            n_estimators, early_stopping_rounds, learning_rate, subsample, colsample_bytree, reg_lambda, random_state
        )
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight

    def _train(self, X: Any, y: Any, weight: Weights, stop: Stop | None) -> tuple[Any, int]:
        import xgboost

        settings = {
            **self._settings("binary:logistic", "multi:softprob"),
            "eval_metric": "logloss" if len(self.classes_) == 2 else "mlogloss",
            "tree_method": "hist",
            "device": "cpu",
            "nthread": 1,
            "verbosity": 0,
            "max_depth": int(self.max_depth),
            "min_child_weight": self.min_child_weight,
        }
        rows = xgboost.QuantileDMatrix(X, y, weight=weight, max_bin=_BINS, nthread=1)
        watched: dict[str, Any] = {}
        if stop is not None:
            held_X, held_y, held_weight = stop
            held = xgboost.QuantileDMatrix(held_X, held_y, weight=held_weight, max_bin=_BINS, nthread=1, ref=rows)
            watched = {
                "evals": [(held, "stop")],
                "early_stopping_rounds": self.early_stopping_rounds,
                "verbose_eval": False,
            }
        booster = xgboost.train(settings, rows, num_boost_round=int(self.n_estimators), **watched)
        return booster, int(booster.best_iteration) + 1 if watched else int(self.n_estimators)

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        self.booster_.set_param({"nthread": 1})
        return np.asarray(self.booster_.inplace_predict(X, iteration_range=(0, self.rounds_)))


class LightGBM(_Booster):
    """Gradient-boosted trees of LightGBM.

    Parameters
    ----------
    n_estimators : int
        Trees a class, or the most there may be when ``fit`` is given rows to stop on.
    early_stopping_rounds : int or None
        Stop after so many rounds without a better log-loss on those rows.
    learning_rate, num_leaves, min_child_samples, subsample, colsample_bytree, reg_lambda : float
        As in ``lightgbm.LGBMClassifier``; rows are drawn anew for every tree.
    random_state : int
        Seeds the draws of rows and features.
    """

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
        random_state: int = 0,
    ) -> None:
        super().__init__(
            n_estimators, early_stopping_rounds, learning_rate, subsample, colsample_bytree, reg_lambda, random_state
        )
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples

    def _train(self, X: Any, y: Any, weight: Weights, stop: Stop | None) -> tuple[Any, int]:
        import lightgbm

        settings = {
            **self._settings("binary", "multiclass"),
            "device_type": "cpu",
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
            "num_leaves": int(self.num_leaves),
            "min_child_samples": int(self.min_child_samples),
            "min_data_in_bin": 1,
            "subsample_freq": 1,
        }
        rows = lightgbm.Dataset(X, y, weight=weight, params=settings)
        watched: dict[str, Any] = {}
        if stop is not None:
            held_X, held_y, held_weight = stop
            watched = {
                "valid_sets": [lightgbm.Dataset(held_X, held_y, weight=held_weight, reference=rows, params=settings)],
                "callbacks": [lightgbm.early_stopping(self.early_stopping_rounds, verbose=False)],
            }
        booster = lightgbm.train(settings, rows, num_boost_round=int(self.n_estimators), **watched)
        return booster, int(booster.best_iteration) if watched else int(self.n_estimators)

    def _raw(self, X: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.booster_.predict(X, num_iteration=self.rounds_, num_threads=1))
