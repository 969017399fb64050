"""Thresholds that reach a target: literal definitions on one set of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UnknownNameError, UsageError

Values = NDArray[np.float64]

_SLACK = 1e-9  # 19 of 20 reach 0.95, whatever floating point makes of 19/20


@dataclass(frozen=True, eq=False)
class Steps:
    """Counts at every threshold that makes a difference: a row is called positive when its score is at least t.

    Attributes
    ----------
    t : ndarray of shape (m,), float64
        The distinct scores, falling: from few calls to calling every row.
    hits, alarms : ndarray of shape (m,), float64
        Positive and negative rows that are called at each.
    """

    t: Values
    hits: Values
    alarms: Values

    @classmethod
    def of(cls, scores: Values, positive: NDArray[np.bool_]) -> Steps:
        """From scores (n,) and whether each row is positive; both kinds are there."""
        order = np.argsort(-scores, kind="stable")
        falling, pro = scores[order], positive[order]
        last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
        return cls(falling[last], np.cumsum(pro)[last].astype(float), np.cumsum(~pro)[last].astype(float))

    @cached_property
    def sensitivity(self) -> Values:
        """Share of positive rows that are called, rising."""
        return np.asarray(self.hits / self.hits[-1])

    @cached_property
    def specificity(self) -> Values:
        """Share of negative rows that are not called, falling."""
        return np.asarray(1 - self.alarms / self.alarms[-1])

    @cached_property
    def ppv(self) -> Values:
        """Share of called rows that are positive."""
        return np.asarray(self.hits / (self.hits + self.alarms))

    @cached_property
    def npv(self) -> Values:
        """Share of rows not called that are negative; NaN where every row is called."""
        left = self.hits[-1] - self.hits + self.alarms[-1] - self.alarms
        with np.errstate(invalid="ignore"):
            return np.where(left > 0, (self.alarms[-1] - self.alarms) / left, np.nan)


@dataclass(frozen=True)
class Target:
    """What a threshold shall reach.

    Attributes
    ----------
    quantity : str
        A name of :data:`QUANTITIES`.
    value : float
        To reach, above 0 and at most 1; NaN for ``youden``, which has none.
    conservative : bool
        Whether a lower confidence bound shall reach it, in place of the estimate; for sensitivity and specificity.
    """

    quantity: str
    value: float
    conservative: bool = False

    def __str__(self) -> str:
        if self.quantity == "youden":
            return "greatest sensitivity + specificity"
        return f"{self.quantity} ≥ {self.value:g}" + (" at its lower bound" if self.conservative else "")


def at(text: str, *, conservative: bool = False) -> Target:
    """Read a target: ``"sensitivity=0.95"``, ``"specificity=0.9"``, ``"ppv=0.8"``, ``"npv=0.99"`` or ``"youden"``.

    Raises
    ------
    UnknownNameError
        There is no such quantity.
    UsageError
        A value that is no number above 0 and at most 1, or a lower bound of what has none.

    Examples
    --------
    >>> print(at("sensitivity=0.95"))
    sensitivity ≥ 0.95
    """
    quantity, _, value = text.replace(" ", "").partition("=")
    if quantity not in QUANTITIES:
        raise UnknownNameError("operating point", quantity, QUANTITIES)
    if conservative and quantity not in ("sensitivity", "specificity"):
        raise UsageError(f"operating point {text!r}: only sensitivity and specificity have a conservative variant")
    if quantity == "youden":
        if value:
            raise UsageError(f"operating point {text!r}: youden takes no value")
        return Target(quantity, float("nan"))
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0 < number <= 1:
        raise UsageError(f"operating point {text!r}: give a number above 0 and at most 1, e.g. {quantity}=0.95")
    return Target(quantity, number, conservative)


def reaching(steps: Steps, target: Target, reached: Values | None = None) -> tuple[float, str]:
    """The threshold of a target, or why there is none.

    Parameters
    ----------
    steps : Steps
        Of the rows to choose on.
    target : Target
        What to reach.
    reached : ndarray of shape (m,) or None
        In place of the quantity itself, e.g. its lower bound at each threshold.

    Returns
    -------
    (float, str)
        NaN with the reason where no threshold that calls any row reaches the target.
    """
    if target.quantity == "youden":
        return float(steps.t[int(np.argmax(steps.sensitivity + steps.specificity))]), ""
    values = getattr(steps, target.quantity) if reached is None else reached
    good = np.flatnonzero(values >= target.value - _SLACK)
    if not len(good):
        best = float(np.nanmax(values)) if np.isfinite(values).any() else float("nan")
        return float("nan"), f"no threshold has {target} on the inner predictions; the best has {best:.3f}"
    return float(steps.t[QUANTITIES[target.quantity](good)]), ""


def _first(good: NDArray[np.int64]) -> int:
    """The highest threshold: the fewest calls that suffice."""
    return int(good[0])


def _last(good: NDArray[np.int64]) -> int:
    """The lowest threshold: as many calls as may be."""
    return int(good[-1])


QUANTITIES: Mapping[str, Callable[[NDArray[np.int64]], int]] = {
    "sensitivity": _first,
    "specificity": _last,
    "ppv": _last,
    "npv": _first,
    "youden": _first,
}
"""What a threshold can be chosen for, and which of several thresholds that reach it is taken: the one that costs least
of the other kind of mistake."""
