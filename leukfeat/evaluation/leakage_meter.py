"""How much a candidate seems to gain when its split lets test subjects into training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.intervals import replicates
from leukfeat.evaluation.paired import Difference, difference
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.studies import Study, in_order, same_rows
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty

ArmName = Literal["image-level", "subject-level", "linked-subject-level", "group-level"]


@dataclass(frozen=True)
class Arm:
    """A candidate under one split.

    Attributes
    ----------
    name : str
        What the split keeps whole: ``"image-level"``, ``"subject-level"``, ``"linked-subject-level"``, or, where
        subjects are unknown and images have declared groups, ``"group-level"``.
    run : str
        Folder of the run.
    measured : Estimate
        The metric.
    exposed : float
        Share of the tested images of whose linked subject other images were trained on.
    notes : tuple of str
        Of the run.
    """

    name: ArmName
    run: str
    measured: Estimate
    exposed: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LeakageMeter(Study):
    """One candidate under splits that differ only in what they keep whole.

    Every arm trains on as many folds and tests the same images, once a repeat. Intervals and differences come from the
    same resamples of linked subjects.

    Attributes
    ----------
    candidate, dataset, metric : str
        What was measured on what; ``metric`` is a name in ``METRICS``.
    images : int
        Images tested in every arm.
    unit : str
        What was resampled, see :class:`leukfeat.evaluation.resampling.Clusters`.
    n_clusters : int
        How many of it.
    resampling : Uncertainty
        How intervals were made.
    arms : tuple of Arm
        The loosest split first, the strictest last.
    differences : tuple of Difference
        Every looser arm less every stricter one; first what the loosest gains over the strictest.
    notes : tuple of str
        What must be said beside these numbers.
    """

    candidate: str
    dataset: str
    metric: str
    images: int
    unit: str
    n_clusters: int
    resampling: Uncertainty
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    kind: ClassVar[str] = "leakage meter"
    file_name: ClassVar[str] = "leakage-meter.json"

    @property
    def optimism(self) -> Difference:
        """What the loosest split seems to gain over the strictest."""
        return self.differences[0]

    @classmethod
    def of(
        cls,
        arms: Mapping[ArmName, tuple[str, Run]],
        *,
        metric: str = "auroc",
        resampling: Uncertainty | None = None,
        notes: Sequence[str] = (),
    ) -> LeakageMeter:
        """Measure finished runs.

        Parameters
        ----------
        arms : mapping of str to (str, Run)
            Name of the arm, folder of its run, and the run; the loosest split first.
        metric : str
            What is compared.
        resampling : Uncertainty or None
            How intervals are made.
        notes : sequence of str
            What must be said beside these numbers.

        Raises
        ------
        ComparisonError
            Fewer than two arms, or arms that test different images.
        """
        if len(arms) < 2:
            raise ComparisonError(f"a leakage meter needs two splits, and has {len(arms)}")
        how = resampling or Uncertainty()
        ordered = {name: in_order(run.predictions) for name, (_, run) in arms.items()}
        strictest = list(ordered)[-1]
        for name, predictions in ordered.items():
            if not same_rows(predictions, ordered[strictest]):
                raise ComparisonError(f"the {name} and {strictest} arms test different images; run both again")
        clusters = Clusters.of(ordered[strictest])
        draws = how.draws(clusters)
        found = {name: replicates(rows, [metric], draws=draws)[metric] for name, rows in ordered.items()}
        names = list(arms)
        pairs = [(one, other) for k, one in enumerate(names) for other in names[k + 1 :]]
        pairs.sort(key=lambda pair: pair != (names[0], names[-1]))
        run = arms[strictest][1]
        return cls(
            candidate=run.name,
            dataset=str(run.data.get("dataset", "")),
            metric=metric,
            images=len(np.unique(ordered[strictest].sample)),
            unit=clusters.unit,
            n_clusters=len(clusters),
            resampling=how,
            arms=tuple(
                Arm(name, folder, how.estimate(found[name]), exposed(ordered[name]), run.notes)
                for name, (folder, run) in arms.items()
            ),
            differences=tuple(
                difference(
                    found[one], found[other], names=(one, other), metric=metric, method=how.method, level=how.level
                )
                for one, other in pairs
            ),
            notes=tuple(notes),
        )


def exposed(predictions: Predictions) -> float:
    """Share of the tested images of whose group other images are tested in another fold, and so were trained on.

    Holds for cross-validation, where a fold trains on everything that the other folds of its repeat test.
    """
    _, owner = np.unique(predictions.group, return_inverse=True)
    key = owner * (int(predictions.repeat.max()) + 1) + predictions.repeat
    least = _over(key, predictions.fold, np.minimum, predictions.fold.max())
    most = _over(key, predictions.fold, np.maximum, predictions.fold.min())
    return float((least[key] != most[key]).mean())


def _over(key: NDArray[np.int64], values: NDArray[np.int64], best: np.ufunc, start: int) -> NDArray[np.int64]:
    found = np.full(int(key.max()) + 1, start, dtype=np.int64)
    best.at(found, key, values)
    return found
