"""What one image shows besides its texture: size, outline, colours, corners. A network may live on any of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leukfeat.data.foreground import Mask, find_foreground

CORNERS = ("upper-left", "upper-right", "lower-left", "lower-right")

OUTLINE_SIDE = 16  # cells along a side of the down-sampled mask
CORNER_SIDE = 8  # cells along a side of a down-sampled corner

_CORNER_SHARE = 7  # a corner's side is the image's divided by this; scale bars take about as much
_CHANNELS = ("red", "green", "blue")
_SHARES = (0.1, 0.5, 0.9)  # quantiles that describe a background

SCALARS = (
    "image_height",
    "image_width",
    "area",
    "box_height",
    "box_width",
    "perimeter",
    "equivalent_diameter",
    *(f"foreground_{name}" for name in _CHANNELS),
    *(f"background_{name}_{round(100 * share)}" for name in _CHANNELS for share in _SHARES),
    *(f"image_{name}" for name in _CHANNELS),
)
"""Names of the numbers that :func:`measure` gives: lengths in pixels, area in square pixels, colours from 0 to 255."""


@dataclass(frozen=True, eq=False)
class Shape:
    """The measurements of one image.

    Attributes
    ----------
    scalars : mapping of str to float
        By the names of :data:`SCALARS`; NaN where there is no foreground.
    rule : str
        How the foreground was found, see :class:`leukfeat.data.foreground.Foreground`.
    reason : str
        Why there is none; empty where there is one.
    outline : ndarray of shape (16, 16), uint8
        The mask, down-sampled: 255 where all is foreground. 0 where there is no mask.
    corners : ndarray of shape (4, 8, 8, 3), uint8
        The four corners of the image in the order of :data:`CORNERS`, down-sampled.
    """

    scalars: Mapping[str, float]
    rule: str
    reason: str
    outline: NDArray[np.uint8]
    corners: NDArray[np.uint8]


def measure(image: NDArray[np.uint8]) -> Shape:
    """Measure one image (H, W, 3), uint8 RGB."""
    height, width = image.shape[:2]
    found = find_foreground(image)
    scalars = dict.fromkeys(SCALARS, math.nan) | {"image_height": float(height), "image_width": float(width)}
    levels = _levels(image)
    scalars |= _means("image", levels)
    outline = np.zeros((OUTLINE_SIDE, OUTLINE_SIDE), np.uint8)
    if found.mask is not None:
        inside = _levels(image, found.mask)
        scalars |= _extent(found.mask) | _means("foreground", inside) | _quantiles("background", levels - inside)
        outline = _down((255 * found.mask.astype(np.uint8))[:, :, None], OUTLINE_SIDE)[:, :, 0]
    return Shape(scalars, found.rule, found.reason, outline, _corners(image))


def perimeter(mask: Mask) -> float:
    """Length of all edges of a mask (H, W), in pixels, by Crofton's formula in four directions.

    Lines in a direction cross an edge as often as it is long across them; the mean over directions, times pi/2, is
    its length, whichever way it runs. Counting pixel sides would give a circle the perimeter of its box.

    References
    ----------
    Legland, D., Kiêu, K. and Devaux, M.-F., Computation of Minkowski measures on 2D and 3D binary images, Image
    Analysis & Stereology 26(2), 2007, doi:10.5566/ias.v26.p83-92.
    """
    inside = np.pad(mask, 1)
    straight = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
    # lines at 45 degrees are closer together than pixels by the root of 2
    oblique = (inside[1:, 1:] != inside[:-1, :-1]).sum() + (inside[1:, :-1] != inside[:-1, 1:]).sum()
    return float(math.pi / 8 * (straight + oblique / math.sqrt(2)))


def _extent(mask: Mask) -> dict[str, float]:
    area = float(mask.sum())
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return {
        "area": area,
        "box_height": float(rows[-1] - rows[0] + 1),
        "box_width": float(columns[-1] - columns[0] + 1),
        "perimeter": perimeter(mask),
        "equivalent_diameter": math.sqrt(4 * area / math.pi),
    }


def _levels(image: NDArray[np.uint8], mask: Mask | None = None) -> NDArray[np.int64]:
    """How many pixels have each level of each channel, (3, 256); of those under a mask, where there is one."""
    only = None if mask is None else Image.fromarray(255 * mask.astype(np.uint8))
    return np.array(Image.fromarray(image).histogram(only), dtype=np.int64).reshape(3, 256)


def _means(what: str, levels: NDArray[np.int64]) -> dict[str, float]:
    means = levels @ np.arange(256) / levels.sum(axis=1)
    return {f"{what}_{name}": float(mean) for name, mean in zip(_CHANNELS, means, strict=True)}


def _quantiles(what: str, levels: NDArray[np.int64]) -> dict[str, float]:
    """Of a background: unlike a mean, they do not move with the blurred rim of the cell, and so with its size."""
    return {
        f"{what}_{name}_{round(100 * share)}": float(np.searchsorted(np.cumsum(own), share * own.sum()))
        for name, own in zip(_CHANNELS, levels, strict=True)
        for share in _SHARES
    }


def _corners(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The corners, (4, 8, 8, 3)."""
    height, width = (max(1, side // _CORNER_SHARE) for side in image.shape[:2])
    cut = (image[:height, :width], image[:height, -width:], image[-height:, :width], image[-height:, -width:])
    return np.stack([_down(corner, CORNER_SIDE) for corner in cut])


def _down(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Means over a grid of ``side`` by ``side`` fields of (nearly) equal size: (H, W, c) -> (side, side, c)."""
    edges = [np.arange(side + 1) * extent / side for extent in image.shape[:2]]
    weights = [
        np.clip(np.minimum(edge[1:, None], pixel + 1) - np.maximum(edge[:-1, None], pixel), 0, None)
        for edge, pixel in zip(edges, (np.arange(extent) for extent in image.shape[:2]), strict=True)
    ]  # how much of each pixel lies in each field, (side, H) and (side, W)
    rows, columns = ((weight / weight.sum(axis=1, keepdims=True)).astype(np.float32) for weight in weights)
    height, width, channels = image.shape
    across = rows @ image.reshape(height, -1).astype(np.float32)  # (H, W c) -> (side, W c)
    means = columns @ across.reshape(side, width, channels)  # (side, W, c) -> (side, side, c)
    return np.asarray(np.rint(means).astype(np.uint8))
