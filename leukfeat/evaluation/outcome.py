"""What a test between two models found, in one shape for all tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

from leukfeat.errors import UsageError
from leukfeat.evaluation.intervals import LEVEL, Interval
from leukfeat.evaluation.metrics import Score


@dataclass(frozen=True)
class Outcome:
    """A test of the difference between a first and a second model, or the reason why there is none.

    Attributes
    ----------
    test : str
        Name of the test with its reference, e.g. ``"DeLong's test (DeLong et al. 1988)"``.
    basis : str
        What it rests on, e.g. ``"28 clusters"``.
    estimates : tuple of two floats
        What is compared, of the first and of the second model; NaN where it is undefined.
    difference : float
        First less second.
    standard_error : float
        Of the difference; NaN where the test has none (an exact test).
    symbol : str
        Of the statistic: ``"z"``, ``"t"``, ``"χ²"``; empty where the p value is exact.
    statistic : float
        The test statistic; NaN where the p value is exact.
    freedom : float
        Degrees of freedom of a ``t`` or ``χ²``; infinite for ``z``.
    p : float
        Two-sided p value; NaN where it is undefined.
    reason : str
        Why the test is undefined; empty where it is defined.

    Examples
    --------
    >>> print(Outcome("DeLong's test", "113 rows", (0.73, 0.82), -0.09, 0.04, "z", -2.21, p=0.0272))
    z = -2.21, p = 0.027
    >>> print(Outcome.undefined("DeLong's test", "113 rows", "one class only"))
    undefined: one class only
    """

    test: str
    basis: str
    estimates: tuple[float, float] = (math.nan, math.nan)
    difference: float = math.nan
    standard_error: float = math.nan
    symbol: str = ""
    statistic: float = math.nan
    freedom: float = math.inf
    p: float = math.nan
    reason: str = ""

    @classmethod
    def undefined(
        cls, test: str, basis: str, reason: str, estimates: tuple[float, float] = (math.nan, math.nan)
    ) -> Outcome:
        """No test, and why; what is compared may still be known."""
        return cls(test, basis, estimates, estimates[0] - estimates[1], reason=reason)

    @property
    def defined(self) -> bool:
        """Whether there is a p value."""
        return not self.reason

    @property
    def p_value(self) -> Score:
        """The p value as a score, as :func:`leukfeat.evaluation.multiplicity.holm` takes it."""
        return Score(self.p) if self.defined else Score.undefined(self.reason)

    def interval(self, level: float = LEVEL) -> Interval:
        """The confidence interval of the difference that belongs to the test; undefined for an exact test."""
        from scipy.special import ndtri, stdtrit

        if not 0 < level < 1:
            raise UsageError(f"an interval of level {level}: give a number between 0 and 1, e.g. 0.95")
        if not self.defined:
            return Interval.undefined(self.reason)
        if math.isnan(self.standard_error):
            return Interval.undefined("an exact test has no standard error")
        tail = (1 + level) / 2
        reach = float(stdtrit(self.freedom, tail) if self.symbol == "t" else ndtri(tail)) * self.standard_error
        return Interval(self.difference - reach, self.difference + reach)

    def __str__(self) -> str:
        if not self.defined:
            return f"undefined: {self.reason}"
        found = f"{self.symbol} = {self.statistic:.2f}, " if self.symbol else ""
        return found + in_words(self.p)


def in_words(p: float) -> str:
    """A p value as a paper prints it.

    Examples
    --------
    >>> in_words(0.0305), in_words(0.00002), in_words(0.9999)
    ('p = 0.030', 'p < 0.001', 'p > 0.999')
    """
    if p < 0.001:
        return "p < 0.001"
    return "p > 0.999" if p > 0.999 else f"p = {p:.3f}"
