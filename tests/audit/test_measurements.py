"""A table of measurements: each image once, nothing lost on disk, failures said."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leukfeat.audit.measurements import COLUMNS, Measurements, measure_rows
from leukfeat.data.arrays import hash_members
from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import synthesize
from leukfeat.errors import UsageError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twelve generated cells."""
    return synthesize(tmp_path_factory.mktemp("cells"), 4, 3, size=32)


def test_rows_come_in_the_order_asked_for(manifest: Manifest) -> None:
    """A baseline would learn somebody else's size."""
    forth, back = measure_rows(manifest, [3, 7, 1]), measure_rows(manifest, [1, 7, 3])
    assert forth.sample == tuple(manifest.sample[row] for row in (3, 7, 1))
    for name in COLUMNS:
        np.testing.assert_array_equal(forth.scalars[name], back.scalars[name][::-1])
    assert len(set(forth.scalars["area"].tolist())) == 3


def test_an_image_that_stands_twice_is_measured_once(manifest: Manifest) -> None:
    """Copies cost nothing, and have the same numbers."""
    told: list[tuple[int, int]] = []
    twice = manifest.take([0, 1])
    twice = replace(twice, path=(twice.path[0],) * 2, sha256=(twice.sha256[0],) * 2, label=(twice.label[0],) * 2)
    measured = measure_rows(twice, [0, 1], progress=lambda *counts: told.append(counts))
    assert told == [(1, 1)]
    assert measured.scalars["area"][0] == measured.scalars["area"][1] > 0


def test_an_image_that_cannot_be_read_has_the_reason(manifest: Manifest, tmp_path: Path) -> None:
    """And the others are measured all the same."""
    lost = replace(manifest, path=("images/gone.png", *manifest.path[1:]))
    measured = measure_rows(lost, [0, 1])
    assert measured.unread == (manifest.sample[0],)
    assert measured.reason == ("no such file", "")
    assert all(math.isnan(measured.scalars[name][0]) for name in COLUMNS)
    assert "1 of 2 images: no such file" in measured.lacking


def test_the_csv_holds_every_number(manifest: Manifest, tmp_path: Path) -> None:
    """To the last bit, and NaN as an empty cell."""
    measured = measure_rows(manifest, range(4))
    measured.scalars["area"][2] = math.nan
    again = Measurements.load(measured.save(tmp_path / "measurements.csv"))
    assert (again.sample, again.rule, again.reason) == (measured.sample, measured.rule, measured.reason)
    for name in COLUMNS:
        np.testing.assert_array_equal(again.scalars[name], measured.scalars[name])
    assert "nan" not in (tmp_path / "measurements.csv").read_text()
    assert again.outline is None


def test_a_foreign_table_is_refused(tmp_path: Path) -> None:
    """One line that says what is missing."""
    file = tmp_path / "other.csv"
    file.write_text("sample,label\na,b\n")
    with pytest.raises(UsageError, match=r"other\.csv: is no table of measurements: column 'image_height'"):
        Measurements.load(file)
    with pytest.raises(UsageError, match="cannot be read"):
        Measurements.load(tmp_path / "none.csv")


def test_an_image_inside_an_array_file_has_no_file_size(tmp_path: Path) -> None:
    """All images of the file would have the same, which is the size of none of them."""
    np.savez(tmp_path / "cells.npz", images=np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    paths = ("cells.npz::images/0", "cells.npz::images/1")
    manifest = Manifest(
        paths, paths, ("a", "b"), ("1", "2"), tuple(hash_members(tmp_path, paths).values()), root=tmp_path
    )
    measured = measure_rows(manifest, [0, 1])
    assert np.isnan(measured.scalars["file_bytes"]).all()
    assert (measured.scalars["image_height"] == 16).all()
