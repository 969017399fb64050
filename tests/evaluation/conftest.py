"""Predictions of made-up cells, small enough to check by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from leukfeat.evaluation.inner import InnerPredictions
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


Study = tuple[Predictions, InnerPredictions]


def make_study(
    seed: int = 0,
    *,
    subjects: int = 20,
    cells: int = 20,
    folds: int = 5,
    repeats: int = 1,
    sureness: float = 1.0,
    effect: float = 0.3,
) -> Study:
    """Two-class predictions of subjects with effects of their own, and the inner predictions of every outer fold.

    The log-odds are about right by themselves and then multiplied by ``sureness``: 2 makes a model twice too sure.
    ``effect`` is the standard deviation of what cells of one subject have in common.
    """
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(subjects), cells)
    y = number % 2
    said = np.clip(
        rng.normal(np.where(y, 1.0, -1.0), np.sqrt(2)) + rng.normal(scale=effect, size=subjects)[number], -9, 9
    )

    def rows(kind: type[Predictions], chosen: Any, fold: Any, repeat: int) -> Any:
        p = 1 / (1 + np.exp(-sureness * said[chosen]))
        who = np.array([f"S{n:02d}" for n in number[chosen]])
        return kind(
            sample=np.array([f"cell-{row}" for row in chosen]),
            subject=who,
            group=who,
            repeat=np.full(len(chosen), repeat),
            fold=fold,
            y_true=np.where(y[chosen] == 1, "ALL", "HEM"),
            proba=np.column_stack([p, 1 - p]),
            classes=("ALL", "HEM"),
            positive="ALL",
        )

    tested, inner = [], []
    for repeat in range(repeats):
        fold = (number // 2 + repeat * number) % folds
        tested.append(rows(Predictions, np.arange(len(y)), fold, repeat))
        for k in range(folds):
            train = np.flatnonzero(fold != k)
            inner.append(rows(InnerPredictions, train, np.full(len(train), k), repeat))
    return Predictions.concatenate(tested), InnerPredictions.concatenate(inner)


@pytest.fixture(scope="session")
def study_of() -> Callable[..., Study]:
    """The maker of small studies with inner predictions."""
    return make_study


@pytest.fixture(scope="session")
def study() -> Study:
    """400 cells of 20 subjects in 5 folds."""
    return make_study()
