"""Predictions of made-up cells, small enough to check by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from leukfeat.evaluation.predictions import Predictions

MakePredictions = Callable[..., Predictions]


@pytest.fixture
def make() -> MakePredictions:
    """Two-class predictions from true classes and probabilities of the first class."""

    def predictions(
        y_true: Sequence[str],
        first: Sequence[float],
        *,
        classes: tuple[str, ...] = ("ALL", "HEM"),
        positive: str | None = "ALL",
        **columns: Sequence[object],
    ) -> Predictions:
        n = len(y_true)
        p = np.asarray(first, dtype=float)
        sample = [f"cell-{row}" for row in range(n)]
        given = {
            "sample": sample,
            "subject": ["unknown"] * n,
            "group": sample,
            "repeat": [0] * n,
            "fold": [0] * n,
            "proba": np.column_stack([p, 1 - p]) if p.ndim == 1 else p,
            **columns,
        }
        return Predictions(y_true=y_true, classes=classes, positive=positive, **given)

    return predictions
