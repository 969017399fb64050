"""Cell accuracy of every subject: a dot a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from leukfeat.reports.contents import Note, SubjectRow
from leukfeat.reports.drawing import PALE, cut, drawn, marker_style, put_legend, with_legend
from leukfeat.reports.sections import Drawing
from leukfeat.reports.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 80
"""Subjects that get a row, the worst first; the numbers have them all."""

_CAPTION = "A row is a subject, a dot is a run; the bar spans the runs. The worst subjects stand first."


def subjects_drawing(
    runs: Sequence[str], everyone: Sequence[SubjectRow], table: Table, notes: Sequence[Note] = ()
) -> Drawing:
    """The dot plot.

    Parameters
    ----------
    runs : sequence of str
        Names, in the order of the accuracies.
    everyone : sequence of SubjectRow
        The worst first.
    table : Table
        The same numbers.
    notes : sequence of Note
        Small print below.
    """
    make = partial(draw_subjects, runs, everyone)
    return drawn("subject-accuracy", "Accuracy by subject", _CAPTION, make, table, notes)


def draw_subjects(runs: Sequence[str], everyone: Sequence[SubjectRow]) -> Figure:
    """A row a subject, a dot a run, classes apart; the worst subjects first."""
    shown = everyone[:MOST]
    by_class: dict[str, list[SubjectRow]] = {}
    for row in shown:
        by_class.setdefault(row.true_class, []).append(row)
    by_class = dict(sorted(by_class.items()))
    height = (0.19 if len(runs) <= 6 else 0.25) * len(shown) + 0.5 * len(by_class)
    left = 0.5 + 0.075 * max(len(_label(row)) for row in everyone)
    figure, axes = with_legend(6.8, height, left, len(runs))
    place, ticks = 0.0, []
    for name, members in by_class.items():
        many = f"{len(members)} subject{'s' * (len(members) != 1)}"
        axes.text(0.005, place + 0.15, f"{cut(name, 40)}: {many}", weight="bold", va="center")
        for member in members:
            place += 1.0
            ticks.append((place, _label(member)))
            span = [min(member.accuracies), max(member.accuracies)]
            axes.plot(span, [place, place], color="#e2e2e2", linewidth=1.2, zorder=1)
        place += 2.2
    heights = [height for height, _ in ticks]
    step = 0.6 / max(len(runs) - 1, 1)  # runs that agree stand a little apart, so that none hides another
    in_order = [member for members in by_class.values() for member in members]
    for number, run in enumerate(runs):
        axes.scatter(
            [member.accuracies[number] for member in in_order],
            [height + (number - (len(runs) - 1) / 2) * step for height in heights],
            label=cut(run, 52),
            s=22,
            linewidths=0.4,
            edgecolors="white",
            zorder=2,
            clip_on=False,
            **marker_style(number),
        )
    axes.set_yticks(heights, [label for _, label in ticks], fontsize=7.5)
    axes.set(xlim=(0, 1), ylim=(place - 1.6, -0.6))
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    left_out = f"; the {len(shown)} worst of {len(everyone)} subjects" if len(shown) < len(everyone) else ""
    axes.set_xlabel(f"share of the subject's cells told correctly (number of cells in brackets{left_out})")
    put_legend(figure, axes)
    return figure


def _label(one: SubjectRow) -> str:
    return f"{cut(one.subject, 22)} ({one.cells:,})"
