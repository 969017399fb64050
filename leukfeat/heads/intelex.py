"""scikit-learn-intelex, where it is installed: fits that leave a model of scikit-learn's own behind.

It is imported directly and never patched into scikit-learn. What it fitted is turned into the stock estimator at once,
so that a head predicts, explains itself and is saved the same with and without it, and loads where it is not installed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

DISTRIBUTION = "scikit-learn-intelex"

Weights = NDArray[np.float64] | None

_ALONE = threading.Lock()
_BINS = 64  # of a feature's histogram; it scores as scikit-learn's exact splits do


def available() -> bool:
    """Whether it is installed and can be loaded."""
    try:
        import daal4py  # noqa: F401
        import sklearnex  # noqa: F401
    except ImportError:
        return False
    return True


def named() -> str:
    """Its name and version, or "" where it is not installed."""
    return f"{DISTRIBUTION} {version(DISTRIBUTION)}" if available() else ""


@contextmanager
def threads(n: int) -> Iterator[None]:
    """So many threads inside a fit; the number is the process's, so it is put back before anybody else sets it."""
    import daal4py

    with _ALONE:  # which costs nothing: Python's lock is held inside a fit
        before = daal4py.num_threads()
        daal4py.daalinit(n)
        try:
            yield
        finally:
            daal4py.daalinit(before)


def fitted_forest(
    settings: Mapping[str, Any], X: NDArray[Any], y: NDArray[Any], weight: Weights, n_jobs: int
) -> dict[str, Any] | None:
    """What a fitted ``sklearn.ensemble.RandomForestClassifier`` has learned, by the names of its attributes.

    Trees split on histograms of the features, so that they differ from scikit-learn's own: equal in how well they
    predict, not in what. They do not depend on the number of threads.

    Parameters
    ----------
    settings : mapping
        Arguments of ``RandomForestClassifier`` but ``n_jobs``.
    X, y, weight : ndarray of shape (n, d), (n,) and (n,) or None
        Rows, classes 0 … K-1, row weights.
    n_jobs : int
        Threads.

    Returns
    -------
    dict or None
        None where it declines such rows.
    """
    from sklearnex.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(**settings, max_bins=_BINS)
    # Its public fit hands weighted rows back to scikit-learn, which since 1.9 draws rows by weight where this one
    # weighs them in the splits: balanced either way, and this one takes a third of the time.
    fit = getattr(forest, "_onedal_fit", forest.fit)
    with threads(n_jobs):
        fit(X, y, weight)
    if not hasattr(forest, "_onedal_estimator"):
        return None
    trees = list(forest.estimators_)
    return {
        "estimators_": trees,
        "estimator_": type(trees[0])(),
        "classes_": np.asarray(forest.classes_),
        "n_classes_": len(forest.classes_),
        "n_outputs_": 1,
        "n_features_in_": X.shape[1],
    }


def fitted_svc(C: float, gamma: float, X: NDArray[Any], y: NDArray[Any], weight: Weights) -> dict[str, Any]:
    """What a fitted ``sklearn.svm.SVC`` with a Gaussian kernel has learned, by the names of its attributes."""
    from sklearnex.svm import SVC

    fast = SVC(C=C, gamma=gamma, kernel="rbf")
    with threads(1):
        fast.fit(X, y, weight)
    duals = np.ascontiguousarray(fast.dual_coef_, dtype=np.float64)  # libsvm reads it row by row
    intercept = np.asarray(fast.intercept_, dtype=np.float64)
    sign = -1.0 if len(fast.classes_) == 2 else 1.0  # scikit-learn turns the sign of the only machine
    return {
        "classes_": np.asarray(fast.classes_),
        "class_weight_": np.ones(len(fast.classes_)),
        "support_": np.asarray(fast.support_, dtype=np.int32),
        "support_vectors_": np.ascontiguousarray(fast.support_vectors_, dtype=np.float64),
        "_n_support": np.asarray(fast.n_support_, dtype=np.int32),
        "dual_coef_": duals,
        "_dual_coef_": sign * duals,
        "intercept_": intercept,
        "_intercept_": sign * intercept,
        "_probA": np.empty(0),
        "_probB": np.empty(0),
        "_effective_probability": False,
        "_sparse": False,
        "_gamma": float(gamma),
        "fit_status_": 0,
        "shape_fit_": X.shape,
        "n_features_in_": X.shape[1],
    }
