"""Runs on one split, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.caveats import caveats
from leukfeat.evaluation.metrics import METRICS, Score, score
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.subjects import score_by_subject, without_subjects
from leukfeat.reports.alignment import align, manifest_differences
from leukfeat.reports.contents import (
    Note,
    cohort_facts,
    cohort_table,
    confusion_table,
    cost_table,
    fold_table,
    score_table,
    subject_table,
)
from leukfeat.reports.table import Table, markdown_safe, printable
from leukfeat.textfiles import write_text

Level = Literal["cell", "subject"]

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
    """

    runs: tuple[Run, ...]
    main: str = "auroc"

    @cached_property
    def by_cell(self) -> dict[str, dict[str, Score]]:
        """Every metric of every run over cells."""
        return {run.name: score(run.predictions) for run in self.runs}

    @cached_property
    def by_subject(self) -> dict[str, dict[str, Score]]:
        """Every metric of every run over subjects (mean probability); undefined where subjects are unknown."""
        return {run.name: score_by_subject(run.predictions) for run in self.runs}

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
        levels = {"cell": self.by_cell, "subject": self.by_subject}
        if level not in levels:
            raise UnknownNameError("level", level, levels)
        return score_table(level, self.runs[0].predictions, levels[level], metrics or list(METRICS))

    def to_dict(self) -> dict[str, Any]:
        """Notes and every score as JSON types; an undefined score is None, with its reason beside it."""
        levels: dict[str, dict[str, dict[str, Score]]] = {"cell": self.by_cell}
        if not self.no_subjects:
            levels["subject"] = self.by_subject
        return {
            "notes": [str(note) for note in self.notes],
            "runs": [
                {
                    "name": run.name,
                    **{
                        level: {
                            name: found.value if found.defined else None for name, found in scores[run.name].items()
                        }
                        for level, scores in levels.items()
                    },
                    "undefined": {
                        f"{level}.{name}": found.reason
                        for level, scores in levels.items()
                        for name, found in scores[run.name].items()
                        if not found.defined
                    },
                }
                for run in self.runs
            ],
        }

    def to_markdown(self) -> str:
        """The report as Markdown."""
        parts = ["# Comparison\n"]
        parts += [f"> **{markdown_safe(str(note))}**\n" for note in self.notes]
        parts += ["\n".join(f"- {name}: {markdown_safe(value)}" for name, value in cohort_facts(self.runs)) + "\n"]
        for name, table in self.tables.items():
            none = name == "by-subject" and self.no_subjects
            parts.append(f"## {markdown_safe(table.title)}\n\n" + (f"None: {none}.\n" if none else table.to_markdown()))
        return "\n".join(parts)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Every table of the report, by the name of its CSV file."""
        return {
            "cohort": cohort_table(self.runs[0].predictions),
            "by-cell": self.table("cell"),
            "by-subject": self.table("subject"),
            "folds": fold_table(self.runs, self.main),
            "per-subject": subject_table(self.runs),
            "confusion": confusion_table(self.runs),
            "cost": cost_table(self.runs),
        }

    @cached_property
    def figures(self) -> dict[str, str]:
        """Every figure of the report as SVG, by name."""
        from leukfeat.reports.figures import draw

        return draw(self.runs, self.notes)

    def to_csv(self, folder: Path | str) -> list[Path]:
        """Write every table as CSV into a folder, each row of a run with the notes of that run; returns the files."""
        notes = {run.name: "; ".join((*caveats(run), *self._differences)) for run in self.runs}
        written = []
        for name, table in self.tables.items():
            of_runs = table.columns[0].title == "run"
            beside = [notes[str(row[0])] for row in table.rows] if of_runs else None
            if table.rows:
                written.append(table.to_csv(Path(folder) / f"{name}.csv", beside))
        return written

    def to_html(self, path: Path | str) -> Path:
        """Write the report as one self-contained page."""
        from leukfeat.reports.html import render

        with write_text(path) as stream:
            stream.write(
                render(self.runs, self.notes, self.tables, self.figures, main=self.main, no_subjects=self.no_subjects)
            )
        return Path(path)

    def save(self, folder: Path | str) -> list[Path]:
        """Write ``report.html``, ``report.md``, the tables as CSV and the figures as SVG; returns the files."""
        folder = Path(folder)
        written = [self.to_html(folder / "report.html")]
        texts = {"report.md": self.to_markdown()} | {f"{name}.svg": svg for name, svg in self.figures.items()}
        for name, text in texts.items():
            with write_text(folder / name) as stream:
                stream.write(text)
            written.append(folder / name)
        return [*written, *self.to_csv(folder)]

    def lines(self, width: int = 100) -> list[str]:
        """The comparison for a terminal: the notes, then the main metrics of cells and of subjects."""
        lines = [part for note in self.notes for part in _note_lines(note, width)]
        for level in self.levels:
            table = self.table(level, TERMINAL_METRICS)
            lines += ["", table.title, *table.to_lines(width), *textwrap.wrap(self._averaging, width)]
        if self.no_subjects:
            lines += ["", f"By subject: none, {self.no_subjects}"]
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


def compare(runs: Sequence[Run], positive: str | None = None, *, main: str = "auroc") -> Comparison:
    """Put runs side by side, best first.

    Parameters
    ----------
    runs : sequence of Run
        On one split; rows and classes may be in any order. Equal names are numbered.
    positive : str or None
        The positive class of two, where the runs do not state it or disagree.
    main : str
        The metric that orders the runs.

    Returns
    -------
    Comparison
        Can print itself and write Markdown, CSV and HTML.

    Raises
    ------
    ComparisonError
        No runs, or runs that differ in samples, true labels, repeats, folds, subjects, classes or positive class.
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

    return Comparison(tuple(sorted(aligned, key=place)), main)
