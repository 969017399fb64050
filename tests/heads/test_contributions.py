"""Contributions add up to the score, and go to the features that made it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC

from leukfeat.errors import HeadError
from leukfeat.heads.contributions import METHODS, contributions, svm_score
from leukfeat.heads.tuning import TunedHead

pytestmark = pytest.mark.usefixtures("few_rounds")

D = 12


def table(n_classes: int, seed: int = 0) -> tuple[Any, Any]:
    """Two of twelve features know the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(120) % n_classes
    X = rng.normal(size=(120, D))
    X[:, 3] += 2.5 * y
    X[:, 7] -= 2.5 * (y == 1)
    return X.astype(np.float32), np.array([f"c{k}" for k in y])


def score_of(head: TunedHead, X: Any, k: int) -> Any:
    """The head's own score before calibration."""
    pipeline = head.estimator_
    if hasattr(pipeline, "calibrated_classifiers_"):
        pipeline = pipeline.calibrated_classifiers_[0].estimator
    classifier = pipeline[-1]
    Z = X
    for _, step in pipeline.steps[:-1]:
        Z = Z if step == "passthrough" else step.transform(Z)
    two = len(head.classes_) == 2
    if head.head in ("tree", "random-forest"):
        return classifier.predict_proba(Z)[:, k]
    if head.head == "svm":
        return svm_score(classifier, np.asarray(Z, dtype=np.float64), k)
    if head.head == "logistic":
        raw = classifier.decision_function(Z)
        return (raw if k == 1 else -raw) if two else raw[:, k]
    p = np.clip(classifier.predict_proba(Z), 1e-12, 1)
    return np.log(p[:, k] / p[:, 1 - k]) if two else np.log(p[:, k])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("reduction", ["none", "pca-8", "forest-8"])
def test_contributions_add_up(name: str, n_classes: int, reduction: str) -> None:
    """Nothing is lost between the features and the score; logits of several boosted classes up to a common shift."""
    X, y = table(n_classes)
    head = TunedHead(name, n_trials=0).fit(X, y)
    if reduction != "none":
        head = _reduced(head, X, y, reduction)
    found = [contributions(head, X, k) for k in range(n_classes)]
    totals = np.stack([each.values.sum(axis=1) + each.base for each in found], axis=1)
    scores = np.stack([score_of(head, X, k) for k in range(n_classes)], axis=1)
    if n_classes > 2 and name in ("xgboost", "lightgbm"):
        totals, scores = (part - part.mean(axis=1, keepdims=True) for part in (totals, scores))
    np.testing.assert_allclose(totals, scores, atol=1e-3)
    assert all(each.values.shape == X.shape for each in found)


def _reduced(head: TunedHead, X: Any, y: Any, reduction: str) -> TunedHead:
    """The same head fitted behind a reduction."""
    from sklearn.base import clone

    from leukfeat.heads.reduction import reducer

    pipeline = head.estimator_
    inside = pipeline.calibrated_classifiers_[0].estimator if hasattr(pipeline, "calibrated_classifiers_") else pipeline
    inside.steps[1] = ("reduction", reducer(reduction, 0))
    inside.steps[2] = ("classifier", clone(inside.steps[2][1]))
    inside.fit(X, np.searchsorted(head.classes_, y))
    return head


@pytest.mark.parametrize("name", METHODS)
def test_they_go_to_the_features_that_know(name: str) -> None:
    X, y = table(2)
    head = TunedHead(name, n_trials=0).fit(X, y)
    size = np.abs(contributions(head, X, 1).values).mean(axis=0)
    assert set(np.argsort(-size)[:2]) == {3, 7}


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_the_machine_of_many_classes_is_that_of_scikit_learn(n_classes: int) -> None:
    """The sums over pairs are those of its pairwise decision values."""
    X, y = table(n_classes)
    X = X.astype(np.float64)
    machine = SVC(gamma=0.05, decision_function_shape="ovo").fit(X, y)
    pairs = np.asarray(machine.decision_function(X))
    if n_classes == 2:
        np.testing.assert_allclose(svm_score(machine, X, 1), pairs, atol=1e-9)
        np.testing.assert_allclose(svm_score(machine, X, 0), -pairs, atol=1e-9)
        return
    names = [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]
    for k in range(n_classes):
        expected = sum(pairs[:, p] * (1 if i == k else -1) for p, (i, j) in enumerate(names) if k in (i, j))
        np.testing.assert_allclose(svm_score(machine, X, k), expected, atol=1e-9)


def test_neighbours_cannot_be_explained_so() -> None:
    X, y = table(2)
    with pytest.raises(HeadError, match="knn: has neither decision paths nor a gradient"):
        contributions(TunedHead("knn", n_trials=0).fit(X, y), X, 0)
