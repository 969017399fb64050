"""Runs on one split, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from leukfeat.errors import ComparisonError, UnknownNameError
from leukfeat.evaluation.caveats import caveats
from leukfeat.evaluation.metrics import METRICS, score
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.subjects import without_subjects
from leukfeat.evaluation.uncertainty import Uncertainty
from leukfeat.reports.alignment import align, manifest_differences
from leukfeat.reports.contents import (
    Note,
    cohort_table,
    confusion_table,
    cost_table,
    fold_table,
    subject_table,
)
from leukfeat.reports.estimates import Estimates, Level
from leukfeat.reports.folders import RunFolder
from leukfeat.reports.inside import Asked, Inside
from leukfeat.reports.inventory import keep_inventory
from leukfeat.reports.page.material import Material
from leukfeat.reports.pairs import Pairs
from leukfeat.reports.sections import Drawing, Section, beside, drawings_of, pictures_of, write_drawings
from leukfeat.reports.table import Table, nothing
from leukfeat.textfiles import printable, write_text

TERMINAL_METRICS = (
    "auroc",
    "balanced_accuracy",
    "weighted_f1",
    "sensitivity",
    "specificity",
    "mcc",
    "accuracy",
    "brier",
)
"""What fits on a line of a terminal; files and pages show every metric."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs that were tested on the same samples in the same folds; made by :func:`compare`.

    Attributes
    ----------
    runs : tuple of Run
        Aligned row by row, best first.
    main : str
        The metric they are ordered by, at cell level.
    how : Uncertainty
        How intervals are made.
    reference : str or None
        The run that the others are tested against; None tests every pair.
    asked : Asked
        What is learned inside training parts: calibration, operating points.
    folders : mapping of str to RunFolder
        What stands beside the predictions, by run; of runs that were read from a folder.
    command : str
        What made the comparison; empty where nobody typed a command.
    """

    runs: tuple[Run, ...]
    main: str = "auroc"
    how: Uncertainty = field(default_factory=Uncertainty)
    reference: str | None = None
    asked: Asked = field(default_factory=Asked)
    folders: Mapping[str, RunFolder] = field(default_factory=dict)
    command: str = ""

    @cached_property
    def by_cell(self) -> Estimates:
        """Every metric of every run over cells."""
        return Estimates.of(self.runs, "cell", self.how)

    @cached_property
    def by_subject(self) -> Estimates:
        """Every metric of every run over subjects (mean probability).

        Raises
        ------
        PredictionsError
            There is no subject level; see :attr:`no_subjects`.
        """
        return Estimates.of(self.runs, "subject", self.how)

    def at(self, level: Level) -> Estimates:
        """The numbers of a level."""
        levels = {"cell": lambda: self.by_cell, "subject": lambda: self.by_subject}
        if level not in levels:
            raise UnknownNameError("level", level, levels)
        return levels[level]()

    @cached_property
    def pairs(self) -> Pairs:
        """Differences between runs, tested."""
        return Pairs.of(self.by_cell, self.main, self.reference)

    @cached_property
    def inside(self) -> Inside:
        """What runs learn inside their training parts, applied outside."""
        return Inside(self.runs, self.levels, self.asked, self.how)

    @cached_property
    def no_subjects(self) -> str:
        """Why there is no subject level; empty where there is one."""
        return without_subjects(self.runs[0].predictions)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that have numbers."""
        return ("cell",) if self.no_subjects else ("cell", "subject")

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """What must be said beside these numbers, most serious first."""
        about: dict[str, list[str]] = {}
        for run in self.runs:
            for words in caveats(run):
                about.setdefault(words, []).append(run.name)
        own = (Note(words, () if len(names) == len(self.runs) else tuple(names)) for words, names in about.items())
        return (*own, *map(Note, self._differences))

    @cached_property
    def _differences(self) -> tuple[str, ...]:
        """What must be said because the runs were not made alike."""
        digests = {run.split["digest"] for run in self.runs if "digest" in run.split}
        splits = ("tested on the same images, but not trained on the same: the splits differ",)
        return (*(splits if len(digests) > 1 else ()), *manifest_differences(self.runs))

    def table(self, level: Level = "cell", metrics: Sequence[str] | None = None) -> Table:
        """Runs × metrics.

        Parameters
        ----------
        level : ``"cell"`` or ``"subject"``
            What is counted: cells, or subjects with the mean probability of their cells.
        metrics : sequence of str or None
            Names in ``METRICS``; all by default.
        """
        if level == "subject" and self.no_subjects:
            return nothing("By subject", self.no_subjects)
        return self.at(level).table(metrics or list(METRICS))

    def to_dict(self) -> dict[str, Any]:
        """Notes, every score with its interval, and every paired difference, as JSON types.

        What is undefined is None, with its reason beside it.
        """
        return {
            "notes": [str(note) for note in self.notes],
            "intervals": {level: self.at(level).words for level in self.levels},
            "runs": [self._facts(run.name) for run in self.runs],
            "pairs": self.pairs.to_dict(),
        }

    def _facts(self, run: str) -> dict[str, Any]:
        facts: dict[str, Any] = {"name": run}
        undefined: dict[str, str] = {}
        without: dict[str, str] = {}
        for level in self.levels:
            facts[level] = {}
            facts[f"{level}_interval"] = {}
            for name in METRICS:
                found = self.at(level).estimate(run, name)
                facts[level][name] = found.score.value if found.score.defined else None
                ends = [found.interval.low, found.interval.high]
                facts[f"{level}_interval"][name] = ends if found.interval.defined else None
                if not found.score.defined:
                    undefined[f"{level}.{name}"] = found.score.reason
                elif not found.interval.defined:
                    without[f"{level}.{name}"] = found.interval.reason
        return {**facts, "undefined": undefined, "without_interval": without}

    def to_markdown(self) -> str:
        """The report as Markdown: the sections of the page, with links to the files that :meth:`save` writes."""
        from leukfeat.reports.markdown import render_markdown
        from leukfeat.reports.page.order import head_of

        return render_markdown(head_of(self._material), self.sections)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Every table of the report, by the name of its CSV file."""
        return {
            "cohort": cohort_table(self.runs[0].predictions),
            "by-cell": self.table("cell"),
            "by-subject": self.table("subject"),
            "pairs": self.pairs.table(),
            "other-tests": self.pairs.opinions_table(),
            "equivalence": self.pairs.equivalence_table(),
            **({"spread": self.by_cell.spread_table(self.main)} if self.by_cell.n_repeats > 1 else {}),
            **self.inside.tables,
            "folds": fold_table(self.runs, self.main),
            "per-subject": subject_table(self.runs),
            "confusion": confusion_table(self.runs),
            "cost": cost_table(self.runs),
        }

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The report, in order."""
        from leukfeat.reports.page.order import sections_of

        return sections_of(self._material)

    @property
    def figures(self) -> dict[str, Drawing]:
        """Every figure of the report, by name."""
        return {drawing.name: drawing for drawing in drawings_of(self.sections)}

    @cached_property
    def _material(self) -> Material:
        told = (self.runs, self.main, self.notes, self.tables, self.by_cell, self.pairs, self.inside, self.no_subjects)
        return Material(*told, folders=self.folders, command=self.command)

    def to_csv(self, folder: Path | str) -> list[Path]:
        """Write every table as CSV into a folder, each row of a run with the notes of that run; returns the files."""
        tables = {name: table for name, table in self.tables.items() if table.rows}
        return [table.to_csv(Path(folder) / f"{name}.csv", beside(table, self._said)) for name, table in tables.items()]

    @cached_property
    def _said(self) -> dict[str, str]:
        return {run.name: "; ".join((*caveats(run), *self._differences)) for run in self.runs}

    def to_html(self, path: Path | str) -> Path:
        """Write the report as one self-contained page."""
        from leukfeat.reports.html import render
        from leukfeat.reports.page.order import head_of

        with write_text(path) as stream:
            stream.write(render(head_of(self._material), self.sections))
        return Path(path)

    def save(self, folder: Path | str) -> list[Path]:
        """Write page, ``report.md``, tables as CSV, figures as SVG, PDF and CSV, pictures as PNG; returns the files."""
        folder = Path(folder)
        write_drawings(self.figures.values(), rows=sum(len(run.predictions) for run in self.runs))
        written = [self.to_html(folder / "report.html"), folder / "report.md"]
        with write_text(written[-1]) as stream:
            stream.write(self.to_markdown())
        drawn = [file for drawing in self.figures.values() for file in drawing.save(folder, self._said)]
        shown = [picture.save(folder) for picture in pictures_of(self.sections)]
        written += [*drawn, *shown, *self.to_csv(folder)]
        return [*written, keep_inventory(folder, written)]

    def lines(self, width: int = 100) -> list[str]:
        """The comparison for a terminal: the notes, then the main metrics of cells and of subjects."""
        lines = [part for note in self.notes for part in _note_lines(note, width)]
        for level in self.levels:
            table = self.table(level, TERMINAL_METRICS)
            lines += ["", table.title, *table.to_lines(width), *textwrap.wrap(self._averaging, width)]
        if self.no_subjects:
            lines += ["", f"By subject: none, {self.no_subjects}"]
        for sentence in self.pairs.sentences:
            lines += ["", *textwrap.wrap(printable(sentence), width, subsequent_indent="  ")]
        return lines[0 if self.notes else 1 :]

    @property
    def _averaging(self) -> str:
        """How the short heads of a terminal average over classes; empty for two classes."""
        if len(self.runs[0].predictions.classes) == 2:
            return ""
        by_kind: dict[str, list[str]] = {}
        for metric in (METRICS[name] for name in TERMINAL_METRICS):
            if metric.averaging:
                by_kind.setdefault(metric.averaging, []).append(metric.short)
        return "; ".join(f"{', '.join(names)}: {kind}" for kind, names in by_kind.items())

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _note_lines(note: Note, width: int) -> list[str]:
    return textwrap.wrap(printable(f"! {note}"), width, subsequent_indent="  ")


def compare(
    runs: Sequence[Run],
    positive: str | None = None,
    *,
    main: str = "auroc",
    how: Uncertainty | None = None,
    reference: str | None = None,
    asked: Asked | None = None,
    paths: Sequence[Path] = (),
    command: str = "",
) -> Comparison:
    """Put runs side by side, best first.

    Parameters
    ----------
    runs : sequence of Run
        On one split; rows and classes may be in any order. Equal names are numbered.
    positive : str or None
        The positive class of two, where the runs do not state it or disagree.
    main : str
        The metric that orders the runs, and that differences are tested on.
    how : Uncertainty or None
        How intervals are made; 95 % by 2,000 resamples of subjects by default.
    reference : str or None
        The run that the others are tested against; every pair by default.
    asked : Asked or None
        Calibration and operating points to learn inside; temperature and a sensitivity of 0.95 by default.
    paths : sequence of Path
        Where the runs were read from, in their order: what else their folders hold goes into the report.
    command : str
        What made the comparison, for the report.

    Returns
    -------
    Comparison
        Can print itself and write Markdown, CSV and HTML.

    Raises
    ------
    ComparisonError
        No runs, or runs that differ in samples, true labels, repeats, folds, subjects, classes or positive class; or a
        reference that is not among them.
    UnknownNameError
        ``main`` is not a metric.
    """
    if main not in METRICS:
        raise UnknownNameError("metric", main, METRICS)
    aligned = align(runs, positive)
    sign = -1 if METRICS[main].direction == "higher" else 1
    scores = {run.name: score(run.predictions, [main])[main] for run in aligned}

    def place(run: Run) -> tuple[bool, float]:
        found = scores[run.name]
        return not found.defined, sign * found.value if found.defined else 0.0

    if reference is not None and reference not in scores:
        raise ComparisonError(f"reference {reference!r} is not among the runs: {', '.join(scores)}")
    ordered = tuple(sorted(aligned, key=place))
    read = {run.name: RunFolder.read(path) for run, path in zip(aligned, paths, strict=False) if Path(path).is_dir()}
    folders = {run.name: read[run.name] for run in ordered if run.name in read}
    return Comparison(ordered, main, how or Uncertainty(), reference, asked or Asked(), folders, command)
