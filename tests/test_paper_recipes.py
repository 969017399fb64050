"""Every recipe that ships runs from one end to the other, small, on generated cells."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from leukfeat.backbones.cost import Cost, cost_of
from leukfeat.data.words import COPIES_LEAK, IMAGE_LEVEL
from leukfeat.evaluation.runs import Run
from leukfeat.experiments.grid import each_alone
from leukfeat.experiments.recipe import load_recipe
from leukfeat.experiments.run import run
from leukfeat.experiments.smoke import SMOKE, smoke_of

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RECIPES = sorted(file for file in CONFIGS.rglob("*.yaml") if file.parent.name != "claims")
QUICKSTART = "quickstart"  # small already; .ci/run runs it as it is


@pytest.fixture
def _each_cost_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run counts the operations of a network in every fold, and again where it is kept; here one count is enough."""
    known: dict[object, Cost] = {}

    def once(network: nn.Module, size: tuple[int, int], name: str = "the network") -> Cost:
        key = (size, *((where, tensor.shape) for where, tensor in network.named_parameters()))
        if key not in known:
            known[key] = cost_of(network, size, name)
        return known[key]

    monkeypatch.setattr("leukfeat.backbones.cost.cost_of", once)


@pytest.mark.slow
@pytest.mark.usefixtures("_each_cost_once")
@pytest.mark.parametrize("file", [file for file in RECIPES if file.stem != QUICKSTART], ids=lambda file: file.stem)
def test_a_recipe_runs_small(file: Path, tmp_path: Path) -> None:
    """Every candidate predicts every test image; a leak that the recipe reproduces is said of the result."""
    recipe = load_recipe(file)
    try:
        folders = run(smoke_of(recipe, tmp_path), n_jobs=1)
        assert len(folders) == len(list(each_alone(recipe)))
        for folder in folders:
            done = Run.load(folder)
            assert SMOKE in folder.name
            assert np.isfinite(done.predictions.proba).all()
            assert (folder / "model" / "bundle.json").is_file()
            assert any(COPIES_LEAK in note for note in done.notes) == (recipe.data.copies is not None)
            by_image = recipe.split.kind.startswith("per-image") or recipe.split.validation_by == "image"
            assert any(IMAGE_LEVEL in note for note in done.notes) == by_image
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)  # the largest networks leave gigabytes


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_small_means_small(file: Path, tmp_path: Path) -> None:
    """What costs time shrinks; what the recipe is about stays."""
    recipe = load_recipe(file)
    small = smoke_of(recipe, tmp_path)
    assert small.data.path is not None
    assert small.data.path.is_relative_to(tmp_path)
    assert all(place.is_relative_to(tmp_path) for place in (small.out, small.report, small.cache or Path("/")))
    assert small.split.kind == recipe.split.kind
    assert [head.name for head in small.head] == [head.name for head in recipe.head]
    assert all(head.trials <= 2 for head in small.head)
    for before, after in zip(recipe.network, small.network, strict=True):
        assert (before.name, before.attention, before.pooling) == (after.name, after.attention, after.pooling)
        assert after.weights == "random"
        assert before.finetune is not None
        assert after.finetune is not None
        assert after.finetune.epochs <= 2
        assert after.finetune.classifier == before.finetune.classifier
