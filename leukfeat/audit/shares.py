"""Figures of a test part whose size is not told: can any number of images give them, and with which share of positives?

Accuracy, sensitivity, specificity, precision, NPV and F1 are ratios of sums of cells. With cells as shares of all
images, "the ratio lies between these values" is two linear inequalities, so two linear programs give the lowest and
highest share of positives, or say that there is none. Other measures are not linear and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leukfeat.audit.matrices import Constraint
from leukfeat.audit.measures import RATIOS


def positive_share(constraints: Sequence[Constraint], tolerance: float = 0.0) -> tuple[float, float] | None:
    """Lowest and highest share of the first class that agrees with the linear ones of the figures.

    Parameters
    ----------
    constraints : sequence of Constraint
        The figures; those that are not in :data:`leukfeat.audit.measures.RATIOS` are passed over.
    tolerance : float
        How far a value may be from a printed one where it would be printed otherwise.

    Returns
    -------
    tuple of float or None
        ``None`` where no number of images can give these figures.
    """
    from scipy.optimize import linprog

    rows = []
    for constraint in constraints:
        if constraint.measure not in RATIOS:
            continue
        above, below = (np.array(weights, dtype=float) for weights in RATIOS[constraint.measure])
        if constraint.swapped:
            above, below = above[::-1], below[::-1]
        low, high = constraint.band(tolerance)
        rows += [low * below - above, above - high * below]
    ends = []
    for direction in (1.0, -1.0):
        found = linprog(
            direction * np.array([1.0, 1.0, 0.0, 0.0]),  # TP, FN, FP, TN
            A_ub=np.array(rows) if rows else None,
            b_ub=np.zeros(len(rows)) if rows else None,
            A_eq=np.ones((1, 4)),
            b_eq=np.ones(1),
        )
        if not found.success:
            return None
        ends.append(float(direction * found.fun))
    return max(0.0, ends[0]), min(1.0, ends[1])
