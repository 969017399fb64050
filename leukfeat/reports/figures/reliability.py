"""Reliability diagrams before and after calibration: one panel a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.reliability import Reliability
from leukfeat.evaluation.uncertainty import Estimate
from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import COLOURS, GREY, drawn, wrapped
from leukfeat.reports.sections import Drawing
from leukfeat.reports.table import Cell, Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 6
"""Runs that get a panel, the best first; the numbers have them all."""

_LEGEND = 0.3  # inches

_KINDS: Mapping[str, tuple[str, str, bool]] = {
    "before": (GREY, "s", False),
    "after": (COLOURS[0], "o", True),
}


def reliability_drawing(
    diagrams: Mapping[str, Mapping[str, Reliability]], method: str, about: str, notes: Sequence[Note] = ()
) -> Drawing:
    """Reliability diagrams.

    Parameters
    ----------
    diagrams : mapping of str to mapping of str to Reliability
        By run: ``"before"`` and, where it was calibrated, ``"after"``; all defined.
    method : str
        How it was calibrated, for the legend.
    about : str
        Caption.
    notes : sequence of Note
        Small print below.
    """
    rows: list[tuple[Cell, ...]] = [
        (name, kind, one.low, one.high, one.cells, one.said, Estimate(Score(one.found), one.interval))
        for name, kinds in diagrams.items()
        for kind, diagram in kinds.items()
        for one in diagram.bins
    ]
    ends = (Column("bin from", form=".3f"), Column("bin to", form=".3f"), Column("cells", form=",d"))
    means = (Column("mean probability", form=".4f"), Column("share that came true", form=".4f"))
    table = Table("Reliability", (Column("run"), Column("calibration"), *ends, *means), tuple(rows))
    make = partial(draw_reliability, diagrams, method)
    return drawn("reliability", "Reliability before and after calibration", about, make, table, notes)


def draw_reliability(diagrams: Mapping[str, Mapping[str, Reliability]], method: str) -> Figure:
    """Said against found with intervals, and below how many cells were told so."""
    from matplotlib.figure import Figure

    shown = dict(list(diagrams.items())[:PANELS])
    n_columns = min(len(shown), 3)
    n_rows = math.ceil(len(shown) / n_columns)
    figure = Figure(figsize=(max(0.4 + 2.75 * n_columns, 3.6), 3.55 * n_rows + _LEGEND), layout="constrained")
    heights = [3.2, 0.8] * n_rows
    panels = figure.subplots(2 * n_rows, n_columns, squeeze=False, height_ratios=heights, sharex=True)
    for axes in panels.flat:
        axes.set_visible(False)
    for number, (name, kinds) in enumerate(shown.items()):
        row, column = 2 * (number // n_columns), number % n_columns
        above, below = panels[row, column], panels[row + 1, column]
        for axes in (above, below):
            axes.set_visible(True)
        _diagram(above, kinds, method)
        above.set_title(wrapped(name, 34), fontsize=8)
        for kind, diagram in kinds.items():
            colour, _, filled = _KINDS[kind]
            places = [(one.low + one.high) / 2 for one in diagram.bins]
            widths = [0.92 * (one.high - one.low) for one in diagram.bins]
            face = {"color": colour} if filled else {"color": "none", "edgecolor": colour}
            below.bar(places, [one.cells for one in diagram.bins], width=widths, linewidth=0.9, **face)
        below.tick_params(labelsize=7.5, labelbottom=True)
        below.locator_params(axis="y", nbins=2)
        if column == 0:
            above.set_ylabel("share that came true")
            below.set_ylabel("cells")
        told = ", ".join(f"{diagram.ece} {kind}" for kind, diagram in kinds.items())
        below.set_xlabel(f"probability\nECE {told}", fontsize=8)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    # room for the legend is set aside by hand: one that stands outside moves when the paper grows by a footer
    height = figure.get_size_inches()[1]
    figure.set_layout_engine("constrained", rect=(0, _LEGEND / height, 1, 1 - _LEGEND / height))
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=2)
    return figure


def _diagram(axes: Axes, kinds: Mapping[str, Reliability], method: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    labels = {"before": "as predicted", "after": f"after {method}"}
    for kind, diagram in kinds.items():
        colour, marker, filled = _KINDS[kind]
        said, found = [one.said for one in diagram.bins], [one.found for one in diagram.bins]
        for one in diagram.bins:
            if one.interval.defined:
                axes.plot([one.said] * 2, [one.interval.low, one.interval.high], color=colour, linewidth=0.9, alpha=0.7)
        face = colour if filled else "white"
        style: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 4,
            "markerfacecolor": face,
            "linewidth": 1.2,
        }
        axes.plot(said, found, label=labels[kind], **style)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.tick_params(labelsize=7.5, labelbottom=False)
