"""Second opinions on a difference between two runs: every other test that fits, each named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.delong import Areas, clustered_delong
from leukfeat.evaluation.mcnemar import clustered_mcnemar, mcnemar
from leukfeat.evaluation.metrics import METRICS, score_by_fold
from leukfeat.evaluation.outcome import Outcome
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampled_t import Posterior, corrected_resampled_t, correlated_t
from leukfeat.evaluation.resampling import Clusters
from leukfeat.evaluation.scored import Scored
from leukfeat.evaluation.subjects import by_subject, without_subjects

Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Opinion:
    """One test of one pair.

    Attributes
    ----------
    about : str
        What is compared, at which level.
    outcome : Outcome
        What the test found.
    """

    about: str
    outcome: Outcome


@dataclass(frozen=True, eq=False)
class SecondOpinions:
    """Every test that fits pairs of runs on the same rows; what the tests need of a run is computed once.

    Attributes
    ----------
    predictions : mapping of str to Predictions
        By run, aligned row by row.
    metric : str
        That of the tests over folds, a name in ``METRICS``.
    """

    predictions: Mapping[str, Predictions]
    metric: str

    def of(self, first: str, second: str) -> tuple[Opinion, ...]:
        """Tests of two runs.

        The clustered DeLong test where two classes are ranked; the clustered McNemar test of accuracy, and the exact
        one of subjects' verdicts (clustered where subjects are linked); the corrected resampled t test where every
        sample is tested once a repeat.
        """
        found = []
        if len(self._any.classes) == 2:
            found.append(Opinion("AUROC of cells", self._areas.compare(self._number[first], self._number[second])))
        right = self._right[first], self._right[second]
        found.append(Opinion("accuracy of cells", clustered_mcnemar(*right, self._clusters)))
        if not without_subjects(self._any) and len(np.unique(self._any.repeat)) == 1:
            found.append(Opinion("accuracy of subjects", self._of_subjects(first, second)))
        if self._sizes is not None:
            title = METRICS[self.metric].title_for(len(self._any.classes))
            one, two = self._by_fold[first], self._by_fold[second]
            found.append(Opinion(f"{title} of cells by fold", corrected_resampled_t(one, two, *self._sizes)))
        return tuple(found)

    def equivalence(self, first: str, second: str, rope: float) -> Posterior | None:
        """How probable it is that two runs are practically equivalent; None where folds are no cross-validation.

        Parameters
        ----------
        first, second : str
            Names of the runs; the sign is such that "better" means better.
        rope : float
            Differences of this size or less make no difference in practice.
        """
        if self._sizes is None:
            return None
        sign = -1 if METRICS[self.metric].direction == "lower" else 1
        one, two = sign * self._by_fold[first], sign * self._by_fold[second]
        return correlated_t(one, two, *self._sizes, rope=rope)

    @property
    def _any(self) -> Predictions:
        """Those of the first run, for what all share."""
        return next(iter(self.predictions.values()))

    @cached_property
    def _clusters(self) -> NDArray[np.int64]:
        return Clusters.of(self._any).of_row

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.predictions)}

    @cached_property
    def _areas(self) -> Areas:
        """Of two classes."""
        one = self._any
        k = one.classes.index(one.positive or one.classes[1])
        scores = np.stack([_ranking(rows, k) for rows in self.predictions.values()])
        return clustered_delong(scores, one.y_true == one.classes[k], self._clusters, one.repeat)

    @cached_property
    def _right(self) -> dict[str, Right]:
        return {name: rows.y_true == rows.y_pred for name, rows in self.predictions.items()}

    @cached_property
    def _subjects(self) -> dict[str, Predictions]:
        return {name: by_subject(rows) for name, rows in self.predictions.items()}

    def _of_subjects(self, first: str, second: str) -> Outcome:
        """The exact test of verdicts; the clustered one where ids may be one person, which no exact test knows."""
        of_first, of_second = (self._subjects[name] for name in (first, second))
        right = [rows.y_true == rows.y_pred for rows in (of_first, of_second)]
        if len(np.unique(of_first.group)) < len(of_first):
            return clustered_mcnemar(right[0], right[1], Clusters.of(of_first).of_row)
        return mcnemar(right[0], right[1])

    @cached_property
    def _by_fold(self) -> dict[str, NDArray[np.float64]]:
        """The metric in every fold; NaN where it is undefined."""
        return {
            name: np.array([found[self.metric].value for found in score_by_fold(rows, [self.metric]).values()])
            for name, rows in self.predictions.items()
        }

    @cached_property
    def _sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Groups tested and trained on in every fold of a cross-validation; None where a repeat has one fold.

        What a hold-out trained on is not among its predictions.
        """
        one = self._any
        pairs = sorted(set(zip(one.repeat.tolist(), one.fold.tolist(), strict=True)))
        tested, others = [], []
        for repeat, fold in pairs:
            here = one.repeat == repeat
            groups = one.group[here & (one.fold == fold)]
            rest = one.group[here & (one.fold != fold)]
            if not len(rest):
                return None
            tested.append(len(np.unique(groups)))
            others.append(len(np.unique(rest)))
        return np.array(tested), np.array(others)


def _ranking(predictions: Predictions, k: int) -> NDArray[np.float64]:
    """What orders the rows within a repeat, over all repeats."""
    ranking = np.empty(len(predictions))
    for repeat in np.unique(predictions.repeat):
        rows = predictions.repeat == repeat
        ranking[rows] = Scored.of(predictions.take(rows)).ranking(k)
    return ranking
