"""Decision curves: is acting on the model better than acting on everybody, or on nobody?

References
----------
Vickers, A. J. and Elkin, E. B., Decision curve analysis, Medical Decision Making 26, 2006,
doi:10.1177/0272989X06295361.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UsageError
from leukfeat.evaluation.metrics import POSITIVE_NOT_STATED
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Draws
from leukfeat.evaluation.scored import Scored

Values = NDArray[np.float64]

THRESHOLDS = np.linspace(0.01, 0.99, 99)
"""Where net benefit is computed when nobody says otherwise."""


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit at every threshold, or the reason why there is none.

    Attributes
    ----------
    threshold : ndarray of shape (m,), float64
        Probability from which one acts; odds of it are the harm of a false alarm, measured in hits.
    model, treat_all : ndarray of shape (m,), float64
        Net benefit: hits a row, less false alarms a row times the odds of the threshold. That of treating nobody is 0.
    low, high : ndarray of shape (m,), float64
        Percentile band of ``model`` over resampled clusters, pointwise; empty where no draws were given.
    prevalence : float
        Share of positive rows it is for.
    reason : str
        Why there is none; empty where there is one.
    """

    threshold: Values
    model: Values
    treat_all: Values
    low: Values
    high: Values
    prevalence: float
    reason: str = ""

    @property
    def useful(self) -> tuple[tuple[float, float], ...]:
        """Ranges of thresholds at which the model is better than treating all and better than treating none."""
        better = self.model > np.maximum(self.treat_all, 0)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], better, [False]]).astype(int)))
        pairs = zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
        return tuple((float(self.threshold[first]), float(self.threshold[last])) for first, last in pairs)


def decision_curve(
    predictions: Predictions,
    *,
    thresholds: Values = THRESHOLDS,
    prevalence: float | None = None,
    draws: Draws | None = None,
    level: float = 0.95,
) -> DecisionCurve:
    """Net benefit of acting where the probability of the positive class is at least a threshold.

    The threshold is read as a probability, so the curve is for calibrated predictions.

    Parameters
    ----------
    predictions : Predictions
        Of cells or of subjects; two classes, the positive one stated.
    thresholds : ndarray of shape (m,)
        Rising, between 0 and 1, exclusive.
    prevalence : float or None
        Share of positive rows to compute it for, from sensitivity and specificity; that of the rows by default.
    draws : Draws or None
        Resamples of the clusters of these predictions, for the band.
    level : float
        Of the band.

    Raises
    ------
    UsageError
        A threshold or the prevalence is not between 0 and 1.
    """
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if not len(thresholds) or not ((thresholds > 0) & (thresholds < 1)).all():
        raise UsageError("decision curve: give thresholds between 0 and 1, exclusive")
    if prevalence is not None and not 0 < prevalence < 1:
        raise UsageError(f"a prevalence of {prevalence}: give a number between 0 and 1, e.g. 0.05")
    scored = Scored.of(predictions)
    reason = POSITIVE_NOT_STATED if len(scored.classes) == 2 and not scored.of_interest else scored.absent
    if len(scored.classes) > 2:
        reason = "for two classes only"
    if reason:
        empty = np.empty(0)
        return DecisionCurve(thresholds, empty, empty, empty, empty, float("nan"), reason)
    (k,) = scored.of_interest
    positive = scored.y_true == k
    owner, n = (draws.clusters.of_row, len(draws.clusters)) if draws else (np.zeros(len(positive), dtype=np.int64), 1)
    passed = np.searchsorted(thresholds, scored.proba[:, k], side="right")  # thresholds that call each row, (n,)
    hits, alarms = (_called(passed[rows], owner[rows], n, len(thresholds)) for rows in (positive, ~positive))
    together = (hits.sum(axis=0, keepdims=True), alarms.sum(axis=0, keepdims=True))
    plain = _benefit(*together, thresholds, prevalence)[0]
    share = float(positive.mean()) if prevalence is None else prevalence
    low, high = _band(hits, alarms, thresholds, prevalence, draws, level) if draws else (np.empty(0),) * 2
    treat_all = share - (1 - share) * thresholds / (1 - thresholds)
    return DecisionCurve(thresholds, plain, treat_all, low, high, share)


def _called(passed: NDArray[np.int64], owner: NDArray[np.int64], n: int, m: int) -> Values:
    """How many rows each of ``n`` owners has, and how many are called at each of ``m`` thresholds, (n, 1 + m)."""
    counts = np.bincount(owner * (m + 1) + passed, minlength=n * (m + 1)).reshape(n, m + 1)
    return np.asarray(counts[:, ::-1].cumsum(axis=1)[:, ::-1], dtype=np.float64)


def _benefit(hits: Values, alarms: Values, thresholds: Values, prevalence: float | None) -> Values:
    """Net benefit, (B, m), from counts as :func:`_called` has them, of positive and of negative rows, (B, 1 + m)."""
    n_positive, n_negative = hits[:, :1], alarms[:, :1]
    share = n_positive / (n_positive + n_negative) if prevalence is None else prevalence
    odds = thresholds / (1 - thresholds)
    return np.asarray(hits[:, 1:] / n_positive * share - alarms[:, 1:] / n_negative * (1 - share) * odds)


def _band(
    hits: Values, alarms: Values, thresholds: Values, prevalence: float | None, draws: Draws, level: float
) -> tuple[Values, Values]:
    """Pointwise percentiles over resamples; repeats of a study stand in it as further rows of their clusters."""
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = _benefit(draws.weights @ hits, draws.weights @ alarms, thresholds, prevalence)
    known = drawn[~np.isnan(drawn).any(axis=1)]  # a resample without a class has no benefit at any threshold
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(known, ends, axis=0) if len(known) else np.full((2, len(thresholds)), np.nan)
    return low, high
