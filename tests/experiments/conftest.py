"""Small generated cells and small networks for tests that go through several stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
