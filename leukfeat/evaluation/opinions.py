"""Second opinions on a difference between two runs: every other test that fits, each named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.delong import clustered_delong
from leukfeat.evaluation.mcnemar import clustered_mcnemar, mcnemar
from leukfeat.evaluation.metrics import METRICS, score_by_fold
from leukfeat.evaluation.outcome import Outcome
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampled_t import Posterior, corrected_resampled_t, correlated_t
from leukfeat.evaluation.resampling import Clusters
from leukfeat.evaluation.scored import Scored
from leukfeat.evaluation.subjects import by_subject, without_subjects


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


def second_opinions(first: Predictions, second: Predictions, metric: str) -> tuple[Opinion, ...]:
    """Every test that fits two runs on the same rows.

    The clustered DeLong test where two classes are ranked; the clustered McNemar test of accuracy, and the exact one
    of subjects' verdicts (clustered where subjects are linked); the corrected resampled t test where every sample is
    tested once a repeat.

    Parameters
    ----------
    first, second : Predictions
        Aligned row by row.
    metric : str
        That of the t test over folds, a name in ``METRICS``.
    """
    clusters = Clusters.of(first).of_row
    found = [
        Opinion(
            "accuracy of cells",
            clustered_mcnemar(first.y_true == first.y_pred, second.y_true == second.y_pred, clusters),
        )
    ]
    if len(first.classes) == 2:
        k = first.classes.index(first.positive or first.classes[1])
        scores = np.stack([_ranking(one, k) for one in (first, second)])
        areas = clustered_delong(scores, first.y_true == first.classes[k], clusters, first.repeat)
        found.insert(0, Opinion("AUROC of cells", areas.compare()))
    if not without_subjects(first) and len(np.unique(first.repeat)) == 1:
        found.append(Opinion("accuracy of subjects", _of_subjects(by_subject(first), by_subject(second))))
    sizes = _sizes(first)
    if sizes is not None:
        one, two = _by_fold(first, metric), _by_fold(second, metric)
        title = METRICS[metric].title_for(len(first.classes))
        found.append(Opinion(f"{title} of cells by fold", corrected_resampled_t(one, two, *sizes)))
    return tuple(found)


def equivalence(first: Predictions, second: Predictions, metric: str, rope: float) -> Posterior | None:
    """How probable it is that two runs are practically equivalent; None where folds are no cross-validation.

    Parameters
    ----------
    first, second : Predictions
        Aligned row by row.
    metric : str
        A name in ``METRICS``; the sign is such that "better" means better.
    rope : float
        Differences of this size or less make no difference in practice.
    """
    sizes = _sizes(first)
    if sizes is None:
        return None
    one, two = _by_fold(first, metric), _by_fold(second, metric)
    if METRICS[metric].direction == "lower":
        one, two = -one, -two
    return correlated_t(one, two, *sizes, rope=rope)


def _of_subjects(first: Predictions, second: Predictions) -> Outcome:
    """The exact test of verdicts; the clustered one where several ids may be one person, which no exact test knows."""
    right = [rows.y_true == rows.y_pred for rows in (first, second)]
    if len(np.unique(first.group)) < len(first):
        return clustered_mcnemar(right[0], right[1], Clusters.of(first).of_row)
    return mcnemar(right[0], right[1])


def _ranking(predictions: Predictions, k: int) -> NDArray[np.float64]:
    """What orders the rows within a repeat, over all repeats."""
    ranking = np.empty(len(predictions))
    for repeat in np.unique(predictions.repeat):
        rows = predictions.repeat == repeat
        ranking[rows] = Scored.of(predictions.take(rows)).ranking(k)
    return ranking


def _by_fold(predictions: Predictions, metric: str) -> NDArray[np.float64]:
    """A metric in every fold; NaN where it is undefined."""
    return np.array([found[metric].value for found in score_by_fold(predictions, [metric]).values()])


def _sizes(predictions: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Groups tested and trained on in every fold of a cross-validation; None where a repeat has one fold.

    What a hold-out trained on is not among its predictions.
    """
    pairs = sorted(set(zip(predictions.repeat.tolist(), predictions.fold.tolist(), strict=True)))
    tested, others = [], []
    for repeat, fold in pairs:
        here = predictions.repeat == repeat
        groups = predictions.group[here & (predictions.fold == fold)]
        rest = predictions.group[here & (predictions.fold != fold)]
        if not len(rest):
            return None
        tested.append(len(np.unique(groups)))
        others.append(len(np.unique(rest)))
    return np.array(tested), np.array(others)
