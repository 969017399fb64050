"""Which means and standard deviations numbers can have that are known to a few digits only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.printed import SLACK, Printed

Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


def ends_of(values: Sequence[Printed], step: float = 0.0) -> Ends:
    """Lowest and highest of what each value may have been, two arrays of shape (n,).

    Parameters
    ----------
    values : sequence of Printed
        The values.
    step : float
        What all of them are multiples of (one image of the test part), if anything. A value that would be no multiple
        keeps its range.
    """
    low, high = (np.array(ends) for ends in zip(*(value.band() for value in values), strict=True))
    if step:
        up, down = np.ceil((low - SLACK) / step) * step, np.floor((high + SLACK) / step) * step
        low, high = np.where(up <= down + SLACK, up, low), np.where(up <= down + SLACK, down, high)
    return low, high


def mean_range(ends: Ends) -> tuple[float, float]:
    """Lowest and highest mean."""
    return float(ends[0].mean()), float(ends[1].mean())


def sd_range(ends: Ends, ddof: int) -> tuple[float, float]:
    """Lowest and highest standard deviation.

    The sum of squares is convex in the values. Its minimum has every value as near as it can be to one common centre;
    its maximum has values at their ends, those below some point at the lower one and those above at the upper.
    """
    low, high = ends
    order = np.argsort(low + high)
    low, high = low[order], high[order]
    highest = max(float(np.std(np.concatenate([low[:k], high[k:]]), ddof=ddof)) for k in range(len(low) + 1))
    left, right = float(low.min()), float(high.max())
    for _ in range(100):  # ternary search: the distance to a centre is convex in the centre
        third = (right - left) / 3
        if _spread(low, high, left + third) <= _spread(low, high, right - third):
            right -= third
        else:
            left += third
    lowest = float(np.std(np.clip((left + right) / 2, low, high), ddof=ddof))
    return lowest, highest


def _spread(low: NDArray[np.float64], high: NDArray[np.float64], centre: float) -> float:
    return float(((np.clip(centre, low, high) - centre) ** 2).sum())
