"""Shares of subjects, with intervals that are exact for few of them.

References
----------
Clopper, C. J. and Pearson, E. S., The use of confidence or fiducial limits illustrated in the case of the binomial,
Biometrika 26, 1934, doi:10.1093/biomet/26.4.404.
Korn, E. L. and Graubard, B. I., Confidence intervals for proportions with small expected number of positive counts
estimated from survey data, Survey Methodology 24, 1998 (the exact interval of an effective number of subjects).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.intervals import LEVEL, Interval
from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Share:
    """How many of some subjects are called what they are, with a Clopper–Pearson interval.

    Attributes
    ----------
    right : float
        Subjects that are; a mean over repeats where there are several.
    subjects : int
        How many there are.
    interval : Interval
        Exact for subjects that are independent of each other, conservative; also where all are right. Linked subjects
        are counted as one person would be.

    Examples
    --------
    >>> str(Share(28, 28, clopper_pearson(28, 28)))
    '28/28 (0.877–1.000)'
    """

    right: float
    subjects: int
    interval: Interval

    @classmethod
    def undefined(cls, reason: str) -> Share:
        """No share, and why."""
        return cls(0, 0, Interval.undefined(reason))

    @property
    def score(self) -> Score:
        """The share, or why there is none."""
        return Score(self.right / self.subjects) if self.subjects else Score.undefined(self.interval.reason)

    def __str__(self) -> str:
        return f"{self.right:g}/{self.subjects} ({self.interval})" if self.subjects else "–"


def clopper_pearson(right: float, n: float, level: float = LEVEL) -> Interval:
    """The exact interval of a binomial share.

    Parameters
    ----------
    right : float
        Successes; may be a mean over repeats of the same ``n`` trials, for which the beta quantiles interpolate.
    n : float
        Trials; an effective number where trials depend on each other.

    Examples
    --------
    >>> str(clopper_pearson(28, 28))
    '0.877–1.000'
    """
    from scipy.special import betaincinv

    if not n:
        return Interval.undefined("no subjects")
    tail = (1 - level) / 2
    low = 0.0 if right <= 0 else float(betaincinv(right, n - right + 1, tail))
    high = 1.0 if right >= n else float(betaincinv(right + 1, n - right, 1 - tail))
    return Interval(low, high)


def shares(decisions: Predictions, level: float = LEVEL) -> dict[str, Share]:
    """Accuracy, sensitivity and specificity over subjects.

    Parameters
    ----------
    decisions : Predictions
        One row a subject and repeat; two classes, the positive one stated.
    level : float
        Of the intervals.

    Returns
    -------
    dict of str to Share
        ``accuracy``, ``sensitivity``, ``specificity``. Linked subjects may be one person, whose ids are right or wrong
        together: of n subjects in groups of m each, n² / Σ m² count, which is n where nobody is linked.

    Raises
    ------
    PredictionsError
        The rows are of cells, or no positive class is stated.
    """
    if decisions.positive is None or not np.array_equal(decisions.sample, decisions.subject):
        raise PredictionsError("shares of subjects: give decisions about subjects with a positive class")
    right, positive = decisions.y_pred == decisions.y_true, decisions.y_true == decisions.positive
    everybody = np.ones(len(decisions), dtype=np.bool_)
    parts = {"accuracy": everybody, "sensitivity": positive, "specificity": ~positive}
    return {name: _share(decisions, right, rows, level) for name, rows in parts.items()}


def _share(decisions: Predictions, right: NDArray[np.bool_], rows: NDArray[np.bool_], level: float) -> Share:
    subjects = len(np.unique(decisions.subject[rows]))
    repeats = len(np.unique(decisions.repeat))
    mean = int(right[rows].sum()) / repeats
    if not subjects:
        return Share.undefined("no subjects")
    _, first = np.unique(decisions.subject[rows], return_index=True)
    linked = np.unique(decisions.group[rows][first], return_counts=True)[1]
    effective = subjects**2 / float((linked**2).sum())
    return Share(mean, subjects, clopper_pearson(mean * effective / subjects, effective, level))
