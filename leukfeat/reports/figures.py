"""The figures of a report, as SVG whose text stays text."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np

from leukfeat.evaluation.curves import roc
from leukfeat.evaluation.metrics import METRICS, confusion, score
from leukfeat.evaluation.runs import Run
from leukfeat.reports.contents import Note, SubjectRow, subject_rows
from leukfeat.reports.table import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito, "Color universal design" (2008), without the yellow, which is hard to see on white
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_INK, _GREY = "#1a1a1a", "#8a8a8a"
_MAX_SUBJECTS = 80
_FOOTER_SIZE, _FOOTER_LINE, _FOOTER_SIGNS = 6.5, 0.125, 19  # points, inches a line, signs an inch
_MISSING_GLYPH = r"Glyph .* missing from"

_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "leukfeat",  # the same figure twice is the same file
    "text.parse_math": False,  # names may hold dollar signs
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "legend.frameon": False,
}


def draw(runs: Sequence[Run], notes: Sequence[Note] = ()) -> dict[str, str]:
    """Every figure there is to draw for aligned runs, by name: ``roc``, ``confusion``, ``subject-accuracy``.

    Parameters
    ----------
    runs : sequence of Run
        Aligned, in the order of the legends.
    notes : sequence of Note
        What stands in small print below each drawing, so that it stays with a figure that leaves its page.
    """
    from matplotlib import rc_context

    with rc_context(dict(_STYLE)), warnings.catch_warnings():
        # the text of the SVG stays text, and the font that shows it is the reader's
        warnings.filterwarnings("ignore", _MISSING_GLYPH, UserWarning)
        figures = {"roc": draw_roc(runs), "confusion": draw_confusion(runs)}
        if runs[0].predictions.subjects_known:
            figures["subject-accuracy"] = draw_subjects(runs)
        return {name: _svg(figure, notes) for name, figure in figures.items()}


def draw_roc(runs: Sequence[Run]) -> Figure:
    """One ROC curve a run; the legend stands below, so that long names hide nothing."""
    left = 0.6
    figure, axes = _with_legend(4.9, 4.9, left, len(runs) + 1)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    for number, run in enumerate(runs):
        curve = roc(run.predictions)
        label = f"{_cut(run.name, 52)}: {curve.reason or score(run.predictions, ['auroc'])['auroc']}"
        axes.plot(curve.x, curve.y, label=label, linewidth=1.6, **_line(number))
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    classes, positive = runs[0].predictions.classes, runs[0].predictions.positive
    many = len(classes) > 2
    axes.set_xlabel("false positive rate" + (" (macro one-vs-rest)" if many else " (1 − specificity)"))
    axes.set_ylabel(
        "true positive rate"
        + (" (macro one-vs-rest)" if many else f" (sensitivity for {_cut(positive or classes[1], 24)})")
    )
    _put_legend(figure, axes, left, METRICS["auroc"].title_for(len(classes)))
    return figure


def draw_confusion(runs: Sequence[Run]) -> Figure:
    """One confusion matrix a run: counts, shaded by the share of the true class."""
    from matplotlib.figure import Figure

    classes = [_cut(name, 14) for name in runs[0].predictions.classes]
    k = len(classes)
    side = 0.9 + 0.55 * max(k, 2)
    n_columns = max(1, min(len(runs), int(9.5 // (side + 0.5))))
    n_rows = math.ceil(len(runs) / n_columns)
    figure = Figure(figsize=(n_columns * (side + 0.5), n_rows * (side + 0.35)), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in panels.flat[len(runs) :]:
        axes.set_visible(False)
    for axes, run in zip(panels.flat, runs, strict=False):
        counts = confusion(run.predictions)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(k, k):
            axes.text(
                column,
                row,
                f"{counts[row, column]:,}\n{share[row, column]:.0%}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if share[row, column] > 0.6 else _INK,
            )
        axes.set_xticks(range(k), classes, rotation=90 if k > 3 else 0)
        axes.set_yticks(range(k), classes, rotation=0)
        axes.tick_params(length=0, labelsize=7.5)
        axes.spines[:].set_visible(False)
        axes.set_title(_wrapped(run.name, int(side * 9.5)), fontsize=8)
    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    return figure


def draw_subjects(runs: Sequence[Run]) -> Figure:
    """Cell accuracy of every subject: a row a subject, a dot a run, classes apart; the worst subjects first."""
    everyone = subject_rows(runs)
    shown = everyone[:_MAX_SUBJECTS]
    by_class: dict[str, list[SubjectRow]] = {}
    for row in shown:
        by_class.setdefault(row.true_class, []).append(row)
    by_class = dict(sorted(by_class.items()))
    height = (0.19 if len(runs) <= 6 else 0.25) * len(shown) + 0.5 * len(by_class)
    left = 0.5 + 0.075 * max(len(_subject_label(row)) for row in everyone)
    figure, axes = _with_legend(6.8, height, left, len(runs))
    place, ticks = 0.0, []
    for name, members in by_class.items():
        axes.text(0.005, place + 0.15, f"{_cut(name, 40)}: {len(members)} subjects", weight="bold", va="center")
        for member in members:
            place += 1.0
            ticks.append((place, _subject_label(member)))
            span = [min(member.accuracies), max(member.accuracies)]
            axes.plot(span, [place, place], color="#e2e2e2", linewidth=1.2, zorder=1)
        place += 2.2
    heights = [height for height, _ in ticks]
    step = 0.6 / max(len(runs) - 1, 1)  # runs that agree stand a little apart, so that none hides another
    members_in_order = [member for members in by_class.values() for member in members]
    for number, run in enumerate(runs):
        axes.scatter(
            [member.accuracies[number] for member in members_in_order],
            [height + (number - (len(runs) - 1) / 2) * step for height in heights],
            label=_cut(run.name, 52),
            s=22,
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)],
            linewidths=0.4,
            edgecolors="white",
            zorder=2,
            clip_on=False,
        )
    axes.set_yticks(heights, [label for _, label in ticks], fontsize=7.5)
    axes.set(xlim=(0, 1), ylim=(place - 1.6, -0.6))
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    left_out = f"; the {len(shown)} worst of {len(everyone)} subjects" if len(shown) < len(everyone) else ""
    axes.set_xlabel(f"share of the subject's cells told correctly (number of cells in brackets{left_out})")
    _put_legend(figure, axes, left)
    return figure


def _with_legend(width: float, height: float, left: float, entries: int) -> tuple[Figure, Axes]:
    """A figure with a drawing area of ``width`` × ``height`` inches and room for a legend of one column below it.

    The room is counted, not found by a layout engine: engines give up on names that are longer than the drawing.
    """
    from matplotlib.figure import Figure

    right, top, below = 0.25, 0.15, 0.85 + 0.21 * entries
    whole = (left + width + right, top + height + below)
    figure = Figure(figsize=whole)
    axes = figure.add_axes((left / whole[0], below / whole[1], width / whole[0], height / whole[1]))
    return figure, axes


def _put_legend(figure: Figure, axes: Axes, left: float, title: str | None = None) -> None:
    handles, labels = axes.get_legend_handles_labels()
    width, height = figure.get_size_inches()
    below = axes.get_position().y0 - 0.6 / height
    where = {"loc": "upper left", "bbox_to_anchor": (left / width, below), "borderaxespad": 0, "borderpad": 0}
    figure.legend(
        handles,
        labels,
        title=title,
        alignment="left",
        title_fontproperties={"weight": "bold"},
        handlelength=3.2,
        **where,
    )


def _line(number: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        # stepping by two more after each round of colours keeps every pair different for 28 runs
        "linestyle": _DASHES[(number + 2 * (number // len(_COLOURS))) % len(_DASHES)],
    }


def _subject_label(one: SubjectRow) -> str:
    return f"{_cut(one.subject, 22)} ({one.cells:,})"


def _cut(name: str, length: int) -> str:
    """A name of bounded length; names of runs differ at both ends, so the middle goes."""
    name = printable(name)
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[-(length - 1 - head) :]}"


def _wrapped(name: str, width: int) -> str:
    return "\n".join(textwrap.wrap(_cut(name, 3 * width - 6), width)) or name


def _footer(notes: Sequence[Note], width: float) -> list[str]:
    """The notes as lines of a footer ``width`` inches wide; of many runs a note names the first and the number."""
    told = []
    for note in notes:
        others = f" and {len(note.runs) - 1} more" if len(note.runs) > 1 else ""
        told.append(f"{note.words} ({_cut(note.runs[0], 52)}{others})" if note.runs else note.words)
    # East Asian signs are twice as wide, so for the count of signs each is followed by a blank of its own
    text = "".join(sign + "\0" * (east_asian_width(sign) in "WF") for sign in printable("; ".join(told)))
    return [line.replace("\0", "") for line in textwrap.wrap(text, int(_FOOTER_SIGNS * width))]


def _svg(figure: Figure, notes: Sequence[Note]) -> str:
    """The figure with the notes below it; the drawing keeps its size, the paper grows."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.transforms import Bbox

    width, height = figure.get_size_inches()
    margin = 0.1
    lines = _footer(notes, width - 2 * margin)
    below = len(lines) * _FOOTER_LINE + margin if lines else 0.0
    for number, line in enumerate(lines, start=1):
        place = (margin / width, -number * _FOOTER_LINE / height)
        figure.text(*place, line, size=_FOOTER_SIZE, color=_INK, in_layout=False)
    stream = io.StringIO()
    paper = Bbox.from_extents(0, -below, width, height)
    FigureCanvasSVG(figure).print_figure(stream, format="svg", bbox_inches=paper, metadata={"Date": None})
    return stream.getvalue()
