"""Runs against each other: differences with their intervals, or mean ranks over data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from leukfeat.evaluation.ranks import NEMENYI, Ranking
from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import COLOURS, GREY, INK, cut, drawn
from leukfeat.reports.pairs import Pair, p_in_words
from leukfeat.reports.sections import Drawing
from leukfeat.reports.table import Cell, Column, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 30
"""Differences that are drawn; the table has them all."""

_ROW = 0.44  # inches a pair


def forest_drawing(pairs: Sequence[Pair], metric: str, table: Table, about: str, notes: Sequence[Note] = ()) -> Drawing:
    """Paired differences with their intervals and adjusted p values.

    Parameters
    ----------
    pairs : sequence of Pair
        In the order of the drawing.
    metric : str
        What is compared, for people.
    table : Table
        The same numbers.
    about : str
        Caption.
    notes : sequence of Note
        Small print below.
    """
    make = partial(draw_forest, pairs, metric)
    return drawn("differences", f"Paired differences in {metric}", about, make, table, notes)


def draw_forest(pairs: Sequence[Pair], metric: str) -> Figure:
    """A row a pair: the names above the line, the difference with its interval, numbers on the right."""
    from matplotlib.figure import Figure

    shown = [pair for pair in pairs if pair.difference.estimate.defined][:MOST]
    height = _ROW * max(len(shown), 1)
    width, left, right, top, below = 8.1, 0.25, 2.85, 0.3, 0.55
    figure = Figure(figsize=(width, top + height + below))
    whole = figure.get_size_inches()[1]
    axes = figure.add_axes((left / width, below / whole, (width - left - right) / width, height / whole))
    beside = axes.get_yaxis_transform()
    inches = width - left - right
    numbers, holm = 1 + 0.12 / inches, 1 + 1.95 / inches  # where the columns on the right begin
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # so that the line at 0 crosses no name
    for row, pair in enumerate(shown):
        one = pair.difference
        axes.text(
            0.0, row - 0.2, f"{cut(one.first, 40)}  −  {cut(one.second, 40)}", size=7.5, transform=beside, bbox=paper
        )
        colour = COLOURS[0] if pair.told_apart else GREY
        number = f"{one.estimate.value:+.3f}"
        if one.interval.defined:
            axes.plot([one.interval.low, one.interval.high], [row + 0.1] * 2, color=colour, linewidth=1.6)
            number += f" ({one.interval.low:+.3f} to {one.interval.high:+.3f})"
        axes.plot(one.estimate.value, row + 0.1, marker="s", markersize=5, color=colour)
        p = p_in_words(pair.adjusted.value).removeprefix("= ") if pair.adjusted.defined else "–"
        axes.text(numbers, row + 0.1, number, size=7.5, va="center", transform=beside)
        axes.text(holm, row + 0.1, p, size=7.5, va="center", transform=beside)
    axes.text(numbers, -0.62, "difference (interval)", size=7.5, va="bottom", weight="bold", transform=beside)
    axes.text(holm, -0.62, "Holm's p", size=7.5, va="bottom", weight="bold", transform=beside)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=0)
    axes.set(ylim=(max(len(shown), 1) - 0.4, -0.55), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.05)
    left_out = f"; the first {len(shown)} of {len(pairs)}" if len(shown) < len(pairs) else ""
    axes.set_xlabel(f"difference in {metric}: first run less second{left_out}")
    return figure


def ranking_drawing(ranking: Ranking, metric: str, about: str, notes: Sequence[Note] = ()) -> Drawing:
    """The critical-difference diagram of candidates over data sets.

    Parameters
    ----------
    ranking : Ranking
        A defined one.
    metric : str
        By what they are ranked, for people.
    about : str
        Caption.
    notes : sequence of Note
        Small print below.
    """
    at = {name: k for k, name in enumerate(ranking.candidates)}
    rows: list[tuple[Cell, ...]] = [
        (name, float(ranking.ranks[at[name]]), "; ".join(str(n) for n, group in _numbered(ranking) if name in group))
        for name in ranking.order
    ]
    heads = (Column("candidate"), Column("mean rank", form=".3f"), Column("groups that do not differ"))
    words = (f"{NEMENYI}: critical difference {ranking.critical_difference:.3f}", f"{len(ranking.data_sets)} data sets")
    table = Table(f"Mean ranks by {metric}", heads, tuple(rows), words)
    return drawn("ranks", table.title, about, partial(draw_ranking, ranking), table, notes)


def _numbered(ranking: Ranking) -> list[tuple[int, tuple[str, ...]]]:
    return list(enumerate(ranking.groups, start=1))


def draw_ranking(ranking: Ranking) -> Figure:
    """Mean ranks on a line, best on the left; bars join what does not differ (Demšar 2006, figure 1)."""
    from matplotlib.figure import Figure

    names, groups = ranking.order, ranking.groups
    at = {name: float(ranking.ranks[ranking.candidates.index(name)]) for name in names}
    k, half = len(names), math.ceil(len(names) / 2)
    step, first = 0.24, 0.35 + 0.13 * len(groups)
    height = 0.85 + first + step * half
    figure = Figure(figsize=(7.4, height))
    axes = figure.add_axes((0.29, 0, 0.42, 1))
    axes.set(xlim=(1, k), ylim=(height, 0))
    axes.axis("off")
    line = 0.7
    axes.plot([1, k], [line, line], color=INK, linewidth=1)
    for rank in range(1, k + 1):
        axes.plot([rank, rank], [line - 0.06, line], color=INK, linewidth=1)
        axes.text(rank, line - 0.1, str(rank), ha="center", va="bottom", size=8)
    reach = min(ranking.critical_difference, k - 1)
    axes.plot([1, 1 + reach], [0.22, 0.22], color=INK, linewidth=1.2, marker="|", markersize=6)
    told = f"critical difference {ranking.critical_difference:.2f}"
    axes.text(1 + reach + 0.04 * (k - 1), 0.22, told, va="center", size=8)
    for number, group in enumerate(groups):
        ranks = [at[name] for name in group]
        depth = line + 0.12 + 0.13 * number
        axes.plot([min(ranks), max(ranks)], [depth, depth], color=COLOURS[0], linewidth=3, solid_capstyle="round")
    for number, name in enumerate(names):
        best = number < half
        depth = line + first + step * (number if best else k - 1 - number)
        end = 1 - 0.02 * (k - 1) if best else k + 0.02 * (k - 1)
        axes.plot([at[name], at[name], end], [line, depth, depth], color=GREY, linewidth=0.8, clip_on=False)
        text = f"{cut(name, 30)}  {at[name]:.2f}" if best else f"{at[name]:.2f}  {cut(name, 30)}"
        axes.text(end, depth, f"{text} " if best else f" {text}", ha="right" if best else "left", va="center", size=7.5)
    return figure
