"""Batches of arranged images, decoded in threads while an engine computes, and what the engine makes of them.

::

    files ─ threads: read, check, decode, resize ─▶ a place in a batch ─▶ engine ─▶ vectors
                       (a few batches ahead)            (memory used again)

Threads write each image straight to its place in an array (B, H, W, 3) that is used again once the engine has let go of
it, so memory is bounded by a few batches, and no image is copied on the way.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.stream import Failure, ImageWork, arrange_into
from leukfeat.data.hashing import HashMemo, Known
from leukfeat.data.manifest import Manifest

if TYPE_CHECKING:
    from leukfeat.backbones.engines import Engine

DEFAULT_BATCH = 32

_AT_A_TIME = 8  # images a thread takes at once: handing over one by one costs as much as reading a small one
_BATCHES_AHEAD = 2  # so many are filled, or wait, while the engine is busy,
_BYTES_AHEAD = 64 << 20  # or as many as fit here: work for the threads while a network is being loaded


@dataclass
class Timing:
    """Where the seconds went.

    Attributes
    ----------
    loading : float
        Making the network and opening the engine.
    forward : float
        In the engine.
    waiting : float
        The engine had nothing to do, since no batch was ready.
    writing : float
        Rows on their way to the disk.
    decoding : float
        Thread-seconds of reading, checking, decoding and resizing, beside all of the above.
    """

    loading: float = 0.0
    forward: float = 0.0
    waiting: float = 0.0
    writing: float = 0.0
    decoding: float = 0.0


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Some images, those that can be read beside one another.

    Attributes
    ----------
    asked : int
        How many were asked for.
    images : ndarray of shape (B, H, W, 3), uint8
        Those that can be read, in order.
    places : tuple of int
        Which of the images asked for since the beginning they are.
    work : tuple of ImageWork
        The same, as they were asked for.
    failed : tuple of (row, reason)
        Rows that were tried and stay without a vector.
    """

    asked: int
    images: NDArray[np.uint8]
    places: tuple[int, ...]
    work: tuple[ImageWork, ...]
    failed: tuple[Failure, ...]

    def __len__(self) -> int:
        return len(self.work)


@dataclass(frozen=True, eq=False)
class _Filling:
    """A batch that threads are busy with."""

    buffer: NDArray[np.uint8]
    start: int
    work: tuple[ImageWork, ...]
    parts: tuple[Future[_Filled], ...]


@dataclass
class _Filled:
    """What became of a few images of a batch: whether each has its pixels, and why rows have not."""

    present: list[bool] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    seconds: float = 0.0


class Batches:
    """Batches of the images of a manifest, in order, a bounded number of them ahead of their use.

    Threads begin when the context is entered, so that they read while a network is being loaded.

    Parameters
    ----------
    manifest : Manifest
        The data.
    work : iterable of ImageWork
        What to read.
    inputs : Inputs
        How to arrange it.
    batch_size : int
        Images a batch; the last one may be smaller, and so is one with images that cannot be read.
    num_workers : int
        Threads; reading, decoding and resizing release the interpreter's lock.
    memo : HashMemo or None
        Vouches for files that have not changed since they were hashed; without it every file is hashed as it is read.

    Attributes
    ----------
    batch_size : int
        May be changed on the way, for batches that nobody has begun to fill.
    timing : Timing
        Where the seconds went.
    """

    def __init__(
        self,
        manifest: Manifest,
        work: Iterable[ImageWork],
        inputs: Inputs,
        *,
        batch_size: int,
        num_workers: int,
        memo: HashMemo | None = None,
    ) -> None:
        self.batch_size, self.timing = batch_size, Timing()
        self._manifest, self._work, self._inputs = manifest, iter(work), inputs
        self._num_workers, self._memo = num_workers, memo
        self._pool = ThreadPoolExecutor(max_workers=num_workers, thread_name_prefix="decode")
        self._filling: deque[_Filling] = deque()
        self._lent: deque[NDArray[np.uint8]] = deque()
        self._free: list[NDArray[np.uint8]] = []
        self._asked = 0

    def __enter__(self) -> Self:
        self._fill()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ImageBatch:
        """The next batch; it belongs to the caller until it is handed back with :meth:`release`."""
        self._fill()
        if not self._filling:
            raise StopIteration
        filling = self._filling.popleft()
        started = time.perf_counter()
        parts = [part.result() for part in filling.parts]
        self.timing.waiting += time.perf_counter() - started
        self.timing.decoding += sum(part.seconds for part in parts)
        self._lent.append(filling.buffer)
        return _gathered(filling, parts)

    def release(self) -> None:
        """Hand back the oldest batch that was given; its memory is used again."""
        self._free.append(self._lent.popleft())

    def _fill(self) -> None:
        """Give the threads as many batches as may be waiting."""
        image = math.prod(self._inputs.size) * 3
        ahead = max(_BATCHES_AHEAD, _BYTES_AHEAD // (self.batch_size * image))
        while len(self._filling) < ahead and (work := tuple(itertools.islice(self._work, self.batch_size))):
            buffer, known = self._buffer(), self._known(work)
            step = max(1, min(_AT_A_TIME, len(work) // self._num_workers))
            parts = tuple(
                self._pool.submit(self._arrange, work[start : start + step], buffer[start : start + step], known)
                for start in range(0, len(work), step)
            )
            self._filling.append(_Filling(buffer, self._asked, work, parts))
            self._asked += len(work)

    def _buffer(self) -> NDArray[np.uint8]:
        while self._free:
            if len(buffer := self._free.pop()) == self.batch_size:
                return buffer
        return np.empty((self.batch_size, *self._inputs.size, 3), np.uint8)

    def _known(self, work: Sequence[ImageWork]) -> Mapping[int, Known]:
        """What the memo knows of the rows that are tried first."""
        if self._memo is None:
            return {}
        files = {item.rows[0]: self._manifest.file(item.rows[0]) for item in work}
        known = self._memo.recall(list(files.values()))
        return {row: known[file] for row, file in files.items() if file in known}

    def _arrange(self, work: Sequence[ImageWork], places: NDArray[np.uint8], known: Mapping[int, Known]) -> _Filled:
        started = time.perf_counter()
        filled = _Filled()
        for item, place in zip(work, places, strict=False):
            present, failed = arrange_into(self._manifest, item, self._inputs, place, known)
            filled.present.append(present)
            filled.failed += failed
        filled.seconds = time.perf_counter() - started
        return filled


def _gathered(filling: _Filling, parts: Sequence[_Filled]) -> ImageBatch:
    """The batch; images behind one that cannot be read move up."""
    there = [number for number, present in enumerate(p for part in parts for p in part.present) if present]
    for place, number in enumerate(there):
        if place != number:
            filling.buffer[place] = filling.buffer[number]
    return ImageBatch(
        asked=len(filling.work),
        images=filling.buffer[: len(there)],
        places=tuple(filling.start + number for number in there),
        work=tuple(filling.work[number] for number in there),
        failed=tuple(failure for part in parts for failure in part.failed),
    )


def embedded(
    engine: Engine, batches: Batches, before: Sequence[ImageBatch] = ()
) -> Generator[tuple[ImageBatch, NDArray[np.float32]]]:
    """Every batch with what the engine makes of it, in order.

    Parameters
    ----------
    engine : Engine
        Computes; it may hold several batches at a time.
    batches : Batches
        What it is given; their memory goes back to them.
    before : sequence of ImageBatch
        Batches that have been taken already, and come first.

    Yields
    ------
    (ImageBatch, ndarray of shape (B, d), float32)
        Of a batch none of whose images can be read, B and d are 0.
    """
    given: deque[ImageBatch] = deque()
    timing = batches.timing

    def feed() -> Iterator[NDArray[np.uint8]]:
        for batch in itertools.chain(before, batches):
            given.append(batch)
            if len(batch):
                yield batch.images

    # closed early, the engine lets go of memory that the threads would write to
    with contextlib.closing(engine.stream(feed())) as outputs:
        while True:
            started, waited = time.perf_counter(), timing.waiting
            X = next(outputs, None)
            timing.forward += time.perf_counter() - started - (timing.waiting - waited)
            while given and (X is None or not len(given[0])):
                batches.release()
                yield given.popleft(), np.empty((0, 0), np.float32)
            if X is None:
                return
            batches.release()
            yield given.popleft(), X
