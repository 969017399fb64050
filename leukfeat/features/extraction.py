"""From images to vectors on disk: read, decode, batch, forward, store, in a stream of bounded size.

Importing this module imports neither torch nor timm; they come in when an image really has to be computed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.batches import Timing
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.stream import ImageWork, arranged_images, changed_rows
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError, UnknownNameError, UsageError
from leukfeat.features.computation import Computation, Manner, Progress
from leukfeat.features.shards import ShardedComputation, Spread
from leukfeat.features.store import PRECISIONS, FeatureKey, FeatureStore
from leukfeat.features.table import Features


@dataclass(frozen=True)
class ExtractionReport:
    """What an extraction did.

    Attributes
    ----------
    backbone : str
        Its label.
    key : str
        Digest of the feature key.
    dim : int or None
        Length of a vector; None where nothing was computed or found.
    samples, images : int
        Rows of the manifest that were asked for, and distinct images among those with a digest.
    computed, hits : int
        Images that went through the network, and images that were stored before.
    failed : tuple of (sample, path, reason)
        Rows without features.
    seconds : float
        Wall time.
    engine : str or None
        What computed; None where nothing was computed.
    timing : Timing
        Where the seconds went, those of several workers added up; what is left of ``seconds`` is looking up rows and
        files.
    at_once : int
        How many workers computed at a time.
    """

    backbone: str
    key: str
    dim: int | None
    samples: int
    images: int
    computed: int
    hits: int
    failed: tuple[tuple[str, str, str], ...]
    seconds: float
    engine: str | None
    timing: Timing
    at_once: int = 1

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "timing": asdict(self.timing),
            "failed": [{"sample": sample, "path": path, "reason": reason} for sample, path, reason in self.failed],
        }

    def describe(self) -> str:
        """One line: samples, images, computed, hits, failed, seconds, images a second, and where the time went."""
        return (
            f"{self.backbone}: {self.samples:,} samples, {self.images:,} images: {self.computed:,} computed,"
            f" {self.hits:,} hits, {len(self.failed):,} failed, {self.seconds:.1f} s{self._speed()}"
        )

    def _speed(self) -> str:
        if not self.computed or not self.seconds:
            return ""
        spent = {
            "forward": self.timing.forward,
            "waiting for images": self.timing.waiting,
            "writing": self.timing.writing,
            "loading": self.timing.loading,
        }
        available = self.seconds * self.at_once
        shares = ", ".join(f"{name} {seconds / available:.0%}" for name, seconds in spent.items())
        workers = f" with {self.at_once} workers" if self.at_once > 1 else ""
        return (
            f" ({self.computed / self.seconds:.1f} images/s{workers}: {shares}; decoding beside it"
            f" {self.timing.decoding:.1f} thread-seconds)"
        )


def extract(
    spec: BackboneSpec,
    manifest: Manifest,
    store: FeatureStore,
    *,
    device: str = "auto",
    amp_dtype: str | None = None,
    batch_size: int | None = None,
    num_workers: int | None = None,
    progress: Progress | None = None,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    engine: str = "auto",
    memo: HashMemo | None = None,
    told: Callable[[str], None] | None = None,
    spread: Spread | None = None,
) -> ExtractionReport:
    """Make sure that the store holds the features of a manifest's images.

    Only images that are not stored are computed, each distinct image once. Finished rows survive an interruption.

    Parameters
    ----------
    spec : BackboneSpec
        The network.
    manifest : Manifest
        The images.
    store : FeatureStore
        Where vectors are kept.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    amp_dtype : str or None
        ``"float16"`` or ``"bfloat16"`` for mixed precision on CUDA; None or ``"none"`` for 32-bit floats. Part of the
        key: rows of different precision are never mixed.
    batch_size : int or None
        Images a forward pass; None for what the engine likes.
    num_workers : int or None
        Threads that decode; None for one a processor.
    progress : callable(done, total, images per second) or None
        Called after every batch.
    rows : sequence of int or None
        Rows of the manifest; None for all.
    engine : str
        How the forward pass runs: ``"auto"`` takes the fastest for so many images on this machine.
    memo : HashMemo or None
        Remembers the digests of files between runs.
    told : callable(str) or None
        Takes a line for people: which engine was chosen, and why.
    spread : Spread or None
        Workers that compute shards of the missing images; None computes them in this process.

    Returns
    -------
    ExtractionReport
        Images that cannot be read are listed in it; they stop nothing.

    Raises
    ------
    UsageError
        An impossible request.
    WeightsError
        Weights that cannot be had, or do not fit.
    StoreError
        A store that cannot be read or written.
    WorkerError
        Workers that lack what they need, or shards that were lost too often.
    """
    if any(number is not None and number < 1 for number in (batch_size, num_workers)):
        raise UsageError(f"batch size {batch_size} with {num_workers} workers; both must be at least 1")
    started = time.perf_counter()
    memo = memo or HashMemo()
    key = _key(spec, store, amp_dtype, memo)
    resolving = time.perf_counter() - started
    asked = _rows(manifest, rows)
    needed = _needed(manifest, asked)
    shelf = store.open(key)
    held = shelf.holds([item.sha256 for item in needed])
    stored = [item for item, there in zip(needed, held, strict=True) if there]
    wanted = [item for item, there in zip(needed, held, strict=True) if not there]
    shelf.check([item.sha256 for item in stored])

    # The first row of an image still to be computed is checked as it is read. The others would not be looked at.
    failed = changed_rows(
        manifest,
        [row for item in stored for row in item.rows] + [row for item in wanted for row in item.rows[1:]],
        memo,
    )
    wanted = [ImageWork(item.sha256, tuple(row for row in item.rows if row not in failed)) for item in wanted]
    how = Manner(device, engine, batch_size, num_workers, told)
    computation: Computation | ShardedComputation = Computation(spec, key, manifest, store, memo, how)
    if spread is not None:
        computation = ShardedComputation(spec, key, manifest, store, memo, how, spread)
    computation.timing.loading += resolving
    unreadable = [ImageWork("", (row,)) for row in asked if not manifest.sha256[row]]
    for result in arranged_images(manifest, unreadable, key.resolution.inputs, 1, 1):
        failed |= dict(result.failed)
    failed |= computation.run([item for item in wanted if item.rows], progress)
    return ExtractionReport(
        backbone=spec.label,
        key=computation.key.digest,
        dim=computation.dim or shelf.dim,
        samples=len(asked),
        images=len(needed),
        computed=computation.computed,
        hits=len(stored),
        failed=tuple((manifest.sample[row], manifest.path[row], failed[row]) for row in sorted(failed)),
        seconds=time.perf_counter() - started,
        engine=computation.engine,
        timing=computation.timing,
        at_once=1 if spread is None else spread.at_once,
    )


def load_features(
    spec: BackboneSpec,
    manifest: Manifest,
    store: FeatureStore,
    *,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    amp_dtype: str | None = None,
    memo: HashMemo | None = None,
) -> Features:
    """Read stored features of a manifest's samples.

    Parameters
    ----------
    spec, manifest, store, rows, amp_dtype, memo
        As in :func:`extract`.

    Returns
    -------
    Features
        Samples without features are not in it: the store has none, or the file has changed since the manifest was
        written.

    Raises
    ------
    StoreError
        Nothing is stored for any of the samples, or a part cannot be trusted.
    """
    memo = memo or HashMemo()
    key = _key(spec, store, amp_dtype, memo)
    shelf = store.open(key)
    asked = _rows(manifest, rows)
    known = [row for row in asked if manifest.sha256[row]]
    held = [
        row for row, there in zip(known, shelf.holds([manifest.sha256[row] for row in known]), strict=True) if there
    ]
    changed = changed_rows(manifest, held, memo)
    held = [row for row in held if row not in changed]
    if not held:
        raise StoreError(
            f"{store.root}: holds no features of {spec.label} for {manifest.dataset}; run leukfeat extract first"
        )
    digests = [manifest.sha256[row] for row in held]
    parts = shelf.holding(digests)
    return Features(
        X=shelf.read(digests),
        sample_ids=tuple(manifest.sample[row] for row in held),
        seen=key.resolution.seen,
        provenance={
            "backbone": spec.label,
            "spec": spec.describe(),
            "key": key.digest,
            "inputs": key.inputs,
            "origin": key.resolution.origin,
            "engines": sorted({header.engine for header in parts}),
            "decoders": sorted({header.decoder for header in parts}),
        },
    )


def _key(spec: BackboneSpec, store: FeatureStore, amp_dtype: str | None, memo: HashMemo) -> FeatureKey:
    if spec.preprocess.unfitted:
        raise UsageError(
            f"{spec.label}: mean or std 'train' is to be learned from training images first; use fitted_to(spec,"
            " manifest, rows), as cross-validation does inside each fold, or give numbers"
        )
    precision = "fp32" if amp_dtype in (None, "none") else str(amp_dtype)
    if precision not in PRECISIONS:
        raise UnknownNameError("amp dtype", precision, ("none", *PRECISIONS[1:]))
    return FeatureKey(resolve(spec, store.resolved, memo=memo), precision)


def _rows(manifest: Manifest, rows: Sequence[int] | NDArray[np.int64] | None) -> list[int]:
    return list(range(len(manifest))) if rows is None else [int(row) for row in rows]


def _needed(manifest: Manifest, rows: Iterable[int]) -> list[ImageWork]:
    """Distinct images of some rows, in order of first appearance."""
    rows_of: Mapping[str, list[int]] = defaultdict(list)
    for row in rows:
        if digest := manifest.sha256[row]:
            rows_of[digest].append(row)
    return [ImageWork(digest, tuple(found)) for digest, found in rows_of.items()]
