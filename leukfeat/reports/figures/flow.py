"""Where the tested images come from: a flow diagram in the manner of CONSORT and STARD, from recorded counts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import INK, drawn
from leukfeat.reports.sections import Drawing
from leukfeat.reports.table import Cell, Column, Table
from leukfeat.textfiles import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CAPTION = "From the data set to the tested images; counts are those that the run has recorded."
_LINE, _GAP, _PAD = 0.165, 0.32, 0.2  # inches: a line of text, an arrow, the inside of a box
_MAIN, _ASIDE, _SIGNS = 4.0, 2.55, 15.5  # inches wide, and signs an inch
_MOST_FOLDS = 6


@dataclass(frozen=True)
class Stage:
    """One box of the flow.

    Attributes
    ----------
    title : str
        What is here.
    lines : tuple of str
        Counts.
    aside : tuple of str
        What leaves before the next stage; a box on the right where there is any.
    """

    title: str
    lines: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


def flow_drawing(stages: Sequence[Stage], folds: Sequence[Stage] = (), notes: Sequence[Note] = ()) -> Drawing:
    """The diagram.

    Parameters
    ----------
    stages : sequence of Stage
        From the top to the bottom.
    folds : sequence of Stage
        What the last stage is divided into, side by side; of more than six none is drawn.
    notes : sequence of Note
        Small print below.
    """
    rows: list[tuple[Cell, ...]] = [
        (stage.title, kind, line)
        for stage in (*stages, *folds)
        for kind, lines in (("here", stage.lines), ("left out", stage.aside))
        for line in lines
    ]
    table = Table("Flow of images", (Column("stage"), Column("which"), Column("count")), tuple(rows))
    return drawn("flow", "Flow of images and subjects", _CAPTION, partial(draw_flow, stages, folds), table, notes)


def draw_flow(stages: Sequence[Stage], folds: Sequence[Stage] = ()) -> Figure:
    """Boxes and arrows from the top to the bottom, what is left out on the right, folds side by side below."""
    from matplotlib.figure import Figure

    shown = folds if len(folds) <= _MOST_FOLDS else ()
    main = [_lines(stage.title, stage.lines, _MAIN) for stage in stages]
    asides = [_lines("", stage.aside, _ASIDE) if stage.aside else [] for stage in stages]
    gaps = [max(_GAP, _height(aside) + 0.16) if aside else _GAP for aside in asides]
    width = _MAIN + 0.35 + _ASIDE if any(asides) or len(shown) > 3 else _MAIN
    each = (width - 0.1 * (len(shown) - 1)) / len(shown) if shown else 0.0
    below = [_lines(fold.title, fold.lines, each) for fold in shown]
    bottom = _GAP + max(map(_height, below)) if below else 0.0
    height = sum(map(_height, main)) + sum(gaps[:-1]) + bottom + 0.1
    figure = Figure(figsize=(width + 0.1, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.05, width + 0.05), ylim=(height - 0.05, -0.05))
    axes.axis("off")
    top, middle = 0.0, _MAIN / 2
    for number, (lines, aside, gap) in enumerate(zip(main, asides, gaps, strict=True)):
        _box(axes, 0, top, _MAIN, lines)
        end = top + _height(lines)
        last = number == len(main) - 1
        if not last:
            _arrow(axes, (middle, end), (middle, end + gap))
        if aside:
            across = end + gap / 2
            _arrow(axes, (middle, across), (_MAIN + 0.35, across))
            _box(axes, _MAIN + 0.35, across - _height(aside) / 2, _ASIDE, aside)
        top = end + gap
    top -= gaps[-1]
    for number, lines in enumerate(below):
        left = number * (each + 0.1)
        axes.plot([middle, middle, left + each / 2], [top, top + _GAP / 2, top + _GAP / 2], color=INK, linewidth=0.9)
        _arrow(axes, (left + each / 2, top + _GAP / 2), (left + each / 2, top + _GAP))
        _box(axes, left, top + _GAP, each, lines)
    return figure


def _lines(title: str, lines: Sequence[str], width: float) -> list[tuple[str, bool]]:
    """Text and whether it is bold, wrapped to a box."""
    signs = int((width - _PAD) * _SIGNS)
    heads = [(part, True) for part in textwrap.wrap(printable(title), signs)]
    return [*heads, *((part, False) for line in lines for part in textwrap.wrap(printable(line), signs))]


def _height(lines: Sequence[tuple[str, bool]]) -> float:
    return _LINE * len(lines) + _PAD


def _box(axes: Axes, left: float, top: float, width: float, lines: Sequence[tuple[str, bool]]) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, top), width, _height(lines), facecolor="white", edgecolor=INK, linewidth=0.9))
    for number, (text, bold) in enumerate(lines):
        place = top + _PAD / 2 + _LINE * (number + 0.5)
        weight = "bold" if bold else "normal"
        axes.text(left + _PAD / 2, place, text, size=8, va="center", weight=weight, clip_on=False)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
