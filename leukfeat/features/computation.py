"""The images that have to go through the network: batches in, parts out, a bounded number of images at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.batches import DEFAULT_BATCH, Batches, ImageBatch, Timing, embedded
from leukfeat.backbones.inputs import DECODER
from leukfeat.backbones.resolution import Resolution, remember
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.stream import ImageWork, default_workers
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.errors import UsageError, WeightsError
from leukfeat.features.store import FeatureKey, FeatureStore

if TYPE_CHECKING:
    from leukfeat.backbones.engines import Engine

_SECONDS_A_PART = 5.0  # so much work a killed process loses at most, or this fraction of a long run:
_FRACTION_A_PART = 0.02
_ROWS_A_PART = 4096

Progress = Callable[[int, int, float], None]  # images done, images in all, images a second


@dataclass(frozen=True)
class Manner:
    """How forward passes run; nothing here changes which rows are meant.

    Attributes
    ----------
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    engine : str
        A name in :data:`leukfeat.backbones.engines.ENGINES`, or ``"auto"``.
    batch_size : int or None
        Images a forward pass; None for what the engine likes.
    num_workers : int or None
        Threads that decode; None for one a processor.
    told : callable(str) or None
        Takes a line for people: which engine was chosen, and why.
    images : int or None
        How many will go through this engine, where that is more than are asked for at a time.
    """

    device: str
    engine: str
    batch_size: int | None
    num_workers: int | None
    told: Callable[[str], None] | None = None
    images: int | None = None


class Computation:
    """The images that have to go through the network, and what becomes of them.

    Attributes
    ----------
    computed : int
        Images that went through the network.
    dim : int or None
        Length of a vector; None as long as there is none.
    engine : str or None
        What computes them; None as long as nothing does.
    timing : Timing
        Where the seconds went.
    """

    def __init__(
        self, spec: BackboneSpec, key: FeatureKey, manifest: Manifest, store: FeatureStore, memo: HashMemo, how: Manner
    ) -> None:
        self.key = key
        self.computed = 0
        self.dim: int | None = None
        self.engine: str | None = None
        self.timing = Timing()
        self._spec, self._manifest, self._store, self._memo, self._how = spec, manifest, store, memo, how

    def run(self, work: Sequence[ImageWork], progress: Progress | None) -> dict[int, str]:
        """Compute images; returns the rows that failed, with the reason.

        The network is loaded when an image has been found that can be read: a run without any needs none.
        """
        with Batches(
            self._manifest,
            work,
            self.key.resolution.inputs,
            batch_size=self._how.batch_size or DEFAULT_BATCH,
            num_workers=self._how.num_workers or default_workers(),
            memo=self._memo,
        ) as batches:
            batches.timing = self.timing
            first = list(_up_to_readable(batches))
            if first and len(first[-1]):
                return self._computed(batches, first, len(work), progress)
        if first and progress is not None:
            progress(len(work), len(work), 0.0)
        return {row: reason for batch in first for row, reason in batch.failed}

    def _computed(
        self, batches: Batches, first: Sequence[ImageBatch], n_images: int, progress: Progress | None
    ) -> dict[int, str]:
        engine = self._opened(n_images)
        batches.batch_size = self._how.batch_size or engine.batch_size or DEFAULT_BATCH
        pending = PendingPart(self._store, self.key, engine)
        failed: dict[int, str] = {}
        done, started = 0, time.perf_counter()
        with contextlib.closing(embedded(engine, batches, first)) as outputs:
            try:
                for batch, X in outputs:
                    failed |= dict(batch.failed) | self._kept(batch, X, pending)
                    done += batch.asked
                    if progress is not None:
                        progress(done, n_images, self.computed / max(time.perf_counter() - started, 1e-9))
            finally:
                self._write(pending, now=True)  # also when interrupted: what is finished is kept
        self.engine = engine.details
        return failed

    def _kept(self, batch: ImageBatch, X: NDArray[np.float32], pending: PendingPart) -> dict[int, str]:
        """Take the vectors of a batch (B, d); returns the rows that have none, with the reason."""
        if not len(batch):
            return {}
        self.computed += len(batch)
        self.dim = int(X.shape[1])
        finite = [bool(np.isfinite(vector).all()) for vector in X]
        for item, vector, usable in zip(batch.work, X, finite, strict=True):
            if usable:
                pending.add(item.sha256, vector, self._manifest.sample[item.rows[0]])
        self._write(pending, now=False)
        return {
            row: f"its features are NaN or infinite at precision {self.key.precision}"
            for item, usable in zip(batch.work, finite, strict=True)
            if not usable
            for row in item.rows
        }

    def _write(self, pending: PendingPart, *, now: bool) -> None:
        started = time.perf_counter()
        if now or pending.due():
            pending.flush()
        self.timing.writing += time.perf_counter() - started

    def _opened(self, n_images: int) -> Engine:
        """The engine, with the network in it."""
        started = time.perf_counter()
        from leukfeat.backbones.engines import choose_device, open_engine
        from leukfeat.backbones.network_files import load_network

        where = choose_device(self._how.device)
        if self.key.precision != "fp32" and where.type != "cuda":
            raise UsageError(f"--amp-dtype {self.key.precision} needs a CUDA device; leave it out on a CPU")
        loaded = load_network(self._spec, self.key.resolution)
        self._check_weights(loaded.weights_sha256)
        engine = open_engine(
            self._how.engine,
            loaded.network,
            self.key.resolution.inputs,
            where,
            self.key.precision,
            images=self._how.images or n_images,
            identity=self.key.digest,
            models=self._store.engines,
            told=self._how.told,
        )
        self.timing.loading += time.perf_counter() - started
        return engine

    def _check_weights(self, digest: str) -> None:
        """What is remembered about the weights must be true of those in the network, or rows of two would be mixed."""
        resolution = self.key.resolution
        if digest == resolution.weights_sha256:
            return
        told = {**resolution.describe(), "weights_sha256": digest}
        remember(Resolution.from_description(told), self._spec, self._store.resolved, memo=self._memo)
        raise WeightsError(
            f"{self._spec.label}: the weights are not those that were resolved before"
            f" ({resolution.weights_sha256[:12]}…, now {digest[:12]}…): they changed, or this machine draws others;"
            " noted, run the command again"
        )


def _up_to_readable(batches: Iterable[ImageBatch]) -> Iterator[ImageBatch]:
    """Batches up to the first with an image that can be read."""
    for batch in batches:
        yield batch
        if len(batch):
            return


class PendingPart:
    """Finished rows on their way into a part, written every few seconds or few thousand rows."""

    def __init__(self, store: FeatureStore, key: FeatureKey, engine: Engine) -> None:
        self._store, self._key, self._engine = store, key, engine
        self._rows: list[tuple[str, NDArray[np.float32], str]] = []
        self._since = self._started = time.monotonic()

    def add(self, sha256: str, vector: NDArray[np.float32], sample: str) -> None:
        """Take one finished row."""
        self._rows.append((sha256, vector, sample))

    def due(self) -> bool:
        """Whether it is time to write a part."""
        now = time.monotonic()
        patience = max(_SECONDS_A_PART, _FRACTION_A_PART * (now - self._started))
        return len(self._rows) >= _ROWS_A_PART or now - self._since >= patience

    def flush(self) -> None:
        """Write the rows there are."""
        if self._rows:
            digests, vectors, samples = zip(*self._rows, strict=True)
            engine = self._engine.details
            self._store.append(self._key, digests, np.stack(vectors), samples, engine=engine, decoder=DECODER)
            self._rows.clear()
        self._since = time.monotonic()
