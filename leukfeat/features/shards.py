"""Shards: the images that have to be computed, cut into ranges for several workers that share one store.

A shard's result is in the store when its rows are there; what a worker sends back only says so. Whichever worker
computes a shard, and however often, the store answers the same, so a shard that was lost with its worker is simply
computed again. Rows that a worker had written before it was lost are not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from leukfeat.backbones.batches import Timing
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.stream import ImageWork
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.errors import WorkerError
from leukfeat.features.computation import Computation, Manner, Progress
from leukfeat.features.store import FeatureKey, FeatureStore

_SHARDS_A_WORKER = 8  # so that workers end at about the same time, though one may be slower than another
_FEWEST, _MOST = 256, 20_000  # images a shard: it has to pay for loading the network, and to show progress
_SUBMISSIONS = 4  # of a shard whose worker says that it is done, and whose rows are not there
_PATIENCE = 90.0  # seconds: some network file systems show other machines' new files after a minute
_BETWEEN_LOOKS = 1.0


class Spread(Protocol):
    """Something that calls a function of items, on several workers."""

    @property
    def at_once(self) -> int:
        """How many items are worked on at a time."""
        ...

    @property
    def shard_size(self) -> int | None:
        """Images a shard, where somebody has said so."""
        ...

    def results(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Number and result of each item as it is ready; None as result of one that was lost with its worker too
        often."""
        ...


@dataclass(frozen=True)
class Shard:
    """Some images, with the rows of the manifest that give them.

    Attributes
    ----------
    manifest : Manifest
        These rows alone.
    rows : tuple of int
        Which rows of the whole they are.
    work : tuple of ImageWork
        The images, by row of ``manifest``.
    """

    manifest: Manifest
    rows: tuple[int, ...]
    work: tuple[ImageWork, ...]

    def __len__(self) -> int:
        return len(self.work)

    @classmethod
    def of(cls, manifest: Manifest, work: Sequence[ImageWork]) -> Shard:
        """The shard of some images of a manifest."""
        rows = tuple(dict.fromkeys(row for item in work for row in item.rows))
        at = {row: number for number, row in enumerate(rows)}
        renumbered = tuple(ImageWork(item.sha256, tuple(at[row] for row in item.rows)) for item in work)
        return cls(_of_files(manifest, rows), rows, renumbered)

    @property
    def name(self) -> str:
        """First and last sample, and how many images."""
        first, last = self.manifest.sample[0], self.manifest.sample[-1]
        return f"{len(self)} image(s) from {first} to {last}"


@dataclass(frozen=True)
class ShardReport:
    """What became of a shard.

    Attributes
    ----------
    computed : int
        Images that went through the network.
    dim : int or None
        Length of a vector.
    engine : str or None
        What computed them.
    failed : tuple of (row, reason)
        Rows of the whole manifest without a vector.
    lines : tuple of str
        What was told to people.
    timing : Timing
        Where the seconds went.
    """

    computed: int
    dim: int | None
    engine: str | None
    failed: tuple[tuple[int, str], ...]
    lines: tuple[str, ...]
    timing: Timing


@dataclass(frozen=True)
class ShardWork:
    """Computes a shard; a class, so that it can be sent to another process.

    Attributes
    ----------
    spec, key, store
        The network, what its rows depend on, and where they are kept.
    how : Manner
        How forward passes run.
    rehash : bool
        Whether files are hashed anew whatever a memo says. Every machine has a memo of its own.
    """

    spec: BackboneSpec
    key: FeatureKey
    store: FeatureStore
    how: Manner
    rehash: bool

    def __call__(self, shard: Shard) -> ShardReport:
        lines: list[str] = []
        memo = HashMemo(rehash=self.rehash)
        how = replace(self.how, told=lines.append)
        computation = Computation(self.spec, self.key, shard.manifest, self.store, memo, how)
        failed = computation.run(self._missing(shard), None)
        return ShardReport(
            computation.computed,
            computation.dim,
            computation.engine,
            tuple((shard.rows[row], reason) for row, reason in sorted(failed.items())),
            tuple(lines),
            computation.timing,
        )

    def _missing(self, shard: Shard) -> list[ImageWork]:
        """What is still to be computed: whoever was lost with this shard may have been nearly done."""
        held = self.store.open(self.key).holds([item.sha256 for item in shard.work])
        return [item for item, there in zip(shard.work, held, strict=True) if not there]


class ShardedComputation:
    """The images that have to go through the network, computed by several workers.

    It has the attributes of :class:`leukfeat.features.computation.Computation`.

    Parameters
    ----------
    spec, key, manifest, store, memo, how
        As there.
    spread : Spread
        The workers.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        key: FeatureKey,
        manifest: Manifest,
        store: FeatureStore,
        memo: HashMemo,
        how: Manner,
        spread: Spread,
    ) -> None:
        self.key = key
        self.computed = 0
        self.dim: int | None = None
        self.timing = Timing()
        self._manifest, self._store, self._how, self._spread = manifest, store, how, spread
        self._work = ShardWork(spec, key, store, replace(how, told=None), memo.rehash)
        self._engines: set[str] = set()
        self._told: set[str] = set()

    @property
    def engine(self) -> str | None:
        """What computed; several where machines differ."""
        return "; ".join(sorted(self._engines)) or None

    def run(self, work: Sequence[ImageWork], progress: Progress | None) -> dict[int, str]:
        """Compute images; returns the rows that failed, with the reason.

        Raises
        ------
        WorkerError
            Shards that were lost with their worker, or whose rows did not come, more often than chance would have it.
            All others are finished and stored.
        """
        failed: dict[int, str] = {}
        lost: list[Shard] = []
        size = shard_size(len(work), self._spread.at_once, self._spread.shard_size)
        pieces = _cut(work, size)
        for _ in range(_SUBMISSIONS if work else 0):
            gone = self._submitted(self._shards(pieces), failed, len(work), progress)
            lost += self._shards([pieces[number] for number in sorted(gone)])
            finished = [item for number, piece in enumerate(pieces) if number not in gone for item in piece]
            pieces = _cut(self._not_there(finished, failed), size)
            if not pieces:
                break
        if lost or pieces:
            raise WorkerError(self._complaint(lost, self._shards(pieces)))
        return failed

    def _shards(self, pieces: Sequence[Sequence[ImageWork]]) -> list[Shard]:
        return [Shard.of(self._manifest, piece) for piece in pieces]

    def _complaint(self, lost: Sequence[Shard], empty: Sequence[Shard]) -> str:
        missing = [*lost, *empty]
        shown = "; ".join(shard.name for shard in missing[:3]) + ("; …" if len(missing) > 3 else "")
        why = "their workers died each time" if lost else "their rows are not in the store that is seen from here"
        return (
            f"{self._manifest.dataset}: {len(missing)} shard(s) came to nothing, {why}: {shown}; everything else is"
            " stored: see what the workers' own logs say (often too little memory), then run the command again"
        )

    def _submitted(
        self, shards: Sequence[Shard], failed: dict[int, str], n_images: int, progress: Progress | None
    ) -> set[int]:
        """Let workers compute shards; returns the numbers of those that were lost with their workers too often."""
        lost: set[int] = set()
        done = n_images - sum(map(len, shards))
        started = time.perf_counter()
        each = replace(self._work.how, images=math.ceil(n_images / self._spread.at_once))
        for number, report in self._spread.results(replace(self._work, how=each), shards):
            if report is None:
                lost.add(number)
                continue
            self._taken(report)
            failed |= dict(report.failed)
            done += len(shards[number])
            if progress is not None:
                progress(done, n_images, self.computed / max(time.perf_counter() - started, 1e-9))
        return lost

    def _taken(self, report: ShardReport) -> None:
        self.computed += report.computed
        self.dim = report.dim or self.dim
        if report.engine is not None:
            self._engines.add(report.engine)
        for part in fields(Timing):
            setattr(self.timing, part.name, getattr(self.timing, part.name) + getattr(report.timing, part.name))
        for line in report.lines:
            if line not in self._told and self._how.told is not None:
                self._how.told(line)
            self._told.add(line)

    def _not_there(self, work: Sequence[ImageWork], failed: dict[int, str]) -> list[ImageWork]:
        """Images that workers say they have computed and that are not in the store, also a while later."""
        expected = [item for item in work if not all(row in failed for row in item.rows)]
        until = time.monotonic() + _PATIENCE
        while True:
            held = self._store.open(self.key).holds([item.sha256 for item in expected])
            missing = [item for item, there in zip(expected, held, strict=True) if not there]
            if not missing or time.monotonic() > until:
                return missing
            time.sleep(_BETWEEN_LOOKS)


def shard_size(n_images: int, at_once: int, given: int | None = None) -> int:
    """Images a shard.

    A shard that is too small loads a network for little work; one that is too large leaves workers idle at the end.
    What is lost with a worker does not depend on it: finished rows are written every few seconds.

    Parameters
    ----------
    n_images : int
        In all.
    at_once : int
        Workers.
    given : int or None
        What somebody has said.

    Examples
    --------
    >>> shard_size(3_256, 4), shard_size(100_000, 4), shard_size(10_000_000, 16), shard_size(5, 4, 2)
    (256, 3125, 20000, 2)
    """
    return given or int(np.clip(math.ceil(n_images / (_SHARDS_A_WORKER * max(1, at_once))), _FEWEST, _MOST))


def _cut(work: Sequence[ImageWork], size: int) -> list[Sequence[ImageWork]]:
    return [work[at : at + size] for at in range(0, len(work), size)]


def _of_files(manifest: Manifest, rows: Sequence[int]) -> Manifest:
    """Some rows with what reading their files needs; neither labels nor subjects travel."""
    none = ("",) * len(rows)
    return Manifest(
        sample=tuple(manifest.sample[row] for row in rows),
        path=tuple(manifest.path[row] for row in rows),
        label=none,
        subject=none,
        sha256=tuple(manifest.sha256[row] for row in rows),
        root=manifest.root,
        dataset=manifest.dataset,
    )
