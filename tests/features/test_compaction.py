"""Joining parts keeps every answer, leaves nothing twice, and touches what is large and sound as little as it can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leukfeat.errors import StoreError
from leukfeat.features import compaction, parts
from leukfeat.features.compaction import compact
from leukfeat.features.headers import GonePartError, PartHeader, header_bytes, read_header
from leukfeat.features.store import FeatureKey, FeatureStore
from leukfeat.features.upkeep import verify
from tests.features.rows import KEY, add, digests, vectors


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
    assert parts.read_sample_ids(after.headers[0])[0] == "sample 0"
    assert verify(store).problems == ()


def test_the_oldest_answer_stays_the_answer(store: FeatureStore) -> None:
    add(store, range(3))
    store.append(KEY, digests(range(4)), vectors(range(4)) + 1, ["x"] * 4, engine="eager", decoder="pillow")
    compact(store)
    np.testing.assert_array_equal(store.open(KEY).read(digests(range(3))), vectors(range(3)))
    np.testing.assert_array_equal(store.open(KEY).read(digests(range(3, 4))), vectors(range(3, 4)) + 1)


def test_what_is_joined_already_is_left_alone(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # a store of millions of rows must not be written anew because ten were added
    monkeypatch.setattr(compaction, "_ROWS_A_PART", 8)
    large = add(store, range(8))
    add(store, range(8, 10))
    assert compact(store) == {}
    add(store, range(10, 12))
    assert compact(store) == {store.folder(KEY).name: 2}
    assert large.exists()
    assert len(parts.list_parts(store.folder(KEY))) == 2
    assert compact(store) == {}


def test_many_rows_become_several_parts(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_ROWS_A_PART", 8)
    for start in range(0, 21, 3):
        add(store, range(start, start + 3))
    compact(store)
    shelf = store.open(KEY)
    assert sorted(len(header) for header in shelf.headers) == [5, 8, 8]
    np.testing.assert_array_equal(shelf.read(digests(range(21))), vectors(range(21)))


def test_a_part_of_rows_that_others_answer_for_goes(store: FeatureStore) -> None:
    add(store, range(6))
    add(store, range(2, 4))
    compact(store)
    (left,) = store.open(KEY).headers
    assert len(left) == 6


def test_compact_deletes_nothing_where_a_part_is_damaged(store: FeatureStore) -> None:
    add(store, range(5))
    spoilt = add(store, range(5, 9))
    content = bytearray(spoilt.read_bytes())
    content[-1] ^= 1
    spoilt.write_bytes(content)
    with pytest.raises(StoreError, match="checksum"):
        compact(store)
    assert len(parts.list_parts(store.folder(KEY))) == 2


def test_a_row_does_not_go_because_a_damaged_part_has_it_too(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_ROWS_A_PART", 8)
    spoilt = add(store, range(6))  # large, and all its rows in use: not to be joined
    add(store, range(2, 4))
    content = bytearray(spoilt.read_bytes())
    content[-1] ^= 1
    spoilt.write_bytes(content)
    with pytest.raises(StoreError, match="checksum"):
        compact(store)
    assert len(parts.list_parts(store.folder(KEY))) == 2


def test_a_key_that_cannot_be_joined_keeps_no_other_from_it(store: FeatureStore) -> None:
    half = FeatureKey(KEY.resolution, "float16")
    newer, other = sorted([KEY, half], key=lambda key: key.folder_name)
    for number in range(2):
        name = [f"sample {number}"]
        for key in (newer, other):
            store.append(key, digests(range(number, number + 1)), vectors(range(1)), name, engine="", decoder="")
    part = parts.list_parts(store.folder(newer))[0]
    part.write_bytes(part.read_bytes().replace(b"leukfeat part 2", b"leukfeat part 3", 1))
    with pytest.raises(StoreError, match="newer version"):
        compact(store)
    assert len(parts.list_parts(store.folder(newer))) == 2
    assert len(parts.list_parts(store.folder(other))) == 1


def test_a_part_whose_content_contradicts_its_header_is_not_joined(store: FeatureStore) -> None:
    add(store, range(5))
    forged = add(store, range(5, 9))
    header = read_header(forged)
    body = forged.read_bytes()[header.start :]
    forged.write_bytes(header_bytes(replace(header, digests=header.digests[::-1]), len(body)) + body)
    with pytest.raises(StoreError, match="contradict"):
        compact(store)
    assert forged.exists()
    assert store.open(KEY).holds(digests(range(9))).all()


@pytest.mark.parametrize("killed_at", ["joined part written", "first part deleted"])
def test_a_kill_between_writing_and_deleting_loses_nothing(
    store: FeatureStore, killed_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(0, 9, 3):
        add(store, range(start, start + 3))
    deleted: list[Path] = []
    real = Path.unlink

    def killed(file: Path, missing_ok: bool = False) -> None:
        if file.name.startswith("part-"):
            if len(deleted) == (killed_at == "first part deleted"):
                raise KeyboardInterrupt
            deleted.append(file)
        real(file, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            compact(store)
    np.testing.assert_array_equal(store.open(KEY).read(digests(range(9))), vectors(range(9)))
    compact(store)
    (left,) = store.open(KEY).headers
    assert len(left) == 9
    assert verify(store).problems == ()


def test_parts_that_another_process_joins_meanwhile_are_left_to_it(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, range(3))
    add(store, range(3, 6))

    def gone(header: PartHeader) -> None:
        raise GonePartError(f"{header.file}: the part is gone")

    monkeypatch.setattr(parts, "read_part", gone)
    assert compact(store) == {}
    assert len(parts.list_parts(store.folder(KEY))) == 2
