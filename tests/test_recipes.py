"""Every recipe that ships can be read, and the README's commands are the ones CI runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leukfeat.experiments.grid import each_alone
from leukfeat.experiments.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted(file for file in (ROOT / "configs").rglob("*.yaml") if file.parent.name != "claims")


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_shipped_recipe_names_something_to_run(file: Path) -> None:
    assert list(each_alone(load_recipe(file)))


def test_the_quickstart_needs_no_network() -> None:
    recipe = load_recipe(ROOT / "configs" / "quickstart.yaml")
    assert recipe.data.synthetic is not None
    assert {spec.weights for entry in recipe.backbone for spec in entry} == {"random"}
    assert [head.name for head in recipe.head] == ["xgboost", "svm", "random-forest"]
    assert len(recipe.backbone) == 2


def test_the_readme_has_two_set_up_commands() -> None:
    commands = re.findall(r"^pip install .*$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert commands == [
        "pip install . && leukfeat run configs/quickstart.yaml",
        "pip install '.[test]' && pytest",
    ]
