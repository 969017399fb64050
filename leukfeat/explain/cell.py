"""Whether a map lies inside the cell, where there is a mask of it (see :mod:`leukfeat.data.foreground`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Inside:
    """How a map lies to the cell.

    Attributes
    ----------
    share : float or None
        Part of the map's sum that is inside the cell; None for a map that is 0 everywhere.
    cell : float
        Part of the image that is cell: what a map without any aim would have inside.
    pointing : bool or None
        Whether the largest value is inside (the pointing game, Zhang et al. 2018).
    """

    share: float | None
    cell: float
    pointing: bool | None


def inside(map_: NDArray[np.float32], mask: NDArray[np.bool_]) -> Inside:
    """Measure a map (H, W), 0 or more, against a cell's mask (H, W)."""
    total = float(map_.sum(dtype=np.float64))
    cell = float(mask.mean())
    if total <= 0:
        return Inside(None, cell, None)
    share = float(map_[mask].sum(dtype=np.float64)) / total
    return Inside(share, cell, bool(mask[np.unravel_index(int(map_.argmax()), map_.shape)]))
