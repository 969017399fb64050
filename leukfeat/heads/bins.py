"""Binned rows that fits share, and what boosters on them have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from leukfeat.heads.spec import Learned, Matrix, Parts
from leukfeat.heads.threads import sparingly

Weights = NDArray[np.float64] | None
Stop = tuple[NDArray[Any], NDArray[np.int64], Weights]
"""Rows that tell when to stop: X, y, weights."""

MOST_BINS = 32  # of a feature's histogram; more cost time and change nothing measurable on embeddings


@dataclass(frozen=True)
class Bins:
    """Binned rows of an inner fold, shared by the fits on them.

    Bins are found in the rows to fit on, each counted once: row weights differ between trials, and bins do not.

    Parameters
    ----------
    kind : type
        :class:`XGBoost` or :class:`LightGBM`.
    rows, stop : the library's own, or None for ``stop``
        Rows to fit on, and to stop on in the same bins.
    n_features, n_classes : int
        Of the rows to fit on.
    nbytes : int
        Memory they take, about.
    """

    kind: type[Booster]
    rows: Any
    stop: Any
    n_features: int
    n_classes: int
    nbytes: int

    @classmethod
    def made(cls, kind: type[Booster], X: Learned, y: Parts, device: str) -> Bins:
        """Bin rows to fit on and, where there are any, rows to stop on."""
        with sparingly(X.fit.nbytes):  # finding quantiles takes several times the memory of the rows for a moment
            rows = kind.binned(X.fit, y.fit, device)
            stop = kind.binned(X.stop, y.stop, device, rows) if len(y.stop) else None
        numbers = (X.fit.shape[0] + X.stop.shape[0]) * X.fit.shape[1]
        return cls(kind, rows, stop, X.fit.shape[1], int(y.fit.max()) + 1, int(numbers * kind.bytes_a_number))

    def fit(self, model: Booster, weight: Weights, stop_weight: Weights) -> None:
        """Fit a booster; the weights take the place of those of the fit before."""
        for part, given in ((self.rows, weight), (self.stop, stop_weight)):
            if part is not None:
                self.kind.weigh(part, given)
        model.fit_bins(self)

    def scores(self, model: Booster, X_validation: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of rows to judge on."""
        return model.predict_proba(X_validation)

    def part(self, fit: NDArray[np.int64], validation: NDArray[np.int64]) -> Bins:
        """Not needed: boosters have probabilities of their own, so that nothing is calibrated on parts."""
        raise NotImplementedError


class Booster(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """What both have in common: most parameters, how a fit begins, and how probabilities come out."""

    bytes_a_number: ClassVar[float]  # of binned rows, as measured

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
        device: str,
        random_state: int,
    ) -> None:
        self.n_estimators = n_estimators
        self.early_stopping_rounds = early_stopping_rounds
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Weights = None, *, stop: Stop | None = None) -> Self:
        """Add trees; ``rounds_`` tells how many are used."""
        held_X, held_y, held_weight = stop if stop is not None else (X[:0], y[:0], None)
        shared = Bins.made(type(self), Parts(X, held_X, X[:0]), Parts(y, held_y, y[:0]), self.device)
        shared.fit(self, sample_weight, held_weight)
        return self

    def fit_bins(self, bins: Bins) -> None:
        """Add trees on binned rows that have their weights."""
        self.classes_ = np.arange(bins.n_classes)
        self.n_features_in_ = bins.n_features
        self.booster_, self.rounds_ = self._train(bins.rows, bins.stop)

    @staticmethod
    def binned(X: Matrix, y: NDArray[np.int64], device: str, reference: Any = None) -> Any:
        """The library's own binned rows, in bins of their own or in those of others."""
        raise NotImplementedError

    @staticmethod
    def weigh(rows: Any, weight: Weights) -> None:
        """Give binned rows their weights; None makes all equal, whatever they were."""
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

    def _train(self, rows: Any, stop: Any) -> tuple[Any, int]:
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
            "max_bin": MOST_BINS,
            "seed": self.random_state,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
        }
