"""Curves behind the numbers, as arrays a figure can draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.scored import Scored

_GRID = 1001  # points of a mean curve


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a curve, or the reason why there is none.

    Attributes
    ----------
    x, y : ndarray of shape (n,), float64
        Points in order of ``x``; empty where the curve is undefined.
    reason : str
        Why it is undefined; empty where it is defined.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    reason: str = ""


def roc(predictions: Predictions) -> Curve:
    """False positive rate against true positive rate.

    With several classes the mean of the one-vs-rest curves, and with several repeats the mean of theirs, at equal
    false positive rates; the area under it is the mean of their areas, as ``METRICS["auroc"]`` gives it. Two classes
    without a stated positive class are drawn for the second; the area is the same for the first.
    """
    from sklearn.metrics import roc_curve

    repeats = [Scored.of(predictions.take(predictions.repeat == one)) for one in np.unique(predictions.repeat)]
    reason = next((scored.absent for scored in repeats if scored.absent), "")
    if reason:
        return Curve(np.empty(0), np.empty(0), reason)
    curves = [
        roc_curve(scored.y_true == k, scored.ranking(k))[:2] for scored in repeats for k in (scored.of_interest or (1,))
    ]
    if len(curves) == 1:
        return Curve(*curves[0])
    x = np.linspace(0.0, 1.0, _GRID)
    y = np.mean([np.interp(x, *curve) for curve in curves], axis=0)
    return Curve(np.concatenate([[0.0], x]), np.concatenate([[0.0], y]))
