"""Scaling."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.heads.scaling import Scaler

KINDS = ["standard", "overall", "unit"]


def _features() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(50, 6)) * [0.01, 1, 5, 100, 1, 1] + [0, 3, -2, 1000, 0, 0]).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_features_have_mean_zero_and_variance_one_on_average(kind: str) -> None:
    """Kernel widths and penalties are given in units that rely on it."""
    Z = Scaler(kind).fit_transform(_features()).astype(np.float64)
    assert Z.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-4)
    assert Z.var(axis=0).mean() == pytest.approx(1.0, rel=1e-4)


def test_overall_scaling_keeps_the_relative_sizes_of_features() -> None:
    X = _features().astype(np.float64)
    Z = Scaler("overall").fit_transform(X)
    assert Z.std(axis=0) / X.std(axis=0) == pytest.approx(np.full(6, (Z.std(axis=0) / X.std(axis=0))[0]))


def test_unit_scaling_does_not_see_the_length_of_a_row() -> None:
    X = _features().astype(np.float64)
    scaler = Scaler("unit").fit(X)
    assert scaler.transform(7.0 * X) == pytest.approx(scaler.transform(X))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_feature_stays_small(kind: str, value: float) -> None:
    """Its deviation is rounding; dividing by it would make noise of variance 1."""
    X = _features()
    X[:, 2] = value
    if kind != "unit":  # there the feature varies with the length of the row
        assert np.abs(Scaler(kind).fit_transform(X)[:, 2]).max() < 1e-4
    assert np.isfinite(Scaler(kind).fit_transform(np.full((4, 3), value, dtype=np.float32))).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_precision_is_kept(kind: str, precision: type) -> None:
    assert Scaler(kind).fit_transform(_features().astype(precision)).dtype == precision
