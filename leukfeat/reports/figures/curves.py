"""ROC and precision-recall curves with bands, and decision curves: one line a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from leukfeat.evaluation.bands import Band
from leukfeat.evaluation.decision import DecisionCurve
from leukfeat.evaluation.metrics import MACRO
from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import GREY, INK, cut, drawn, line_style, put_legend, with_legend
from leukfeat.reports.sections import Drawing
from leukfeat.reports.table import Cell, Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BANDS_SHOWN = 3
"""Runs whose bands are drawn, the best first; more would hide each other. The numbers have them all."""

_NAME = 46  # signs of a run's name in a legend


def roc_drawing(
    bands: Mapping[str, Band], labels: Mapping[str, str], about: str, positive: str | None, notes: Sequence[Note] = ()
) -> Drawing:
    """ROC curves.

    Parameters
    ----------
    bands : mapping of str to Band
        By run, best first.
    labels : mapping of str to str
        The area of each, in words.
    about : str
        What the bands are, in words.
    positive : str or None
        The class that sensitivity is of; None for the mean over several classes.
    notes : sequence of Note
        Small print below.
    """
    table = _numbers("ROC curves", "false positive rate", "true positive rate", bands)
    return drawn("roc", "ROC curves over cells", about, partial(draw_roc, bands, labels, positive), table, notes)


def precision_recall_drawing(
    bands: Mapping[str, Band], labels: Mapping[str, str], about: str, positive: str | None, notes: Sequence[Note] = ()
) -> Drawing:
    """Precision-recall curves; see :func:`roc_drawing`."""
    table = _numbers("Precision-recall curves", "recall", "precision", bands)
    make = partial(draw_precision_recall, bands, labels, positive)
    return drawn("precision-recall", "Precision-recall curves over cells", about, make, table, notes)


def draw_roc(bands: Mapping[str, Band], labels: Mapping[str, str], positive: str | None) -> Figure:
    """One ROC curve a run; the legend stands below, so that long names hide nothing."""
    figure, axes = with_legend(4.3, 4.3, 0.6, len(bands) + 1)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    _lines(axes, bands, labels)
    axes.set_xlabel("false positive rate (1 − specificity)" if positive else f"false positive rate ({MACRO})")
    of = f"sensitivity for {cut(positive, 24)}" if positive else MACRO
    axes.set_ylabel(f"true positive rate ({of})")
    put_legend(figure, axes, "area under the curve")
    return figure


def draw_precision_recall(bands: Mapping[str, Band], labels: Mapping[str, str], positive: str | None) -> Figure:
    """One precision-recall curve a run, over the precision of guessing."""
    figure, axes = with_legend(4.3, 4.3, 0.6, len(bands) + 1)
    prevalence = next((one.prevalence for one in bands.values() if not one.reason), None)
    if prevalence is not None:
        axes.axhline(prevalence, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.text(0.01, prevalence + 0.012, f"guessing: {prevalence:.2f}", size=7.5, color="#595959")
    _lines(axes, bands, labels)
    axes.set_xlabel(f"recall (sensitivity for {cut(positive, 24)})" if positive else f"recall ({MACRO})")
    axes.set_ylabel("precision (PPV in this study)" if positive else f"precision ({MACRO})")
    put_legend(figure, axes, "average precision")
    return figure


def _lines(axes: Axes, bands: Mapping[str, Band], labels: Mapping[str, str]) -> None:
    for number, (name, one) in enumerate(bands.items()):
        style = line_style(number)
        if number < BANDS_SHOWN and len(one.low):
            axes.fill_between(one.x, one.low, one.high, color=style["color"], alpha=0.13, linewidth=0)
        axes.plot(one.x, one.y, label=f"{cut(name, _NAME)}: {one.reason or labels[name]}", linewidth=1.6, **style)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _numbers(title: str, x: str, y: str, bands: Mapping[str, Band]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, one in bands.items():
        ends = zip(one.low.tolist(), one.high.tolist(), strict=True) if len(one.low) else [(None, None)] * len(one.x)
        rows += [(name, *point, *span) for *point, span in zip(one.x.tolist(), one.y.tolist(), ends, strict=True)]
    heads = (x, y, f"{y} low", f"{y} high")
    return Table(title, (Column("run"), *(Column(head, form=".4f") for head in heads)), tuple(rows))


def decision_drawing(
    curves: Mapping[str, DecisionCurve], about: str, positive: str, notes: Sequence[Note] = ()
) -> Drawing:
    """Decision curves of runs that have one.

    Parameters
    ----------
    curves : mapping of str to DecisionCurve
        By run; all defined.
    about : str
        Caption.
    positive : str
        The class that one would act on.
    notes : sequence of Note
        Small print below.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, one in curves.items():
        columns = [one.threshold, one.model, one.low, one.high, one.treat_all]
        given = [column.tolist() if len(column) else [None] * len(one.threshold) for column in columns]
        rows += [(name, *values) for values in zip(*given, strict=True)]
    heads = ("threshold", "net benefit", "low", "high", "net benefit of acting on all")
    table = Table("Decision curves", (Column("run"), *(Column(head, form=".4f") for head in heads)), tuple(rows))
    make = partial(draw_decisions, curves, positive)
    return drawn("decision", "Decision curves over cells", about, make, table, notes)


def draw_decisions(curves: Mapping[str, DecisionCurve], positive: str) -> Figure:
    """Net benefit by threshold, with acting on all and on nobody."""
    figure, axes = with_legend(5.6, 3.6, 0.7, len(curves) + 2)
    first = next(iter(curves.values()))
    for number, (name, one) in enumerate(curves.items()):
        style = line_style(number)
        if number < BANDS_SHOWN and len(one.low):
            axes.fill_between(one.threshold, one.low, one.high, color=style["color"], alpha=0.13, linewidth=0)
        axes.plot(one.threshold, one.model, label=cut(name, _NAME), linewidth=1.6, **style)
    axes.plot(
        first.threshold, first.treat_all, color=GREY, linewidth=1.2, linestyle=(0, (1, 1)), label="act on every cell"
    )
    axes.axhline(0, color=INK, linewidth=0.8, label="act on none")
    top = max(first.prevalence, max(float(np.nanmax(one.model)) for one in curves.values()))
    axes.set(xlim=(0, 1), ylim=(-0.15 * top, 1.08 * top))
    axes.set_xlabel(f"threshold: probability of {cut(positive, 24)} from which one acts")
    axes.set_ylabel("net benefit a cell")
    put_legend(figure, axes)
    return figure
