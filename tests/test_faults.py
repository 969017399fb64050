"""The disk fills up, is closed to the user, or changes under our feet: one clear line, and what was stored is sound.

The whole of it, through the command line and with what is run again afterwards, is benchmarks/faults/full_disk.py.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.images import read_image
from leukfeat.data.manifest import Manifest
from leukfeat.errors import LeukfeatError
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.upkeep import verify

SPEC = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=32, crop="none"))


@pytest.fixture
def cells(tmp_path: Path) -> Manifest:
    """A few noise images of two classes."""
    rng = np.random.default_rng(0)
    for number in range(8):
        place = tmp_path / "cells" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(place / f"{number}.png")
    return Manifest.open(tmp_path / "cells", subjects="unknown")


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A tmpfs, and a function that mounts it anew with other options."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True, capture_output=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


def stored(root: Path) -> dict[str, bytes]:
    """Every finished file of a store that holds rows, or says what they are."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for pattern in ("*/part-*", "*/*.json")
        for file in root.glob(pattern)
    }


def test_a_full_disk_is_said_and_leaves_the_store_as_it_was(cells: Manifest, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "160k") as remount:
        store = FeatureStore(tmp_path / "disk" / "cache")
        extract(SPEC, cells.take([0, 1]), store, device="cpu")
        before = stored(store.root)
        filler = tmp_path / "disk" / "filler"
        free = os.statvfs(tmp_path / "disk")
        filler.write_bytes(bytes((free.f_bavail - 1) * free.f_frsize))
        with pytest.raises((LeukfeatError, OSError), match="No space left"):
            extract(SPEC, cells, store, device="cpu")
        assert stored(store.root) == before
        filler.unlink()
        assert not list(store.root.rglob(".writing-*")), "nothing half written takes room"
        assert not verify(store).problems
        remount("size=10m")
        report = extract(SPEC, cells, store, device="cpu")
        assert (report.hits, report.computed, report.failed) == (2, 6, ())


def test_a_read_only_store_answers_and_cannot_be_added_to(cells: Manifest, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "10m") as remount:
        store = FeatureStore(tmp_path / "disk" / "cache")
        extract(SPEC, cells.take([0, 1]), store, device="cpu")
        remount("ro")
        assert extract(SPEC, cells.take([0, 1]), store, device="cpu").hits == 2
        assert len(load_features(SPEC, cells.take([0, 1]), store)) == 2
        with pytest.raises((LeukfeatError, OSError), match="Read-only file system"):
            extract(SPEC, cells, store, device="cpu")
        assert not verify(store).problems


def test_a_user_without_permission_is_told_which_file(cells: Manifest, tmp_path: Path) -> None:
    """Root has to be made to obey permissions first, or nothing would be forbidden."""
    prefix: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root obeys no permissions, and there is no setpriv to make it")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    cells.save(tmp_path / "cells.csv")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "leukfeat", "data", "prepare", str(tmp_path / "cells.csv"), "-o",
         str(closed / "out.csv")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert str(closed) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(closed.iterdir())


def test_a_file_that_goes_or_changes_meanwhile_is_named_and_the_others_are_stored(
    cells: Manifest, tmp_path: Path
) -> None:
    """Nothing stands in for it: not zeros, not what it was, not what it became."""
    cells.file(0).unlink()
    Image.new("RGB", (32, 32), "red").save(cells.file(1))
    cells.file(2).unlink()
    cells.file(2).mkdir()
    cells.file(3).unlink()
    os.mkfifo(cells.file(3))
    store = FeatureStore(tmp_path / "cache")
    report = extract(SPEC, cells, store, device="cpu")
    reasons = {sample: reason for sample, _, reason in report.failed}
    assert set(reasons) == set(cells.sample[:4])
    for row, words in enumerate(("no such file", "content changed", "a folder", "not a regular file")):
        assert words in reasons[cells.sample[row]]
    assert set(load_features(SPEC, cells, store).sample_ids) == set(cells.sample[4:])
    assert not verify(store).problems


def test_a_file_that_is_written_to_while_it_is_read_is_not_taken_for_the_one_it_was(
    cells: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memo of digests vouches for a file as it was; the bytes that were read may be others by then."""
    from leukfeat.data import images

    real = os.fstat
    turned = Image.new("RGB", (32, 32), "blue")

    def meanwhile(handle: int) -> os.stat_result:
        status = real(handle)
        if os.path.samestat(status, cells.file(0).stat()) and status.st_size > 400:
            turned.save(cells.file(0))
        return status

    monkeypatch.setattr(images.os, "fstat", meanwhile)
    report = extract(SPEC, cells, FeatureStore(tmp_path / "cache"), device="cpu")
    assert [sample for sample, _, _ in report.failed] == [cells.sample[0]]
    assert "content changed" in report.failed[0][2] or "truncated" in report.failed[0][2]


def test_damaged_images_are_stored_as_they_are_or_named(tmp_path: Path) -> None:
    """No row stands in for an image that cannot be read, and none is another image's."""
    rng, chance = np.random.default_rng(0), random.Random(0)
    for number in range(48):
        place = tmp_path / "cells" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        form = ("BMP", "PNG", "JPEG", "TIFF")[number // 2 % 4]
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(stream, format=form)
        data = bytearray(stream.getvalue())
        if number % 3 == 0:
            del data[chance.randrange(len(data)) :]
        else:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (place / f"{number}.{form.lower()}").write_bytes(data)
    manifest = Manifest.open(tmp_path / "cells", subjects="unknown")
    store = FeatureStore(tmp_path / "cache")
    report = extract(SPEC, manifest, store, device="cpu")
    found = load_features(SPEC, manifest, store)
    assert {sample for sample, _, _ in report.failed} == set(manifest.sample) - set(found.sample_ids)
    assert 8 <= len(report.failed) <= 40

    for sample in found.sample_ids:  # the same pixels again, from a file without damage
        file = tmp_path / "copies" / f"{sample}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(read_image(tmp_path / "cells" / sample)).save(file)
    copies = Manifest.open(tmp_path / "copies", subjects="unknown")
    extract(SPEC, copies, store, device="cpu")
    again = load_features(SPEC, copies, store)
    assert again.sample_ids == tuple(f"{sample}.png" for sample in found.sample_ids)
    np.testing.assert_allclose(again.X, found.X, atol=1e-4 * np.abs(found.X).max())
    assert len(np.unique(found.X, axis=0)) == len(found)
