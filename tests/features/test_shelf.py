"""A look-up finds the oldest row of an image, whatever the digests look like, and outlives compaction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.compaction import compact
from leukfeat.features.headers import GonePartError, PartHeader, read_header
from leukfeat.features.shelf import RowIndex
from leukfeat.features.store import FeatureStore
from tests.features.rows import KEY, add, digests, vectors


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("n_different_beginnings", [1, 3, 1000])
def test_a_look_up_is_that_of_a_dictionary(
    n_different_beginnings: int, mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # digests with the same key are told apart; of equal ones the first answers
    if not mixed:
        monkeypatch.setattr("leukfeat.features.shelf._MIX", (1, 0, 0, 0))
    rng = np.random.default_rng(n_different_beginnings)
    rows = np.zeros((2000, 32), dtype=np.uint8)
    rows[:, 4:8] = rng.integers(0, n_different_beginnings, (2000, 1), dtype=np.uint32).view(np.uint8)
    rows[:, 31] = rng.integers(0, 256, 2000)
    expected: dict[bytes, int] = {}
    for number, row in enumerate(rows):
        expected.setdefault(row.tobytes(), number)
    asked = np.concatenate([rows[::3], rng.integers(0, 256, (50, 32), dtype=np.uint8)])
    asked[-25:, :31] = 0  # beginnings that are there, ends that may not be
    index = RowIndex(rows)
    assert index.find(asked).tolist() == [expected.get(row.tobytes(), -1) for row in asked]
    assert index.count() == len(expected)


def test_nothing_is_in_an_empty_index() -> None:
    none = np.empty((0, 32), dtype=np.uint8)
    assert RowIndex(none).find(np.zeros((3, 32), dtype=np.uint8)).tolist() == [-1] * 3
    assert RowIndex(np.zeros((3, 32), dtype=np.uint8)).find(none).tolist() == []
    assert RowIndex(none).count() == 0


def test_which_images_are_stored(store: FeatureStore) -> None:
    add(store, range(3))
    assert store.open(KEY).holds(digests(range(1, 5))).tolist() == [True, True, False, False]
    assert store.open(KEY).holds([]).tolist() == []
    with pytest.raises(StoreError, match="not the sha256"):
        store.open(KEY).holds(["", "no"])


def test_a_reader_outlives_compaction(store: FeatureStore) -> None:
    # it holds a list of parts that are gone by the time it reads their rows
    add(store, range(3))
    add(store, range(3, 6))
    shelf = store.open(KEY)
    compact(store)
    np.testing.assert_array_equal(shelf.read(digests(range(6))), vectors(range(6)))
    assert len(shelf.headers) == 1


def test_looking_again_reads_only_what_is_new(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # a driver of a thousand shards looks a thousand times
    add(store, range(3))
    shelf = store.open(KEY)
    new = add(store, range(3, 6))
    looked_into: list[Path] = []

    def counted(file: Path) -> PartHeader:
        looked_into.append(file)
        return read_header(file)

    monkeypatch.setattr("leukfeat.features.shelf.read_header", counted)
    shelf.refresh()
    assert looked_into == [new]
    assert shelf.holds(digests(range(6))).all()


def test_a_row_that_was_altered_is_found_by_whoever_counts_on_it(store: FeatureStore) -> None:
    part = add(store, range(3))
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    shelf = store.open(KEY)
    shelf.check(digests(range(0)))
    with pytest.raises(StoreError, match="do not match its checksum"):
        shelf.check(digests(range(1)))


def test_a_sound_part_beside_a_damaged_one_can_be_read(store: FeatureStore) -> None:
    add(store, range(3))
    add(store, range(3, 6)).write_bytes(b"")
    with pytest.raises(StoreError, match="truncated"):
        store.open(KEY)


def test_opening_outlives_a_long_compaction(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # every part that is deleted between listing and reading is one more listing, however many there are
    add(store, range(3))
    listed = parts.list_parts
    going = [Path(f"part-{number}.h5") for number in range(50)]

    def listing(folder: Path) -> list[Path]:
        return [*listed(folder), *(folder / file for file in [going.pop()] if going)]

    monkeypatch.setattr(parts, "list_parts", listing)
    assert len(store.open(KEY)) == 3


def test_a_part_that_is_listed_and_never_there_is_told(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, range(3))
    listed = parts.list_parts
    monkeypatch.setattr(parts, "list_parts", lambda folder: [*listed(folder), folder / "part-0.h5"])
    with pytest.raises(GonePartError, match=r"part-0\.h5: the part is gone"):
        store.open(KEY)
