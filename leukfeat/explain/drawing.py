"""Pictures: overlays, sheets of many images, grids of channels. Dark on light, numbers in words beside them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leukfeat.textfiles import whole_file

_COLOURS = mpl.colormaps["inferno"]
_STRONGEST = 0.65  # how much of a pixel the colour takes where the map is largest
_CELL_INCHES = 1.75
_DPI = 110


@dataclass(frozen=True)
class Panel:
    """One image of a sheet.

    Attributes
    ----------
    pixels : ndarray of shape (H, W, 3), uint8, or (H, W), float
        A picture, or a map that is drawn in grey.
    title : str
        Above it; may have several lines.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    title: str = ""


def overlay(image: NDArray[np.uint8], map_: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An image under its map: the larger the map, the more of its colour; scaled to its own maximum.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    map_ : ndarray of shape (H, W), float32
        0 or more.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    top = float(map_.max())
    share = map_ / top if top > 0 else np.zeros_like(map_)
    colour = np.asarray(_COLOURS(share))[..., :3] * 255.0
    weight = (_STRONGEST * np.sqrt(share))[..., None]
    grey = image.mean(axis=2, keepdims=True)  # colours of the stain must not be taken for the map's
    return np.asarray((1 - weight) * grey + weight * colour, dtype=np.uint8)


def sheet(rows: Sequence[Sequence[Panel]], heading: str, file: Path) -> Path:
    """Draw rows of panels under a heading as PNG."""
    columns = max(len(row) for row in rows)
    width = max(columns * _CELL_INCHES, 6.5)
    lines = 1 + len(heading) // max(1, int(width * 13))
    height = len(rows) * (_CELL_INCHES + 0.42) + 0.2 * lines + 0.25
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.suptitle("\n".join(_wrapped(heading, int(width * 13))), fontsize=8, x=0.01, ha="left")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, panels in zip(grid, rows, strict=True):
        for place, panel in zip(axes, [*panels, *[None] * (columns - len(panels))], strict=True):
            place.set_axis_off()
            if panel is not None:
                place.imshow(panel.pixels, cmap="gray" if panel.pixels.ndim == 2 else None, interpolation="nearest")
                place.set_title(panel.title, fontsize=6, pad=2)
    return _saved(figure, file)


def channels(maps: NDArray[np.float32], numbers: NDArray[np.int64], heading: str, file: Path) -> Path:
    """Draw some channels of maps (C, h, w), eight to a row, each in its own scale."""
    panels = [Panel(maps[number], f"channel {number}") for number in numbers.tolist()]
    across = min(8, len(panels))
    rows = [panels[start : start + across] for start in range(0, len(panels), across)]
    return sheet(rows, heading, file)


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(20, width)) or [""]


def _saved(figure: Figure, file: Path) -> Path:
    with warnings.catch_warnings(), whole_file(file) as temporary:
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})
    return file


def side_by_side(count: int) -> int:
    """Images in a row of a sheet without comparison: about as wide as high."""
    return max(1, math.ceil(math.sqrt(count / 2)))
