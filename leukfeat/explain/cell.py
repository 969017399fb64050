"""Whether a map lies inside the cell, where the cell can be told from its background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DARK = 8  # a pixel whose brightest channel is at most this is background, of 255
_BORDER = 0.9  # share of the border that is dark where an image is a cell cut out on black
_CELL = (0.02, 0.98)  # a cell takes at least, and at most, this share of the image


def cell_mask(image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The pixels of a cell that was cut out on black.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        As the network sees it, before normalisation.

    Returns
    -------
    ndarray of shape (H, W), bool, or None
        None where the image is no cell on black: nothing is guessed.
    """
    bright = image.max(axis=2) > _DARK
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if 1 - border.mean() < _BORDER or not _CELL[0] <= bright.mean() <= _CELL[1]:
        return None
    return np.asarray(bright)


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
