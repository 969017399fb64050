"""What of an image is cell: a cell cut out on black, or the stained parts of a bright field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Rule = Literal["black", "stain", ""]

_DARK = 8  # a pixel whose brightest channel is at most this is background, of 255
_BORDER = 0.9  # share of the border that is dark where an image is a cell cut out on black
_CELL = (0.02, 0.98)  # a cell takes at least, and at most, this share of the image
_STAINED = (0.001, 0.9)  # so do the stained parts of a field
_CONTRAST = 25  # least distance between the mean purple of foreground and of background, of 255


@dataclass(frozen=True, eq=False)
class Foreground:
    """Where the cell is, or why nobody can say.

    Attributes
    ----------
    mask : ndarray of shape (H, W), bool, or None
        None where there is no foreground to be told from a background.
    rule : ``"black"``, ``"stain"`` or ``""``
        How it was found: as all that is not black (:func:`cell_mask`), or as what is more purple than Otsu's
        threshold (:func:`stained_mask`).
    reason : str
        Why there is none; empty where there is one.
    """

    mask: Mask | None
    rule: Rule
    reason: str = ""


def find_foreground(image: NDArray[np.uint8]) -> Foreground:
    """Tell the foreground of an image (H, W, 3) from its background, by the first rule that applies."""
    mask = cell_mask(image)
    if mask is not None:
        return Foreground(mask, "black")
    mask = stained_mask(image)
    if mask is not None:
        return Foreground(mask, "stain")
    return Foreground(None, "", "no cell on black, and no stained parts that stand out from the rest")


def cell_mask(image: NDArray[np.uint8]) -> Mask | None:
    """The pixels of a cell that was cut out on black.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        Before normalisation.

    Returns
    -------
    ndarray of shape (H, W), bool, or None
        None where the image is no cell on black: nothing is guessed.
    """
    bright = _brightest(image) > _DARK
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if 1 - border.mean() < _BORDER or not _CELL[0] <= bright.mean() <= _CELL[1]:
        return None
    return np.asarray(bright)


def stained_mask(image: NDArray[np.uint8]) -> Mask | None:
    """The pixels of a bright field that are stained as nuclei are: more purple than Otsu's threshold.

    Romanowsky stains (Giemsa, Wright) make nuclei purple: green is the smallest channel. ``((R + B) / 2 - G) / max``
    is that, whatever the brightness; red cells and the bare slide have little of it or none, while their *saturation*
    may come near that of nuclei under bluish light. All stained cells of a field are one foreground; they are not told
    from each other.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        Before normalisation.

    Returns
    -------
    ndarray of shape (H, W), bool, or None
        None where purple does not divide the image: a uniform or grey one, or another stain.

    References
    ----------
    Otsu, N., A threshold selection method from gray-level histograms, IEEE Transactions on Systems, Man, and
    Cybernetics 9(1), 1979, doi:10.1109/TSMC.1979.4310076.
    """
    brightest = _brightest(image)
    red, green, blue = (image[:, :, channel].astype(np.float32) for channel in range(3))
    purple = (red + blue) / 2 - green
    purple[brightest <= _DARK] = 0  # the hue of what is nearly black is noise
    share = (255 * np.maximum(purple, 0) / np.maximum(brightest, 1)).astype(np.uint8)
    threshold, contrast = _otsu(share)
    mask = share > threshold
    if contrast < _CONTRAST or not _STAINED[0] <= mask.mean() <= _STAINED[1]:
        return None
    return np.asarray(mask)


def _brightest(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest channel of each pixel, (H, W); three planes are compared faster than one axis of three."""
    return np.maximum(np.maximum(image[:, :, 0], image[:, :, 1]), image[:, :, 2])


def _otsu(grey: NDArray[np.uint8]) -> tuple[int, float]:
    """The level above which foreground begins, and how far apart the means of both sides are."""
    counts = np.bincount(grey.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)[:-1]
    above = grey.size - below
    sums = np.cumsum(counts * np.arange(256))
    with np.errstate(invalid="ignore", divide="ignore"):  # a side without pixels divides nothing
        distance = np.nan_to_num((sums[-1] - sums[:-1]) / above - sums[:-1] / below, nan=0.0, posinf=0.0, neginf=0.0)
    level = int(np.argmax(below * above * distance**2))
    return level, float(distance[level])
