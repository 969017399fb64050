"""Every metric of aligned runs at one level, each with its interval, all from the same resamples of subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np

from leukfeat.evaluation.intervals import METHOD_NAMES, Replicates, replicates
from leukfeat.evaluation.metrics import METRICS, Score, score
from leukfeat.evaluation.paired import Difference, differences
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.proportions import Share, shares
from leukfeat.evaluation.resampling import Clusters, Draws
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.subjects import by_subject
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty
from leukfeat.reports.processes import of_each
from leukfeat.reports.table import Cell, Column, Table

Level = Literal["cell", "subject"]

TOO_NARROW = "intervals count images as independent and are too narrow: which images are of one patient is unknown"


EXACT = "accuracy, sensitivity and specificity of subjects: Clopper–Pearson's, linked ids counted as one person"
"""What interval a share of subjects has, in every table."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """The numbers of a comparison at one level.

    Attributes
    ----------
    level : ``"cell"`` or ``"subject"``
        What a row is.
    predictions : mapping of str to Predictions
        By run, aligned row by row.
    how : Uncertainty
        How intervals are made.
    """

    level: Level
    predictions: Mapping[str, Predictions]
    how: Uncertainty = field(default_factory=Uncertainty)

    @classmethod
    def of(cls, runs: Sequence[Run], level: Level, how: Uncertainty) -> Estimates:
        """Of aligned runs; a subject's probability is the mean of its cells."""
        rows = {run.name: run.predictions if level == "cell" else by_subject(run.predictions) for run in runs}
        return cls(level, rows, how)

    @property
    def one(self) -> Predictions:
        """Those of the first run, for what all runs share."""
        return next(iter(self.predictions.values()))

    @cached_property
    def draws(self) -> Draws:
        """Resamples of the subjects, the same for every run."""
        return self.how.draws(Clusters.of(self.one))

    @property
    def clusters(self) -> Clusters:
        """What was resampled."""
        return self.draws.clusters

    @cached_property
    def replicates(self) -> dict[str, dict[str, Replicates]]:
        """By run and metric."""
        runs = list(self.predictions.values())
        found = of_each(partial(replicates, draws=self.draws), runs, rows=sum(map(len, runs)))
        # what comes from another process was made on a copy of the draws
        ours = ({name: replace(one, clusters=self.clusters) for name, one in metrics.items()} for metrics in found)
        return dict(zip(self.predictions, ours, strict=True))

    @cached_property
    def scores(self) -> dict[str, dict[str, Score]]:
        """By run and metric."""
        return {
            run: {name: found.estimate for name, found in metrics.items()} for run, metrics in self.replicates.items()
        }

    def estimate(self, run: str, metric: str) -> Estimate:
        """A metric of a run with its interval; of a share of subjects the exact one."""
        found = self.replicates[run][metric]
        exact = self._exact.get(run, {}).get(metric)
        if exact is not None and found.estimate.defined:
            return Estimate(found.estimate, exact.interval)
        return self.how.estimate(found)

    @cached_property
    def _exact(self) -> dict[str, dict[str, Share]]:
        """Clopper–Pearson intervals of shares of subjects: those of every table, also where all are called alike."""
        if self.level != "subject" or self.one.positive is None:
            return {}
        return {run: shares(rows, self.how.level) for run, rows in self.predictions.items()}

    def differences(self, metric: str, reference: str | None = None) -> tuple[Difference, ...]:
        """Every pair of runs, or every run against a reference; with t intervals, as their p values come from t."""
        return differences(self.replicates, metric, reference=reference, level=self.how.level)

    @property
    def words(self) -> str:
        """What the intervals are, for below a table."""
        exact = f"; {EXACT}" if self._exact else ""
        if self.clusters.too_few:
            return f"no intervals{' by resampling' if exact else ''}: {self.clusters.too_few}{exact}"
        method = METHOD_NAMES[self.how.method].format(units=f"{len(self.clusters):,} {self.clusters.units}")
        narrow = "" if self.one.subjects_known else f"; {TOO_NARROW}"
        return f"in brackets: {self.how.percent} {method}, {self.how.n_draws:,} resamples within class{narrow}{exact}"

    def table(self, metrics: Sequence[str]) -> Table:
        """Runs × metrics."""
        predictions = self.one
        n_subjects = f"{len(np.unique(predictions.subject)):,}" if predictions.subjects_known else "unknown"
        counted = {"cell": f"{len(np.unique(predictions.sample)):,}", "subject": n_subjects}[self.level]
        told = f"; positive: {predictions.positive}" if predictions.positive and len(predictions.classes) == 2 else ""
        heads = [METRICS[name] for name in metrics]
        rows: list[tuple[Cell, ...]] = [
            (run, *(self.estimate(run, name) for name in metrics)) for run in self.predictions
        ]
        return Table(
            title=f"By {self.level} ({self.level}s: {counted}{told})",
            columns=(
                Column("run"),
                *(Column(head.title_for(len(predictions.classes)), head.short, ".3f") for head in heads),
            ),
            rows=tuple(rows),
            words=(self.words,),
        )

    @property
    def n_repeats(self) -> int:
        """Repeats of the split, each with seeds of its own."""
        return len(np.unique(self.one.repeat))

    def spread_table(self, metric: str) -> Table:
        """What of a metric's spread comes from seeds and folds, and what from the subjects of the study.

        The first is the SD between repeats, which test the same subjects; the second the standard error between
        resamples of subjects of the mean over repeats. More repeats lessen the first only.
        """
        title = METRICS[metric].title_for(len(self.one.classes))
        rows = [
            (run, *_deviations(self.replicates[run][metric], [one[metric] for one in self._by_repeat[run]]))
            for run in self.predictions
        ]
        return Table(
            title=f"Where the spread of {title} comes from",
            columns=(
                Column("run"),
                Column(f"between {self.n_repeats} repeats (SD)", form=".4f"),
                Column("of their mean (SE)", form=".4f"),
                Column(f"between {self.clusters.units} (SE)", form=".4f"),
            ),
            rows=tuple(rows),
            words=(
                "repeats differ in folds and seeds and test the same subjects; the last column no repeat can lessen",
            ),
        )

    @cached_property
    def _by_repeat(self) -> dict[str, list[dict[str, Score]]]:
        return {
            run: [score(rows.take(rows.repeat == repeat)) for repeat in np.unique(rows.repeat)]
            for run, rows in self.predictions.items()
        }


def _deviations(found: Replicates, repeats: Sequence[Score]) -> tuple[Score, Score, Score]:
    """SD between repeats, its standard error, and the standard error between subjects."""
    lacking = next((one for one in repeats if not one.defined), None)
    deviation = lacking or Score(float(np.std([one.value for one in repeats], ddof=1)))
    of_mean = lacking or Score(deviation.value / len(repeats) ** 0.5)
    if found.undefined:
        return deviation, of_mean, Score.undefined(found.undefined)
    return deviation, of_mean, Score(float(np.nanstd(found.drawn, ddof=1)))
