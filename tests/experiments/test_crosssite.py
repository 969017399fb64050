"""The site matrix: each model is asked about the other site, and sites that share anything are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.errors import LeakageError, RecipeError
from leukfeat.evaluation.runs import Run, find_runs
from leukfeat.evaluation.site_matrix import Site, SiteMatrix
from leukfeat.experiments.arms import Runner
from leukfeat.experiments.crosssite import background_warnings, cross_sites
from leukfeat.experiments.recipe import Recipe, recipe_from
from leukfeat.experiments.stages import open_data
from leukfeat.experiments.studies import make_studies

ONE = Runner(n_jobs=1)


@pytest.fixture
def two(planted: Any, tmp_path: Path) -> Any:
    """Make a recipe of sites ``a`` and ``b``; what says the class at ``a`` says the opposite at ``b``."""

    def make(second: dict[str, Any] | None = None, **sections: Any) -> Recipe:
        content = planted("a", of_class=0.4, of_subject=0.8).resolved()
        planted("b", of_class=-0.4, of_subject=0.8, n_subjects=10, seed=1)
        parts = [np.load(tmp_path / f"{name}.npz") for name in "ab"]
        ids = [[f"{name}/{sample}" for sample in part["sample_ids"]] for name, part in zip("ab", parts, strict=True)]
        features = tmp_path / "both.npz"
        np.savez(
            features, features=np.concatenate([part["features"] for part in parts]), sample_ids=np.concatenate(ids)
        )
        sites = [{"name": "a", "path": tmp_path / "a.csv"}, {"name": "b", "path": tmp_path / "b.csv", **(second or {})}]
        return recipe_from({**content, "data": None, "features": str(features), "sites": sites, **sections}, "")

    return make


def test_every_model_is_asked_about_every_site(two: Any) -> None:
    recipe = two()
    matrix = cross_sites(recipe, runner=ONE)
    assert [(cell.trained_on, cell.tested_on) for cell in matrix.cells] == [
        ("a", "a"),
        ("a", "b"),
        ("b", "a"),
        ("b", "b"),
    ]
    value = {(cell.trained_on, cell.tested_on): cell.measured.score.value for cell in matrix.cells}
    assert min(value["a", "a"], value["b", "b"]) > 0.9
    assert max(value["a", "b"], value["b", "a"]) < 0.1, "what the class looks like is turned round at the other site"
    assert [(cell.unit, cell.n_clusters) for cell in matrix.cells] == [("subject", n) for n in (12, 10, 12, 10)]
    change = matrix.cell("a", "b").change
    assert change is not None
    assert change.estimate.value == pytest.approx(value["a", "b"] - value["b", "b"])
    assert change.interval.high < 0
    assert matrix.cell("a", "a").change is None
    assert [(site.images, site.subjects) for site in matrix.sites] == [(72, 12), (60, 10)]
    # nobody of the test site was trained on, and all of the other site was
    away = Run.load(matrix.cell("a", "b").run)
    assert away.split["protection"] == "linked-subject"
    assert away.folds[0]["n_train"] == 72
    assert set(away.predictions.subject.tolist()) == {f"b:S{number}" for number in range(10)}
    kept = Path(matrix.cells[0].run) / SiteMatrix.file_name
    assert SiteMatrix.load(kept).to_dict() == matrix.to_dict()
    with pytest.raises(ValueError, match="no finished run"):
        find_runs(recipe.out)


def test_labels_are_mapped_to_one_meaning(two: Any, tmp_path: Path) -> None:
    """Several labels of a site may mean one, and images whose label means nothing elsewhere are left out."""
    recipe = two()
    site = Manifest.load(tmp_path / "b.csv")
    finer = {"ALL": ("blast", "early"), "HEM": ("normal", "debris")}
    label = [finer[name][row % 6 == 5] for row, name in enumerate(site.label)]
    columns = {name: getattr(site, name) for name in ("sample", "path", "subject", "sha256", "root")}
    Manifest(**columns, label=tuple(label), positive="blast").save(tmp_path / "b.csv")
    names = {"blast": "ALL", "early": "ALL", "normal": "HEM", "debris": None}
    (matrix,) = make_studies(two_sites(recipe, labels=names), runner=ONE)
    assert isinstance(matrix, SiteMatrix)
    assert matrix.sites[1].classes == (("ALL", 30), ("HEM", 25))
    with pytest.raises(RecipeError, match=r"do not agree on labels \(a: ALL, HEM; b: blast, debris, early, normal\)"):
        cross_sites(recipe)
    with pytest.raises(RecipeError, match="labels names 'blasts', which it does not have"):
        cross_sites(two_sites(recipe, labels={"blasts": "ALL"}))
    with pytest.raises(RecipeError, match="b has no image labelled 'ALL', the positive class"):
        cross_sites(two_sites(recipe, labels={**names, "blast": None, "early": None}))


def two_sites(recipe: Recipe, **second: Any) -> Recipe:
    """The recipe with other settings of its second site."""
    sites = (recipe.sites[0], recipe.sites[1].model_copy(update=second))
    return recipe.model_copy(update={"sites": sites})


def test_a_site_without_subjects_divides_images_at_home_and_says_so(two: Any, tmp_path: Path) -> None:
    recipe = two({"subjects": "unknown"})
    site = Manifest.load(tmp_path / "b.csv")
    text = (tmp_path / "b.csv").read_text()
    for subject in sorted(set(site.subject), reverse=True):
        text = text.replace(f",{subject},", ",unknown,")
    (tmp_path / "b.csv").write_text(text)
    matrix = cross_sites(recipe, runner=ONE)
    assert matrix.sites[1].subjects is None
    assert [cell.unit for cell in matrix.cells] == ["subject", "image", "subject", "image"]
    assert Run.load(matrix.cell("b", "b").run).split["kind"] == "per-image"
    assert Run.load(matrix.cell("a", "a").run).split["kind"] == "grouped"
    assert any("subjects of b are unknown" in note for note in matrix.notes)


def test_sites_that_share_anything_are_refused(two: Any, tmp_path: Path) -> None:
    recipe = two()
    site = Manifest.load(tmp_path / "a.csv")
    text = (tmp_path / "b.csv").read_text()
    first = Manifest.load(tmp_path / "b.csv").sha256[0]
    other = Manifest.load(tmp_path / "b.csv").label[0]
    same = next(digest for digest, label in zip(site.sha256, site.label, strict=True) if label == other)
    (tmp_path / "b.csv").write_text(text.replace(first, same))
    with pytest.raises(LeakageError, match=r"1 identical image\(s\) stand at two sites"):
        cross_sites(recipe)
    (tmp_path / "b.csv").write_text((tmp_path / "a.csv").read_text())
    with pytest.raises(RecipeError, match="sites a and b are the same images"):
        cross_sites(recipe)


def test_mistakes_are_told_in_a_line(two: Any, planted: Any) -> None:
    with pytest.raises(RecipeError, match="'a' stands there twice"):
        two({"name": "a"})
    with pytest.raises(RecipeError, match="belong to one data set"):
        two({"copies": {"per_class": 10, "augment": {"hflip": 0.5}}})
    with pytest.raises(RecipeError, match="give either data, or two or more sites"):
        two(data={"path": "cells.csv"})
    with pytest.raises(RecipeError, match="sites: give two or more"):
        two(sites=[{"name": "a", "path": "a.csv"}])
    with pytest.raises(RecipeError, match="about one data set"):
        two(leakage_meter=True)
    with pytest.raises(RecipeError, match="needs sites"):
        cross_sites(planted())
    with pytest.raises(RecipeError, match="needs one data set under data:"):
        open_data(two(), ONE.watcher)


def test_a_segmented_site_beside_another_is_warned_of() -> None:
    """A model that learned on black has met no background at all."""

    def site(name: str, on_black: float) -> Site:
        return Site(name, name, 10, 2, (("ALL", 10),), on_black, on_black / 2, 10)

    (line,) = background_warnings([site("cut-out", 1.0), site("bright", 0.0), site("also-bright", 0.1)])[:1]
    assert "100% of 10 images of cut-out are cells on black, 0% of 10 images of bright" in line
    assert len(background_warnings([site("cut-out", 1.0), site("bright", 0.0), site("also-bright", 0.1)])) == 2
    assert background_warnings([site("one", 0.9), site("two", 0.8)]) == []
