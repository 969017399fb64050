"""The first step in a folder writes a recipe that runs as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.errors import ManifestError, UsageError
from leukfeat.experiments.recipe import load_recipe
from leukfeat.experiments.start import start


def test_the_written_recipe_is_read_and_splits_by_subject(cells: Manifest, tmp_path: Path) -> None:
    manifest, written = start(cells.root, into=tmp_path / "here")
    assert [file.name for file in written] == ["cells.csv", "leukfeat.yaml"]
    recipe = load_recipe(written[1])
    assert (recipe.split.kind, recipe.split.folds) == ("grouped", 5)
    assert Manifest.load(written[0]).digest == manifest.digest


def test_folds_are_those_the_scarcer_class_allows(tmp_path: Path) -> None:
    for label, subjects in (("ALL", 6), ("HEM", 3)):
        for subject in range(subjects):
            folder = tmp_path / label / f"{label}{subject}"
            folder.mkdir(parents=True)
            (folder / "cell.png").write_bytes(f"{label}{subject}".encode())
    _, written = start(tmp_path, subjects_from=r"/(\w+)/cell", dataset="folders")
    assert load_recipe(written[1]).split.folds == 3


def test_without_subjects_the_split_is_by_image_and_says_so(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(5):
            (tmp_path / label / f"{number}.png").write_bytes(f"{label}{number}".encode())
    with pytest.raises(ManifestError, match="--subjects unknown"):
        start(tmp_path)
    assert not (tmp_path / "leukfeat.yaml").exists(), "nothing is written by halves"
    _, written = start(tmp_path, subjects="unknown")
    assert load_recipe(written[1]).split.kind == "per-image"
    assert "images of one patient may be on both sides" in written[1].read_text(encoding="utf-8")


def test_a_recipe_that_is_there_is_not_replaced(cells: Manifest, tmp_path: Path) -> None:
    start(cells.root, into=tmp_path)
    (tmp_path / "leukfeat.yaml").write_text("name: mine\n")
    with pytest.raises(UsageError, match="--overwrite"):
        start(cells.root, into=tmp_path)
    assert (tmp_path / "leukfeat.yaml").read_text() == "name: mine\n"
    start(cells.root, into=tmp_path, overwrite=True)
    assert "name: mine" not in (tmp_path / "leukfeat.yaml").read_text()
