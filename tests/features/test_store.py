"""Rows are found by the content of the image, and parts are only ever added."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.resolution import Resolution
from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.store import PROVENANCE, FeatureKey, FeatureStore
from leukfeat.features.upkeep import ASIDE, collect_garbage, compact, list_keys, verify
from leukfeat.textfiles import TEMPORARY

KEY = FeatureKey(
    Resolution(
        architecture="tiny",
        model_args={},
        weights_sha256="ab" * 32,
        origin="test",
        pooling="avg",
        layer=None,
        inputs=Inputs((8, 8), "none", 0.0, "bilinear", "unit", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )
)


def digests(numbers: range) -> list[str]:
    return [f"{number:064x}" for number in numbers]


def vectors(numbers: range, dim: int = 4) -> np.ndarray:
    return np.array([[number] * dim for number in numbers], dtype=np.float32)


def add(store: FeatureStore, numbers: range, engine: str = "eager") -> Path:
    names = [f"sample {number}" for number in numbers]
    return store.append(KEY, digests(numbers), vectors(numbers), names, engine=engine, decoder="pillow")


def test_rows_are_found_whichever_part_they_are_in(store: FeatureStore) -> None:
    add(store, range(5))
    add(store, range(5, 9))
    shelf = store.open(KEY)
    assert len(shelf) == 9
    assert digests(range(9, 10))[0] not in shelf
    np.testing.assert_array_equal(shelf.read(digests(range(8, -1, -1))), vectors(range(8, -1, -1)))
    assert shelf.read([]).shape == (0, 4)


def test_an_image_that_is_not_stored_is_an_error(store: FeatureStore) -> None:
    add(store, range(2))
    with pytest.raises(StoreError, match="run leukfeat extract"):
        store.open(KEY).read(digests(range(3)))


def test_the_first_answer_stays_the_answer(store: FeatureStore) -> None:
    # a later, slightly different row of another machine must not change a running study
    add(store, range(3))
    store.append(KEY, digests(range(3)), vectors(range(3)) + 1, ["x"] * 3, engine="other", decoder="")
    np.testing.assert_array_equal(store.open(KEY).read(digests(range(3))), vectors(range(3)))


def test_the_folder_is_a_function_of_the_key(store: FeatureStore) -> None:
    assert store.folder(KEY) != store.folder(FeatureKey(KEY.resolution, "float16"))
    assert store.folder(KEY).name.startswith("tiny-avg-") or store.folder(KEY).name.startswith("tiny_avg-")


def test_a_folder_of_another_key_is_refused(store: FeatureStore) -> None:
    add(store, range(2))
    other = FeatureKey(KEY.resolution, "float16")
    store.folder(KEY).rename(store.folder(other))
    with pytest.raises(StoreError, match="belongs to another key"):
        store.open(other)


def test_a_file_in_place_of_the_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="not a folder"):
        FeatureStore(tmp_path / "file")


def _write_many(root: Path, start: int) -> None:
    for number in range(start, start + 40, 4):
        add(FeatureStore(root), range(number, number + 4))


def test_many_writers_lose_nothing(store: FeatureStore) -> None:
    command = [sys.executable, __file__, str(store.root)]  # this file is the writers' program too
    writers = [subprocess.Popen([*command, str(30 * number)]) for number in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    np.testing.assert_array_equal(store.open(KEY).read(digests(range(100))), vectors(range(100)))
    assert verify(store).problems == ()


def test_ls_counts_images_and_not_rows(store: FeatureStore) -> None:
    add(store, range(5))
    add(store, range(3, 7))
    (summary,) = list_keys(store)
    assert (summary.images, summary.parts, summary.dim, summary.origin) == (7, 2, 4, "test")
    assert summary.problem == ""


def test_ls_shows_a_damaged_key_and_goes_on(store: FeatureStore) -> None:
    add(store, range(5)).write_bytes(b"")
    assert "not an HDF5 file" in list_keys(store)[0].problem


def test_verify_reads_everything(store: FeatureStore) -> None:
    add(store, range(5))
    found = verify(store)
    assert (found.keys, found.parts, found.rows, found.problems) == (1, 1, 5, ())


def test_verify_reports_every_problem(store: FeatureStore) -> None:
    add(store, range(5)).write_bytes(b"nothing")
    add(store, range(5, 9))
    (store.folder(KEY) / PROVENANCE).write_text("{}")
    problems = verify(store).problems
    assert len(problems) == 2
    assert any("provenance.json" in problem for problem in problems)
    assert any("not an HDF5 file" in problem for problem in problems)


def test_verify_compares_provenance_with_the_key(store: FeatureStore) -> None:
    add(store, range(5))
    file = store.folder(KEY) / PROVENANCE
    file.write_text(file.read_text().replace("bilinear", "nearest"))
    assert "altered or moved" in verify(store).problems[0]


def test_gc_first_says_and_then_does(store: FeatureStore) -> None:
    damaged = add(store, range(5))
    damaged.write_bytes(b"nothing")
    sound = add(store, range(5, 9))
    left = store.folder(KEY) / f"{TEMPORARY}1-abc"
    left.touch()
    os.utime(left, (0, 0))
    said = collect_garbage(store)
    assert {removal.path for removal in said} == {damaged, left}
    assert damaged.exists()
    assert left.exists()
    assert {removal.path for removal in collect_garbage(store, dry_run=False)} == {damaged, left}
    assert not left.exists()
    assert parts.list_parts(store.folder(KEY)) == [sound]
    assert len(list((store.root / ASIDE).iterdir())) == 1  # what was computed is never thrown away for being odd
    assert collect_garbage(store) == ()


def test_gc_leaves_what_is_being_written(store: FeatureStore) -> None:
    add(store, range(5))
    (store.folder(KEY) / f"{TEMPORARY}1-abc").touch()
    assert collect_garbage(store) == ()


def test_gc_deletes_keys_by_age_only_when_asked(store: FeatureStore) -> None:
    add(store, range(5))
    assert collect_garbage(store, unused_days=1) == ()
    collect_garbage(store, unused_days=-1, dry_run=False)
    assert not store.folder(KEY).exists()


def test_gc_leaves_a_key_whose_first_part_is_still_to_come(store: FeatureStore) -> None:
    # somebody computes it right now; with nothing in it, it is as old as its provenance
    add(store, range(5)).unlink()
    assert collect_garbage(store, unused_days=1) == ()
    os.utime(store.folder(KEY) / PROVENANCE, (0, 0))
    assert [removal.path for removal in collect_garbage(store, unused_days=1)] == [store.folder(KEY)]


def test_compact_keeps_every_answer(store: FeatureStore) -> None:
    for start in range(0, 20, 2):
        add(store, range(start, start + 3), engine="eager" if start < 10 else "other")
    before = store.open(KEY).read(digests(range(21)))
    joined = compact(store)
    assert joined == {store.folder(KEY).name: 10}
    after = store.open(KEY)
    np.testing.assert_array_equal(after.read(digests(range(21))), before)
    assert {header.engine for header in after.headers} == {"eager", "other"}
    assert len(after.headers) == 2
    assert sum(len(header) for header in after.headers) == 21
    assert parts.read_sample_ids(after.headers[0].file)[0] == "sample 0"
    assert verify(store).problems == ()


def test_compact_deletes_nothing_where_a_part_is_damaged(store: FeatureStore) -> None:
    import h5py

    add(store, range(5))
    spoilt = add(store, range(5, 9))
    with h5py.File(spoilt, "r+") as part:
        part["features"][0, 0] = 99
    with pytest.raises(StoreError, match="checksum"):
        compact(store)
    assert len(parts.list_parts(store.folder(KEY))) == 2


if __name__ == "__main__":
    _write_many(Path(sys.argv[1]), int(sys.argv[2]))
