"""Small generated cells and small networks for tests that go through several stages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import synthesize
from leukfeat.experiments.recipe import Recipe, recipe_from

TINY = "test_efficientnet"  # timm's smallest, for tests


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """48 cells of 12 subjects, 6 of each class."""
    return synthesize(tmp_path_factory.mktemp("cells"), n_subjects=12, n_cells=4, seed=1, size=48)


@pytest.fixture
def recipe(cells: Manifest, tmp_path: Path) -> Any:
    """Make a recipe on the small cells; keywords replace whole sections."""

    def make(**sections: Any) -> Recipe:
        content = {
            "data": {"path": str(cells.root / "cells.csv")},
            "split": {"folds": 3},
            "backbone": {"name": TINY, "weights": "random"},
            "head": {"name": "logistic", "trials": 3, "inner_folds": 2, "params": {"reduction": "none"}},
            "cache": str(tmp_path / "cache"),
            "out": str(tmp_path / "runs"),
            "report": str(tmp_path / "report"),
        }
        return recipe_from({**content, **sections}, "test")

    return make


@pytest.fixture
def planted(tmp_path: Path) -> Any:
    """Make a recipe on planted features: known effects of class and subject, and no image or network to wait for."""

    def make(
        name: str = "cells",
        *,
        n_subjects: int = 12,
        n_cells: int = 6,
        of_class: float = 0.1,
        of_subject: float = 2.0,
        shared: Mapping[int, int] | None = None,
        seed: int = 0,
        **sections: Any,
    ) -> Recipe:
        """``shared`` pairs subjects who are one person, with the same effect and one image in common."""
        rng = np.random.default_rng(seed)
        person = [(shared or {}).get(number, number) for number in range(n_subjects)]
        effect = of_subject * rng.standard_normal((n_subjects, 40))[person]
        rows, X = [], []
        for subject in range(n_subjects):
            side = 1 if person[subject] % 2 else -1
            for cell in range(n_cells):
                what = f"{name}-{person[subject] if cell == 0 else subject}-{cell}"
                X.append(effect[subject] + side * of_class + rng.standard_normal(40))
                rows.append((f"{name}/{subject}-{cell}.png", "ALL" if side > 0 else "HEM", f"S{subject}", what))
        sample, label, subject_id, shown = zip(*rows, strict=True)
        digest = tuple(hashlib.sha256(what.encode()).hexdigest() for what in shown)
        manifest = Manifest(sample, sample, label, subject_id, digest, positive="ALL", root=tmp_path)
        manifest.save(tmp_path / f"{name}.csv")
        features = tmp_path / f"{name}.npz"
        np.savez(features, features=np.array(X, dtype=np.float32), sample_ids=np.array(sample))
        content = {
            "data": {"path": str(tmp_path / f"{name}.csv")},
            "split": {"folds": 3},
            "features": str(features),
            "head": {"name": "logistic", "trials": 1, "inner_folds": 2, "params": {"reduction": "none"}},
            "out": str(tmp_path / "runs"),
        }
        return recipe_from({**content, **sections}, "test")

    return make
