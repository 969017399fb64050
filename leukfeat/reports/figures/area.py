"""Size of a cell against what a model says of it: does it read the size?"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.predictions import Predictions
from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import COLOURS, cut, drawn, wrapped
from leukfeat.reports.sections import Drawing
from leukfeat.reports.table import Cell, Column, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 3
"""Runs that get a panel, the best first; the numbers have them all."""

_LEGEND = 0.3  # inches
_DENSE = 1500  # beyond so many dots they become pixels, or files grow large


@dataclass(frozen=True, eq=False)
class Sized:
    """Cells with a known area under one model.

    Attributes
    ----------
    sample : ndarray of shape (n,), str
        Which.
    area : ndarray of shape (n,), float64
        Square pixels.
    score : ndarray of shape (n,), float64
        Probability of the positive class; of several classes that of the true one.
    y_true : ndarray of shape (n,), str
        Their classes.
    """

    sample: NDArray[np.str_]
    area: NDArray[np.float64]
    score: NDArray[np.float64]
    y_true: NDArray[np.str_]

    @classmethod
    def of(cls, predictions: Predictions, areas: Mapping[str, float]) -> Sized:
        """The tested cells whose area is known, those of the first repeat."""
        one = predictions.take(predictions.repeat == predictions.repeat.min())
        area = np.array([areas.get(sample, np.nan) for sample in one.sample.tolist()])
        column = {name: k for k, name in enumerate(one.classes)}
        of = [column[one.positive or label] for label in one.y_true.tolist()]
        score = one.proba[np.arange(len(one)), of]
        known = np.isfinite(area) & (area > 0)
        return cls(one.sample[known], area[known], score[known], one.y_true[known])

    def correlation(self, label: str) -> float:
        """Spearman's rank correlation of area and score within a class; NaN where either does not vary."""
        from scipy.stats import spearmanr

        mine = self.y_true == label
        if mine.sum() < 3 or np.ptp(self.area[mine]) == 0 or np.ptp(self.score[mine]) == 0:
            return float("nan")
        return float(spearmanr(self.area[mine], self.score[mine]).statistic)


def area_drawing(sized: Mapping[str, Sized], score: str, about: str, notes: Sequence[Note] = ()) -> Drawing:
    """Area against score.

    Parameters
    ----------
    sized : mapping of str to Sized
        By run, best first.
    score : str
        What the score is, for people.
    about : str
        Caption.
    notes : sequence of Note
        Small print below.
    """
    rows: list[tuple[Cell, ...]] = [
        (name, *row)
        for name, one in sized.items()
        for row in zip(one.sample.tolist(), one.y_true.tolist(), one.area.tolist(), one.score.tolist(), strict=True)
    ]
    numbers = (Column("area (square pixels)", form=",.0f"), Column(score, form=".4f"))
    table = Table("Area and score", (Column("run"), Column("sample"), Column("class"), *numbers), tuple(rows))
    return drawn("area-score", "Size of a cell and its score", about, partial(draw_area, sized, score), table, notes)


def draw_area(sized: Mapping[str, Sized], score: str) -> Figure:
    """A panel a run, a dot a cell, classes by colour, with their rank correlations."""
    from matplotlib.figure import Figure

    shown = dict(list(sized.items())[:PANELS])
    figure = Figure(figsize=(max(0.5 + 2.9 * len(shown), 4.2), 3.7), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, one) in zip(panels, shown.items(), strict=True):
        for number, label in enumerate(np.unique(one.y_true).tolist()):
            mine = one.y_true == label
            axes.scatter(
                one.area[mine],
                one.score[mine],
                s=7,
                alpha=0.45,
                linewidths=0,
                color=COLOURS[number % len(COLOURS)],
                label=cut(label, 24),
                rasterized=len(one.area) > _DENSE,
            )
        axes.set_title(wrapped(name, 34), fontsize=8)
        axes.set_ylim(-0.02, 1.02)
        axes.ticklabel_format(axis="x", style="plain")
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize=7.5)
        axes.set_xlabel(f"area (square pixels)\n{_correlations(one)}", fontsize=8)
    panels[0].set_ylabel(score)
    # room for the legend is set aside by hand: one that stands outside moves when the paper grows by a footer
    height = figure.get_size_inches()[1]
    figure.set_layout_engine("constrained", rect=(0, _LEGEND / height, 1, 1 - _LEGEND / height))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=4, markerscale=2)
    return figure


def _correlations(one: Sized) -> str:
    """Rank correlations within classes, in lines."""
    found = {label: one.correlation(label) for label in np.unique(one.y_true).tolist()}
    told = [
        f"{cut(label, 14)} {rho:+.2f}" if np.isfinite(rho) else f"{cut(label, 14)} –" for label, rho in found.items()
    ]
    return "\n".join(textwrap.wrap(f"rank correlation: {', '.join(told)}", 44))
