"""Rows are found by the content of the image, and parts are only ever added."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from leukfeat.errors import StoreError
from leukfeat.features.store import PROVENANCE, FeatureKey, FeatureStore
from leukfeat.features.upkeep import list_folders, list_keys, verify
from tests.features.rows import KEY, add, digests, vectors


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


def test_ls_counts_images_and_not_rows(store: FeatureStore) -> None:
    add(store, range(5))
    add(store, range(3, 7))
    (summary,) = list_keys(store)
    assert (summary.images, summary.parts, summary.dim, summary.origin) == (7, 2, 4, "test")
    assert summary.problem == ""


def test_ls_shows_a_damaged_key_and_goes_on(store: FeatureStore) -> None:
    add(store, range(5)).write_bytes(b"")
    assert "truncated (0 bytes left)" in list_keys(store)[0].problem


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
    assert any("truncated" in problem for problem in problems)


def test_verify_compares_provenance_with_the_key(store: FeatureStore) -> None:
    add(store, range(5))
    file = store.folder(KEY) / PROVENANCE
    file.write_text(file.read_text().replace("bilinear", "nearest"))
    assert "altered or moved" in verify(store).problems[0]


@pytest.mark.parametrize("content", [None, '{"key":' + "[" * 100_000, "[]", '{"key": 1}'])
def test_a_provenance_that_is_none_is_one_line(store: FeatureStore, content: str | None) -> None:
    """None: a pipe, which would keep its reader waiting for ever."""
    add(store, range(5))
    file = store.folder(KEY) / PROVENANCE
    file.unlink()
    if content is None:
        os.mkfifo(file)
    else:
        file.write_text(content)
    assert "cannot be read (" in verify(store).problems[0]


def test_a_store_of_a_newer_version_is_one_line(store: FeatureStore) -> None:
    newer = add(store, range(5))
    newer.write_bytes(newer.read_bytes().replace(b"leukfeat part 2", b"leukfeat part 3", 1))
    with pytest.raises(StoreError, match="written by a newer version of leukfeat"):
        store.open(KEY)
    assert "newer version" in list_keys(store)[0].problem
    assert "newer version" in verify(store).problems[0]


def test_opening_a_key_is_noted_for_whoever_cleans_up(store: FeatureStore) -> None:
    add(store, range(5))
    store.open(KEY)
    (summary,) = list_keys(store)
    assert summary.last_used == pytest.approx(time.time(), abs=60)


def test_a_store_that_cannot_be_written_can_be_read(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, range(5))

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    assert len(store.open(KEY)) == 5


def test_what_lies_beside_the_keys_is_listed(store: FeatureStore) -> None:
    add(store, range(5))
    store.engines.mkdir()
    (store.engines / "network.onnx").write_bytes(b"12345")
    assert [(each.folder, each.files, each.bytes) for each in list_folders(store)] == [("engines", 1, 5)]
