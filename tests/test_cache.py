"""``leukfeat cache …`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from leukfeat.cli import main
from leukfeat.cli.cache import _bytes_of
from leukfeat.errors import UsageError
from leukfeat.features.store import FeatureStore
from tests.features.rows import KEY, add


def leukfeat(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command line in this process: exit status, and what it printed."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out + said.err


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEUKFEAT_CACHE", raising=False)
    return FeatureStore("cache")


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [("0", 0), ("500", 500), ("1kB", 1000), ("1.5 GB", 1_500_000_000), ("2GiB", 2 * 2**30), ("3t", 3 * 10**12)],
)
def test_sizes_are_read_as_people_write_them(size: str, bytes_: int) -> None:
    assert _bytes_of(size) == bytes_


@pytest.mark.parametrize("size", ["", "much", "-1GB", "1e9", "5 parsecs", "1GBB"])
def test_what_is_no_size_is_told(size: str) -> None:
    with pytest.raises(UsageError, match=r"write a size, e\.g\. 500MB"):
        _bytes_of(size)


def test_gc_says_what_it_would_do_before_it_does_it(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = add(store, range(3))
    damaged.write_bytes(b"nothing")
    status, said = leukfeat("cache", "gc", capsys=capsys)
    assert (status, "would move aside" in said, "nothing done yet" in said) == (0, True, True)
    assert damaged.exists()
    status, said = leukfeat("cache", "gc", "--yes", "--older-than", "30", capsys=capsys)
    assert (status, "moved aside" in said, damaged.exists()) == (0, True, False)


def test_merge_adds_and_tells_what_it_left_out(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    other = FeatureStore("other")
    add(other, range(3))
    status, said = leukfeat("cache", "merge", "other", "--json", capsys=capsys)
    assert (status, json.loads(said)["added"]) == (0, 3)
    add(other, range(3, 5)).write_bytes(b"nothing")
    status, said = leukfeat("cache", "merge", "other", capsys=capsys)
    assert status == 1
    assert "left out: " in said
    assert "0 rows added, 3 held before" in said
    status, said = leukfeat("cache", "merge", "nowhere", capsys=capsys)
    assert (status, "no keys of a feature store" in said) == (1, True)


def test_compact_and_verify(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, range(3))
    add(store, range(3, 6))
    assert "2 parts joined" in leukfeat("cache", "compact", capsys=capsys)[1]
    status, said = leukfeat("cache", "verify", capsys=capsys)
    assert (status, "1 keys, 1 parts, 6 rows, 0 problems" in said) == (0, True)
    (part,) = store.folder(KEY).glob("part-*")
    part.write_bytes(part.read_bytes()[:-1])
    assert leukfeat("cache", "verify", capsys=capsys)[0] == 1


@pytest.mark.slow
def test_what_is_imported_trains_a_head(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    """What another tool computed goes into the store, and from there into a run, found by the ids of the samples."""
    words = ["--subjects", "12", "--cells", "3", "--size", "40"]
    assert leukfeat("data", "synth", "cells", *words, capsys=capsys)[0] == 0
    assert leukfeat("data", "prepare", "cells", capsys=capsys)[0] == 0
    from leukfeat.data.manifest import Manifest

    manifest = Manifest.open("cells.csv")
    X = np.random.default_rng(0).normal(size=(len(manifest), 8)).astype(np.float32)
    X[:, 0] += [3.0 * (label == manifest.label[0]) for label in manifest.label]
    np.savez("theirs.npz", features=X, ids=np.array(manifest.sample))
    status, said = leukfeat("cache", "import", "theirs.npz", "--encoder", "uni", "--json", capsys=capsys)
    assert status == 0, said
    folder = json.loads(said)["folder"]
    assert "uni_imported" in leukfeat("cache", "ls", capsys=capsys)[1]
    fit = ["fit-head", "cells.csv", "--features", folder, "--head", "tree", "--trials", "1", "--folds", "2"]
    status, said = leukfeat(*fit, "--jobs", "1", capsys=capsys)
    assert status == 0, said
