"""Learning curve, leakage meter and cross-site matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from leukfeat.evaluation.leakage_meter import LeakageMeter
from leukfeat.evaluation.learning_curve import LearningCurve
from leukfeat.evaluation.metrics import METRICS
from leukfeat.evaluation.site_matrix import SiteMatrix
from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import COLOURS, INK, PALE, cut, drawn
from leukfeat.reports.sections import Drawing
from leukfeat.reports.studies import leakage_table, learning_curve_table, plural, sites_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curve_drawing(study: LearningCurve, notes: Sequence[Note] = ()) -> Drawing:
    """A metric by number of training subjects."""
    table = learning_curve_table(study)
    return drawn(
        "learning-curve",
        table.title,
        f"Bars: {100 * study.resampling.level:g} % intervals over {study.n_clusters:,} tested {plural(study.unit)},"
        " which are the same at every size.",
        partial(draw_learning_curve, study),
        table,
        notes,
    )


def draw_learning_curve(study: LearningCurve) -> Figure:
    """Points with intervals, joined by a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    points = [one for one in study.points if one.measured.score.defined]
    x, y = [one.subjects for one in points], [one.measured.score.value for one in points]
    axes.plot(x, y, color=COLOURS[0], marker="o", markersize=5, linewidth=1.4)
    for one in points:
        if one.measured.interval.defined:
            span = [one.measured.interval.low, one.measured.interval.high]
            axes.plot([one.subjects] * 2, span, color=COLOURS[0], linewidth=1.1, alpha=0.7)
    axes.set_xlim(left=0)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_xlabel(f"{plural(study.unit)} that a fold is trained on (mean)")
    axes.set_ylabel(METRICS[study.metric].title)
    return figure


def leakage_drawing(study: LeakageMeter, notes: Sequence[Note] = ()) -> Drawing:
    """One candidate under splits that keep more and more apart."""
    table = leakage_table(study)
    about = f"Bars: {100 * study.resampling.level:g} % intervals over {study.n_clusters:,} {plural(study.unit)}."
    return drawn("leakage-meter", table.title, about, partial(draw_leakage, study), table, notes)


def draw_leakage(study: LeakageMeter) -> Figure:
    """A row a split."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.8, 0.75 + 0.42 * len(study.arms)), layout="constrained")
    axes = figure.subplots()
    for row, one in enumerate(study.arms):
        if not one.measured.score.defined:
            continue
        value, interval = one.measured.score.value, one.measured.interval
        if interval.defined:
            axes.plot([interval.low, interval.high], [row, row], color=COLOURS[0], linewidth=1.5)
        axes.plot(value, row, marker="o", markersize=6, color=COLOURS[0])
        axes.annotate(f"{value:.3f}", (value, row), (0, 6), textcoords="offset points", ha="center", size=7.5)
    axes.set_yticks(range(len(study.arms)), [one.name for one in study.arms])
    axes.set_ylim(len(study.arms) - 0.5, -0.7)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_xlabel(METRICS[study.metric].title)
    return figure


def sites_drawing(study: SiteMatrix, notes: Sequence[Note] = ()) -> Drawing:
    """Every training site against every test site."""
    metric = METRICS[study.metric].title
    table = sites_table(study)
    about = (
        f"{metric}; the diagonal is cross-validated at home. In brackets {100 * study.resampling.level:g} % intervals."
    )
    return drawn("site-matrix", table.title, about, partial(draw_sites, study), table, notes)


def draw_sites(study: SiteMatrix) -> Figure:
    """A matrix of numbers, shaded."""
    from matplotlib.figure import Figure

    names = [site.name for site in study.sites]
    k = len(names)
    values = np.array([[study.cell(one, other).measured.score.value for other in names] for one in names])
    figure = Figure(figsize=(1.5 + 1.25 * k, 1.0 + 0.8 * k), layout="constrained")
    axes = figure.subplots()
    axes.imshow(values, cmap="Blues", vmin=0.4, vmax=1.1, aspect="auto")
    for row, column in np.ndindex(k, k):
        cell = study.cell(names[row], names[column])
        low, high = cell.measured.interval.low, cell.measured.interval.high
        span = f"\n({low:.3f}–{high:.3f})" if cell.measured.interval.defined else ""
        colour = "white" if values[row, column] > 0.85 else INK
        text = f"{cell.measured.score}{span}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    labels = [cut(name, 18) for name in names]
    axes.set_xticks(range(k), labels)
    axes.set_yticks(range(k), labels)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("tested on")
    axes.set_ylabel("trained on")
    return figure
