"""Laws of the generated cells: deterministic, with known effects, and no way to the label but the cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leukfeat.data.images import read_image
from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import draw_cell, synthesize
from leukfeat.errors import ManifestError, UsageError


def test_a_folder_of_cells_is_a_data_set(tmp_path: Path) -> None:
    """What is written can be opened like any other folder."""
    told: list[tuple[int, int]] = []
    manifest = synthesize(tmp_path / "cells", 6, 3, size=32, progress=lambda *counts: told.append(counts))
    assert told[-1] == (18, 18)
    assert Manifest.open(tmp_path / "cells").digest == manifest.digest
    assert manifest.positive == "ALL"
    assert manifest.classes == ("ALL", "HEM")
    assert len(set(manifest.subject)) == 6
    assert len(set(manifest.sha256)) == 18
    assert manifest.links == ()
    for row in range(18):
        assert read_image(manifest.file(row)).shape == (32, 32, 3)


def test_every_subject_has_one_class(tmp_path: Path) -> None:
    """As in C-NMC; and half of them are positive unless another share is asked for."""
    for share, positive in [(0.5, 3), (0.0, 1), (1.0, 5), (0.67, 4)]:
        manifest = synthesize(tmp_path / str(share), 6, 2, size=16, positive_fraction=share)
        pairs = set(zip(manifest.subject, manifest.label, strict=True))
        assert len(pairs) == 6
        assert sum(label == "ALL" for _, label in pairs) == positive


def test_the_same_seed_draws_the_same_cells_and_another_seed_others(tmp_path: Path) -> None:
    """Every run of the quickstart has the same data."""
    first, same, other = (
        synthesize(tmp_path / name, 4, 2, seed=seed, size=32) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.sha256 == same.sha256
    assert not set(first.sha256) & set(other.sha256)


def test_a_cell_depends_on_its_seed_subject_and_number_alone() -> None:
    """More subjects or cells never change those there are."""
    cell = draw_cell(3, 5, 7, "ALL", size=48)
    np.testing.assert_array_equal(cell, draw_cell(3, 5, 7, "ALL", size=48))
    others = [(4, 5, 7, "ALL"), (3, 6, 7, "ALL"), (3, 5, 8, "ALL"), (3, 5, 7, "HEM")]
    assert all((draw_cell(*other, size=48) != cell).any() for other in others)


def test_cells_stand_whole_on_black() -> None:
    """As segmented cells do: a black border, and one cell of plausible size."""
    for subject in range(12):
        cell = draw_cell(0, subject, 0, "ALL" if subject % 2 else "HEM", size=64)
        border = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
        assert (border == 0).mean() > 0.9
        assert 0.05 < (cell.max(axis=2) > 0).mean() < 0.75


def areas(size_confound: bool) -> tuple[np.ndarray, np.ndarray]:
    """Foreground area and class of cells of 80 subjects."""
    label = np.arange(80) % 2
    area = [
        (draw_cell(1, subject, cell, ("HEM", "ALL")[label[subject]], size=48, size_confound=size_confound) > 0).sum()
        for subject in range(80)
        for cell in range(2)
    ]
    return np.array(area), np.repeat(label, 2)


def test_the_size_confound_can_be_switched_off() -> None:
    """With it area alone separates about as on C-NMC (0.78); without it, it says nothing."""
    area, label = areas(True)
    assert 0.68 < roc_auc_score(label, area) < 0.90
    area, label = areas(False)
    assert abs(roc_auc_score(label, area) - 0.5) < 0.13


def test_cells_of_a_subject_are_alike() -> None:
    """Without subject effects a patient-wise split would have nothing to show."""
    colours = np.array(
        [
            [cell[cell.max(axis=2) > 0].mean(axis=0) for cell in cells]
            for cells in ([draw_cell(0, subject, k, "ALL", size=48) for k in range(8)] for subject in range(12))
        ]
    )  # (subjects, cells, 3)
    between = colours.mean(axis=1).std(axis=0)
    within = colours.std(axis=1).mean(axis=0)
    assert (between > 1.3 * within).all()


def test_the_label_is_in_no_name_size_or_order(tmp_path: Path) -> None:
    """A file listing must not solve the task."""
    manifest = synthesize(tmp_path / "cells", 24, 1, size=32)
    assert len({manifest.file(row).stat().st_size for row in range(24)}) == 1
    assert not any(name in path for path in manifest.path for name in ("ALL", "HEM"))
    half = [manifest.label[:12].count("ALL"), manifest.label[12:].count("ALL")]
    assert min(half) > 2
    alternating = [("ALL", "HEM")[row % 2] for row in range(24)]
    assert 4 < sum(a == b for a, b in zip(alternating, manifest.label, strict=True)) < 20


def test_a_folder_that_is_complete_is_only_read(tmp_path: Path) -> None:
    """A second run of a recipe draws nothing; an interrupted drawing is done again."""
    first = synthesize(tmp_path / "cells", 4, 2, size=16)
    before = first.file(0).stat().st_mtime_ns
    assert synthesize(tmp_path / "cells", 4, 2, size=16).digest == first.digest
    assert first.file(0).stat().st_mtime_ns == before
    first.file(3).unlink()
    assert synthesize(tmp_path / "cells", 4, 2, size=16).file(3).is_file()
    (tmp_path / "cells/cells.csv").unlink()
    assert synthesize(tmp_path / "cells", 4, 2, size=16).digest == first.digest


def test_other_files_are_never_mixed_with(tmp_path: Path) -> None:
    """Neither a user's images nor cells drawn otherwise."""
    synthesize(tmp_path / "cells", 4, 2, size=16)
    with pytest.raises(ManifestError, match="holds cells drawn with"):
        synthesize(tmp_path / "cells", 4, 3, size=16)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.png").write_bytes(b"x")
    with pytest.raises(ManifestError, match="holds other files"):
        synthesize(tmp_path / "mine", 4, 2, size=16)
    with pytest.raises(ManifestError, match="is a file"):
        synthesize(tmp_path / "mine/a.png", 4, 2, size=16)


@pytest.mark.parametrize(
    "wrong", [{"n_subjects": 1}, {"n_cells": 0}, {"size": 8}, {"seed": -1}, {"positive_fraction": 1.5}]
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    """And nothing is written."""
    with pytest.raises(UsageError, match="are needed"):
        synthesize(tmp_path / "cells", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "cells").exists()
