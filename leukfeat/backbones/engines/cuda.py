"""Batches on their way through a GPU: the next one is copied and queued while the last one is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leukfeat.errors import UsageError


class Queue:
    """A function of a batch on the GPU, fed from pinned memory.

    Parameters
    ----------
    forward : callable
        (B, H, W, 3) uint8 -> (B, d) float32, both on the device; only queues work.
    device : torch.device
        A CUDA device.
    """

    in_flight = 2
    batch_size = None

    def __init__(self, forward: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._forward, self._device = forward, device

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Compute batches (B, H, W, 3), in order: a (B, d) for each.

        Raises
        ------
        UsageError
            A batch does not fit into the device's memory.
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
        try:
            pinned = torch.from_numpy(images).pin_memory()  # a copy from pageable memory would make us wait
            embedding = self._forward(pinned.to(self._device, non_blocking=True))
            back = torch.empty(embedding.shape, dtype=torch.float32, pin_memory=True)
            back.copy_(embedding, non_blocking=True)
        except torch.OutOfMemoryError as error:
            raise UsageError(
                f"a batch of {len(images)} images does not fit into the memory of {self._device.type}; choose a"
                " smaller --batch-size (finished rows are kept)"
            ) from error
        end = torch.cuda.Event()  # type: ignore[no-untyped-call]
        end.record(torch.cuda.current_stream(self._device))
        return back, end


def _finished(embedding: Tensor, end: torch.cuda.Event) -> NDArray[np.float32]:
    end.synchronize()
    return embedding.numpy().copy()  # pinned memory is scarce: what is kept lies elsewhere
