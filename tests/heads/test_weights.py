"""Row weights."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.heads.weights import balanced_weights


def _unbalanced() -> tuple[np.ndarray, np.ndarray]:
    """Subjects with 1 to 40 cells, three classes of which one is rare."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 40, 20)
    groups = np.repeat(np.arange(20), sizes)
    return np.array([0] * 12 + [1] * 6 + [2] * 2)[groups], groups


@pytest.mark.parametrize("balance", ["class", "subject"])
def test_weights_have_mean_one(balance: str) -> None:
    """XGBoost's min_child_weight counts in them: were their sum 1, every tree would be a constant."""
    weights = balanced_weights(balance, *_unbalanced())
    assert weights is not None
    assert weights.mean() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("balance", ["class", "subject"])
def test_classes_have_equal_weight(balance: str) -> None:
    y, groups = _unbalanced()
    totals = np.bincount(y, weights=balanced_weights(balance, y, groups))
    assert totals == pytest.approx([len(y) / 3] * 3)


def test_subjects_of_a_class_have_equal_weight() -> None:
    """A subject with 40 cells must not count forty times one with a single cell."""
    y, groups = _unbalanced()
    of_subject = np.bincount(groups, weights=balanced_weights("subject", y, groups))
    for k in range(3):
        inside = of_subject[np.unique(groups[y == k])]
        assert inside == pytest.approx([inside[0]] * len(inside))


def test_a_subject_with_two_classes_counts_in_each() -> None:
    weights = balanced_weights("subject", np.array([0, 0, 1, 1, 1]), np.array([7, 7, 7, 8, 8]))
    assert weights == pytest.approx(np.array([1.25, 1.25, 1.25, 0.625, 0.625]))


def test_no_balance_means_no_weights() -> None:
    assert balanced_weights("none", *_unbalanced()) is None
