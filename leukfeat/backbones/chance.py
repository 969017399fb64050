"""PyTorch's generator of random numbers, which all threads of a process share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import torch

_ALONE = threading.RLock()


@contextlib.contextmanager
def own_chance(devices: Sequence[int] = ()) -> Iterator[None]:
    """Whoever seeds the generators and draws from them has them alone; afterwards they are as they were before.

    Two threads that draw at the same time would both get other weights than their seeds promise.

    Parameters
    ----------
    devices : sequence of int
        CUDA devices whose generators are meant besides the processor's.
    """
    with _ALONE, torch.random.fork_rng(devices=list(devices)):
        yield
