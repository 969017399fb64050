"""Reductions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA

from leukfeat.heads.reduction import reducer


@pytest.mark.parametrize("shape", [(150, 80), (90, 200)])
@pytest.mark.parametrize(("small", "large"), [("pca-4", "pca-30"), ("forest-4", "forest-30")])
def test_a_small_reduction_is_the_beginning_of_a_large_one(shape: tuple[int, int], small: str, large: str) -> None:
    """Tuning learns the largest once and cuts it to size; the final fit learns the chosen size."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=shape).astype(np.float32), np.arange(shape[0]) % 2
    few = clone(reducer(small, seed=5)).fit(X, y).transform(X)
    many = clone(reducer(large, seed=5)).fit(X, y).transform(X)
    assert few.shape == (shape[0], 4)
    np.testing.assert_allclose(many[:, :4], few, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(150, 80), (90, 200)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_principal_components_are_those_of_scikit_learn(shape: tuple[int, int], dtype: type) -> None:
    """Only the leading ones are computed; they are exact all the same, and turned the same way."""
    rng = np.random.default_rng(3)
    X = (rng.normal(size=shape) * np.linspace(1, 5, shape[1]) + 7).astype(dtype)
    ours, theirs = reducer("pca-12", seed=0).fit(X), PCA(12, svd_solver="full").fit(X.astype(np.float64))
    precision = 1e-9 if dtype is np.float64 else 2e-3
    np.testing.assert_allclose(ours.components_, theirs.components_, atol=precision)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=20 * precision)
    assert ours.transform(X).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_are_repeated_have_no_component_twice(dtype: type) -> None:
    """Twenty rows, each five times, vary in nineteen directions; a twentieth would be rounding, made as long."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(3, 1, size=(20, 300)), 5, axis=0).astype(dtype)
    found = reducer("pca-64", seed=0).fit(X)
    products = found.components_ @ found.components_.T
    np.testing.assert_allclose(products, np.diag(np.arange(64) < 19), atol=1e-4)
    theirs = PCA(19, svd_solver="full").fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(found.transform(X)[:, :19], theirs, atol=1e-3)


def test_the_forest_finds_the_features_that_tell_classes_apart() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 50))
    X[:, [7, 31]] += 2.0 * y[:, None]
    kept = reducer("forest-2", seed=0).fit(X, y)
    assert set(kept.order_) == {7, 31}
    assert np.array_equal(kept.transform(X), X[:, kept.order_])


def test_no_reduction_is_a_step_that_passes_through() -> None:
    assert reducer("none", seed=0) == "passthrough"
