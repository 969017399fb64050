"""Images inside array files."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leukfeat.data import arrays
from leukfeat.data.arrays import hash_members, is_member, member_image, member_names, read_array
from leukfeat.errors import ImageError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez_compressed(
        tmp_path / "cells.npz",
        train_images=PIXELS,
        grey_images=PIXELS[..., 0],
        fortran_images=np.asfortranarray(PIXELS),
        float_images=PIXELS.astype(np.float32),
        objects=np.array([{"a": 1}], dtype=object),
        empty_images=PIXELS[:0],
    )
    return tmp_path / "cells.npz"


def test_a_member_is_read_by_its_name_and_index(file: Path) -> None:
    """Grey arrays become RGB, the order of storage does not matter."""
    for row in range(5):
        np.testing.assert_array_equal(member_image(file.parent, f"cells.npz::train_images/{row}"), PIXELS[row])
        np.testing.assert_array_equal(member_image(file.parent, f"cells.npz::fortran_images/{row}"), PIXELS[row])
    grey = member_image(file.parent, "cells.npz::grey_images/2")
    np.testing.assert_array_equal(grey, np.repeat(PIXELS[2, :, :, :1], 3, axis=2))
    assert member_image(file.parent, "cells.npz::train_images/0").flags.writeable


def test_the_file_is_unpacked_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve thousand images must not unpack their file twelve thousand times."""
    opened: list[object] = []
    original = zipfile.ZipFile

    class Counted(original):  # type: ignore[misc, valid-type]
        def __init__(self, *args: object, **options: object) -> None:
            opened.append(args)
            super().__init__(*args, **options)

    monkeypatch.setattr(arrays.zipfile, "ZipFile", Counted)
    hash_members(file.parent, [f"cells.npz::train_images/{row}" for row in range(5)])
    assert len(opened) == 1


def test_a_file_that_changed_is_read_anew(file: Path) -> None:
    """The cache belongs to the file's content, not to its name."""
    member_image(file.parent, "cells.npz::train_images/0")
    np.savez(file, train_images=255 - PIXELS)
    np.testing.assert_array_equal(member_image(file.parent, "cells.npz::train_images/0"), 255 - PIXELS[0])


def test_digests_tell_pixels_and_shape(file: Path) -> None:
    """Equal images have equal digests wherever they lie; what cannot be read has none."""
    names = ["cells.npz::train_images/1", "cells.npz::fortran_images/1", "cells.npz::train_images/2"]
    found = hash_members(file.parent, [*names, "cells.npz::train_images/99"])
    assert found[names[0]] == found[names[1]] != found[names[2]]
    assert set(found) == set(names)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("cells.npz::train_images/5", "past the last image"),
        ("cells.npz::empty_images/0", "past the last image"),
        ("cells.npz::val_images/0", "no such array"),
        ("cells.npz::float_images/0", "not 8-bit images"),
        ("cells.npz::objects/0", "pickled objects"),
        ("cells.npz::train_images", "file.npz::member/index"),
        ("none.npz::train_images/0", "cannot be read"),
        ("text.npz::train_images/0", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(file: Path, path: str, reason: str) -> None:
    """Pickles above all: opening one could run anything."""
    (file.parent / "text.npz").write_text("no archive")
    with pytest.raises(ImageError, match=reason):
        member_image(file.parent, path)


def test_a_truncated_array_is_refused(file: Path) -> None:
    """The header promises more than there is."""
    with zipfile.ZipFile(file) as whole:
        data = whole.read("train_images.npy")
    with zipfile.ZipFile(file, "w") as cut:
        cut.writestr("train_images.npy", data[:-10])
    with pytest.raises(ImageError, match="truncated"):
        member_image(file.parent, "cells.npz::train_images/0")


def test_names(file: Path) -> None:
    """Members are told by the mark in their path, arrays by the archive."""
    assert is_member("a.npz::b/0")
    assert not is_member("a/b.png")
    assert {"train_images", "objects"} <= set(member_names(file))
    (file.parent / "text.npz").write_text("no archive")
    with pytest.raises(ImageError, match="array file"):
        member_names(file.parent / "text.npz")


def packed(file: Path, header: str, data: bytes = b"", method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An array file with any header; one that only a hostile writer makes."""
    text = header.encode() + b"\n"
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)
    return file


def _header(shape: str, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


HOSTILE = {
    "more than memory": _header("(1099511627776, 3)"),
    "more than 64 bits": _header("(4294967296, 4294967296)"),
    "less than nothing": _header("(-3, 4)"),
    "brackets without end": "[" * 4000,
    "signs without end": "-" * 9000 + "1",
    "no header": "eval('1')",
    "code": "__import__('os').getcwd()",
    "a number of 6,000 digits": _header(f"({'9' * 6000},)"),
    "a type of terabytes": _header("(2,)", "'|V1000000000000'"),
    "objects": _header("(2,)", "'|O'"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_array(packed(tmp_path / "x.npz", HOSTILE[kind], b"ab"), "a")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_refused(method: int, tmp_path: Path) -> None:
    """Each decompressor has exceptions of its own."""
    pixels = np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8).tobytes()
    content = bytearray(packed(tmp_path / "x.npz", _header("(50000,)"), pixels, method).read_bytes())
    content[20_000] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ImageError, match="cannot be read"):
        read_array(tmp_path / "x.npz", "a")


def test_an_encrypted_archive_and_a_pipe_are_refused(tmp_path: Path) -> None:
    content = bytearray(packed(tmp_path / "x.npz", _header("(2,)"), b"ab").read_bytes())
    content[content.find(b"PK\x03\x04") + 6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ImageError, match="encrypted"):
        read_array(tmp_path / "x.npz", "a")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ImageError, match="not a regular file"):
        read_array(tmp_path / "pipe.npz", "a")


def test_a_small_archive_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte can hold a gigabyte of zeros: no more is unpacked than the header promises, and only where it fits."""
    bomb = packed(tmp_path / "x.npz", _header("(2,)"), bytes(50_000_000))
    monkeypatch.chdir(tmp_path)
    written: list[int] = []
    real = tempfile.TemporaryFile

    def watched() -> Any:
        stream = real()
        write = stream.write
        monkeypatch.setattr(stream, "write", lambda block: written.append(len(block)) or write(block), raising=False)
        return stream

    monkeypatch.setattr(arrays.tempfile, "TemporaryFile", watched)
    with pytest.raises(ImageError, match="should have 2 bytes"):
        read_array(bomb, "a")
    assert sum(written) <= 2
    full = packed(tmp_path / "y.npz", _header("(50000000,)"), bytes(50_000_000))
    monkeypatch.setattr(arrays.shutil, "disk_usage", lambda place: SimpleNamespace(free=1_000_000))
    with pytest.raises(ImageError, match="unpacks to 50,000,000 bytes, more than are free"):
        read_array(full, "a")
