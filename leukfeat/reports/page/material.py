"""What the sections of a page are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from leukfeat.audit.findings import CODES, SEVERITIES, Finding
from leukfeat.evaluation.metrics import METRICS
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run
from leukfeat.reports.contents import Note
from leukfeat.reports.estimates import Estimates
from leukfeat.reports.folders import RunFolder
from leukfeat.reports.inside import Inside
from leukfeat.reports.pairs import Pairs
from leukfeat.reports.table import Table


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that a report knows.

    Attributes
    ----------
    runs : tuple of Run
        Aligned, best first.
    main : str
        The metric that orders them, a name in ``METRICS``.
    notes : tuple of Note
        What must be said beside every number.
    tables : mapping of str to Table
        By the name of its CSV file.
    by_cell : Estimates
        Every metric over cells, with the resamples.
    pairs : Pairs
        Tested differences.
    inside : Inside
        What is learned inside training parts.
    no_subjects : str
        Why there is no subject level; empty where there is one.
    folders : mapping of str to RunFolder
        By run; of runs that have one.
    command : str
        What made this report; empty where nobody typed a command.
    """

    runs: tuple[Run, ...]
    main: str
    notes: tuple[Note, ...]
    tables: Mapping[str, Table]
    by_cell: Estimates
    pairs: Pairs
    inside: Inside
    no_subjects: str = ""
    folders: Mapping[str, RunFolder] = field(default_factory=dict)
    command: str = ""

    @property
    def predictions(self) -> Predictions:
        """Those of the best run, for what all runs share."""
        return self.runs[0].predictions

    @property
    def main_title(self) -> str:
        """The main metric, for people."""
        return METRICS[self.main].title_for(len(self.predictions.classes))

    @property
    def positive(self) -> str | None:
        """The positive class of two; None where there are more, or where it is not stated."""
        return self.predictions.positive if len(self.predictions.classes) == 2 else None

    @property
    def units(self) -> str:
        """What was resampled, with its number."""
        return f"{len(self.by_cell.clusters):,} {self.by_cell.clusters.units}"

    @cached_property
    def audits(self) -> dict[str, Audited]:
        """What was audited, and found, by run; runs without an audit are not in it."""
        return {run.name: Audited.of(run) for run in self.runs if run.audit.get("level", "none") != "none"}

    @cached_property
    def first(self) -> tuple[Note, ...]:
        """What must be said before every number: the notes, then leaks and warnings of audits that no note tells."""
        about: dict[str, list[str]] = {}
        for severity in SEVERITIES[:2]:
            for name, audited in self.audits.items():
                for one in audited.findings:
                    if one.severity == severity and not any(one.words in note.words for note in self.notes):
                        about.setdefault(f"{one.words} [{one.code}]", []).append(name)
        own = (Note(words, () if len(names) == len(self.runs) else tuple(names)) for words, names in about.items())
        return (*self.notes, *own)


@dataclass(frozen=True)
class Audited:
    """What a run has recorded of its audit.

    Attributes
    ----------
    level : str
        How much was checked.
    allowed : tuple of str
        Codes of leaks that the user accepted.
    findings : tuple of Finding
        With a few cases of evidence each.
    cases : tuple of int
        How many cases each finding has in all.
    """

    level: str
    allowed: tuple[str, ...]
    findings: tuple[Finding, ...]
    cases: tuple[int, ...]

    @classmethod
    def of(cls, run: Run) -> Audited:
        """From a run that was audited."""
        facts = [
            one for one in run.audit.get("findings", ()) if one.get("code") in CODES
        ]  # of another version: unknown
        findings = tuple(Finding.from_dict(one) for one in facts)
        cases = tuple(int(one.get("cases", len(one["evidence"]))) for one in facts)
        return cls(str(run.audit["level"]), tuple(run.audit.get("allowed", ())), findings, cases)
