"""Fewer features: leading principal components, or those a forest finds most important.

Both put their output columns in order of importance, so the first k columns of a large reduction are the reduction to
k. Tuning learns the largest one once for each inner fold and cuts it to size.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils.validation import check_is_fitted, validate_data

_TREES = 100


class ImportantFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Keep the features with the largest impurity importance in a forest of extremely randomised trees.

    Parameters
    ----------
    n_features : int
        How many to keep.
    random_state : int
        Seeds the forest.

    Attributes
    ----------
    order_ : ndarray of shape (n_features,), int64
        The kept features, most important first.
    """

    def __init__(self, n_features: int = 64, *, random_state: int = 0) -> None:
        self.n_features = n_features
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Grow the forest, classes weighted equally, and rank the features."""
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        forest = ExtraTreesClassifier(
            _TREES, min_samples_leaf=2, class_weight="balanced", n_jobs=1, random_state=self.random_state
        ).fit(X, y)
        ranked = np.argsort(-forest.feature_importances_, kind="stable")
        self.order_ = ranked[: self.n_features].astype(np.int64)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """The kept columns."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        return np.ascontiguousarray(X[:, self.order_])


def reducer(reduction: str, n_rows: int, n_features: int, seed: int) -> Any:
    """The unfitted transformer of a reduction, e.g. ``"pca-64"``; ``"passthrough"`` for ``"none"``.

    Parameters
    ----------
    reduction : str
        One of :data:`leukfeat.heads.spec.REDUCTION`.
    n_rows, n_features : int
        Shape of what it will be fitted on.
    seed : int
        Seeds the forest; principal components need no chance.
    """
    kind, _, size = reduction.partition("-")
    if kind == "none":
        return "passthrough"
    if kind == "forest":
        return ImportantFeatures(int(size), random_state=seed)
    # Both solvers are exact, so that components do not depend on how many are asked for; each is fast on its side.
    return PCA(int(size), svd_solver="covariance_eigh" if n_rows >= n_features else "full")
