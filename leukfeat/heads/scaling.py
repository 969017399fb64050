"""Scaling to variance 1 on average, so that kernel widths and penalties mean the same everywhere."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class Scaler(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Centre features and scale them.

    Parameters
    ----------
    kind : {"standard", "overall", "unit"}
        ``standard`` divides each feature by its own standard deviation. ``overall`` divides all by one number, so that
        features keep the relative sizes the network gave them. ``unit`` first brings each row to length 1 (distances
        become angles), then does as ``overall``.

    Attributes
    ----------
    mean_ : ndarray of shape (d,), float64
        Mean of each feature.
    scale_ : ndarray of shape (d,), float64
        What each feature is divided by; 1 for a constant one.
    """

    def __init__(self, kind: str = "standard") -> None:
        self.kind = kind

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn means and scales from the rows of X."""
        X = self._rows(validate_data(self, X, dtype=[np.float32, np.float64]))
        self.mean_ = X.mean(axis=0, dtype=np.float64)
        deviation = np.sqrt(np.square(X - self.mean_, dtype=np.float64).mean(axis=0))
        # A constant feature differs from its own mean by rounding only, and must not be blown up to variance 1.
        constant = deviation <= 1e-6 * np.abs(self.mean_)
        deviation[constant] = 0.0
        if self.kind == "standard":
            self.scale_ = np.where(deviation > 0, deviation, 1.0)
        else:
            overall = float(np.sqrt(np.square(deviation).mean()))
            self.scale_ = np.full(len(deviation), overall if overall > 0 else 1.0)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Scale rows; the precision of X is kept."""
        check_is_fitted(self)
        X = self._rows(validate_data(self, X, dtype=[np.float32, np.float64], reset=False))
        return np.asarray((X - self.mean_) / self.scale_, dtype=X.dtype)

    def _rows(self, X: NDArray[Any]) -> NDArray[Any]:
        if self.kind != "unit":
            return X
        length = np.sqrt(np.square(X, dtype=np.float64).sum(axis=1, keepdims=True))
        return np.asarray(X / np.where(length > 0, length, 1.0), dtype=X.dtype)
