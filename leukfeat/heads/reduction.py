"""Fewer features: leading principal components, or those a forest finds most important.

Both put their output columns in order of importance, so the first k columns of a large reduction are the reduction to
k. Tuning learns the largest one once for each inner fold and cuts it to size.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils.validation import check_is_fitted, validate_data

_TREES = 25, 100  # fewest and most
_VISITS = 60_000  # rows times trees; more of both rank no better


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
        fewest, most = _TREES
        forest = ExtraTreesClassifier(
            min(most, max(fewest, _VISITS // len(X))),
            min_samples_leaf=2,
            class_weight="balanced",
            n_jobs=1,
            random_state=self.random_state,
        ).fit(X, y)
        ranked = np.argsort(-forest.feature_importances_, kind="stable")
        self.order_ = ranked[: self.n_features].astype(np.int64)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """The kept columns."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        return np.ascontiguousarray(X[:, self.order_])


class PrincipalComponents(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Leading principal components, exactly, and no others.

    As ``sklearn.decomposition.PCA``, signs included, but only the components that are asked for are computed, from the
    smaller of the two matrices of products: of features, or of rows.

    Parameters
    ----------
    n_components : int
        How many; fewer than rows and than features.

    Attributes
    ----------
    mean_ : ndarray of shape (d,)
        Mean of each feature.
    components_ : ndarray of shape (n_components, d)
        Directions of length 1, largest variance first, the largest entry of each positive. Rows fewer than features
        may vary in fewer directions than are asked for, as rows that are repeated do: those that are lacking are zero.
    """

    def __init__(self, n_components: int = 64) -> None:
        self.n_components = n_components

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the directions."""
        X = validate_data(self, X, dtype=[np.float32, np.float64])
        self.mean_ = X.mean(axis=0)
        centred = X - self.mean_
        n, d = centred.shape
        products = centred.T @ centred if d <= n else centred @ centred.T
        last = len(products) - 1
        found = scipy.linalg.eigh(products, subset_by_index=[last - self.n_components + 1, last], check_finite=False)[1]
        directions = found.T[::-1] if d <= n else _across(found.T[::-1], centred)
        largest = np.abs(directions).argmax(axis=1)
        directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
        self.components_ = np.ascontiguousarray(directions)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Coordinates of rows along the directions; the precision of X is kept."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        return np.asarray((X - self.mean_) @ self.components_.T, dtype=X.dtype)


def _across(along: NDArray[Any], centred: NDArray[Any]) -> NDArray[Any]:
    """Directions among features of those among rows, of shapes (k, d) and (k, n); none where there is no variance.

    A direction without variance comes out as rounding, most of it along the leading ones: brought to length 1 it would
    be one of them once more.
    """
    directions = along @ centred
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    least = lengths.max() * max(centred.shape) * np.finfo(centred.dtype).eps  # as numpy.linalg.matrix_rank has it
    return np.asarray(np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > least))


def reducer(reduction: str, seed: int) -> Any:
    """The unfitted transformer of a reduction, e.g. ``"pca-64"``; ``"passthrough"`` for ``"none"``.

    Parameters
    ----------
    reduction : str
        One of :data:`leukfeat.heads.space.REDUCTION`.
    seed : int
        Seeds the forest; principal components need no chance.
    """
    kind, _, size = reduction.partition("-")
    if kind == "none":
        return "passthrough"
    if kind == "forest":
        return ImportantFeatures(int(size), random_state=seed)
    return PrincipalComponents(int(size))
