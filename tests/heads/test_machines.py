"""The support-vector machine on shared distances is scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC

from leukfeat.heads import intelex, machines
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.machines import GaussianMachine, distances, squared_distances
from leukfeat.heads.spec import Frame, Parts

WAYS = [
    "products",
    pytest.param(
        "intelex",
        marks=pytest.mark.skipif(not intelex.available(), reason="scikit-learn-intelex is not installed"),
    ),
    "rows",
]


def _rows(n_classes: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    y = np.arange(150) % n_classes
    X = rng.normal(size=(150, 20)).astype(np.float32)
    X[:, :3] += y[:, None]
    return X, y, rng.uniform(0.5, 2.0, size=150)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_decides_as_scikit_learns(way: str, n_classes: int, weighted: bool, monkeypatch) -> None:
    """Within the solver's tolerance of 0.001, whichever way the kernel comes about."""
    if way != "products":
        monkeypatch.setattr(machines, "LARGEST", 0)
    if way == "rows":
        monkeypatch.setattr(intelex, "available", lambda: False)
    X, y, weight = _rows(n_classes)
    weight = weight if weighted else None
    ours = GaussianMachine(C=3.0, gamma=0.04).fit(X, y, weight)
    theirs = SVC(C=3.0, gamma=0.04).fit(X, y, weight)
    ours.decision_function_shape = theirs.decision_function_shape = "ovo"
    new, _, _ = _rows(n_classes, seed=1)
    np.testing.assert_allclose(ours.decision_function(new), theirs.decision_function(new), atol=5e-3)
    assert np.array_equal(ours.classes_, theirs.classes_)
    assert abs(len(ours.support_) - len(theirs.support_)) <= 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_a_machine_of_scikit_learn_inside(way: str, n_classes: int, monkeypatch) -> None:
    """libsvm, which knows nothing of how it was fitted, predicts with its support vectors what it predicts itself."""
    if way != "products":
        monkeypatch.setattr(machines, "LARGEST", 0)
    if way == "rows":
        monkeypatch.setattr(intelex, "available", lambda: False)
    X, y, _ = _rows(n_classes)
    ours = GaussianMachine(C=3.0, gamma=0.04).fit(X, y)
    stock = SVC(C=3.0, gamma=0.04)
    vars(stock).update({name: value for name, value in vars(ours).items() if name not in stock.get_params()})
    new, _, _ = _rows(n_classes, seed=1)
    np.testing.assert_allclose(ours.decision_function(new), stock.decision_function(new), atol=1e-9)
    assert (ours.predict(new) == stock.predict(new)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_shared_distances_score_as_the_rows_do(n_classes: int) -> None:
    """Trials share distances; the machine to keep sees rows."""
    X, y, weight = _rows(n_classes)
    new, _, _ = _rows(n_classes, seed=1)
    shared = distances(X, new, y)
    assert shared is not None
    model = GaussianMachine(C=3.0, gamma=0.04)
    shared.fit(model, weight, None)
    alone = GaussianMachine(C=3.0, gamma=0.04).fit(X, y, weight).decision_function(new)
    alone = np.column_stack([-alone, alone]) if n_classes == 2 else alone
    np.testing.assert_allclose(shared.scores(model, new), alone, atol=1e-4)


def test_distances_of_parts_are_parts_of_the_distances() -> None:
    X, y, _ = _rows(2)
    shared = distances(X, X[:5], y)
    assert shared is not None
    fit, held = np.arange(0, 150, 2), np.arange(1, 150, 2)
    part = shared.part(fit, held)
    np.testing.assert_allclose(part.within, squared_distances(X[fit], X[fit]), atol=1e-4)
    np.testing.assert_allclose(part.across, squared_distances(X[held], X[fit]), atol=1e-4)
    assert np.array_equal(part.y, y[fit])


def test_too_many_rows_share_nothing_and_the_record_says_who_fitted(monkeypatch) -> None:
    """A matrix of all pairs must not fill the memory."""
    X, y, _ = _rows(2)
    share, parts = HEADS["svm"].share, Parts(X, X[:0], X)
    labels, frame = Parts(y, y[:0], y), Frame(len(y), X.shape[1], 0, "cpu", 1)
    assert share is not None
    assert share(parts, labels, frame) is not None
    monkeypatch.setattr(machines, "LARGEST", 4 * (len(X) - 1) ** 2)
    assert share(parts, labels, frame) is None
    monkeypatch.setattr(intelex, "named", lambda: "another library")
    assert HEADS["svm"].implementation(len(X)).endswith("fitted by another library")
    assert "another" not in HEADS["svm"].implementation(len(X) - 1)


def test_squared_distances_are_never_negative_and_none_to_itself() -> None:
    X = np.full((4, 3), 1e3, dtype=np.float32)
    assert (squared_distances(X, X) == 0).all()
    assert (squared_distances(X, X.copy()) >= 0).all()
