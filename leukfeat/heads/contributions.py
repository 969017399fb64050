"""What each feature adds to a head's score of a class, row by row.

The score is the head's own, before calibration: log-odds or logits of the boosters, probabilities of trees and
forests, decision values of logistic regression and of the support-vector machine. Contributions of a row add up to its
score minus a base that is the same for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import HeadError
from leukfeat.heads.tuning import TunedHead

Rows = NDArray[np.float64]

_STEPS = 32  # points on the path from the mean to a row, at which a gradient is taken (midpoint rule)


@dataclass(frozen=True)
class Contributions:
    """Additive contributions of features.

    Attributes
    ----------
    values : ndarray of shape (n, d), float64
        Of each feature, before scaling and reduction.
    base : float
        The score that a row without contributions would have.
    method : str
        How they were found, in a few words.
    """

    values: Rows
    base: float
    method: str


def contributions(head: TunedHead, X: NDArray[Any], k: int) -> Contributions:
    """Share out the score of one class among the features.

    Scaling is per feature and changes nothing; a selection leaves the others 0; the share of a principal component
    goes to features in proportion to what each adds to that component.

    Parameters
    ----------
    head : TunedHead
        Fitted.
    X : ndarray of shape (n, d)
        Rows as the head takes them.
    k : int
        The class, by its place in ``head.classes_``.

    Returns
    -------
    Contributions

    Raises
    ------
    HeadError
        A head without paths and without gradient (nearest neighbours).

    References
    ----------
    Boosters: SHAP values by the libraries themselves (Lundberg et al., "From local explanations to global
    understanding with explainable AI for trees", 2020). Trees and forests: changes of the probability along the
    decision path (Saabas 2014). Others: integrated gradients from the training mean (Sundararajan et al. 2017).
    """
    require_method(head)
    fitted = head.estimator_
    if hasattr(fitted, "calibrated_classifiers_"):  # a monotone sigmoid around the pipeline
        fitted = fitted.calibrated_classifiers_[0].estimator
    scaler, reduction, classifier = (step for _, step in fitted.steps)
    # in the precision of the head: a split of a tree may lie just there where a row was
    scaled = X if scaler == "passthrough" else scaler.transform(X)
    reduced = scaled if reduction == "passthrough" else reduction.transform(scaled)
    scaled, reduced = np.asarray(scaled, dtype=np.float64), np.asarray(reduced, dtype=np.float64)
    about, method = METHODS[head.head]
    values, base = method(classifier, reduced, k)
    return Contributions(_unreduced(reduction, scaled, reduced, values), base, about)


def require_method(head: TunedHead) -> None:
    """Refuse a head whose score cannot be shared out among features.

    Raises
    ------
    HeadError
        A head without paths and without gradient (nearest neighbours).
    """
    if head.head not in METHODS:
        raise HeadError(
            f"head {head.head}: has neither decision paths nor a gradient, so nothing can be routed through it;"
            f" choose a bundle with one of {', '.join(METHODS)}"
        )


def _unreduced(reduction: Any, scaled: Rows, reduced: Rows, values: Rows) -> Rows:
    """From contributions of what a reduction gave to contributions of what it took."""
    if reduction == "passthrough":
        return values
    if hasattr(reduction, "order_"):
        whole = np.zeros_like(scaled)
        whole[:, reduction.order_] = values
        return whole
    axes = np.asarray(reduction.components_, dtype=np.float64)  # (m, d); a component is a sum over features
    centred = scaled - reduction.mean_
    tiny = 1e-9 * (np.abs(reduced).max(initial=0.0) + 1e-30)
    slope = np.divide(values, reduced, out=np.zeros_like(values), where=np.abs(reduced) > tiny)
    return np.asarray((slope @ axes) * centred)


# ---------------------------------------------------------------------- (classifier, rows, class) -> values, base


def _of_xgboost(classifier: Any, Z: Rows, k: int) -> tuple[Rows, float]:
    import xgboost

    classifier.booster_.set_param({"nthread": 1})
    rows = xgboost.DMatrix(Z.astype(np.float32), nthread=1)
    given = classifier.booster_.predict(rows, pred_contribs=True, iteration_range=(0, classifier.rounds_))
    return _split(np.asarray(given, dtype=np.float64).reshape(len(Z), -1), Z.shape[1], k)


def _of_lightgbm(classifier: Any, Z: Rows, k: int) -> tuple[Rows, float]:
    given = classifier.booster_.predict(Z, pred_contrib=True, num_iteration=classifier.rounds_, num_threads=1)
    return _split(np.asarray(given, dtype=np.float64), Z.shape[1], k)


def _split(given: Rows, d: int, k: int) -> tuple[Rows, float]:
    """SHAP values as the libraries give them: d + 1 columns a class, the last of which is the base."""
    several = given.shape[1] > d + 1
    mine = given[:, k * (d + 1) : (k + 1) * (d + 1)] if several else given
    sign = 1.0 if several or k == 1 else -1.0  # one log-odds for two classes: that of the second
    return sign * mine[:, :d], float(sign * mine[:, d].mean())


def _of_forest(classifier: Any, Z: Rows, k: int) -> tuple[Rows, float]:
    parts = [_of_tree(tree, Z, k) for tree in classifier.estimators_]
    return np.mean([values for values, _ in parts], axis=0), float(np.mean([base for _, base in parts]))


def _of_tree(classifier: Any, Z: Rows, k: int) -> tuple[Rows, float]:
    """From leaf to root: each change of the class's share belongs to the feature that was asked."""
    tree = classifier.tree_
    share = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True)
    share = share[:, k]
    parent = np.full(tree.node_count, -1)
    for children in (tree.children_left, tree.children_right):
        inner = children >= 0
        parent[children[inner]] = np.flatnonzero(inner)
    values = np.zeros_like(Z)
    node = np.asarray(tree.apply(Z.astype(np.float32)))
    rows = np.arange(len(Z))
    while (below := node > 0).any():
        above = parent[node[below]]
        np.add.at(values, (rows[below], tree.feature[above]), share[node[below]] - share[above])
        node[below] = above
    return values, float(share[0])


def _of_logistic(classifier: Any, Z: Rows, k: int) -> tuple[Rows, float]:
    if len(classifier.coef_) == 1:
        sign = 1.0 if k == 1 else -1.0
        return sign * classifier.coef_[0] * Z, float(sign * classifier.intercept_[0])
    return classifier.coef_[k] * Z, float(classifier.intercept_[k])


def _of_svm(classifier: Any, Z: Rows, k: int) -> tuple[Rows, float]:
    """Integrated gradients of :func:`svm_score`, from the mean of the training rows (0, as they are scaled)."""
    steps = (np.arange(_STEPS) + 0.5) / _STEPS
    values = Z * np.mean([_svm_gradient(classifier, step * Z, k) for step in steps], axis=0)
    base = float(svm_score(classifier, np.zeros((1, Z.shape[1])), k)[0])
    # what the rule of midpoints leaves over goes to the features in proportion, so that nothing is lost
    left = svm_score(classifier, Z, k) - base - values.sum(axis=1)
    weight = np.abs(values)
    return values + left[:, None] * weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-30), base


def svm_score(classifier: Any, Z: Rows, k: int) -> Rows:
    """The sum of a class's decision values against every other class, of shape (n,); smooth, unlike votes.

    Parameters
    ----------
    classifier : sklearn.svm.SVC
        Fitted, with a Gaussian kernel.
    Z : ndarray of shape (n, d)
        Scaled rows.
    k : int
        The class.
    """
    weights, constant = _svm_weights(classifier, k)
    return np.asarray(_kernel(classifier, Z) @ weights + constant)


def _svm_gradient(classifier: Any, Z: Rows, k: int) -> Rows:
    weights, _ = _svm_weights(classifier, k)
    pull = _kernel(classifier, Z) * weights  # (n, s): d/dz exp(-g |z - s|²) = 2 g (s - z) exp(-g |z - s|²)
    support = np.asarray(classifier.support_vectors_, dtype=np.float64)
    return np.asarray(2 * classifier._gamma * (pull @ support - pull.sum(axis=1, keepdims=True) * Z))


def _kernel(classifier: Any, Z: Rows) -> Rows:
    support = np.asarray(classifier.support_vectors_, dtype=np.float64)
    squares = (Z**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2 * Z @ support.T
    return np.asarray(np.exp(-classifier._gamma * np.maximum(squares, 0.0)))


def _svm_weights(classifier: Any, k: int) -> tuple[Rows, float]:
    """Weights of the support vectors in the score of a class; there is a machine for each pair, in libsvm's order."""
    duals = np.asarray(classifier.dual_coef_, dtype=np.float64)  # (K - 1, s)
    n_classes = len(classifier.classes_)
    ends = np.concatenate([[0], np.cumsum(classifier.n_support_)])
    if n_classes == 2:  # scikit-learn turns the sign of the only machine
        sign = 1.0 if k == 1 else -1.0
        return sign * duals[0], float(sign * classifier.intercept_[0])
    weights, constant, pair = np.zeros(duals.shape[1]), 0.0, 0
    for i in range(n_classes):
        for j in range(i + 1, n_classes):
            if k in (i, j):
                sign = 1.0 if k == i else -1.0  # a positive value speaks for the first of a pair
                of_i, of_j = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
                weights[of_i] += sign * duals[j - 1, of_i]
                weights[of_j] += sign * duals[i, of_j]
                constant += sign * float(classifier.intercept_[pair])
            pair += 1
    return weights, constant


METHODS: Mapping[str, tuple[str, Callable[[Any, Rows, int], tuple[Rows, float]]]] = MappingProxyType(
    {
        "lightgbm": ("SHAP values of the log-odds, by LightGBM", _of_lightgbm),
        "logistic": ("coefficient times scaled feature", _of_logistic),
        "random-forest": ("change of the probability along decision paths", _of_forest),
        "svm": ("integrated gradients of the decision value, from the training mean", _of_svm),
        "tree": ("change of the probability along the decision path", _of_tree),
        "xgboost": ("SHAP values of the log-odds, by XGBoost", _of_xgboost),
    }
)
