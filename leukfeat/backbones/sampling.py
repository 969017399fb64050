"""Which images an epoch shows, how often, in which order, and how they are put into batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.finetune import FineTune
from leukfeat.errors import UsageError

_Item = TypeVar("_Item")

ORDER, AUGMENTATION, STEPS = 1, 2, 3
"""Streams of random numbers under one seed; draws for one purpose never depend on those for another."""


def showings(finetune: FineTune, labels: Sequence[str], groups: Sequence[str]) -> NDArray[np.float64]:
    """How often each image is shown in an epoch, on average.

    Parameters
    ----------
    finetune : FineTune
        ``sampling`` and ``multiply`` count.
    labels, groups : sequence of str
        Class and linked group of each image.

    Returns
    -------
    ndarray of shape (n,), float64
        With ``sampling="class"``, n / (K n_c); with ``"subject"``, n / (K S_c n_s), where class c has S_c subjects and
        the subject n_s images.

    Raises
    ------
    UsageError
        ``multiply`` names a class there is not, or one that it shows less than once an epoch.
    """
    classes, y = np.unique(labels, return_inverse=True)
    if unknown := [name for name, _ in finetune.multiply if name not in classes]:
        raise UsageError(
            f"finetune.multiply names class {unknown[0]!r}, which no training row has; classes: {', '.join(classes)}"
        )
    if finetune.sampling == "class":
        return np.asarray(len(y) / (len(classes) * np.bincount(y)[y]))
    if finetune.sampling == "subject":
        _, group = np.unique(groups, return_inverse=True)
        pairs, pair, rows = np.unique(np.column_stack([y, group]), axis=0, return_inverse=True, return_counts=True)
        pair = pair.reshape(-1)
        return np.asarray(len(y) / (len(classes) * np.bincount(pairs[:, 0])[y] * rows[pair]))
    times = dict(finetune.multiply)
    for name, n in zip(classes, np.bincount(y), strict=True):
        if (shown := round(times.get(str(name), 1.0) * int(n), 6)) < 1:
            raise UsageError(
                f"finetune.multiply shows {n} image(s) of class {str(name)!r} {shown:g} times an epoch, so that epochs"
                f" pass without any; give {math.ceil(1000 / n) / 1000:g} or more"
            )
    return np.array([times.get(str(name), 1.0) for name in classes])[y]


def epoch_order(times: NDArray[np.float64], seed: int, epoch: int) -> NDArray[np.int64]:
    """The images of one epoch in the order in which they are shown.

    Each image is shown ``times`` times, rounded up or down by systematic sampling, so that an epoch strays as little
    as it can from what is wanted. (Drawing with replacement would leave out a third of the images each epoch.)

    Parameters
    ----------
    times : ndarray of shape (n,)
        As :func:`showings` gives it.
    seed, epoch : int
        All that the order depends on.

    Returns
    -------
    ndarray of int64
        Numbers of images, 0 … n - 1.
    """
    rng = np.random.default_rng([ORDER, seed, epoch])
    shuffled = rng.permutation(len(times))
    # rounded, so that sums of whole numbers stay whole; the offset decides who is rounded up
    reached = np.floor(np.round(np.cumsum(times[shuffled]), 6) + rng.random())
    counts = np.diff(reached, prepend=0).astype(np.int64)
    return np.asarray(rng.permutation(np.repeat(shuffled, counts)))


def batched(items: Iterable[_Item], size: int, least: int = 1) -> Iterator[list[_Item]]:
    """Put items into batches; a last batch with fewer than ``least`` is merged into the one before.

    Examples
    --------
    >>> [len(batch) for batch in batched(range(9), 4, least=2)]
    [4, 5]
    """
    full: list[_Item] = []
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            if full:
                yield full
            full, batch = batch, []
    if full and len(batch) < least:
        yield full + batch
    else:
        yield from (part for part in (full, batch) if part)


def n_batches(n: int, size: int, least: int = 1) -> int:
    """How many batches :func:`batched` makes of n items."""
    whole, rest = divmod(n, size)
    return whole if whole and rest < least else whole + (rest > 0)
