"""Candidates on many data sets: who ranks higher, tested over data sets, never over folds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from leukfeat.errors import ComparisonError, UnknownNameError
from leukfeat.evaluation.metrics import METRICS, score
from leukfeat.evaluation.ranks import FRIEDMAN, IMAN_DAVENPORT, NEMENYI, Ranking, rank
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty
from leukfeat.reports.estimates import Estimates
from leukfeat.reports.figures.differences import ranking_drawing
from leukfeat.reports.html import Head, render
from leukfeat.reports.pairs import spoken
from leukfeat.reports.sections import Section, drawings_of
from leukfeat.reports.table import Cell, Column, Table, markdown_safe, nothing
from leukfeat.textfiles import printable, write_text

_RESEARCH = "Candidates are tested over data sets, never over folds. Research use only; not for diagnosis."


@dataclass(frozen=True, eq=False)
class Grid:
    """The same candidates on several data sets; made by :func:`grid`.

    Attributes
    ----------
    runs : mapping of (data set, candidate) to Run
        Complete: every candidate on every data set.
    data_sets, candidates : tuple of str
        Rows and columns.
    metric : str
        What candidates are ranked by, a name in ``METRICS``.
    how : Uncertainty
        How intervals are made.
    """

    runs: dict[tuple[str, str], Run]
    data_sets: tuple[str, ...]
    candidates: tuple[str, ...]
    metric: str = "auroc"
    how: Uncertainty = field(default_factory=Uncertainty)

    @cached_property
    def ranking(self) -> Ranking:
        """Mean ranks, tested; undefined with its reason."""
        values = [
            [score(self.runs[data_set, name].predictions, [self.metric])[self.metric].value for name in self.candidates]
            for data_set in self.data_sets
        ]
        return rank(
            np.array(values),
            data_sets=self.data_sets,
            candidates=self.candidates,
            direction=METRICS[self.metric].direction,
        )

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Every table, by the name of its CSV file."""
        return {"grid": self._scores(), "ranks": self._ranks()}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the ranks say."""
        found = self.ranking
        if not found.defined:
            return (f"Candidates are not ranked: {found.reason}.",)
        n = len(self.data_sets)
        head = f"{IMAN_DAVENPORT} on {n} data sets: F = {found.f:.2f}, p = {found.f_p:.2g}"
        if not found.differ:
            return (f"{head}; the candidates cannot be told apart.",)
        best, rest = found.order[0], found.order[1:]
        row = found.candidates.index(best)
        told = [
            f"{spoken(best)} ranks higher than {spoken(other)} (Nemenyi p {_p(found, row, other)})"
            for other in rest
            if found.pairwise[row, found.candidates.index(other)] < found.level
        ]
        last = "; ".join(told) or f"no candidate ranks significantly below {spoken(best)}"
        return (f"{head}.", f"{last}; critical difference {found.critical_difference:.2f} mean ranks.")

    def to_dict(self) -> dict[str, Any]:
        """Scores, ranks and tests as JSON types."""
        found = self.ranking
        return {
            "metric": self.metric,
            "data_sets": list(self.data_sets),
            "candidates": list(self.candidates),
            "ranks": found.ranks.tolist() if found.defined else None,
            "friedman": {"chi_square": found.chi_square, "p": found.chi_p} if found.defined else None,
            "iman_davenport": {"f": found.f if np.isfinite(found.f) else None, "p": found.f_p}
            if found.defined
            else None,
            "critical_difference": found.critical_difference if found.defined else None,
            "undefined": found.reason,
            "sentences": list(self.sentences),
        }

    def save(self, folder: Path | str) -> list[Path]:
        """Write ``grid.html``, ``grid.md``, tables as CSV, the diagram as SVG, PDF and CSV; returns the files."""
        folder = Path(folder)
        parts = [f"## {markdown_safe(table.title)}\n\n{table.to_markdown()}" for table in self.tables.values()]
        parts += [markdown_safe(sentence) + "\n" for sentence in self.sentences]
        title = f"{len(self.candidates)} candidates on {len(self.data_sets)} data sets"
        pages = {"grid.html": render(Head(title, (_RESEARCH,)), self.sections), "grid.md": "\n".join(parts)}
        for name, text in pages.items():
            with write_text(folder / name) as stream:
                stream.write(text)
        tables = {name: table for name, table in self.tables.items() if table.rows}
        return [
            *(folder / name for name in pages),
            *(file for drawing in drawings_of(self.sections) for file in drawing.save(folder)),
            *(table.to_csv(folder / f"{name}.csv") for name, table in tables.items()),
        ]

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The page: scores, then ranks with their critical-difference diagram where there are any."""
        found = self.ranking
        about = "Mean ranks, best on the left; a bar joins candidates that do not differ (Demšar 2006)."
        metric = METRICS[self.metric].title
        drawings = (ranking_drawing(found, metric, about),) if found.defined and len(found.candidates) > 1 else ()
        scores, ranks = self.tables["grid"], self.tables["ranks"]
        return (
            Section("grid", scores.title, tables=(scores,)),
            Section("ranks", ranks.title, self.sentences, tables=(ranks,), drawings=drawings),
        )

    def lines(self, width: int = 100) -> list[str]:
        """For a terminal."""
        lines: list[str] = []
        for table in self.tables.values():
            lines += [table.title, *table.to_lines(width), ""]
        for sentence in self.sentences:
            lines += textwrap.wrap(printable(sentence), width, subsequent_indent="  ")
        return lines

    def _scores(self) -> Table:
        title = METRICS[self.metric].title
        rows: list[tuple[Cell, ...]] = [
            (data_set, *(self._estimate(data_set, name) for name in self.candidates)) for data_set in self.data_sets
        ]
        return Table(
            title=f"{title} over cells, by data set",
            columns=(Column("data set"), *(Column(name, form=".3f") for name in self.candidates)),
            rows=tuple(rows),
            words=(f"in brackets: {self.how.percent} intervals over the subjects of each data set",),
        )

    def _estimate(self, data_set: str, candidate: str) -> Estimate:
        run = self.runs[data_set, candidate]
        return Estimates.of([run], "cell", self.how).estimate(run.name, self.metric)

    def _ranks(self) -> Table:
        found = self.ranking
        title = f"Mean ranks over {len(self.data_sets)} data sets"
        if not found.defined:
            return nothing(title, found.reason)
        joined = {name: [str(n) for n, group in enumerate(found.groups, 1) if name in group] for name in found.order}
        return Table(
            title=title,
            columns=(Column("candidate"), Column("mean rank", form=".2f"), Column("not told apart within group")),
            rows=tuple(
                (name, float(found.ranks[found.candidates.index(name)]), ", ".join(joined[name]) or None)
                for name in found.order
            ),
            words=(
                f"{FRIEDMAN}: χ² = {found.chi_square:.2f}, p = {found.chi_p:.2g}; {IMAN_DAVENPORT}: F = {found.f:.2f},"
                f" p = {found.f_p:.2g}",
                f"{NEMENYI}: mean ranks that differ by {found.critical_difference:.2f} or more differ at the"
                f" {found.level:.0%} level",
            ),
        )


def _p(found: Ranking, row: int, other: str) -> str:
    p = float(found.pairwise[row, found.candidates.index(other)])
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def grid(runs: Sequence[Run], metric: str = "auroc", how: Uncertainty | None = None) -> Grid:
    """Put runs of the same candidates on several data sets into rows and columns.

    Parameters
    ----------
    runs : sequence of Run
        Each of a candidate (its name) on a data set (as recorded in ``data``); every candidate on every data set.
    metric : str
        What candidates are ranked by.
    how : Uncertainty or None
        How intervals are made.

    Raises
    ------
    ComparisonError
        A run that does not record its data set, a candidate twice on one data set, one that lacks a data set, or one
        data set only.
    UnknownNameError
        ``metric`` is not known.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    found: dict[tuple[str, str], Run] = {}
    for run in runs:
        data_set = run.data.get("dataset")
        if not data_set:
            raise ComparisonError(f"{run.name}: its data set is not recorded; a grid needs run folders of leukfeat")
        key = (str(data_set), run.name)
        if key in found:
            raise ComparisonError(f"{run.name} was run twice on {data_set}; keep one of the two runs")
        found[key] = run
    data_sets = tuple(dict.fromkeys(data_set for data_set, _ in found))
    candidates = tuple(dict.fromkeys(name for _, name in found))
    if len(data_sets) < 2:
        raise ComparisonError(
            f"a grid ranks candidates over data sets, and all runs are of {data_sets[0] if data_sets else 'none'};"
            " its folds share training images and are no data sets: compare without --grid"
        )
    lacking = [(one, name) for one in data_sets for name in candidates if (one, name) not in found]
    if lacking:
        raise ComparisonError(
            f"{lacking[0][1]} was not run on {lacking[0][0]} ({len(lacking)} such gaps); a grid needs every candidate"
            " on every data set"
        )
    return Grid(found, data_sets, candidates, metric, how or Uncertainty())
