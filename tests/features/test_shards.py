"""Shards give the rows that one process gives, whoever computes them and however often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.stream import ImageWork
from leukfeat.data.manifest import Manifest
from leukfeat.errors import WorkerError
from leukfeat.features import shards
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.shards import Shard, shard_size
from leukfeat.features.store import FeatureStore

Draw = Callable[..., Manifest]


@dataclass
class Here:
    """Workers in this process, last shard first; ``lost`` names shards whose worker always dies."""

    at_once: int = 2
    shard_size: int | None = 3
    lost: frozenset[str] = frozenset()
    times: int = 1
    seen: list[Shard] = field(default_factory=list)

    def results(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(items))):
            self.seen.append(items[number])
            if set(items[number].manifest.sample) & self.lost:
                yield number, None
            else:
                yield number, [work(items[number]) for _ in range(self.times)][-1]


def test_shards_give_the_rows_of_one_process(spec: BackboneSpec, draw: Draw, tmp_path: Path) -> None:
    """Bit for bit, where engine and batches are the same: an image's vector depends on nothing beside it."""
    manifest = draw("cells", range(10))
    alone, together = FeatureStore(tmp_path / "alone"), FeatureStore(tmp_path / "together")
    extract(spec, manifest, alone, engine="eager", batch_size=1)
    report = extract(spec, manifest, together, engine="eager", batch_size=1, spread=Here())
    assert (report.computed, report.hits, report.failed, report.at_once) == (10, 0, (), 2)
    one, other = load_features(spec, manifest, alone), load_features(spec, manifest, together)
    assert one.sample_ids == other.sample_ids
    np.testing.assert_array_equal(one.X, other.X)
    assert report.engine == extract(spec, draw("more", range(10, 12)), alone, engine="eager").engine


def test_only_what_is_missing_is_sent(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    extract(spec, draw("cells", range(4)), store)
    here = Here()
    report = extract(spec, draw("cells", range(9)), store, spread=here)
    assert (report.computed, report.hits) == (5, 4)
    assert sum(map(len, here.seen)) == 5


def test_failures_arrive_under_the_rows_of_the_whole(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    """A worker knows the rows of its shard only; the report is about the manifest."""
    manifest = draw("cells", range(9))
    broken = [2, 7]
    for row in broken:
        manifest.file(row).write_text(f"no image {row}")
    manifest = Manifest.open(manifest.root, subjects="unknown")
    report = extract(spec, manifest, store, spread=Here())
    assert [sample for sample, _, _ in report.failed] == [manifest.sample[row] for row in broken]
    assert all("not an image" in reason for _, _, reason in report.failed)
    assert report.computed == 7


def test_two_workers_on_one_shard_do_no_harm(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was given up for lost may come back and finish: there are two rows, and the older one answers."""
    manifest = draw("cells", range(6))
    monkeypatch.setattr(shards.ShardWork, "_missing", lambda self, shard: shard.work)
    extract(spec, manifest, store, engine="eager", spread=Here(times=2))
    assert len(load_features(spec, manifest, store)) == 6
    assert extract(spec, manifest, store).hits == 6


def test_a_shard_whose_rows_do_not_come_is_computed_again_from_its_own_images(
    spec: BackboneSpec, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a shard are numbered anew in it; taken for rows of the whole, they would be other images."""
    manifest = draw("cells", range(9))
    alone, together = FeatureStore(tmp_path / "alone"), FeatureStore(tmp_path / "together")
    extract(spec, manifest, alone, engine="eager", batch_size=1)
    monkeypatch.setattr(shards, "_PATIENCE", 0.0)
    real, calls = shards.ShardWork.__call__, []

    def forgetful(self: shards.ShardWork, shard: Shard) -> shards.ShardReport:
        calls.append(shard.rows)
        report = real(self, shard)
        if len(calls) == 1:  # the last shard, which comes first here
            for file in together.root.glob("*/part-*.h5"):
                file.unlink()
        return report

    monkeypatch.setattr(shards.ShardWork, "__call__", forgetful)
    extract(spec, manifest, together, engine="eager", batch_size=1, spread=Here())
    assert calls == [(6, 7, 8), (3, 4, 5), (0, 1, 2), (6, 7, 8)]
    assert np.array_equal(load_features(spec, manifest, together).X, load_features(spec, manifest, alone).X)


def test_what_a_lost_worker_had_stored_is_not_computed_again(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, forwards: list[int]
) -> None:
    manifest = draw("cells", range(6))
    extract(spec, manifest, store, engine="eager", spread=Here(times=2))
    assert sum(forwards) == 6


def test_a_shard_that_is_always_lost_is_named_and_the_others_are_stored(
    spec: BackboneSpec, draw: Draw, store: FeatureStore
) -> None:
    manifest = draw("cells", range(9))
    with pytest.raises(
        WorkerError, match=r"1 shard\(s\) came to nothing, their workers died each time: 3 image"
    ) as told:
        extract(spec, manifest, store, spread=Here(lost=frozenset([manifest.sample[4]])))
    assert manifest.sample[3] in str(told.value)
    assert "\n" not in str(told.value)
    assert extract(spec, manifest, store).hits == 6, "the same command goes on with what is missing"


def test_a_shard_whose_rows_do_not_come_is_sent_again_and_then_named(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may believe that it has stored rows: in another folder of the same name."""
    monkeypatch.setattr(shards, "_PATIENCE", 0.0)
    manifest = draw("cells", range(4))
    real, times = shards.ShardWork.__call__, []

    def elsewhere(self: shards.ShardWork, shard: Shard) -> shards.ShardReport:
        times.append(1)
        other = shards.ShardWork(
            self.spec, self.key, FeatureStore(store.root / f"away-{len(times)}"), self.how, self.rehash
        )
        return real(other if len(times) <= never else self, shard)

    monkeypatch.setattr(shards.ShardWork, "__call__", elsewhere)
    never = 100
    with pytest.raises(WorkerError, match="their rows are not in the store that is seen from here"):
        extract(spec, manifest, store, spread=Here())
    assert len(times) == 2 * 4, "two shards, each submitted four times"
    times.clear()
    never = 3
    assert extract(spec, manifest, store, spread=Here()).failed == ()
    assert len(load_features(spec, manifest, store)) == 4


def test_nothing_about_people_travels(draw: Draw) -> None:
    """A worker needs files and digests: neither labels nor subjects."""
    manifest = draw("cells", range(4))
    shard = Shard.of(manifest, [ImageWork(manifest.sha256[row], (row,)) for row in (3, 1)])
    assert shard.rows == (3, 1)
    assert shard.manifest.sample == (manifest.sample[3], manifest.sample[1])
    assert {*shard.manifest.label, *shard.manifest.subject} == {""}
    assert [item.rows for item in shard.work] == [(0,), (1,)]


def test_progress_comes_to_the_end_and_lines_are_told_once(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    done: list[tuple[int, int]] = []
    lines: list[str] = []
    extract(
        spec,
        draw("cells", range(8)),
        store,
        spread=Here(),
        told=lines.append,
        progress=lambda *now: done.append(now[:2]),
    )
    assert [now for now, _ in done] == sorted(now for now, _ in done)
    assert done[-1] == (8, 8)
    assert len(lines) == 1, "three shards chose the same engine for the same reason"


@pytest.mark.parametrize("at_once", [1, 4, 64, 1000])
@pytest.mark.parametrize("n_images", [1, 100, 3_256, 10**6, 10**9])
def test_shards_are_neither_tiny_nor_too_few(n_images: int, at_once: int) -> None:
    size = shard_size(n_images, at_once)
    assert 256 <= size <= 20_000
    # a worker has a few of them, unless there are few images, so that all end at about the same time
    assert -(-n_images // size) >= 4 * at_once or size == 256
