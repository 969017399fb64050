"""How a metric grows with the number of subjects that a candidate is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.intervals import replicates
from leukfeat.evaluation.metrics import Score, score
from leukfeat.evaluation.paired import Difference, difference
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.studies import Study, in_order, same_rows
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty


class SizedRun(NamedTuple):
    """A run whose folds were trained on so many subjects.

    Attributes
    ----------
    subjects, images : float
        Means over folds.
    seeds : int
        Draws of subjects; every repeat of the split stands there so many times, one after another.
    folder : str
        Of the run.
    run : Run
        Itself.
    """

    subjects: float
    images: float
    seeds: int
    folder: str
    run: Run


@dataclass(frozen=True)
class CurvePoint:
    """One size of the training part.

    Attributes
    ----------
    subjects, images : float
        That a fold was trained on (validation part included), means over folds.
    seeds : int
        How often subjects were drawn.
    run : str
        Folder of the run.
    measured : Estimate
        The metric, mean over draws; its interval is about the tested subjects.
    between_seeds : Score
        SD of the metric between draws of training subjects.
    """

    subjects: float
    images: float
    seeds: int
    run: str
    measured: Estimate
    between_seeds: Score


@dataclass(frozen=True)
class LearningCurve(Study):
    """A metric by number of training subjects; the tested images are the same at every size.

    Attributes
    ----------
    candidate, dataset, metric : str
        What was measured on what.
    unit : str
        What is counted and resampled, see :class:`leukfeat.evaluation.resampling.Clusters`.
    n_clusters : int
        Tested ones.
    resampling : Uncertainty
        How intervals were made.
    points : tuple of CurvePoint
        By size; the last has all training subjects.
    last_step : Difference
        The last size less the one before, on the same resamples: whether more subjects still help.
    notes : tuple of str
        What must be said beside these numbers.
    """

    candidate: str
    dataset: str
    metric: str
    unit: str
    n_clusters: int
    resampling: Uncertainty
    points: tuple[CurvePoint, ...]
    last_step: Difference
    notes: tuple[str, ...] = ()

    kind: ClassVar[str] = "learning curve"
    file_name: ClassVar[str] = "learning-curve.json"

    @classmethod
    def of(
        cls,
        sizes: Sequence[SizedRun],
        *,
        metric: str = "auroc",
        resampling: Uncertainty | None = None,
        notes: Sequence[str] = (),
    ) -> LearningCurve:
        """Measure finished runs, smallest first.

        Raises
        ------
        ComparisonError
            Fewer than two sizes, or sizes that test different images.
        """
        if len(sizes) < 2:
            raise ComparisonError(f"a learning curve needs two sizes, and has {len(sizes)}")
        how = resampling or Uncertainty()
        seeds = max(one.seeds for one in sizes)
        aligned = [_repeated(one.run.predictions, one.seeds, seeds) for one in sizes]
        for one, rows in zip(sizes, aligned, strict=True):
            if not same_rows(rows, aligned[-1]):
                raise ComparisonError(f"{one.folder} and {sizes[-1].folder} test different images; run both again")
        clusters = Clusters.of(aligned[-1])
        names = [f"{one.subjects:g} {clusters.units}" for one in sizes]
        whole = sizes[-1].run
        return cls(
            candidate=whole.name,
            dataset=str(whole.data.get("dataset", "")),
            metric=metric,
            unit=clusters.unit,
            n_clusters=len(clusters),
            resampling=how,
            points=tuple(
                CurvePoint(
                    one.subjects, one.images, one.seeds, one.folder, _measured(one, metric, how), _between(one, metric)
                )
                for one in sizes
            ),
            last_step=_step(aligned, clusters, (names[-1], names[-2]), metric, how),
            notes=tuple(notes),
        )


def _measured(one: SizedRun, metric: str, how: Uncertainty) -> Estimate:
    rows = in_order(one.run.predictions)
    return how.estimate(replicates(rows, [metric], draws=how.draws(Clusters.of(rows)))[metric])


def _step(
    aligned: Sequence[Predictions], clusters: Clusters, names: tuple[str, str], metric: str, how: Uncertainty
) -> Difference:
    """The last of aligned predictions less the one before."""
    draws = how.draws(clusters)
    last, before = (replicates(rows, [metric], draws=draws)[metric] for rows in (aligned[-1], aligned[-2]))
    return difference(last, before, names=names, metric=metric, method=how.method, level=how.level)


def _repeated(predictions: Predictions, seeds: int, wanted: int) -> Predictions:
    """Predictions of one draw as many times as the others were drawn, rows by repeat and sample."""
    if seeds == 1 and wanted > 1:
        copies = (replace(predictions, repeat=predictions.repeat * wanted + seed) for seed in range(wanted))
        predictions = Predictions.concatenate(list(copies))
    return in_order(predictions)


def _between(one: SizedRun, metric: str) -> Score:
    """SD between draws; of several repeats of the split the mean over repeats is taken first."""
    if one.seeds < 2:
        return Score.undefined("all training subjects: there is one draw")
    predictions = one.run.predictions
    drawn: list[float] = []
    for seed in range(one.seeds):
        found = score(predictions.take(predictions.repeat % one.seeds == seed), [metric])[metric]
        if not found.defined:
            return found
        drawn.append(found.value)
    return Score(float(np.std(drawn, ddof=1)))
