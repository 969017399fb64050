"""ROC and precision-recall curves with pointwise bands, from resamples of subjects.

Bands are vertical: at each false positive rate (or recall) the curves of all resamples are read, and the band spans
their middle part (Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006,
doi:10.1016/j.patrec.2005.10.010, section 10.1, vertical averaging). A band holds point by point, not for a whole curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UsageError
from leukfeat.evaluation.intervals import LEVEL
from leukfeat.evaluation.metrics import POSITIVE_NOT_STATED
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Draws
from leukfeat.evaluation.scored import Scored
from leukfeat.evaluation.thresholds import Steps

Kind = Literal["roc", "precision-recall"]
Values = NDArray[np.float64]

GRID = np.linspace(0.0, 1.0, 201)
"""Where curves are read."""

_STEPS = 400  # counts of a resample are read at so many scores at most; the curve itself at all of them


@dataclass(frozen=True, eq=False)
class Band:
    """A curve and the band around it, or the reason why there is none.

    Attributes
    ----------
    x : ndarray of shape (m,), float64
        False positive rate, or recall.
    y : ndarray of shape (m,), float64
        True positive rate, or precision; the mean over repeats, and over the classes of several.
    low, high : ndarray of shape (m,), float64
        Ends of the band; empty where no draws were given, or where clusters are too few.
    prevalence : float
        Share of the positive class, which is the precision of guessing; the mean over the classes of several.
    reason : str
        Why there is no curve; empty where there is one.
    """

    x: Values
    y: Values
    low: Values
    high: Values
    prevalence: float
    reason: str = ""


def bands(
    predictions: Predictions, draws: Draws | None = None, *, level: float = LEVEL, grid: Values = GRID
) -> dict[Kind, Band]:
    """The curves of one model with their bands, all read from the same counts.

    ``"roc"``: sensitivity at each false positive rate, the steps of tied scores joined by lines.
    ``"precision-recall"``: precision at each recall, of the highest threshold that reaches it (precision is not
    interpolated: Davis and Goadrich, ICML 2006, doi:10.1145/1143844.1143874).

    Parameters
    ----------
    predictions : Predictions
        Of cells or of subjects.
    draws : Draws or None
        Resamples of the clusters of these predictions, for the bands.
    level : float
        Of the bands.
    grid : ndarray of shape (m,), float64
        Rising, from 0 to 1.

    Raises
    ------
    UsageError
        The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise UsageError(f"a band of level {level}: give a number between 0 and 1, e.g. 0.95")
    parts = [
        (np.flatnonzero(predictions.repeat == repeat), Scored.of(predictions.take(predictions.repeat == repeat)))
        for repeat in np.unique(predictions.repeat)
    ]
    absent = next((scored.absent for _, scored in parts if scored.absent), "")
    reasons = {kind: absent or _without(kind, parts[0][1]) for kind in _READERS}
    defined = [kind for kind, reason in reasons.items() if not reason]
    curves = [(rows, scored, k) for rows, scored in parts for k in (scored.of_interest or (1,))] if defined else []
    plain: dict[Kind, list[Values]] = {kind: [] for kind in defined}
    drawn: dict[Kind, list[Values]] = {kind: [] for kind in defined}
    for rows, scored, k in curves:
        hits, alarms = _counts(scored, k)
        _read_into(plain, hits[None], alarms[None], grid)
        if draws is not None and not draws.clusters.too_few:
            _read_into(drawn, *_drawn(scored, k, draws, rows), grid)
    prevalence = float(np.mean([(scored.y_true == k).mean() for _, scored, k in curves])) if curves else float("nan")
    none = np.empty(0)
    return {
        kind: Band(none, none, none, none, float("nan"), reason)
        if reason
        else Band(grid, np.mean(plain[kind], axis=0)[0], *_ends(drawn[kind], level), prevalence)
        for kind, reason in reasons.items()
    }


def _without(kind: Kind, scored: Scored) -> str:
    """Why there is no curve where every class has rows; empty where there is one."""
    return POSITIVE_NOT_STATED if kind == "precision-recall" and not scored.of_interest else ""


def _ends(drawn: Sequence[Values], level: float) -> tuple[Values, Values]:
    """Ends of the band from curves (B, m) of repeats and classes, which are averaged; empty where there are none."""
    if not drawn:
        return np.empty(0), np.empty(0)
    mean = np.mean(drawn, axis=0)
    known = mean[~np.isnan(mean).any(axis=1)]  # a resample has a curve or has none; nanquantile would look at each
    if not len(known):
        return np.full(mean.shape[1], np.nan), np.full(mean.shape[1], np.nan)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


Reader = Callable[[Values, Values, Values], Values]


def _counts(scored: Scored, k: int) -> tuple[Values, Values]:
    """Rows of class ``k`` and of the others at or above each distinct score, each beginning with 0."""
    steps = Steps.of(scored.ranking(k), scored.y_true == k)
    return np.append(0.0, steps.hits), np.append(0.0, steps.alarms)


def _drawn(scored: Scored, k: int, draws: Draws, rows: NDArray[np.int64]) -> tuple[Values, Values]:
    """The same counts in every resample, (B, r + 1) each, at up to ``_STEPS`` scores."""
    ranking = scored.ranking(k)
    # where there are many scores, neighbouring ones are read together: the band is drawn, not counted
    levels, step = np.unique(-ranking, return_inverse=True)
    step = step * min(_STEPS, len(levels)) // len(levels)
    n_steps, cluster = int(step.max()) + 1, draws.clusters.of_row[rows]
    shape = (2, draws.counts.shape[1], n_steps)
    cell = np.ravel_multi_index(((scored.y_true != k).astype(int), cluster, step), shape)
    by_cluster = np.bincount(cell, minlength=2 * shape[1] * n_steps).reshape(shape)
    hits, alarms = (
        np.concatenate([np.zeros((len(draws), 1)), np.cumsum(draws.counts @ some, axis=1)], axis=1)
        for some in by_cluster.astype(np.float32)
    )
    return hits, alarms


def _read_into(found: dict[Kind, list[Values]], hits: Values, alarms: Values, grid: Values) -> None:
    """Add the curves of one repeat and class to those of each kind."""
    for kind, curves in found.items():
        curves.append(_read_all(hits, alarms, _READERS[kind], grid))


def _read_all(hits: Values, alarms: Values, read: Reader, grid: Values) -> Values:
    """The curve of every resample, (B, m); NaN where a class has no rows in one."""
    found = np.full((len(hits), len(grid)), np.nan)
    for number in np.flatnonzero((hits[:, -1] > 0) & (alarms[:, -1] > 0)).tolist():
        found[number] = read(hits[number], alarms[number], grid)
    return found


def _sensitivity_at(hits: Values, alarms: Values, grid: Values) -> Values:
    """Share of hits at each share of alarms; counts (r + 1,) begin with 0. At a jump the upper end counts."""
    return np.asarray(np.interp(grid, alarms / alarms[-1], hits / hits[-1]))


def _precision_at(hits: Values, alarms: Values, grid: Values) -> Values:
    """Precision at the first count that reaches each recall; at a recall of 0 that of the first hit."""
    reached = np.searchsorted(hits, np.maximum(grid * hits[-1], 1e-9) - 1e-9, side="left")
    at = np.maximum(reached, np.searchsorted(hits, 1e-9, side="left"))
    return np.asarray(hits[at] / (hits[at] + alarms[at]))


_READERS: Mapping[Kind, Reader] = {"roc": _sensitivity_at, "precision-recall": _precision_at}
