"""An image is read once, and only if it is the one the manifest describes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukfeat.data import arrays
from leukfeat.data.arrays import hash_members
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.data.pixels import CHANGED, read_picture, read_row
from leukfeat.errors import ImageError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
PATHS = tuple(f"cells.npz::train_images/{row}" for row in range(3))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Three images inside an array file."""
    np.savez(tmp_path / "cells.npz", train_images=PIXELS)
    digests = hash_members(tmp_path, PATHS)
    return Manifest(PATHS, PATHS, ("a", "b", "a"), ("1", "2", "3"), tuple(digests.values()), root=tmp_path)


def test_an_image_inside_an_array_file_is_read_once(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels that are checked are the pixels that are used."""
    reads: list[str] = []
    real = arrays.read_array

    def count(file: Path, member: str) -> np.ndarray:
        reads.append(member)
        return real(file, member)

    monkeypatch.setattr(arrays, "read_array", count)
    np.testing.assert_array_equal(read_row(manifest, 1), PIXELS[1])
    assert reads == ["train_images"]


def test_an_image_inside_an_array_file_that_changed_is_refused(manifest: Manifest) -> None:
    """Other pixels under the old name must not become its features."""
    np.savez(manifest.root / "cells.npz", train_images=PIXELS[::-1])
    read_row(manifest, 1)
    with pytest.raises(ImageError, match=CHANGED):
        read_row(manifest, 0)


def test_a_file_that_is_written_to_while_it_is_read_is_not_taken_for_the_known_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are not hashed again only where it is in the known state after they have been read."""
    file, other = (tmp_path / "cells" / name / "cell.bmp" for name in "ab")
    for pixels, place in zip(PIXELS, (file, other), strict=False):
        place.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(place)
    os.utime(file, (1e9, 1e9))
    memo = HashMemo(tmp_path / "memo")
    manifest = Manifest.open(tmp_path / "cells", subjects="unknown", memo=memo)
    (known,), row = memo.recall([file]).values(), manifest.path.index("a/cell.bmp")
    real, replaced = os.fstat, other.read_bytes()

    def write_in_between(handle: int) -> os.stat_result:
        status = real(handle)
        if file.read_bytes() != replaced:
            file.write_bytes(replaced)
        return status

    np.testing.assert_array_equal(read_picture(manifest, row, known), PIXELS[0])
    monkeypatch.setattr(os, "fstat", write_in_between)
    with pytest.raises(ImageError, match=CHANGED):
        read_picture(manifest, row, known)
