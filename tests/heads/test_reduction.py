"""Reductions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from leukfeat.heads.reduction import reducer


@pytest.mark.parametrize("shape", [(150, 80), (90, 200)])
@pytest.mark.parametrize(("small", "large"), [("pca-4", "pca-30"), ("forest-4", "forest-30")])
def test_a_small_reduction_is_the_beginning_of_a_large_one(shape: tuple[int, int], small: str, large: str) -> None:
    """Tuning learns the largest once and cuts it to size; the final fit learns the chosen size."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=shape).astype(np.float32), np.arange(shape[0]) % 2
    few = clone(reducer(small, *shape, seed=5)).fit(X, y).transform(X)
    many = clone(reducer(large, *shape, seed=5)).fit(X, y).transform(X)
    assert few.shape == (shape[0], 4)
    np.testing.assert_allclose(many[:, :4], few, rtol=1e-4, atol=1e-4)


def test_the_forest_finds_the_features_that_tell_classes_apart() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 50))
    X[:, [7, 31]] += 2.0 * y[:, None]
    kept = reducer("forest-2", 200, 50, seed=0).fit(X, y)
    assert set(kept.order_) == {7, 31}
    assert np.array_equal(kept.transform(X), X[:, kept.order_])


def test_no_reduction_is_a_step_that_passes_through() -> None:
    assert reducer("none", 10, 10, seed=0) == "passthrough"
