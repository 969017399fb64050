"""Threads that compute a few images each, side by side.

On a processor, a network runs faster as many small passes on one core each than as one large pass that splits every
layer over all cores: nobody waits for anybody at the end of a layer, and a few images' maps stay in the core's cache.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from leukfeat.processors import usable_processors

Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

_USUAL_BATCH = 32


class Lanes:
    """A function of a few images, called from several threads, and batches put together again in order.

    Parameters
    ----------
    infer : callable
        (b, H, W, 3) -> (b, d) for ``b`` up to ``chunk``; lets go of the interpreter's lock, and may be called from
        several threads at once.
    chunk : int
        How many images a call takes.
    threads : int
        Calls at a time.
    torch_alone : bool
        Whether each call computes with PyTorch, and is to keep to one core.
    """

    in_flight = 2  # one is computed while the caller is busy with what came out of the other

    def __init__(
        self,
        infer: Infer,
        *,
        chunk: int,
        threads: int,
        torch_alone: bool = False,
    ) -> None:
        self._infer, self._chunk, self._threads, self._torch_alone = infer, chunk, threads, torch_alone
        self.batch_size = max(_USUAL_BATCH, chunk * threads)

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Compute batches (B, H, W, 3), in order: a (B, d) for each."""
        pending: deque[list[Future[NDArray[np.float32]]]] = deque()
        before = torch.get_num_threads()
        alone = functools.partial(torch.set_num_threads, 1) if self._torch_alone else None
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="engine", initializer=alone)
        try:
            for images in batches:
                starts = range(0, len(images), self._chunk)
                pending.append([pool.submit(self._infer, images[at : at + self._chunk]) for at in starts])
                if len(pending) == self.in_flight:
                    yield _joined(pending.popleft())
            while pending:
                yield _joined(pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            if self._torch_alone:
                # OpenMP counts by thread, but MKL and threads to come go by the last count that anybody set
                torch.set_num_threads(before)


def processors() -> int:
    """How many cores this process may use, and PyTorch has been told to use."""
    return max(1, min(usable_processors(), torch.get_num_threads()))


def _joined(parts: list[Future[NDArray[np.float32]]]) -> NDArray[np.float32]:
    return np.concatenate([part.result() for part in parts])
