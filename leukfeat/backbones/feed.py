"""The images of an epoch in their order: decoded ahead in threads, kept in memory where all of them fit."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.stream import ImageWork, arranged_images
from leukfeat.data.manifest import Manifest

KEPT_BYTES = 2 << 30
"""Arranged images of a training are kept in memory up to so many bytes; beyond, each epoch decodes them again."""


class Feed:
    """Gives arranged images of some rows, in any order, any number of times.

    Parameters
    ----------
    manifest : Manifest
        The data.
    rows : sequence of int
        The only rows that are ever read.
    inputs : Inputs
        How an image is arranged.
    num_workers : int
        Threads that decode.
    ahead : int
        Images that may wait.

    Attributes
    ----------
    failed : dict of int to str
        Rows that could not be read, with the reason.
    """

    def __init__(
        self, manifest: Manifest, rows: Sequence[int] | NDArray[np.int64], inputs: Inputs, num_workers: int, ahead: int
    ) -> None:
        self.rows = [int(row) for row in rows]
        self.failed: dict[int, str] = {}
        self._manifest, self._inputs, self._num_workers, self._ahead = manifest, inputs, num_workers, ahead
        needed = len(set(self.rows)) * math.prod(inputs.size) * 3
        self._kept: dict[int, NDArray[np.uint8] | None] | None = {} if needed <= KEPT_BYTES else None

    def name(self, row: int) -> str:
        """A row's sample, for people."""
        return self._manifest.sample[row]

    def images(self, order: Sequence[int] | NDArray[np.int64]) -> Generator[tuple[int, int, NDArray[np.uint8]]]:
        """Readable images in an order.

        Parameters
        ----------
        order : sequence of int
            Places in ``rows``; a place may stand there several times.

        Yields
        ------
        int, int, ndarray of shape (H, W, 3)
            Number in the order, place in ``rows``, image. What cannot be read is left out.
        """
        rows = [self.rows[place] for place in order]
        kept = self._kept
        # what is kept is decoded once, when it is first wanted
        wanted = rows if kept is None else [row for row in dict.fromkeys(rows) if row not in kept]
        work = (ImageWork(self._manifest.sha256[row], (row,)) for row in wanted)
        decoded = arranged_images(self._manifest, work, self._inputs, self._num_workers, self._ahead)
        with contextlib.closing(decoded):
            for number, (place, row) in enumerate(zip(order, rows, strict=True)):
                if kept is not None and row in kept:
                    image = kept[row]
                else:
                    result = next(decoded)
                    image = result.image
                    self.failed |= dict(result.failed)
                    if kept is not None:
                        kept[row] = image
                if image is not None:
                    yield number, int(place), image
