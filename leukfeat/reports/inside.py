"""What a run learns inside its training parts and is judged by outside: calibration, operating points, verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.evaluation.calibration import METHODS, Calibrated, calibrated, without_calibration
from leukfeat.evaluation.inner import INNER_SEEN, inner_seen
from leukfeat.evaluation.intervals import METHOD_NAMES, replicates
from leukfeat.evaluation.miscalibration import STATISTICS, calibration_scores
from leukfeat.evaluation.operating import OperatingPoint, at_prevalence, operate
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.proportions import shares
from leukfeat.evaluation.resampling import Clusters, Draws
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.thresholds import at
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty
from leukfeat.evaluation.verdicts import Verdicts, verdicts
from leukfeat.reports.estimates import EXACT, Level
from leukfeat.reports.processes import of_each
from leukfeat.reports.table import Cell, Column, Table, nothing

DEFAULT_TARGET = "sensitivity=0.95"


@dataclass(frozen=True)
class Asked:
    """What is to be learned.

    Parameters
    ----------
    calibration : str
        A name of :data:`leukfeat.evaluation.calibration.METHODS`.
    targets : tuple of str
        Operating points, as :func:`leukfeat.evaluation.thresholds.at` reads them.
    conservative : bool
        Targets must be reached by a lower bound of what the inner predictions show.
    prevalences : tuple of float
        Where predictive values are asked for.

    Raises
    ------
    UnknownNameError, UsageError
        A method, a target or a prevalence that there cannot be.
    """

    calibration: str = "temperature"
    targets: tuple[str, ...] = (DEFAULT_TARGET,)
    conservative: bool = False
    prevalences: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.calibration not in METHODS:
            raise UnknownNameError("calibration", self.calibration, METHODS)
        for text in self.targets:
            at(text, conservative=self.conservative)
        for prevalence in self.prevalences:
            if not 0 < prevalence < 1:
                raise UsageError(f"a prevalence of {prevalence}: give a number between 0 and 1, e.g. 0.05")


@dataclass(frozen=True, eq=False)
class Inside:
    """Everything that aligned runs learn inside, applied outside.

    Attributes
    ----------
    runs : tuple of Run
        Aligned.
    levels : tuple of str
        ``"cell"``, and ``"subject"`` where there is a subject level.
    asked : Asked
        What is learned.
    how : Uncertainty
        How intervals are made.
    """

    runs: tuple[Run, ...]
    levels: tuple[Level, ...]
    asked: Asked = field(default_factory=Asked)
    how: Uncertainty = field(default_factory=Uncertainty)

    @property
    def calibrations(self) -> dict[str, Calibrated | str]:
        """By run: predictions after calibration, or why there are none."""
        return {name: learned.calibration for name, learned in self._learned.items()}

    @cached_property
    def points(self) -> dict[tuple[str, str, Level], OperatingPoint]:
        """By run, target and level."""
        return {(name, *key): point for name, learned in self._learned.items() for key, point in learned.points.items()}

    @property
    def verdicts(self) -> dict[str, Verdicts]:
        """By run."""
        return {name: learned.verdicts for name, learned in self._learned.items()}

    @cached_property
    def _learned(self) -> dict[str, _Learned]:
        """By run; all of a run at once, as all of it is learned from the same rows."""
        rows = sum(len(run.predictions) + len(run.inner or ()) for run in self.runs)
        learned = of_each(partial(_learned, self.asked, self.levels, self.how.level), self.runs, rows=rows)
        return dict(zip((run.name for run in self.runs), learned, strict=True))

    @property
    def tables(self) -> dict[str, Table]:
        """Every table that has rows, by the name of its CSV file; that of operating points may say why it has none."""
        found = {
            "calibration": self.calibration_table(),
            "operating-points": self.operating_table(),
            "predictive-values": self.prevalence_table(),
            "verdicts": self.verdict_table(),
            "verdict-per-subject": self.subject_table(),
        }
        return {name: table for name, table in found.items() if table.rows or name == "operating-points"}

    def calibration_table(self) -> Table:
        """Every run before and after calibration."""
        judged: list[tuple[str, str, Predictions]] = []
        words: dict[str, None] = {}
        for run in self.runs:
            after = self.calibrations[run.name]
            judged.append((run.name, "as predicted", run.predictions))
            if isinstance(after, Calibrated):
                judged.append((run.name, self.asked.calibration, after.predictions))
                words |= dict.fromkeys(f"{run.name}: {line}" for line in after.words)
            else:
                words[f"{run.name}: not calibrated, {after}"] = None
        predictions = [rows for _, _, rows in judged]
        scores = of_each(calibration_scores, predictions, rows=sum(map(len, predictions)))
        rows: list[tuple[Cell, ...]] = [
            (run, when, *found.values()) for (run, when, _), found in zip(judged, scores, strict=True)
        ]
        return Table(
            title="Calibration over cells",
            columns=(
                Column("run"),
                Column("probabilities"),
                *(Column(statistic.title, form=".3f") for statistic in STATISTICS.values()),
            ),
            rows=tuple(rows),
            words=(*words, *self._seen),
        )

    def operating_table(self) -> Table:
        """Sensitivity and specificity that the chosen thresholds reach outside."""
        rows: list[tuple[Cell, ...]] = []
        words: dict[str, None] = {}
        for (name, _, level), point in self.points.items():
            if point.decisions is None:
                words[f"{name}, {point.target} by {level}: none, {point.reason}"] = None
                continue
            chosen = [one.value for one in point.thresholds]
            estimates = self._reached(point.decisions, level)
            rows.append(
                (name, str(point.target), level, float(np.median(chosen)), min(chosen), max(chosen), *estimates)
            )
        if not rows:
            return nothing("Operating points", "; ".join(words) or "none asked for")
        return Table(
            title="Operating points",
            columns=(
                Column("run"),
                Column("target"),
                Column("by"),
                Column("threshold, median of folds", form=".3f"),
                Column("lowest", form=".3f"),
                Column("highest", form=".3f"),
                Column("sensitivity reached", form=".3f"),
                Column("specificity reached", form=".3f"),
            ),
            rows=tuple(rows),
            words=(
                "thresholds are chosen on the inner predictions of each training part, and applied to its test part",
                self._brackets,
                *words,
                *self._seen,
            ),
        )

    def _reached(self, decisions: Predictions, level: Level) -> list[Estimate]:
        """Sensitivity and specificity; over subjects with the exact interval that such shares have everywhere."""
        found = replicates(decisions, ("sensitivity", "specificity"), draws=self._draws[level])
        exact = shares(decisions, self.how.level) if level == "subject" else {}
        return [
            Estimate(
                one.estimate,
                exact[name].interval if name in exact else one.interval(self.how.method, self.how.level),
            )
            for name, one in found.items()
        ]

    def prevalence_table(self) -> Table:
        """Predictive values of the operating points where a stated share is positive."""
        rows: list[tuple[Cell, ...]] = [
            (
                name,
                str(point.target),
                level,
                prevalence,
                *(
                    Estimate(one.score, one.interval)
                    for one in at_prevalence(point.decisions, prevalence, draws=self._draws[level]).values()
                ),
            )
            for (name, _, level), point in self.points.items()
            if point.decisions is not None
            for prevalence in self.asked.prevalences
        ]
        if not rows:
            return nothing("Predictive values", "no operating point")
        return Table(
            title="Predictive values at a stated prevalence",
            columns=(
                Column("run"),
                Column("target"),
                Column("by"),
                Column("prevalence", form=".3g"),
                Column("PPV", form=".3f"),
                Column("NPV", form=".3f"),
            ),
            rows=tuple(rows),
            words=("by Bayes' theorem from the sensitivity and specificity reached",),
        )

    def verdict_table(self) -> Table:
        """How many subjects each run's tuned rule calls right."""
        reached = {name: one for name, one in self.verdicts.items() if not one.reason}
        words = dict.fromkeys(f"{name}: {line}" for name, one in self.verdicts.items() for line in one.words)
        if not reached:
            return nothing("Subject verdicts", next(iter(self.verdicts.values())).reason)
        return Table(
            title="Subject verdicts",
            columns=(
                Column("run"),
                Column("subjects", form=",d"),
                *(Column(name, form=".3f") for name in ("accuracy", "sensitivity", "specificity")),
            ),
            rows=tuple(
                (
                    name,
                    one.accuracy.subjects,
                    *(
                        Estimate(share.score, share.interval)
                        for share in (one.accuracy, one.sensitivity, one.specificity)
                    ),
                )
                for name, one in reached.items()
            ),
            words=(f"in brackets: {self.how.percent} intervals; {EXACT}", *words, *self._seen),
        )

    def subject_table(self) -> Table:
        """The verdict on every subject by every run, wrong ones first."""
        rows = [
            (name, row.subject, row.true_class, row.called, row.cells, row.score, row.cut, row.rule)
            for name, one in self.verdicts.items()
            for row in sorted(one.rows, key=lambda row: (row.right, row.subject))
        ]
        if not rows:
            return nothing("Verdict on every subject", next(iter(self.verdicts.values())).reason)
        return Table(
            title="Verdict on every subject",
            columns=(
                Column("run"),
                Column("subject"),
                Column("class"),
                Column("called"),
                Column("cells", form=",d"),
                Column("score", form=".3f"),
                Column("cut", form=".3f"),
                Column("rule"),
            ),
            rows=tuple(rows),
        )

    @property
    def _brackets(self) -> str:
        """What the intervals of operating points are."""
        units = next(iter(self._draws.values())).clusters.units
        exact = f"; {EXACT}" if "subject" in self._draws else ""
        return f"in brackets: {self.how.percent} {METHOD_NAMES[self.how.method].format(units=units)}{exact}"

    @cached_property
    def _draws(self) -> dict[Level, Draws]:
        """Resamples for every level, made from the decisions of any run: all are of the same rows."""
        return dict(self._drawn())

    def _drawn(self) -> Iterator[tuple[Level, Draws]]:
        for level in self.levels:
            known = (point.decisions for key, point in self.points.items() if key[2] == level)
            rows = next((decisions for decisions in known if decisions is not None), None)
            if rows is not None:
                yield level, self.how.draws(Clusters.of(rows))

    @property
    def _seen(self) -> tuple[str, ...]:
        """What must be said where an encoder was trained on what is learned from."""
        names = [run.name for run in self.runs if inner_seen(run.folds)]
        return (f"{INNER_SEEN} ({', '.join(names)})",) if names else ()


class _Learned(NamedTuple):
    """What one run learns inside: calibration, operating points by target and level, verdicts on subjects."""

    calibration: Calibrated | str
    points: dict[tuple[str, Level], OperatingPoint]
    verdicts: Verdicts


def _learned(asked: Asked, levels: Sequence[Level], confidence: float, run: Run) -> _Learned:
    predictions, inner = run.predictions, run.inner
    lacking = without_calibration(predictions, inner, asked.calibration)
    return _Learned(
        calibration=lacking or calibrated(predictions, inner, asked.calibration),
        points={
            (target, level): operate(predictions, inner, at(target, conservative=asked.conservative), level)
            for target in asked.targets
            for level in levels
        },
        verdicts=verdicts(predictions, inner, level=confidence),
    )
