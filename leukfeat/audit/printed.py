"""A figure as a paper prints it: its digits say between which values the true one lies."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UsageError

Rounding = Literal["rounded", "truncated", "either"]

# Fractions of two counts up to 20,000 differ from the middle between two figures of six digits by 1e-11 or not at
# all, and float arithmetic errs by less than 1e-15: a slack between the two makes every comparison exact.
SLACK = 1e-12


def difference(value: float) -> str:
    """A difference between figures in two digits, without exponents.

    Examples
    --------
    >>> difference(0.00005), difference(0.0164)
    ('0.00005', '0.016')
    """
    return f"{Decimal(f'{value:.1e}').normalize():f}"


@dataclass(frozen=True)
class Printed:
    """A share with the precision of its digits.

    Attributes
    ----------
    value : float
        What is printed, as a share: 0.9973 for 99.73 %.
    unit : float
        One unit of the last digit, as a share: 0.0001 for 99.73 %.
    rounding : ``"rounded"``, ``"truncated"`` or ``"either"``
        How digits were dropped.

    Examples
    --------
    >>> Printed.of("99.60", percent=True).band()
    (0.99595, 0.99605)
    >>> Printed.of(0.93, decimals=3, rounding="truncated").band()
    (0.93, 0.931)
    """

    value: float
    unit: float
    rounding: Rounding = "rounded"

    @classmethod
    def of(
        cls, text: str | float, *, decimals: int | None = None, percent: bool = False, rounding: Rounding = "rounded"
    ) -> Printed:
        """Read a figure.

        Parameters
        ----------
        text : str or float
            The figure. A text carries its own digits (``"0.930"``); a number needs ``decimals``.
        decimals : int or None
            Digits behind the point that the paper prints.
        percent : bool
            Whether it is printed in per cent.
        rounding : ``"rounded"``, ``"truncated"`` or ``"either"``
            How digits were dropped.

        Raises
        ------
        UsageError
            No number, a number of unknown precision, or one with more digits than are printed.
        """
        try:
            number = Decimal(str(text).strip())
            exponent = number.as_tuple().exponent
        except InvalidOperation:
            raise UsageError(f"{text!r} is no number; write it as it is printed") from None
        if not isinstance(exponent, int):
            raise UsageError(f"{text!r} is no number; write it as it is printed")
        digits = max(0, -exponent)
        if isinstance(text, str):
            decimals = digits
        elif decimals is None:
            raise UsageError(
                f"how many digits of {text} are printed? say decimals, or quote it as it is printed, e.g. '{text}0'"
            )
        elif digits > decimals:
            raise UsageError(f"{text} has more digits than decimals: {decimals} says")
        scale = Decimal(100 if percent else 1)
        return cls(float(number / scale), float(Decimal(1).scaleb(-decimals) / scale), rounding)

    def band(self, tolerance: float = 0.0) -> tuple[float, float]:
        """Lowest and highest value that would be printed so, or that differs by no more than ``tolerance``."""
        low = self.value - (0.0 if self.rounding == "truncated" else self.unit / 2)
        high = self.value + (self.unit / 2 if self.rounding == "rounded" else self.unit)
        return min(low, self.value - tolerance), max(high, self.value + tolerance)

    def misfit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far values are from what is printed: 0 where they would be printed so, else the difference."""
        low, high = self.band()
        inside = (values >= low - SLACK) & (values <= high + SLACK)
        return np.where(inside, 0.0, np.abs(values - self.value))
