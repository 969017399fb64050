"""Probabilities for classifiers with decision scores only: a sigmoid learned on scores of rows they had not seen."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV

from leukfeat.heads.pipeline import HeadPipeline


class _Scores(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A classifier whose rows are scores already."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[(X[:, 0] > 0).astype(int) if len(self.classes_) == 2 else X.argmax(axis=1)]

    def decision_function(self, X: Any) -> Any:
        return X[:, 0] if len(self.classes_) == 2 else X


class Sigmoid:
    """Platt's sigmoid, one for each class, learned from decision scores that are at hand.

    ``CalibratedClassifierCV`` would fit the classifier anew on every fold; the scores of held-out rows that tuning
    has found are those of the very same fits.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
        Decision scores (two columns, of opposite sign, for two classes) of rows that the classifier had not seen.
    y : ndarray of shape (n,)
        Their class numbers 0 … K-1.
    weight : ndarray of shape (n,) or None
        Row weights.
    """

    def __init__(self, scores: NDArray[np.float64], y: NDArray[np.int64], weight: NDArray[np.float64] | None) -> None:
        rows = np.arange(len(y))
        made = CalibratedClassifierCV(_Scores(), method="sigmoid", ensemble=False, cv=[(rows, rows)])
        self._fitted = made.fit(_given(scores), y, sample_weight=weight)

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of shape (m, K) of rows with such scores."""
        return np.asarray(self._fitted.predict_proba(_given(scores)), dtype=np.float64)

    def around(self, pipeline: HeadPipeline) -> CalibratedClassifierCV:
        """A fitted Pipeline with this sigmoid behind it, as ``CalibratedClassifierCV`` would have made it."""
        made = self._fitted
        made.estimator, made.cv = pipeline, None
        made.calibrated_classifiers_[0].estimator = pipeline
        made.n_features_in_ = pipeline.n_features_in_
        return made


def _given(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[:, 1:] if scores.shape[1] == 2 else scores
