"""What can go is said first, and goes only when asked; what somebody may need is moved aside or left."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from leukfeat.features import parts
from leukfeat.features.garbage import collect_garbage
from leukfeat.features.store import PROVENANCE, USED, FeatureKey, FeatureStore
from leukfeat.features.upkeep import ASIDE, verify
from leukfeat.textfiles import TEMPORARY
from tests.features.rows import KEY, add, digests, vectors

HALF = FeatureKey(KEY.resolution, "float16")
DAY = 86_400.0


def age(path: Path, days: float) -> None:
    """Make a file, or all files of a folder, so old."""
    then = time.time() - days * DAY
    for file in path.rglob("*") if path.is_dir() else [path]:
        os.utime(file, (then, then))


def network(store: FeatureStore, name: str, days: float, size: int = 10) -> Path:
    store.engines.mkdir(parents=True, exist_ok=True)
    file = store.engines / name
    file.write_bytes(bytes(size))
    age(file, days)
    return file


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


def test_a_folder_that_is_not_the_key_it_says_is_moved_aside(store: FeatureStore) -> None:
    add(store, range(5))
    file = store.folder(KEY) / PROVENANCE
    file.write_text(file.read_text().replace("bilinear", "nearest"))
    (removal,) = collect_garbage(store, dry_run=False)
    assert removal.aside
    assert not store.folder(KEY).exists()
    assert len(list((store.root / ASIDE).rglob("part-*"))) == 1


def test_gc_deletes_by_age_only_when_asked(store: FeatureStore) -> None:
    add(store, range(5))
    age(store.folder(KEY), 10)
    assert collect_garbage(store) == ()
    assert collect_garbage(store, older_than_days=11) == ()
    (removal,) = collect_garbage(store, older_than_days=9, dry_run=False)
    assert "nothing added for more than 9 days" in removal.reason
    assert not store.folder(KEY).exists()
    assert list(store.root.iterdir()) == []


def test_a_key_that_is_looked_up_is_in_use_however_old(store: FeatureStore) -> None:
    add(store, range(5))
    age(store.folder(KEY), 10)
    store.open(KEY)
    assert collect_garbage(store, unused_days=1) == ()
    age(store.folder(KEY) / USED, 5)
    (removal,) = collect_garbage(store, unused_days=1)
    assert removal.path == store.folder(KEY)
    assert "not used for more than 1 days" in removal.reason


def test_gc_leaves_a_key_whose_first_part_is_still_to_come(store: FeatureStore) -> None:
    # somebody computes it right now; with nothing in it, it is as old as its provenance
    add(store, range(5)).unlink()
    assert collect_garbage(store, unused_days=1, older_than_days=1) == ()
    os.utime(store.folder(KEY) / PROVENANCE, (0, 0))
    assert [removal.path for removal in collect_garbage(store, unused_days=1)] == [store.folder(KEY)]


def test_networks_of_engines_go_by_age_and_use_too(store: FeatureStore) -> None:
    old, young = network(store, "old.onnx", 30), network(store, "young.onnx", 2)
    assert [removal.path for removal in collect_garbage(store, older_than_days=10)] == [old]
    os.utime(old, (time.time(), old.stat().st_mtime))  # read today
    assert [removal.path for removal in collect_garbage(store, unused_days=1)] == [young]


def test_a_store_is_cut_to_a_size_by_what_is_cheapest_to_have_again(store: FeatureStore) -> None:
    add(store, range(5))
    store.append(HALF, digests(range(5)), vectors(range(5)), ["x"] * 5, engine="", decoder="")
    age(store.folder(KEY), 3)
    age(store.folder(HALF), 2)
    file = network(store, "network.onnx", 1, size=1000)
    total = sum(each.stat().st_size for each in store.root.rglob("*") if each.is_file())
    assert collect_garbage(store, keep_bytes=total) == ()
    going = [removal.path for removal in collect_garbage(store, keep_bytes=total - 1)]
    assert going == [file]
    going = [removal.path for removal in collect_garbage(store, keep_bytes=total - 1001)]
    assert going == [file, store.folder(KEY)]  # used less recently than the other
    collect_garbage(store, keep_bytes=0, dry_run=False)
    assert not list(store.root.rglob("*.*"))


def test_what_was_used_within_the_hour_is_never_too_much(store: FeatureStore) -> None:
    add(store, range(5))
    assert collect_garbage(store, keep_bytes=0) == ()


def test_what_a_newer_version_wrote_is_not_ours_to_touch(store: FeatureStore) -> None:
    newer = add(store, range(5))
    newer.write_bytes(newer.read_bytes().replace(b"leukfeat part 2", b"leukfeat part 3", 1))
    age(store.folder(KEY), 100)
    assert collect_garbage(store, older_than_days=1, unused_days=1, keep_bytes=0) == ()


def test_what_cannot_be_read_now_is_left_alone(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No permission, or a network file system that hesitates: the rows may be sound."""
    part = add(store, range(5))
    closed = [part]
    real = Path.open

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self in closed:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    for file in (part, store.folder(KEY) / PROVENANCE):
        closed[:] = [file]
        assert collect_garbage(store, dry_run=False) == ()
        assert "Permission denied" in verify(store).problems[0]


def test_a_newer_provenance_beside_newer_parts_is_left_alone(store: FeatureStore) -> None:
    part = add(store, range(5))
    part.write_bytes(part.read_bytes().replace(b"leukfeat part 2", b"leukfeat part 3", 1))
    (store.folder(KEY) / PROVENANCE).write_text("as we shall write it some day")
    assert collect_garbage(store) == ()


def test_a_reason_repeats_neither_the_path_nor_the_advice(store: FeatureStore) -> None:
    add(store, range(5)).write_bytes(b"nothing")
    (removal,) = collect_garbage(store)
    assert removal.reason == "truncated (7 bytes left)"
    file = store.folder(KEY) / PROVENANCE
    file.write_text("nothing")
    (removal,) = collect_garbage(store)
    assert removal.reason.startswith(f"{PROVENANCE}: cannot be read (")
    assert "gc" not in removal.reason


def test_a_folder_that_was_half_deleted_is_deleted(store: FeatureStore) -> None:
    add(store, range(5))
    doomed = store.root / f"{TEMPORARY}abc"
    store.folder(KEY).rename(doomed)
    age(doomed, 1)
    os.utime(doomed, (0, 0))
    assert store.key_folders() == []
    collect_garbage(store, dry_run=False)
    assert not doomed.exists()


def test_rows_that_arrive_while_their_key_is_deleted_say_whose_they_are(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = parts.write_part

    def deleted_first(folder: Path, *rows: object, **facts: object) -> Path:
        (folder / PROVENANCE).unlink()
        return real(folder, *rows, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "write_part", deleted_first)
    add(store, range(3))
    assert (store.folder(KEY) / PROVENANCE).exists()
