"""Batches on their way through a GPU: the next one is copied and queued while the last one is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leukfeat.errors import UsageError

BATCH = 128  # images that keep a GPU's cores busy; where they do not fit into its memory, fewer are computed at a time


class Queue:
    """A function of a batch on the GPU, fed from pinned memory.

    A batch that does not fit into the GPU's memory is computed in halves, those in halves if need be, and so are all
    that come after it.

    Parameters
    ----------
    forward : callable
        (B, H, W, 3) uint8 -> (B, d) float32, both on the device; only queues work.
    device : torch.device
        A CUDA device.
    """

    in_flight = 2
    batch_size = BATCH

    def __init__(self, forward: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._forward, self._device = forward, device
        self._fitting: int | None = None  # images a forward pass, once some did not fit

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Compute batches (B, H, W, 3), in order: a (B, d) for each.

        Raises
        ------
        UsageError
            Not even one image fits into the device's memory.
        """
        pending: deque[tuple[Tensor, torch.cuda.Event]] = deque()
        for images in batches:
            pending.append(self._start(images))
            if len(pending) == self.in_flight:
                yield _finished(*pending.popleft())
        while pending:
            yield _finished(*pending.popleft())

    def _start(self, images: NDArray[np.uint8]) -> tuple[Tensor, torch.cuda.Event]:
        """Queue a batch: copy it over, compute it, copy its embedding back, and mark the end."""
        pinned = torch.from_numpy(images).pin_memory()  # a copy from pageable memory would make us wait
        embedding = self._computed(pinned)
        back = torch.empty_like(embedding, device="cpu").pin_memory()
        back.copy_(embedding, non_blocking=True)
        end = torch.cuda.Event()  # type: ignore[no-untyped-call]
        end.record(torch.cuda.current_stream(self._device))
        return back, end

    def _computed(self, pinned: Tensor) -> Tensor:
        """Queue the forward pass, in as many pieces as the memory asks for."""
        while True:
            try:
                pieces = torch.split(pinned, self._fitting or len(pinned))
                return torch.cat([self._forward(piece.to(self._device, non_blocking=True)) for piece in pieces])
            except torch.OutOfMemoryError as error:
                self._fitting = min(self._fitting or len(pinned), len(pinned)) // 2
                if not self._fitting:
                    raise UsageError(
                        f"not even one image fits into the memory of {self._device.type}; free some of it, or use"
                        " --device cpu (finished rows are kept)"
                    ) from error
            # not in the handler: the error holds on to what was being computed
            torch.cuda.empty_cache()


def _finished(embedding: Tensor, end: torch.cuda.Event) -> NDArray[np.float32]:
    end.synchronize()
    return embedding.numpy().copy()  # pinned memory is scarce: what is kept lies elsewhere
