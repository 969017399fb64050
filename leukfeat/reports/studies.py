"""Studies in words and tables: what a split lets leak, what more subjects bring, what another site costs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from leukfeat.evaluation.leakage_meter import Arm, LeakageMeter
from leukfeat.evaluation.learning_curve import LearningCurve
from leukfeat.evaluation.metrics import METRICS
from leukfeat.evaluation.paired import Difference
from leukfeat.evaluation.site_matrix import SiteCell, SiteMatrix
from leukfeat.evaluation.studies import Study
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty
from leukfeat.reports.estimates import TOO_NARROW
from leukfeat.reports.pairs import p_in_words, spoken
from leukfeat.reports.table import Cell, Column, Table
from leukfeat.textfiles import printable


def study_table(study: Study) -> Table:
    """The numbers of a study, of any kind."""
    return _TABLES[type(study)](study)


def study_sentences(study: Study) -> tuple[str, ...]:
    """What a study says, as a paper could quote it."""
    return _SENTENCES[type(study)](study)


def study_lines(study: Study, width: int = 100) -> list[str]:
    """A study for a terminal: its numbers, what they say, and what warns of them."""
    table = study_table(study)
    warnings = study.warnings if isinstance(study, SiteMatrix) else ()
    told = map(printable, (*warnings, *study_sentences(study)))
    wrapped = [line for sentence in told for line in textwrap.wrap(sentence, width, subsequent_indent="  ")]
    return [table.title, *table.to_lines(width), *wrapped]


def leakage_table(study: LeakageMeter) -> Table:
    """One split a row, the loosest first."""
    rows: list[tuple[Cell, ...]] = [
        (arm.name, arm.exposed, _estimate(arm.measured), _gain(study, arm)) for arm in study.arms
    ]
    exposed = Column("tested images whose subject was trained on", "seen", ".1%")
    gain = Column(f"more than {study.arms[-1].name}", "more", "+.3f")
    return Table(
        title=f"Leakage meter of {study.candidate} on {study.dataset}",
        columns=(Column("split"), exposed, Column(METRICS[study.metric].title, form=".3f"), gain),
        rows=tuple(rows),
        words=(_brackets(study.resampling, study.n_clusters, study.unit), *_narrow(study.unit), *study.notes),
    )


def learning_curve_table(study: LearningCurve) -> Table:
    """One size of the training part a row."""
    rows: list[tuple[Cell, ...]] = [
        (point.subjects, point.images, point.seeds, _estimate(point.measured), point.between_seeds)
        for point in study.points
    ]
    return Table(
        title=f"Learning curve of {study.candidate} on {study.dataset}",
        columns=(
            Column(f"training {plural(study.unit)}", plural(study.unit), ".1f"),
            Column("training images", "images", ",.0f"),
            Column("draws", form="d"),
            Column(METRICS[study.metric].title, form=".3f"),
            Column("SD between draws", "SD draws", ".4f"),
        ),
        rows=tuple(rows),
        words=(_brackets(study.resampling, study.n_clusters, study.unit), *_narrow(study.unit), *study.notes),
    )


def sites_table(study: SiteMatrix) -> Table:
    """One training site and one test site a row."""
    rows: list[tuple[Cell, ...]] = [
        (
            cell.trained_on,
            cell.tested_on,
            _estimate(cell.measured),
            None if cell.change is None else Estimate(cell.change.estimate, cell.change.interval),
            f"{cell.n_clusters:,} {plural(cell.unit)}",
        )
        for cell in study.cells
    ]
    narrow = [words for cell in study.cells for words in _narrow(cell.unit)]
    return Table(
        title=f"Across sites: {study.candidate}",
        columns=(
            Column("trained on"),
            Column("tested on"),
            Column(METRICS[study.metric].title, form=".3f"),
            Column("more than trained at home", "more", "+.3f"),
            Column("resampled"),
        ),
        rows=tuple(rows),
        words=(
            f"in brackets: {_percent(study.resampling)} intervals from resampling the test site",
            *dict.fromkeys(narrow),
            *study.notes,
        ),
    )


def described(study: SiteMatrix) -> Table:
    """What each site holds."""
    rows: list[tuple[Cell, ...]] = [
        (
            site.name,
            site.images,
            "unknown" if site.subjects is None else f"{site.subjects:,}",
            ", ".join(f"{name} {number:,}" for name, number in site.classes),
            site.on_black,
            site.near_black,
        )
        for site in study.sites
    ]
    looked = ", ".join(f"{site.looked_at} of {site.name}" for site in study.sites)
    return Table(
        title="Sites",
        columns=(
            Column("site"),
            Column("images", form=",d"),
            Column("subjects"),
            Column("classes"),
            Column("cells on black", "on black", ".0%"),
            Column("nearly black pixels", "black", ".0%"),
        ),
        rows=tuple(rows),
        words=(f"backgrounds: of images drawn by chance ({looked})",),
    )


def leakage_sentences(study: LeakageMeter) -> tuple[str, ...]:
    """One sentence a difference, the largest step first."""
    metric = METRICS[study.metric].title
    value = {arm.name: arm.measured.score for arm in study.arms}
    told = []
    for one in study.differences:
        if not one.estimate.defined:
            told.append(f"{one.first} and {one.second} splits are not compared: {one.estimate.reason}.")
            continue
        told.append(
            f"Split at {one.first}, {spoken(study.candidate)} has {metric} {value[one.first]}; at {one.second}"  # type: ignore[index]
            f" {value[one.second]}: a difference of {one.estimate.value:+.3f}"  # type: ignore[index]
            f" ({_spread(one, study.resampling, study.n_clusters, study.unit)})."
        )
    return tuple(told)


def learning_curve_sentences(study: LearningCurve) -> tuple[str, ...]:
    """Whether the last subjects still helped."""
    last, before = study.points[-1], study.points[-2]
    one, metric = study.last_step, METRICS[study.metric].title
    if not one.estimate.defined:
        return (f"Whether more {plural(study.unit)} help is not known: {one.estimate.reason}.",)
    return (
        f"From {before.subjects:g} to {last.subjects:g} training {plural(study.unit)}, {metric} of"
        f" {spoken(study.candidate)} went from {before.measured.score} to {last.measured.score}:"
        f" {one.estimate.value:+.3f} ({_spread(one, study.resampling, study.n_clusters, study.unit)}).",
    )


def sites_sentences(study: SiteMatrix) -> tuple[str, ...]:
    """One sentence a pair of sites, as trained on the one and tested on the other."""
    return tuple(_of_pair(study, cell, cell.change) for cell in study.cells if cell.change is not None)


def _of_pair(study: SiteMatrix, cell: SiteCell, change: Difference) -> str:
    metric = METRICS[study.metric].title
    start = f"Trained on {cell.trained_on}, {spoken(study.candidate)} has {metric} {cell.measured.score}"
    start += f" on {cell.tested_on}"
    if not change.estimate.defined:
        return f"{start}; trained at home it has none to compare: {change.estimate.reason}."
    home = study.cell(cell.tested_on, cell.tested_on).measured.score
    return (
        f"{start}, and {home} when trained there: {change.estimate.value:+.3f}"
        f" ({_spread(change, study.resampling, cell.n_clusters, cell.unit)})."
    )


def _gain(study: LeakageMeter, arm: Arm) -> Cell:
    """What an arm has more than the strictest; nothing for that one."""
    strictest = study.arms[-1].name
    for one in study.differences:
        if (one.first, one.second) == (arm.name, strictest):
            return Estimate(one.estimate, one.interval)
    return None


def _estimate(measured: Estimate) -> Estimate:
    return Estimate(measured.score, measured.interval)


def _spread(one: Difference, how: Uncertainty, n_clusters: int, unit: str) -> str:
    """Interval and p value of a difference, or why there is none."""
    if not one.interval.defined:
        return f"no interval: {one.interval.reason}"
    span = f"{_percent(how)} CI {one.interval.low:+.3f} to {one.interval.high:+.3f}"
    return f"{span}, p {p_in_words(one.p.value)}, {n_clusters:,} {plural(unit)}"


def _brackets(how: Uncertainty, n_clusters: int, unit: str) -> str:
    return f"in brackets: {_percent(how)} intervals from {how.n_draws:,} resamples of {n_clusters:,} {plural(unit)}"


def _narrow(unit: str) -> tuple[str, ...]:
    return (TOO_NARROW,) if unit in ("image", "group of images") else ()


def _percent(how: Uncertainty) -> str:
    return f"{100 * how.level:g} %"


def plural(unit: str) -> str:
    """The units of a study: ``"subjects"``, ``"groups of images"``."""
    return "groups of images" if unit == "group of images" else f"{unit}s"


_TABLES: Mapping[type[Study], Callable[[Any], Table]] = {
    LeakageMeter: leakage_table,
    LearningCurve: learning_curve_table,
    SiteMatrix: sites_table,
}
_SENTENCES: Mapping[type[Study], Callable[[Any], tuple[str, ...]]] = {
    LeakageMeter: leakage_sentences,
    LearningCurve: learning_curve_sentences,
    SiteMatrix: sites_sentences,
}
