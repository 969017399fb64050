"""A part is whole or it is told apart: one line that says which file, what is wrong, what to do."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.textfiles import whole_file

DIGESTS = [f"{number:064x}" for number in range(300)]
X = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    names = [f"é{digest[-4:]}" for digest in DIGESTS]
    return parts.write_part(tmp_path / "key", DIGESTS, X, names, engine="eager", decoder="pillow")


def test_what_is_written_can_be_read(part: Path) -> None:
    header = parts.check_part(part)
    assert (len(header), header.dim, header.engine, header.decoder) == (300, 7, "eager", "pillow")
    out = np.empty((3, 7), np.float32)
    parts.read_rows(part, np.array([299, 0, 299]), out, np.array([0, 1, 2]))
    np.testing.assert_array_equal(out, X[[299, 0, 299]])
    assert parts.read_sample_ids(part)[3] == "é0003"


def test_nothing_else_is_left_in_the_folder(part: Path) -> None:
    assert list(part.parent.iterdir()) == [part] == parts.list_parts(part.parent)


def test_a_temporary_file_is_never_taken_for_a_part(part: Path) -> None:
    with whole_file(part) as temporary:
        temporary.write_bytes(part.read_bytes())
        (part.parent / "part-1.h5.tmp").write_bytes(part.read_bytes())
        assert parts.list_parts(part.parent) == [part]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        parts.write_part(tmp_path, DIGESTS, X, DIGESTS, engine="", decoder="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 5, 100, 1000, -1])
def test_a_truncated_part_is_told(part: Path, kept: int) -> None:
    content = part.read_bytes()
    part.write_bytes(content[:kept])
    with pytest.raises(StoreError, match=r"part-.*(truncated|not an HDF5 file).*cache gc"):
        parts.read_header(part)


def test_a_file_that_is_no_hdf5_is_told(part: Path) -> None:
    part.write_text("sample,feature\n" * 100)
    with pytest.raises(StoreError, match="not an HDF5 file"):
        parts.read_header(part)


def test_a_foreign_hdf5_file_is_told(part: Path) -> None:
    with h5py.File(part, "w") as foreign:
        foreign["features"] = X
    with pytest.raises(StoreError, match="not a part of a feature store"):
        parts.read_header(part)


def test_another_version_is_told(part: Path) -> None:
    with h5py.File(part, "r+") as other:
        other.attrs["schema"] = 99
    with pytest.raises(StoreError, match=r"another version of leukfeat .*schema 99"):
        parts.read_header(part)


def test_a_wrong_number_of_rows_is_told(part: Path) -> None:
    with h5py.File(part, "r+") as other:
        other.attrs["rows"] = 299
    with pytest.raises(StoreError, match="promises 299 rows"):
        parts.read_header(part)


def test_altered_vectors_are_told(part: Path) -> None:
    with h5py.File(part, "r+") as other:
        other["features"][17, 3] += 1
    with pytest.raises(StoreError, match="do not match its checksum"):
        parts.check_part(part)


def test_a_flipped_bit_is_told_at_the_latest_when_read(part: Path) -> None:
    content = bytearray(part.read_bytes())
    place = content.find(X[150].tobytes())
    content[place] ^= 1
    part.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        parts.read_rows(part, np.array([150]), np.empty((1, 7), np.float32), np.array([0]))


def test_a_part_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is gone"):
        parts.read_header(tmp_path / "part-1.h5")
