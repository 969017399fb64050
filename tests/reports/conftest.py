"""Runs of made-up cells: with subjects and two classes, or without subjects and four."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run


@pytest.fixture(scope="session")
def two() -> Callable[..., Run]:
    """A run on 12 subjects of two classes, 4 cells each, 3 grouped folds; ``gap`` is how well it tells them."""

    def run(name: str = "svm", gap: float = 1.0, **changes: object) -> Run:
        rng = np.random.default_rng(int(gap * 1000))
        subject = np.repeat([f"S{number}" for number in range(12)], 4)
        y = np.repeat(["ALL", "HEM"] * 6, 4)
        p = 1 / (1 + np.exp(-rng.normal(gap * np.where(y == "ALL", 1, -1), 1.0)))
        predictions = Predictions(
            sample=np.array([f"{who}/{cell}.bmp" for who, cell in zip(subject, np.tile(range(4), 12), strict=True)]),
            subject=subject,
            group=subject,
            repeat=np.zeros(48),
            fold=np.repeat(np.arange(12) // 2 % 3, 4),
            y_true=y,
            proba=np.column_stack([p, 1 - p]),
            classes=("ALL", "HEM"),
            positive="ALL",
        )
        facts = {
            "predictions": replace(predictions, **changes),
            "candidate": {"backbones": [{"name": "efficientnet_b0"}], "head": {"head": name, "n_trials": 3}},
            "data": {
                "dataset": "made up",
                "digest": "a" * 64,
                "images": 48,
                "missing": 0,
                "identical_groups": 2,
                "links": 1,
            },
            "split": {"kind": "grouped", "protection": "linked-subject", "digest": "b" * 64, "folds": 3},
            "folds": tuple(
                {
                    "repeat": 0,
                    "fold": fold,
                    "params": {"C": 0.5},
                    "inner_score": 0.75,
                    "metric": "auroc",
                    "n_features": 1280,
                    "n_train": 32,
                    "seconds": {"fit": 1.5, "predict": 0.016},
                }
                for fold in range(3)
            ),
            "seconds": 12.25,
            "environment": {"python": "3.11.0", "packages": {"numpy": "2.0"}, "command": "leukfeat run quick.yaml"},
        }
        return Run(name=name, **facts)

    return run


@pytest.fixture(scope="session")
def four() -> Run:
    """A per-image run on 40 cells of four classes without subjects."""
    rng = np.random.default_rng(0)
    y = np.array([*"abcd"] * 10)
    sample = np.array([f"{label}/{row}.jpg" for row, label in enumerate(y)])
    return Run(
        name="knn",
        predictions=Predictions(
            sample=sample,
            subject=np.full(40, "unknown"),
            group=sample,
            repeat=np.zeros(40),
            fold=np.arange(40) % 5,
            y_true=y,
            proba=rng.dirichlet(np.ones(4), 40),
            classes=tuple("abcd"),
        ),
        data={"dataset": "fields", "identical_groups": 40, "missing": 3},
        split={"kind": "per-image", "protection": "none", "digest": "c" * 64},
        notes=(
            "image-level: optimistic",
            "subjects unknown: images of one patient may be on both sides",
            "40 groups of identical images",
            "what these weights were trained on is unknown",
            "3 of 43 images are missing (unreadable)",
        ),
    )
