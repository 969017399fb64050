"""The images that have to go through the network: batches in, parts out, a bounded number of images at a time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.inputs import DECODER
from leukfeat.backbones.resolution import Resolution, remember
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.stream import ImageResult, ImageWork, arranged_images
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.errors import UnknownNameError, UsageError, WeightsError
from leukfeat.features.store import FeatureKey, FeatureStore

if TYPE_CHECKING:
    from leukfeat.backbones.engines import Engine

_SECONDS_A_PART = 5.0  # so much work a killed process loses at most, or this fraction of a long run:
_FRACTION_A_PART = 0.02
_ROWS_A_PART = 4096

Progress = Callable[[int, int, float], None]  # images done, images in all, images a second


class Computation:
    """The images that have to go through the network, and what becomes of them.

    The network is loaded when the first image is ready: a run in which no image can be read needs none.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        key: FeatureKey,
        manifest: Manifest,
        store: FeatureStore,
        memo: HashMemo,
        device: str,
        engine: str,
        batch_size: int,
        num_workers: int,
    ) -> None:
        self.key = key
        self.computed = 0
        self.dim: int | None = None
        self._spec, self._manifest, self._store, self._memo = spec, manifest, store, memo
        self._device, self._engine_name = device, engine
        self._batch_size, self._num_workers = batch_size, num_workers

    def run(self, work: Sequence[ImageWork], progress: Progress | None) -> dict[int, str]:
        """Compute images; returns the rows that failed, with the reason."""
        failed: dict[int, str] = {}
        engine: Engine | None = None
        started = time.perf_counter()
        done = 0
        results = arranged_images(
            self._manifest,
            work,
            self.key.resolution.inputs,
            self._num_workers,
            2 * self._batch_size + self._num_workers,
        )
        pending = PendingPart(self._store)
        try:
            for batch in _batches(results, self._batch_size):
                for result in batch:
                    failed |= dict(result.failed)
                good = [result for result in batch if result.image is not None]
                if good:
                    if engine is None:
                        engine = self._load()
                        pending.open(self.key, engine.details)
                        started = time.perf_counter()
                    failed |= self._embed(engine, good, pending)
                done += len(batch)
                if progress is not None:
                    seconds = time.perf_counter() - started
                    progress(done, len(work), done / seconds if seconds > 0 else 0.0)
        finally:
            results.close()
            pending.flush()  # also when interrupted: what is finished is kept
        return failed

    def _embed(self, engine: Engine, good: Sequence[ImageResult], pending: PendingPart) -> dict[int, str]:
        X = engine.embed(np.stack([result.image for result in good if result.image is not None]))  # (B, d)
        self.computed += len(good)
        self.dim = int(X.shape[1])
        finite = [bool(np.isfinite(vector).all()) for vector in X]
        for result, vector, usable in zip(good, X, finite, strict=True):
            if usable:
                pending.add(result.work.sha256, vector, self._manifest.sample[result.work.rows[0]])
        pending.flush_if_due()
        return {
            row: f"its features are NaN or infinite at precision {self.key.precision}"
            for result, usable in zip(good, finite, strict=True)
            if not usable
            for row in result.work.rows
        }

    def _load(self) -> Engine:
        from leukfeat.backbones.engines import ENGINES, choose_device
        from leukfeat.backbones.network_files import load_network

        if self._engine_name not in ENGINES:
            raise UnknownNameError("engine", self._engine_name, ENGINES)
        where = choose_device(self._device)
        if self.key.precision != "fp32" and where.type != "cuda":
            raise UsageError(f"--amp-dtype {self.key.precision} needs a CUDA device; leave it out on a CPU")
        loaded = load_network(self._spec, self.key.resolution)
        self._check_weights(loaded.weights_sha256)
        return ENGINES[self._engine_name](loaded.network, self.key.resolution.inputs, where, self.key.precision)

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


class PendingPart:
    """Finished rows on their way into a part, written every few seconds or few thousand rows."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._rows: list[tuple[str, NDArray[np.float32], str]] = []
        self._since = self._started = time.monotonic()
        self._key: FeatureKey | None = None
        self._engine = ""

    def open(self, key: FeatureKey, engine: str) -> None:
        """Say what the rows to come are."""
        self._key, self._engine = key, engine
        self._since = self._started = time.monotonic()

    def add(self, sha256: str, vector: NDArray[np.float32], sample: str) -> None:
        """Take one finished row."""
        self._rows.append((sha256, vector, sample))

    def flush_if_due(self) -> None:
        """Write a part if it is time."""
        now = time.monotonic()
        due = max(_SECONDS_A_PART, _FRACTION_A_PART * (now - self._started))
        if len(self._rows) >= _ROWS_A_PART or now - self._since >= due:
            self.flush()

    def flush(self) -> None:
        """Write the rows there are."""
        if self._key is None or not self._rows:
            return
        digests, vectors, samples = zip(*self._rows, strict=True)
        self._store.append(self._key, digests, np.stack(vectors), samples, engine=self._engine, decoder=DECODER)
        self._rows.clear()
        self._since = time.monotonic()


def _batches(results: Iterator[ImageResult], size: int) -> Iterator[list[ImageResult]]:
    while batch := list(itertools.islice(results, size)):
        yield batch
