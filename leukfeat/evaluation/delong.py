"""AUROCs of several models on the same rows: their covariance and the difference of any two.

The area is the share of (positive, negative) pairs that are ranked the right way round, ties counting half. DeLong's
variance takes rows as independent; Obuchowski's takes clusters as independent, whatever is alike within one, and a
cluster may hold rows of both classes. Both come from the same placements, which midranks give in O(n log n):

    V10(Xᵢ) = 1/N Σⱼ ψ(Xᵢ, Yⱼ)        V01(Yⱼ) = 1/M Σᵢ ψ(Xᵢ, Yⱼ)        θ = mean V10 = mean V01
    Aᵢ = Σ over the positives of cluster i of (V10 − θ) / M             Bᵢ likewise of its negatives
    var θ = I₁₀/(I₁₀−1) Σ Aᵢ² + I₀₁/(I₀₁−1) Σ Bᵢ² + 2 I/(I−1) Σ AᵢBᵢ

with I clusters, I₁₀ of which hold positives and I₀₁ negatives. With one row a cluster this is DeLong's formula.

References
----------
DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L., Comparing the areas under two or more correlated receiver
operating characteristic curves: a nonparametric approach, Biometrics 44(3), 1988, doi:10.2307/2531595.
Obuchowski, N. A., Nonparametric analysis of clustered ROC curve data, Biometrics 53(2), 1997, doi:10.2307/2533958.
Sun, X. and Xu, W., Fast implementation of DeLong's algorithm for comparing the areas under correlated receiver
operating characteristic curves, IEEE Signal Processing Letters 21(11), 2014, doi:10.1109/LSP.2014.2337313.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukfeat.errors import PredictionsError, UsageError
from leukfeat.evaluation.intervals import LEVEL, Interval
from leukfeat.evaluation.outcome import Outcome
from leukfeat.evaluation.scored import mid_ranks

Floats = NDArray[np.float64]

DELONG = "DeLong's test (DeLong et al. 1988)"
CLUSTERED_DELONG = "clustered DeLong test (Obuchowski 1997)"

_NO_SPREAD = 1e-14  # standard errors below are rounding: a single pair of 10 million rows weighs more


@dataclass(frozen=True, eq=False)
class Areas:
    """AUROCs of m models on the same rows, or the reason why there are none.

    Attributes
    ----------
    test : str
        Name of the test of a difference, with its reference.
    area : ndarray of shape (m,), float64
        AUROCs (means over repeats); NaN where they are undefined.
    positives, negatives : ndarray of shape (m, g), float64
        What each cluster adds to a model's area through its positive and its negative rows; A and B of the module.
    holds : ndarray of shape (2, g), bool
        Which clusters hold positives (first row) and negatives.
    unit : str
        What is independent, in the plural: ``"rows"`` or ``"clusters"``.
    reason : str
        Why variances are undefined; empty where they are defined. The area may be known all the same.
    """

    test: str
    area: Floats
    positives: Floats
    negatives: Floats
    holds: NDArray[np.bool_]
    unit: str
    reason: str = ""

    @property
    def basis(self) -> str:
        """What the variances rest on."""
        return f"{self.holds.shape[1]} {self.unit}"

    @property
    def covariance(self) -> Floats:
        """Covariance of the areas, (m, m); NaN where it is undefined."""
        if self.reason:
            return np.full((len(self.area), len(self.area)), math.nan)
        cross = self.positives @ self.negatives.T
        both = self.holds.shape[1]
        return (
            _unbiased(self.holds[0].sum()) * self.positives @ self.positives.T
            + _unbiased(self.holds[1].sum()) * self.negatives @ self.negatives.T
            + _unbiased(both) * (cross + cross.T)
        )

    @property
    def standard_error(self) -> Floats:
        """Of each area, (m,); NaN where it is undefined, 0 where a model ranks every pair alike."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def interval(self, model: int = 0, level: float = LEVEL) -> Interval:
        """Normal confidence interval of one area, cut at 0 and 1."""
        from scipy.special import ndtri

        if not 0 < level < 1:
            raise UsageError(f"an interval of level {level}: give a number between 0 and 1, e.g. 0.95")
        if self.reason:
            return Interval.undefined(self.reason)
        error = float(self.standard_error[model])
        if error <= _NO_SPREAD:
            return Interval.undefined(f"an AUROC of {self.area[model]:.3f} is the same for every row")
        reach = float(ndtri((1 + level) / 2)) * error
        return Interval(max(0.0, float(self.area[model]) - reach), min(1.0, float(self.area[model]) + reach))

    def compare(self, first: int = 0, second: int = 1) -> Outcome:
        """Test the difference of two areas.

        Parameters
        ----------
        first, second : int
            Numbers of the models.

        Returns
        -------
        Outcome
            A z test; undefined, with the reason, where the areas are, or where the difference has no variance.
        """
        from scipy.special import ndtr

        estimates = (float(self.area[first]), float(self.area[second]))
        if self.reason:
            return Outcome.undefined(self.test, self.basis, self.reason, estimates)
        # the contrast is taken before squaring: two models that rank alike have a variance of exactly 0
        contrast = Areas(
            test=self.test,
            area=self.area[[first]] - self.area[[second]],
            positives=self.positives[[first]] - self.positives[[second]],
            negatives=self.negatives[[first]] - self.negatives[[second]],
            holds=self.holds,
            unit=self.unit,
        )
        error = float(contrast.standard_error[0])
        if error <= _NO_SPREAD:
            alike = abs(contrast.area[0]) <= _NO_SPREAD
            reason = "both rank every row alike" if alike else f"the difference is the same for all {self.unit}"
            return Outcome.undefined(self.test, self.basis, reason, estimates)
        z = float(contrast.area[0]) / error
        return Outcome(
            test=self.test,
            basis=self.basis,
            estimates=estimates,
            difference=float(contrast.area[0]),
            standard_error=error,
            symbol="z",
            statistic=z,
            p=float(2 * ndtr(-abs(z))),
        )


def delong(scores: ArrayLike, y: ArrayLike) -> Areas:
    """AUROCs with DeLong's covariance: every row is taken as independent of all others.

    Cells of one subject are not independent; for them see :func:`clustered_delong`.

    Parameters
    ----------
    scores : array of shape (m, n), float
        Of m models for the same n rows; higher speaks for the positive class. Only their order counts.
    y : array of shape (n,), bool
        Whether a row is positive.

    Returns
    -------
    Areas
        Its ``compare(first, second)`` is DeLong's test. Undefined, with the reason, where a class has no row or one.

    Raises
    ------
    PredictionsError
        Shapes that do not fit, or a score that is no number.
    """
    rows = np.arange(np.asarray(y).size)
    return _areas(scores, y, rows, np.zeros(len(rows), dtype=np.int64), DELONG, "rows")


def clustered_delong(scores: ArrayLike, y: ArrayLike, clusters: ArrayLike, repeats: ArrayLike | None = None) -> Areas:
    """AUROCs with Obuchowski's covariance: rows of a cluster may be alike, clusters are independent.

    Parameters
    ----------
    scores : array of shape (m, n), float
        Of m models for the same n rows; higher speaks for the positive class. Only their order counts.
    y : array of shape (n,), bool
        Whether a row is positive.
    clusters : array of shape (n,), int
        Which rows belong together; a cluster may hold both classes.
    repeats : array of shape (n,), int, or None
        Repeat of a cross-validation that each row belongs to. Rows are ranked within their repeat, and the areas are
        the means over repeats; a cluster is one and the same in all of them. One repeat by default.

    Returns
    -------
    Areas
        Its ``compare(first, second)`` is the paired test. Undefined, with the reason, where a repeat lacks a class or
        where a class has rows in fewer than two clusters.

    Raises
    ------
    PredictionsError
        Shapes that do not fit, or a score that is no number.
    """
    once = np.zeros(np.asarray(y).size, dtype=np.int64) if repeats is None else np.asarray(repeats)
    return _areas(scores, y, np.asarray(clusters), once, CLUSTERED_DELONG, "clusters")


def _areas(
    scores: ArrayLike, y: ArrayLike, clusters: NDArray[np.int64], repeats: NDArray[np.int64], test: str, unit: str
) -> Areas:
    values, positive = np.asarray(scores, dtype=np.float64), np.asarray(y)
    _check(values, positive, clusters, repeats)
    names, cluster = np.unique(clusters, return_inverse=True)
    holds = np.stack([np.bincount(cluster[rows], minlength=len(names)) > 0 for rows in (positive, ~positive)])
    turns = [repeats == repeat for repeat in np.unique(repeats)]
    area = np.full(len(values), math.nan)
    none = np.zeros((len(values), len(names)))
    if not turns or any(positive[rows].all() or not positive[rows].any() for rows in turns):
        return Areas(test, area, none, none, holds, unit, "one class only")
    parts = [_placements(values[:, rows], positive[rows], cluster[rows], len(names)) for rows in turns]
    area, positives, negatives = (np.mean([part[k] for part in parts], axis=0) for k in range(3))
    single = [name for name, held in zip(("positive", "negative"), holds, strict=True) if held.sum() < 2]
    reason = f"the {single[0]} class has 1 {unit.removesuffix('s')}; at least 2 are needed" if single else ""
    return Areas(test, area, positives, negatives, holds, unit, reason)


def _placements(
    values: Floats, positive: NDArray[np.bool_], cluster: NDArray[np.int64], n_clusters: int
) -> tuple[Floats, Floats, Floats]:
    """Areas (m,), and what the positives and the negatives of each cluster add to them, (m, g) each; one repeat."""
    above, below = values[:, positive], values[:, ~positive]
    m, n = above.shape[1], below.shape[1]
    overall = _mid_ranks(values)
    # Sun and Xu: of the rows a positive outranks, those that are no positives
    v10 = (overall[:, positive] - _mid_ranks(above)) / n  # (models, m)
    v01 = 1 - (overall[:, ~positive] - _mid_ranks(below)) / m  # (models, n)
    area = v10.mean(axis=1)
    return (
        area,
        _totals((v10 - area[:, None]) / m, cluster[positive], n_clusters),
        _totals((v01 - area[:, None]) / n, cluster[~positive], n_clusters),
    )


def _mid_ranks(values: Floats) -> Floats:
    """Ranks along rows, each from 1; ties share their mean."""
    return np.stack([mid_ranks(row) for row in values])


def _totals(parts: Floats, cluster: NDArray[np.int64], n_clusters: int) -> Floats:
    return np.stack([np.bincount(cluster, weights=row, minlength=n_clusters) for row in parts])


def _unbiased(number: int) -> float:
    """What turns a sum of squares over clusters into a variance."""
    return float(number / (number - 1))


def _check(values: Floats, y: NDArray[np.bool_], clusters: NDArray[np.int64], repeats: NDArray[np.int64]) -> None:
    if values.ndim != 2 or not len(values) or any(one.shape != values.shape[1:] for one in (y, clusters, repeats)):
        raise PredictionsError(
            f"scores {values.shape}, y {y.shape}, clusters {clusters.shape}, repeats {repeats.shape}: scores must be"
            " (models, rows) and the others (rows,)"
        )
    if y.dtype != np.bool_:
        raise PredictionsError(f"y is {y.dtype}; give booleans, e.g. y_true == positive")
    missing = np.isnan(values)
    if missing.any():
        model, row = np.argwhere(missing)[0].tolist()
        raise PredictionsError(f"scores: row {row} of model {model} is not a number ({int(missing.sum())} such scores)")
