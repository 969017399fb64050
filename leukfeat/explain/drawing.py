"""Pictures: overlays, sheets of many images, grids of channels. Dark on light, numbers in words beside them."""

from __future__ import annotations

import math
import textwrap
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
_MARGIN, _GAP, _LINE, _TITLE = 0.1, 0.08, 0.15, 0.115  # inches; a line of the heading, and of a title
_LETTERS = 15  # of the heading that fit into an inch
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


def sheet(rows: Sequence[Sequence[Panel]], heading: str, *files: Path) -> list[Path]:
    """Draw rows of panels under a heading.

    Parameters
    ----------
    rows : sequence of sequences of Panel
        From above; a row may be shorter than others.
    heading : str
        Above them all, in as many lines as it takes.
    *files : Path
        The same figure in every format that their suffixes name (png or pdf).

    Returns
    -------
    list of Path
        ``files``.
    """
    columns = max(len(row) for row in rows)
    width = max(columns * (_CELL_INCHES + _GAP) + 2 * _MARGIN, 6.5)
    lines = _wrapped(heading, int(width * _LETTERS))
    titles = [_TITLE * max(1 + panel.title.count("\n") for panel in row) + _GAP for row in rows]
    top = _MARGIN + _LINE * len(lines) + _GAP
    height = top + sum(titles) + len(rows) * (_CELL_INCHES + _GAP) + _MARGIN
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(_MARGIN / width, 1 - _MARGIN / height, "\n".join(lines), fontsize=8, va="top", parse_math=False)
    for panels, title in zip(rows, titles, strict=True):
        top += title
        for column, panel in enumerate(panels):
            left = _MARGIN + column * (_CELL_INCHES + _GAP)
            _draw(figure, panel, (left / width, 1 - (top + _CELL_INCHES) / height), (width, height))
        top += _CELL_INCHES + _GAP
    for file in files:
        _save(figure, file)
    return [*files]


def _draw(figure: Figure, panel: Panel, corner: tuple[float, float], size: tuple[float, float]) -> None:
    """One panel, its lower left corner in shares of the figure."""
    box = figure.add_axes((*corner, _CELL_INCHES / size[0], _CELL_INCHES / size[1]))
    box.set(xticks=[], yticks=[], anchor="N")
    for spine in box.spines.values():
        spine.set_visible(False)
    box.imshow(panel.pixels, cmap="gray" if panel.pixels.ndim == 2 else None, interpolation="nearest")
    box.set_title(panel.title, fontsize=6, pad=2, parse_math=False)  # names may hold dollar signs


def channels(maps: NDArray[np.float32], numbers: NDArray[np.int64], heading: str, file: Path) -> Path:
    """Draw some channels of maps (C, h, w), eight to a row, each in its own scale: black is its smallest value."""
    panels = [Panel(maps[number], f"channel {number}") for number in numbers.tolist()]
    across = min(8, len(panels))
    rows = [panels[start : start + across] for start in range(0, len(panels), across)]
    return sheet(rows, heading, file)[0]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width)) or [""]


def _save(figure: Figure, file: Path) -> None:
    """In the format of its suffix, without a date, so that the same figure is the same file."""
    undated = {"png": {"Software": None}, "pdf": {"CreationDate": None}}
    kind = file.suffix.removeprefix(".")
    with warnings.catch_warnings(), whole_file(file) as temporary:
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(temporary, format=kind, dpi=_DPI, metadata=undated[kind])


def side_by_side(count: int) -> int:
    """Images in a row of a sheet without comparison: about as wide as high."""
    return max(1, math.ceil(math.sqrt(count / 2)))
