"""Trees point to their own nodes and features, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from leukfeat.heads.machines import GaussianMachine
from leukfeat.heads.nodes import check_children, check_estimator, check_features
from leukfeat.heads.trees import Forest

rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 6), st.integers(-3, 6), st.booleans()), min_size=1, max_size=6))
def test_a_walk_from_the_first_node_comes_to_an_end(nodes: list[tuple[int, int, bool]]) -> None:
    """Whatever is let through, every path of it is shorter than there are nodes, and inside."""
    left, right, inner = (np.array(column) for column in zip(*nodes, strict=True))
    try:
        check_children(left, right, inner)
    except ValueError:
        return
    waiting, steps = [0], 0
    while waiting:
        node = waiting.pop()
        steps += 1
        assert steps <= len(nodes)
        if inner[node]:
            waiting += [int(left[node]), int(right[node])]
    assert steps <= len(nodes)


def test_features_are_those_there_are() -> None:
    check_features(np.array([0, 3]), 4)
    for wrong in ([4], [-1]):
        with pytest.raises(ValueError, match="other features than the 4"):
            check_features(np.array(wrong), 4)


def test_what_scikit_learn_grew_is_sound() -> None:
    check_estimator(DecisionTreeClassifier(random_state=0).fit(X, y))
    check_estimator([("forest", Forest(n_estimators=3).fit(X, y))])
    check_estimator(KNeighborsClassifier(algorithm="brute").fit(X, y))
    check_estimator(GaussianMachine().fit(X, y))


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 0), ("right_child", 10**6), ("left_child", -5), ("feature", 99), ("feature", -7)],
)
def test_a_tree_of_scikit_learn_that_points_elsewhere_is_refused(field: str, value: int) -> None:
    """Its own reader takes any number; then compiled code follows it."""
    forest = Forest(n_estimators=2).fit(X, y)
    tree = forest.estimators_[1].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    tree.__setstate__(state)
    with pytest.raises(ValueError, match="a tree"):
        check_estimator([("forest", forest)])


def test_a_tree_that_promises_more_nodes_than_it_has_is_refused() -> None:
    """Its columns would be read beyond their end."""
    model = DecisionTreeClassifier(random_state=0).fit(X, y)
    state = model.tree_.__getstate__()
    model.tree_.__setstate__({**state, "node_count": 10**6})
    with pytest.raises(ValueError, match="promises other nodes"):
        check_estimator(model)


@pytest.mark.parametrize("change", [{"_y": np.full(60, 7)}, {"_y": np.zeros(3, int)}, {"_fit_method": "kd_tree"}])
def test_neighbours_without_labels_are_refused(change: dict[str, object]) -> None:
    """A label beyond the classes is a place beyond the votes."""
    model = KNeighborsClassifier(algorithm="brute").fit(X, y)
    vars(model).update(change)
    with pytest.raises(ValueError, match="neighbours"):
        check_estimator(model)


@pytest.mark.parametrize(
    "change", [{"_n_support": np.array([99, 1, 1])}, {"support_vectors_": np.zeros((2, 4))}, {"probability": True}]
)
def test_a_machine_that_does_not_fit_together_is_refused(change: dict[str, object]) -> None:
    """libsvm takes the numbers of vectors on trust."""
    model = GaussianMachine().fit(X, y)
    vars(model).update(change)
    with pytest.raises(ValueError, match="a machine"):
        check_estimator(model)
