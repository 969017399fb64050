"""Log-odds of probabilities, and the logistic line through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FURTHEST = float(-np.log(np.finfo(np.float64).eps))
"""About 36: log-odds of a probability that differs from 1 by the last bit."""

_STEPS = 100
_STILL = 1e-12  # a Newton step shorter than this is the end


def log_odds(proba: Values, k: int) -> Values:
    """Log-odds of one of two classes, from both columns: where one probability rounds to 1 the other still tells.

    Parameters
    ----------
    proba : ndarray of shape (n, 2)
        Probabilities.
    k : int
        Column of the class.

    Returns
    -------
    ndarray of shape (n,)
        Infinite where a probability is 0.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(proba[:, k]) - np.log(proba[:, 1 - k]))


def as_columns(z: Values, k: int) -> Values:
    """Probabilities of two classes, (n, 2), from the log-odds of class ``k``; both columns to full precision."""
    small = np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z)))
    pro = np.where(z >= 0, 1 - small, small)
    contra = np.where(z >= 0, small, 1 - small)
    return np.stack([pro, contra] if k == 0 else [contra, pro], axis=1)


@dataclass(frozen=True)
class Line:
    """``logit P = intercept + slope * z``."""

    intercept: float
    slope: float


def fit_line(z: Values, y: Values, *, slope: float | None = None) -> Line:
    """The logistic line of highest likelihood, by Newton's method.

    Parameters
    ----------
    z : ndarray of shape (n,)
        Finite and, where the slope is sought, not all equal.
    y : ndarray of shape (n,)
        Targets from 0 to 1; those of 0 and 1 alone must not be separated by ``z``, else there is no finite slope.
    slope : float or None
        Fixed, so that only the intercept is sought.

    Examples
    --------
    >>> import numpy as np
    >>> line = fit_line(np.array([0.0, 0, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75]))
    >>> round(line.intercept, 6), round(line.slope, 6)
    (-1.098612, 2.197225)
    """
    if slope is not None:
        columns, offset = np.ones((len(z), 1)), slope * z
        found = np.zeros(1)
    else:
        columns, offset = np.column_stack([np.ones(len(z)), z]), np.zeros(len(z))
        found = np.zeros(2)
    loss = _loss(columns @ found + offset, y)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(columns @ found + offset, -700, 700)))
        weight = np.maximum(p * (1 - p), 1e-300)
        step = np.linalg.lstsq(columns.T @ (columns * weight[:, None]), columns.T @ (y - p), rcond=None)[0]
        share = 1.0
        while (further := _loss(columns @ (found + share * step) + offset, y)) > loss and share > _STILL:
            share /= 2  # a full step may lead too far where nearly all is certain
        found, loss = found + share * step, further
        if np.abs(share * step).max() <= _STILL * (1 + np.abs(found).max()):
            break
    intercept, *steep = found.tolist()
    return Line(intercept, slope if slope is not None else steep[0])


def _loss(z: Values, y: Values) -> float:
    """Negative log-likelihood of targets under log-odds."""
    return float((np.logaddexp(0, z) - y * z).sum())
