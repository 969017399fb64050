"""Recipes are read strictly: what is not understood is refused, with its place and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukfeat.backbones.spec import BackboneSpec
from leukfeat.errors import RecipeError
from leukfeat.experiments.recipe import load_recipe, recipe_from

DATA = "data: {path: cells.csv}\n"


def _load(tmp_path: Path, text: str) -> object:
    file = tmp_path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dta: {path: x}", "unknown key 'dta'; did you mean 'data'?"),
        (DATA + "head: {name: svm, trails: 3}", "unknown key 'trails' in head.0; did you mean 'trials'?"),
        (
            DATA + "backbone: {name: a, weigths: random}",
            "unknown key 'weigths' in backbone.0.0; did you mean 'weights'?",
        ),
        (DATA + "backbone: {name: a, preprocess: {crp: none}}", "unknown key 'crp' in backbone.0.0.preprocess"),
        (DATA + "head: {name: svm, trials: many}", "head.0.trials: input should be a valid integer"),
        (DATA + "head: {name: svm, trials: 0}", "head.0.trials: input should be greater than or equal to 1 (found 0)"),
        (DATA + "head: {name: svm, trials: '5'}", "head.0.trials: input should be a valid integer (found '5')"),
        (DATA + "extraction: {skip_errors: 'yes'}", "extraction.skip_errors: input should be a valid boolean"),
        (DATA + "extraction: {engine: openvio}", "engine 'openvio' is not known; did you mean 'openvino'?"),
        (DATA + "split: {seed: -1}", "split.seed: input should be greater than or equal to 0 (found -1)"),
        ("data: {synthetic: {}, positive: HEM}", "positive is about data that is read; generated cells know theirs"),
        (DATA + "split: {kind: groupd}", "(found 'groupd')"),
        (DATA + "split: {kind: file}", "kind: file and file: PATH belong together"),
        (DATA + "backbone: {name: a, pooling: avgg}", "pooling 'avgg' is not known; did you mean 'avg'?"),
        (DATA + "backbone: {name: a}\nfeatures: x.h5", "give either backbone or features"),
        ("data: {path: x, path: y}", "line 1: key 'path' stands twice"),
        ("data: {}", "give either path or synthetic"),
        ("data: [1", "line 1"),
        ("- 1", "a recipe is a list of 'key: value' lines; found list"),
        ("", "found NoneType"),
        ("data: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        _load(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path / "recipe.yaml") in str(caught.value), "the file must be named"
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: no such recipe"):
        load_recipe(tmp_path / "nowhere.yaml")


def test_names_alone_are_enough(tmp_path: Path) -> None:
    recipe = _load(tmp_path, DATA + "backbone: resnet18\nhead: [svm, xgboost]")
    assert recipe.backbone == ((BackboneSpec("resnet18"),),)  # type: ignore[attr-defined]
    assert [head.name for head in recipe.head] == ["svm", "xgboost"]  # type: ignore[attr-defined]


def test_concatenated_backbones_are_one_entry(tmp_path: Path) -> None:
    recipe = _load(tmp_path, DATA + "backbone: [{concatenate: [resnet18, resnet34]}, vgg16]")
    assert [[spec.name for spec in entry] for entry in recipe.backbone] == [["resnet18", "resnet34"], ["vgg16"]]  # type: ignore[attr-defined]


def test_a_saved_recipe_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = recipe_from(
        {
            "data": {"synthetic": {"subjects": 8}},
            "split": {"kind": "holdout", "fractions": "70/10/20"},
            "backbone": {"name": "resnet18", "weights": "random", "preprocess": {"crop": "center", "crop_size": 448}},
            "head": {"name": "svm", "params": {"C": 3.0}},
        },
        "test",
    )
    assert load_recipe(recipe.save(tmp_path / "saved.yaml")) == recipe
    assert recipe.split.fractions == (70, 10, 20)
