"""The curves of a training, from the CSV of its history: loss, metric and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leukfeat.data.listing import read_table
from leukfeat.errors import RunError, UnknownNameError
from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import COLOURS, GREY, styled, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_CURVES = ("accuracy", "balanced_accuracy", "auroc")
"""What can stand below the loss."""

_LINES: Mapping[str, tuple[str, str, str]] = {
    "train": (COLOURS[0], "--", "training (as shown: augmented)"),
    "validation": (COLOURS[1], "-", "validation"),
}


def draw_training(file: Path | str, metric: str | None = None, notes: Sequence[Note] = ()) -> str:
    """Draw a training's loss, metric and learning rate, the epoch that was kept marked.

    Parameters
    ----------
    file : path
        A CSV with the columns ``epoch``, ``lr``, ``train_…`` and ``validation_…`` for the loss and each of
        :data:`METRIC_CURVES`,
        ``metric`` and ``chosen``: what a training history saves.
    metric : str or None
        Which of :data:`METRIC_CURVES` stands below the loss; None for the one that chose the epoch, or the balanced
        accuracy where that was the loss.
    notes : sequence of Note
        Small print below the drawing.

    Returns
    -------
    str
        SVG whose text stays text.

    Raises
    ------
    RunError
        The file is no training history.
    UnknownNameError
        No such curve.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = read_table(Path(file))
    if metric is not None and metric not in METRIC_CURVES:
        raise UnknownNameError("training curve", metric, METRIC_CURVES)
    try:
        watched = rows[0]["metric"]
        epochs = [int(row["epoch"]) for row in rows]
        rates = [float(row["lr"]) for row in rows]
        kept = next(int(row["epoch"]) for row in rows if row["chosen"] == "1")
        shown = ("loss", metric or (watched if watched != "loss" else "balanced_accuracy"))
        curves = {
            name: {part: _points(rows, f"{part}_{name}") for part in _LINES} for name in shown
        }  # name -> part -> epochs and values
    except (KeyError, ValueError, StopIteration) as error:
        raise RunError(f"{file}: is no training history ({error}); give the CSV that a training writes") from error
    with styled():
        figure = Figure(figsize=(6.4, 6.2), layout="constrained")
        panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
        for panel, (name, parts) in zip(panels, curves.items(), strict=False):
            _draw(panel, name, parts, kept)
        panels[2].plot(epochs, rates, color=COLOURS[2], marker="." if len(epochs) < 40 else "")
        panels[2].set_ylabel("learning rate")
        panels[2].set_ylim(bottom=0)
        panels[2].set_xlabel("epoch")
        panels[2].xaxis.set_major_locator(MaxNLocator(integer=True))
        for panel in panels:
            panel.axvline(kept, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
        panels[0].legend(loc="upper right")
        chosen_by = watched.replace("_", " ")
        panels[0].set_title(f"epoch {kept} of {len(epochs)} is kept (chosen by {chosen_by})", loc="left")
        return svg_of(figure, notes)


def _points(rows: Sequence[Mapping[str, str]], column: str) -> tuple[list[int], list[float]]:
    """Epochs that have a value, and the values."""
    there = [row for row in rows if row[column]]
    return [int(row["epoch"]) for row in there], [float(row[column]) for row in there]


def _draw(axes: Axes, name: str, parts: Mapping[str, tuple[list[int], list[float]]], kept: int) -> None:
    for part, (epochs, values) in parts.items():
        colour, dashes, label = _LINES[part]
        if epochs:
            axes.plot(
                epochs, values, color=colour, linestyle=dashes, label=label, marker="." if len(epochs) < 40 else ""
            )
        if kept in epochs:
            axes.plot(kept, values[epochs.index(kept)], color=colour, marker="o", markersize=7, fillstyle="none")
    axes.set_ylabel({"auroc": "AUROC"}.get(name, name.replace("_", " ")))
