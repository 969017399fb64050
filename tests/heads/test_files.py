"""Heads on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import skops.io

from leukfeat.errors import RunError
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.files import load_head, save_head
from leukfeat.heads.tuning import TunedHead

FEW_TREES = {"random-forest": {"n_estimators": 5}, "xgboost": {"n_estimators": 5}, "lightgbm": {"n_estimators": 5}}


@pytest.fixture(scope="module")
def fitted(cells, tmp_path_factory: pytest.TempPathFactory) -> TunedHead:
    folder = tmp_path_factory.mktemp("studies")
    head = TunedHead("xgboost", n_trials=1, storage=f"sqlite:///{folder}/s3cret.db")
    return head.fit(cells.X, cells.y, cells.groups)


@pytest.fixture
def saved(fitted: TunedHead, tmp_path: Path) -> Path:
    save_head(fitted, tmp_path / "head")
    return tmp_path / "head"


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", HEADS)
def test_a_loaded_head_predicts_what_it_predicted_before(cells_of, name: str, classes: int, tmp_path: Path) -> None:
    cells = cells_of(classes=classes, subjects=18, features=70)
    for reduction in ("none", "forest-64") if name == "svm" and classes == 2 else ("none",):
        params = {**FEW_TREES.get(name, {}), "reduction": reduction}
        head = TunedHead(name, n_trials=1, inner_folds=2, params=params).fit(cells.X, cells.y, cells.groups)
        save_head(head, tmp_path / reduction)
        loaded = load_head(tmp_path / reduction)
        assert np.array_equal(loaded.predict_proba(cells.X), head.predict_proba(cells.X))
        assert np.array_equal(loaded.predict(cells.X), head.predict(cells.X))
        assert loaded.get_params() == head.get_params()
        for fact in ("trials_", "best_params_", "best_score_", "implementation_", "metric_", "n_features_in_"):
            assert getattr(loaded, fact) == getattr(head, fact)


def test_a_head_is_saved_in_open_formats(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == ["booster.ubj", "head.json", "parts.skops"]


def test_the_storage_of_trials_is_not_saved(saved: Path) -> None:
    """It may name a password."""
    assert "s3cret" not in (saved / "head.json").read_text()
    assert load_head(saved).storage is None


@pytest.mark.parametrize("name", ["head.json", "parts.skops", "booster.ubj"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_folder_is_refused(saved: Path, name: str, damage: str) -> None:
    file = saved / name
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        at = content.index(b'"best_score_"') + 20 if name == "head.json" else len(content) // 2
        content[at] ^= 1
        file.write_bytes(content)
    with pytest.raises(RunError, match=r"head"):
        load_head(saved)


def _rewrite(folder: Path, **changes: object) -> None:
    from leukfeat.heads import files

    facts = json.loads((folder / "head.json").read_text())
    facts.pop("digest")
    facts.update(changes)
    facts["files"] = {name: files._checksum(folder / name) for name in facts["files"]}
    facts["digest"] = files._digest(facts)
    (folder / "head.json").write_text(json.dumps(facts))


def test_a_newer_format_is_refused(saved: Path) -> None:
    _rewrite(saved, format=99)
    with pytest.raises(RunError, match=r"has format 99.*update leukfeat"):
        load_head(saved)


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"head\.json is missing"):
        load_head(tmp_path)
    (tmp_path / "head.json").write_text("[1]")
    with pytest.raises(RunError, match="not written by leukfeat"):
        load_head(tmp_path)


def test_types_that_no_head_is_made_of_are_not_loaded(saved: Path) -> None:
    """Whoever can write the folder can write its checksums too; skops then still loads known types only."""
    skops.io.dump(Path("/etc"), saved / "parts.skops")
    _rewrite(saved)
    with pytest.raises(RunError, match=r"parts\.skops holds .*Path.*not loaded"):
        load_head(saved)


def test_parts_that_fill_the_memory_are_not_unpacked(saved: Path) -> None:
    """A few bytes of zip can stand for a thousand times as many; skops packs nothing."""
    with ZipFile(saved / "parts.skops", "a", ZIP_DEFLATED) as parts:
        parts.writestr("more.npy", bytes(2**20))
    _rewrite(saved)
    with pytest.raises(RunError, match=r"unpacks to [\d,]+ bytes; it is not loaded"):
        load_head(saved)


@pytest.mark.parametrize("name", ["head.json", "parts.skops"])
def test_a_pipe_keeps_nobody_waiting(saved: Path, name: str) -> None:
    facts = json.loads((saved / "head.json").read_text())
    facts["files"].pop(name, None)
    (saved / "head.json").write_text(json.dumps(facts))
    _rewrite(saved)
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(RunError, match="is missing"):
        load_head(saved)


def test_parts_of_another_head_are_refused(saved: Path, cells, tmp_path: Path) -> None:
    save_head(TunedHead("tree", n_trials=1).fit(cells.X, cells.y, cells.groups), tmp_path / "tree")
    (saved / "parts.skops").write_bytes((tmp_path / "tree" / "parts.skops").read_bytes())
    _rewrite(saved)
    with pytest.raises(RunError, match="do not belong together"):
        load_head(saved)


def test_a_folder_with_something_in_it_is_not_overwritten(saved: Path, cells) -> None:
    head = load_head(saved)
    with pytest.raises(RunError, match="not an empty folder"):
        save_head(head, saved)
    assert len(list(saved.parent.glob(".head-*"))) == 0
