"""Confidence intervals of metrics by resampling subjects.

Percentile and BCa intervals of a bootstrap over few clusters are too short: resampling g clusters with replacement
shows only (g-1)/g of their variance, and a normal quantile stands where Student's t belongs. The interval that is
printed by default therefore takes the bootstrap's standard error on a scale without bounds (logit; Fisher's z for
correlations), enlarges it by √(g/(g-1)) and multiplies it by Student's t with g-1 degrees of freedom, g the number of
clusters of the scarcest class, less where a few of them hold most rows (``Clusters.freedom``).
``benchmarks/coverage.py`` measures how often each of them covers the truth.

References
----------
Efron, B. and Tibshirani, R. J., An Introduction to the Bootstrap, 1993, chapters 13 and 14 (percentile, BCa).
Hesterberg, T. C., What teachers should know about the bootstrap, The American Statistician 69(4), 2015,
doi:10.1080/00031305.2015.1089789, sections 5 and 7 (narrowness bias, t intervals).
Field, C. A. and Welsh, A. H., Bootstrapping clustered data, JRSS B 69(3), 2007, doi:10.1111/j.1467-9868.2007.00593.x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.evaluation.metrics import METRICS, Score, score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampled import resampled
from leukfeat.evaluation.resampling import N_DRAWS, Clusters, Draws

Method = Literal["t", "percentile", "bca"]
Values = NDArray[np.float64]

LEVEL = 0.95
"""Of an interval where nobody says otherwise."""

_LOST = 0.05  # share of resamples in which a metric may be undefined; beyond it there is no interval


@dataclass(frozen=True)
class Interval:
    """Where the true value lies, or the reason why nothing can be said.

    Attributes
    ----------
    low, high : float
        Its ends; NaN where it is undefined.
    reason : str
        Why it is undefined; empty where it is defined.

    Examples
    --------
    >>> str(Interval(0.871, 0.9442)), str(Interval.undefined("one class only"))
    ('0.871–0.944', '–')
    """

    low: float
    high: float
    reason: str = ""

    @classmethod
    def undefined(cls, reason: str) -> Interval:
        """No interval, and why."""
        return cls(math.nan, math.nan, reason)

    @property
    def defined(self) -> bool:
        """Whether there is an interval."""
        return not self.reason

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:.3f}–{self.high:.3f}" if self.defined else "–"


class Scale(NamedTuple):
    """Where a statistic has no bounds and its distribution is more nearly symmetric.

    Attributes
    ----------
    low, high : float
        Bounds of the statistic.
    """

    low: float
    high: float

    def widened(self, values: Values, nudge: float) -> Values:
        """From the statistic to the scale; values within ``nudge`` of a bound are taken as that far from it."""
        if math.isinf(self.low):
            return values
        if math.isinf(self.high):
            return np.log(np.maximum(values - self.low, nudge))
        share = np.clip((values - self.low) / (self.high - self.low), nudge, 1 - nudge)
        return np.log(share / (1 - share))

    def narrowed(self, value: float) -> float:
        """From the scale back to the statistic."""
        if math.isinf(self.low):
            return value
        if math.isinf(self.high):
            return self.low + math.exp(value)
        return self.low + (self.high - self.low) / (1 + math.exp(-value))


DIFFERENCE = Scale(-math.inf, math.inf)
_SHARE = Scale(0, 1)
_SCALES: Mapping[str, Scale] = {"mcc": Scale(-1, 1), "log_loss": Scale(0, math.inf)}


def scale_of(metric: str, n_classes: int) -> Scale:
    """The scale of a metric of :data:`leukfeat.evaluation.metrics.METRICS`."""
    if metric == "brier" and n_classes > 2:
        return Scale(0, 2)
    return _SCALES.get(metric, _SHARE)


@dataclass(frozen=True, eq=False)
class Replicates:
    """A statistic under resampling of clusters: everything an interval or a p value is made of.

    Attributes
    ----------
    estimate : Score
        Of the data as they are.
    drawn : ndarray of shape (B,), float64
        Of every resample; NaN where it is undefined.
    clusters : Clusters
        What was resampled.
    scale : Scale
        On which the statistic has no bounds.
    nudge : float
        The smallest distance from a bound that these data can tell from none.
    pooled : bool
        Whether every class lends its degrees of freedom, by its share of the variance (Welch and Satterthwaite), or
        only the scarcest. A difference of two models is more nearly symmetric than either, and can afford it.
    left_out : ndarray of shape (g,), float64, or None
        The statistic with each cluster left out in turn (of many clusters, each of some blocks); None where nobody
        will ask, as only BCa and differences do.
    """

    estimate: Score
    drawn: Values
    clusters: Clusters
    scale: Scale = DIFFERENCE
    nudge: float = 0.0
    pooled: bool = False
    left_out: Values | None = None

    @cached_property
    def undefined(self) -> str:
        """Why there is no interval; empty where there is one."""
        if not self.estimate.defined:
            return self.estimate.reason
        if self.clusters.too_few:
            return self.clusters.too_few
        lost = float(np.isnan(self.drawn).mean())
        if lost > _LOST:
            return f"undefined in {lost:.0%} of the resamples"
        if np.ptp(self._defined) <= 1e-12 * max(1.0, abs(self.estimate.value)):
            return f"the same in every resample of the {len(self.clusters)} {self.clusters.units}"
        return ""

    @cached_property
    def _defined(self) -> Values:
        return self.drawn[~np.isnan(self.drawn)]

    @cached_property
    def freedom(self) -> float:
        """Degrees of freedom of Student's t."""
        if not self.pooled or self.influences is None:
            return self.clusters.freedom
        variances = np.array([float((part**2).sum()) / (len(part) - 1) for part in self.influences])
        sizes = self.clusters.effective - 1
        return float(variances.sum() ** 2 / (variances**2 / sizes).sum()) if variances.any() else self.clusters.freedom

    @cached_property
    def standard_error(self) -> float:
        """Bootstrap standard error on the scale, freed of its narrowness."""
        spread = float(self.scale.widened(self._defined, self.nudge).std(ddof=1))
        return spread * math.sqrt((self.freedom + 1) / self.freedom)

    @cached_property
    def influences(self) -> tuple[Values, ...] | None:
        """The jackknife's influence of every cluster, by class; None where clusters were left out in blocks."""
        left_out, stratum = self.left_out, self.clusters.stratum
        if left_out is None:
            raise ValueError("replicates that were made without leaving clusters out have no influences")
        if len(left_out) != len(stratum) or np.isnan(left_out).any():
            return None
        parts = (left_out[stratum == k] for k in np.flatnonzero(self.clusters.per_stratum))
        return tuple((len(part) - 1) * (part.mean() - part) / len(part) for part in parts)

    def interval(self, method: Method = "t", level: float = LEVEL) -> Interval:
        """The interval of one method of :data:`METHODS`, or why there is none."""
        if method not in METHODS:
            raise UnknownNameError("interval", method, METHODS)
        if not 0 < level < 1:
            raise UsageError(f"an interval of level {level}: give a number between 0 and 1, e.g. 0.95")
        if self.undefined:
            return Interval.undefined(self.undefined)
        low, high = METHODS[method](self, level)
        return Interval(low, high)

    def p_value(self) -> float:
        """Two-sided p value of the statistic being 0, by the t interval that just touches it; NaN where undefined."""
        from scipy.special import stdtr

        if self.undefined:
            return math.nan
        return float(2 * stdtr(self.freedom, -abs(self.estimate.value) / self.standard_error))


def _by_t(one: Replicates, level: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    centre = float(one.scale.widened(np.array([one.estimate.value]), one.nudge)[0])
    reach = float(stdtrit(one.freedom, (1 + level) / 2)) * one.standard_error
    return one.scale.narrowed(centre - reach), one.scale.narrowed(centre + reach)


def _by_percentile(one: Replicates, level: float) -> tuple[float, float]:
    low, high = np.quantile(one._defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _by_bca(one: Replicates, level: float) -> tuple[float, float]:
    """Bias-corrected and accelerated, with the acceleration of a sample of several strata (Efron and Tibshirani)."""
    from scipy.special import ndtr, ndtri

    drawn, value = one._defined, one.estimate.value
    slack = 1e-12 * max(1.0, abs(value))  # resamples that equal the data do so but for a last bit
    below = float(((drawn < value - slack).mean() + (drawn <= value + slack).mean()) / 2)
    bias = float(ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    pull = _acceleration(one)
    steps = ndtri(np.array([(1 - level) / 2, (1 + level) / 2])) + bias
    low, high = np.quantile(drawn, ndtr(bias + steps / (1 - pull * steps)))
    return float(low), float(high)


def _acceleration(one: Replicates) -> float:
    """Skewness of the influences over classes, a sixth of it; 0 where they are not known."""
    parts = one.influences or ()
    squares = sum(float((part**2).sum()) for part in parts)
    return sum(float((part**3).sum()) for part in parts) / squares**1.5 / 6 if squares > 0 else 0.0


METHODS: Mapping[str, Callable[[Replicates, float], tuple[float, float]]] = {
    "t": _by_t,
    "percentile": _by_percentile,
    "bca": _by_bca,
}
"""How replicates become an interval."""

METHOD_NAMES: Mapping[str, str] = {
    "t": "t interval of the bootstrap over {units} (logit scale)",
    "percentile": "percentile bootstrap over {units}",
    "bca": "BCa bootstrap over {units}",
}


def replicates(
    predictions: Predictions, metrics: Iterable[str] | None = None, *, draws: Draws | None = None
) -> dict[str, Replicates]:
    """Metrics of one model under resampling.

    Parameters
    ----------
    predictions : Predictions
        Of cells or of subjects.
    metrics : iterable of str or None
        Names in ``METRICS``; all by default.
    draws : Draws or None
        Resamples of the clusters of these predictions, shared by models that are compared; made here by default.
    """
    names = list(METRICS) if metrics is None else list(metrics)
    clusters = Clusters.of(predictions) if draws is None else draws.clusters
    # where nothing can be said nothing is computed
    drawn = Draws.of(clusters, 2 if clusters.too_few else N_DRAWS) if draws is None else draws
    leaving_out = Draws.leaving_out(clusters)
    every = Draws(clusters, np.concatenate([drawn.counts, leaving_out.counts]))
    values = resampled(predictions, every, names)
    scores = score(predictions, names)
    return {
        name: Replicates(
            estimate=scores[name],
            drawn=values[name][: len(drawn)],
            clusters=clusters,
            scale=scale_of(name, len(predictions.classes)),
            nudge=_nudge(predictions, METRICS[name].needs),
            left_out=values[name][len(drawn) :],
        )
        for name in names
    }


def _nudge(predictions: Predictions, needs: str) -> float:
    """Half of a repeat's smallest step: a row for what counts labels, a pair of two classes for what ranks them."""
    once = predictions.y_true[predictions.repeat == predictions.repeat[0]]
    if needs == "labels":
        return 0.5 / len(once)
    members = np.unique(once, return_counts=True)[1]
    return 0.5 / float(members.min() * (len(once) - members.min()) or len(once))


def intervals(
    predictions: Predictions,
    metrics: Iterable[str] | None = None,
    *,
    method: Method = "t",
    level: float = LEVEL,
    draws: Draws | None = None,
) -> dict[str, Interval]:
    """Confidence intervals of metrics; subjects are resampled (images, where subjects are unknown).

    Parameters
    ----------
    predictions : Predictions
        Of cells or of subjects; clusters are their ``group``.
    metrics : iterable of str or None
        Names in ``METRICS``; all by default.
    method : ``"t"``, ``"percentile"`` or ``"bca"``
        See the module.
    level : float
        Between 0 and 1.
    draws : Draws or None
        As in :func:`replicates`.

    Returns
    -------
    dict of str to Interval
        Undefined, with the reason, where the metric is, where a class has one subject, where the metric is undefined
        in more than 5 % of the resamples, or where all resamples agree.
    """
    found = replicates(predictions, metrics, draws=draws)
    return {name: one.interval(method, level) for name, one in found.items()}
