"""Trees from a file, before anything walks through them.

The libraries that grow trees trust them: compiled code follows a child's number without asking whether there is such a
node, so that a made-up file ends the process, keeps it walking in a circle for ever, or lets it read what is not its
own. What is checked here is little and enough: every number points into its array, and nobody has two parents.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def check_children(left: Numbers, right: Numbers, inner: NDArray[np.bool_]) -> None:
    """See that children are nodes, and that no node can be reached twice from the first.

    Parameters
    ----------
    left, right : ndarray of shape (n,), int64
        The children of each node; those of leaves are not looked at.
    inner : ndarray of shape (n,), bool
        Nodes that have children among these nodes.

    Raises
    ------
    ValueError
        A child is no node, or nodes form a circle.

    Examples
    --------
    >>> check_children(np.array([1, -1, -1]), np.array([2, -1, -1]), np.array([True, False, False]))
    >>> check_children(np.array([1, 0, -1]), np.array([2, 2, -1]), np.array([True, True, False]))
    Traceback (most recent call last):
    ValueError: a tree whose nodes form a circle
    """
    children = np.concatenate([left[inner], right[inner]])
    if len(children) and (children.min() < 0 or children.max() >= len(left)):
        raise ValueError("a tree with a child that is no node")
    # one parent at most, and none for the first: what is reached from there is a tree
    if len(np.unique(children)) < len(children) or (len(children) and children.min() == 0):
        raise ValueError("a tree whose nodes form a circle")


def check_features(features: Numbers, n_features: int) -> None:
    """See that a tree asks for features there are.

    Raises
    ------
    ValueError
        It does not.
    """
    if len(features) and (features.min() < 0 or features.max() >= n_features):
        raise ValueError(f"a tree that asks for other features than the {n_features} there are")


def check_estimator(part: Any) -> None:
    """See that what skops has read can be used: trees, the labels of neighbours, the vectors of a machine.

    Parameters
    ----------
    part : estimator, or anything in one
        Lists, tuples and the attributes of estimators are looked through.

    Raises
    ------
    ValueError
        A number in it points nowhere.
    """
    from sklearn.base import BaseEstimator
    from sklearn.calibration import _CalibratedClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    waiting, known = [part], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in known:
            continue
        known.add(id(one))
        if isinstance(one, list | tuple):
            waiting += one
            continue
        if isinstance(one, DecisionTreeClassifier) and hasattr(one, "tree_"):
            _check_tree(one.tree_, int(one.n_features_in_))
        elif isinstance(one, KNeighborsClassifier) and hasattr(one, "_fit_X"):
            _check_neighbours(one)
        elif isinstance(one, SVC) and hasattr(one, "support_"):
            _check_machine(one)
        if isinstance(one, BaseEstimator | _CalibratedClassifier):
            waiting += vars(one).values()


def _check_tree(tree: Any, n_features: int) -> None:
    if not 0 < tree.node_count <= tree.capacity or tree.n_features != n_features:
        raise ValueError("a tree that promises other nodes or features than it has")
    left, right = tree.children_left.astype(np.int64), tree.children_right.astype(np.int64)
    inner = left != -1
    if (inner != (right != -1)).any():
        raise ValueError("a tree with half a branch")
    check_children(left, right, inner)
    check_features(tree.feature[inner].astype(np.int64), n_features)


def _check_neighbours(one: Any) -> None:
    labels = np.asarray(one._y)
    if one.algorithm != "brute" or one._fit_method != "brute" or one._tree is not None:
        raise ValueError("neighbours that are searched in another way than by looking at all")
    if (
        labels.dtype.kind not in "iu"
        or labels.shape != (len(one._fit_X),)
        or labels.min() < 0
        or labels.max() >= len(one.classes_)
        or one._fit_X.shape[1] != one.n_features_in_
        or one.n_samples_fit_ != len(labels)
        or not 0 < one.n_neighbors <= len(labels)
    ):
        raise ValueError("neighbours whose labels and rows do not fit together")


def _check_machine(one: Any) -> None:
    n_vectors, n_support = len(one.support_), np.asarray(one._n_support)
    if one.kernel != "rbf" or getattr(one, "probability", False) is True:
        raise ValueError("a machine that asks libsvm, which none of ours does")
    if (
        n_support.shape != (len(one.classes_),)
        or n_support.min() < 0
        or n_support.sum() != n_vectors
        or np.shape(one.support_vectors_) != (n_vectors, one.n_features_in_)
        or np.shape(one.dual_coef_) != (len(one.classes_) - 1, n_vectors)
    ):
        raise ValueError("a machine whose vectors and weights do not fit together")
