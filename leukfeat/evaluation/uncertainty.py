"""A number with its interval, and how intervals are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.evaluation.intervals import LEVEL, METHODS, Interval, Method, Replicates
from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.resampling import N_DRAWS, Clusters, Draws


@dataclass(frozen=True)
class Estimate:
    """A score with its interval; either may be undefined.

    Attributes
    ----------
    score : Score
        The number.
    interval : Interval
        Where the true value lies.
    """

    score: Score
    interval: Interval


@dataclass(frozen=True)
class Uncertainty:
    """How intervals are made.

    Parameters
    ----------
    method : str
        ``"t"``, ``"percentile"`` or ``"bca"``; see :mod:`leukfeat.evaluation.intervals`.
    level : float
        Of the intervals, 0.95 by default.
    n_draws : int
        Resamples.
    seed : int
        Of the resamples.
    """

    method: Method = "t"
    level: float = LEVEL
    n_draws: int = N_DRAWS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownNameError("interval", self.method, METHODS)
        if not 0 < self.level < 1:
            raise UsageError(f"confidence {self.level}: give a number between 0 and 1, e.g. 0.95")
        if self.n_draws < 100:
            raise UsageError(f"{self.n_draws} resamples: give at least 100; 2000 is usual")

    @property
    def percent(self) -> str:
        """The level in words: ``"95 %"``."""
        return f"{100 * self.level:g} %"

    def draws(self, clusters: Clusters) -> Draws:
        """Resamples of clusters; where nothing can be said of them, next to none."""
        return Draws.of(clusters, 2 if clusters.too_few else self.n_draws, self.seed)

    def estimate(self, found: Replicates) -> Estimate:
        """A number with its interval."""
        return Estimate(found.estimate, found.interval(self.method, self.level))


def uncertainty(method: str, level: float, n_draws: int, seed: int) -> Uncertainty:
    """An :class:`Uncertainty` from the words of a command line.

    Raises
    ------
    UnknownNameError
        No such method.
    UsageError
        A level outside (0, 1), or fewer than 100 resamples.
    """
    return Uncertainty(cast(Method, method), level, n_draws, seed)
