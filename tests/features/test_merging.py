"""Another store's rows are added where they are missing, and trusted in nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.headers import header_bytes, read_header
from leukfeat.features.merging import merge
from leukfeat.features.store import PROVENANCE, FeatureKey, FeatureStore
from leukfeat.features.upkeep import verify
from tests.features.rows import KEY, add, digests, vectors


@pytest.fixture
def other(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "other")


def test_missing_rows_come_and_rows_that_are_here_stay(store: FeatureStore, other: FeatureStore) -> None:
    add(store, range(3))
    other.append(KEY, digests(range(5)), vectors(range(5)) * 1.00001, ["x"] * 5, engine="theirs", decoder="")
    merged = merge(store, other)
    assert (merged.keys, merged.parts, merged.added, merged.held, merged.problems) == (1, 1, 2, 3, ())
    assert merged.largest_difference == pytest.approx(1e-5, rel=0.1)
    shelf = store.open(KEY)
    np.testing.assert_array_equal(shelf.read(digests(range(3))), vectors(range(3)))
    assert len(shelf) == 5
    assert {header.engine for header in shelf.headers} == {"eager", "theirs"}
    assert merge(store, other).added == 0
    assert verify(store).problems == ()


def test_a_key_that_is_new_here_comes_with_its_provenance(store: FeatureStore, other: FeatureStore) -> None:
    add(other, range(4))
    merge(store, other)
    assert (store.folder(KEY) / PROVENANCE).read_bytes() == (other.folder(KEY) / PROVENANCE).read_bytes()
    np.testing.assert_array_equal(store.open(KEY).read(digests(range(4))), vectors(range(4)))


def test_rows_of_one_image_that_differ_are_told(store: FeatureStore, other: FeatureStore) -> None:
    # the same key has to mean the same rows; one of the stores is wrong, and nobody can say which
    add(store, range(3))
    other.append(KEY, digests(range(2, 5)), vectors(range(2, 5)) * 1.5, ["x"] * 3, engine="", decoder="")
    merged = merge(store, other)
    assert merged.added == 2
    assert "differ by up to 50.0%" in merged.problems[0]


def test_what_is_damaged_is_left_out_and_named(store: FeatureStore, other: FeatureStore) -> None:
    spoilt = add(other, range(3))
    add(other, range(3, 6))
    content = bytearray(spoilt.read_bytes())
    content[-1] ^= 1
    spoilt.write_bytes(content)
    half = FeatureKey(KEY.resolution, "float16")
    other.append(half, digests(range(1)), vectors(range(1)), ["x"], engine="", decoder="")
    file = other.folder(half) / PROVENANCE
    file.write_text(file.read_text().replace("bilinear", "nearest"))
    merged = merge(store, other)
    assert merged.added == 3
    assert len(merged.problems) == 2
    assert any("do not match its checksum" in problem for problem in merged.problems)
    assert any("altered or moved" in problem for problem in merged.problems)
    assert verify(store).problems == ()


def test_a_key_that_cannot_be_added_to_keeps_no_other_from_it(store: FeatureStore, other: FeatureStore) -> None:
    half = FeatureKey(KEY.resolution, "float16")
    newer, sound = sorted([KEY, half], key=lambda key: key.folder_name)
    for key in (newer, sound):
        other.append(key, digests(range(3)), vectors(range(3)), ["x"] * 3, engine="", decoder="")
    part = store.append(newer, digests(range(1)), vectors(range(1)), ["x"], engine="", decoder="")
    part.write_bytes(part.read_bytes().replace(b"leukfeat part 2", b"leukfeat part 3", 1))
    merged = merge(store, other)
    assert merged.added == 3
    assert [problem.partition(": ")[0] for problem in merged.problems] == ["left out"]
    assert "newer version" in merged.problems[0]


def test_a_part_with_right_checksums_and_false_content_is_left_out(
    store: FeatureStore, other: FeatureStore, tmp_path: Path
) -> None:
    # checksums are no signature: whoever forges a part computes them anew
    forged = add(other, range(3))
    header = read_header(forged)
    with h5py.File(tmp_path / "body.h5", "w", userblock_size=header.start) as body:
        body["features"] = h5py.ExternalLink("/etc/passwd", "/")
        body["sample_ids"] = ["a", "b", "c"]
    content = (tmp_path / "body.h5").read_bytes()[header.start :]
    sealed = replace(header, body=hashlib.sha256(content).hexdigest())
    forged.write_bytes(header_bytes(sealed, len(content)) + content)
    merged = merge(store, other)
    assert merged.added == 0
    assert "features is a link" in merged.problems[0]


def test_the_bytes_of_another_store_are_never_taken_over(store: FeatureStore, other: FeatureStore) -> None:
    theirs = add(other, range(3))
    merge(store, other)
    (ours,) = parts.list_parts(store.folder(KEY))
    assert ours.name != theirs.name


def test_a_store_is_not_merged_with_itself_nor_with_nothing(store: FeatureStore, other: FeatureStore) -> None:
    with pytest.raises(StoreError, match="this very store"):
        merge(store, FeatureStore(store.root))
    with pytest.raises(StoreError, match="no keys of a feature store"):
        merge(store, other)
