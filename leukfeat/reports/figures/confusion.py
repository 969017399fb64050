"""Confusion matrices: one panel a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import INK, cut, drawn, wrapped
from leukfeat.reports.sections import Drawing
from leukfeat.reports.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 24
"""Runs that get a panel, the best first; the counts have them all."""

_CAPTION = "Counts over all repeats, and the share of the true class (also as shade)."


def confusion_drawing(
    counts: Mapping[str, NDArray[np.int64]], classes: Sequence[str], table: Table, notes: Sequence[Note] = ()
) -> Drawing:
    """Confusion matrices.

    Parameters
    ----------
    counts : mapping of str to ndarray of shape (k, k), int64
        By run; true classes are rows.
    classes : sequence of k str
        Their names.
    table : Table
        The same counts.
    notes : sequence of Note
        Small print below.
    """
    shown = dict(list(counts.items())[:PANELS])
    caption = f"{_CAPTION} The best {PANELS} of {len(counts)} runs." if len(counts) > PANELS else _CAPTION
    make = partial(draw_confusion, shown, classes)
    return drawn("confusion", "Confusion matrices over cells", caption, make, table, notes)


def draw_confusion(counts: Mapping[str, NDArray[np.int64]], classes: Sequence[str]) -> Figure:
    """Counts, shaded by the share of the true class."""
    from matplotlib.figure import Figure

    names = [cut(name, 14) for name in classes]
    k = len(names)
    side = 0.9 + 0.55 * max(k, 2)
    n_columns = max(1, min(len(counts), int(9.5 // (side + 0.5))))
    n_rows = math.ceil(len(counts) / n_columns)
    figure = Figure(figsize=(n_columns * (side + 0.5), n_rows * (side + 0.35)), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in panels.flat[len(counts) :]:
        axes.set_visible(False)
    for axes, (name, matrix) in zip(panels.flat, counts.items(), strict=False):
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(k, k):
            axes.text(
                column,
                row,
                f"{matrix[row, column]:,}\n{share[row, column]:.0%}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if share[row, column] > 0.6 else INK,
            )
        axes.set_xticks(range(k), names, rotation=90 if k > 3 else 0)
        axes.set_yticks(range(k), names, rotation=0)
        axes.tick_params(length=0, labelsize=7.5)
        axes.spines[:].set_visible(False)
        axes.set_title(wrapped(name, int(side * 11)), fontsize=8)
    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    return figure
