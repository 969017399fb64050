"""The learning rate over the epochs: what a recipe says, and the number at a moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leukfeat.backbones.settings import check_choice, check_number, check_whole, described, fill_defaults, part_of

SCHEDULE_NAMES = ("cosine", "none", "plateau", "step")

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "cosine": {},
    "none": {},
    "plateau": {"factor": 0.5, "patience": 1, "stop_after": None},
    "step": {"factor": 0.1, "every": 1},
}


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes.

    Attributes
    ----------
    name : str
        ``"cosine"`` (to 0 at the end of the last epoch), ``"plateau"`` (reduced when the watched metric does not
        improve), ``"step"`` (reduced at fixed epochs) or ``"none"``.
    factor : float or None
        What the rate is multiplied with at a reduction; 0.5 for ``plateau``, 0.1 for ``step`` where None.
    patience : int or None
        ``plateau``: this many epochs in a row without a better value lead to a reduction, as Keras counts
        (PyTorch's ``ReduceLROnPlateau`` waits one epoch more). 1 where None.
    every : int or None
        ``step``: epochs between reductions. 1 where None.
    warmup : float
        Epochs, whole or not, over which the rate rises linearly from 0; it multiplies whatever the schedule says.
    stop_after : int or None
        ``plateau``: training ends with this many reductions in a row without a better value.

    Raises
    ------
    UnknownNameError
        No such schedule.
    UsageError
        A value that means nothing, or an option of another schedule.
    """

    name: str = "cosine"
    factor: float | None = None
    patience: int | None = None
    every: int | None = None
    warmup: float = 0.0
    stop_after: int | None = None

    def __post_init__(self) -> None:
        check_choice(self, "finetune.schedule", "name", SCHEDULE_NAMES)
        fill_defaults(self, "finetune.schedule", "schedule", self.name, _DEFAULTS)
        check_number(self, "finetune.schedule", "factor", low=0, high=1, open_low=True, open_high=True)
        check_number(self, "finetune.schedule", "warmup", low=0)
        for name in ("patience", "every", "stop_after"):
            check_whole(self, "finetune.schedule", name, low=1)

    @classmethod
    def of(cls, value: Schedule | Mapping[str, Any] | str) -> Schedule:
        """A schedule, its description, or its bare name."""
        return cls(name=value) if isinstance(value, str) else part_of(cls, "finetune.schedule", value)

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return described(self)


def rate_factor(schedule: Schedule, at: float, step: float, epochs: int, reductions: int = 0) -> float:
    """What the base learning rate is multiplied with for one step of the optimiser.

    Parameters
    ----------
    schedule : Schedule
        The rule.
    at : float
        Epochs done before the step: number of whole epochs, and the share of the current one.
    step : float
        Length of the step, in epochs.
    epochs : int
        Length of the training.
    reductions : int
        Reductions that a plateau has led to.

    Examples
    --------
    >>> [round(rate_factor(Schedule("cosine"), at, 0.5, 2), 2) for at in (0, 0.5, 1, 1.5)]
    [1.0, 0.85, 0.5, 0.15]
    >>> rate_factor(Schedule("none", warmup=1), 0, 0.25, 2)
    0.25
    """
    rising = min(1.0, (at + step) / schedule.warmup) if schedule.warmup > 0 else 1.0
    return rising * _RULES[schedule.name](schedule, at, epochs, reductions)


def _cosine(schedule: Schedule, at: float, epochs: int, _reductions: int) -> float:
    span = epochs - schedule.warmup
    done = min(1.0, max(0.0, at - schedule.warmup) / span) if span > 0 else 0.0
    return (1 + math.cos(math.pi * done)) / 2


_RULES: Mapping[str, Callable[[Schedule, float, int, int], float]] = {
    "cosine": _cosine,
    "none": lambda _schedule, _at, _epochs, _reductions: 1.0,
    "plateau": lambda schedule, _at, _epochs, reductions: (schedule.factor or 1.0) ** reductions,
    "step": lambda schedule, at, _epochs, _reductions: (schedule.factor or 1.0) ** (int(at) // (schedule.every or 1)),
}


@dataclass(frozen=True)
class Standing:
    """Where a training stands, read off the watched values of its epochs.

    Attributes
    ----------
    best : int
        Number of the first epoch with the best value, from 0; -1 before any.
    waited : int
        Epochs since the best one.
    reductions : int
        Reductions of the learning rate so far.
    in_a_row : int
        Reductions since the best epoch.
    """

    best: int = -1
    waited: int = 0
    reductions: int = 0
    in_a_row: int = 0


def standing(values: Sequence[float], *, higher: bool, patience: int | None = None) -> Standing:
    """Read the best epoch and the plateau's reductions off the values of all epochs so far.

    Nothing is remembered between epochs, so a training that is taken up again stands where it stood.

    Parameters
    ----------
    values : sequence of float
        The watched metric, an epoch each.
    higher : bool
        Whether higher is better.
    patience : int or None
        Epochs without a better value that lead to a reduction; None for no reductions.

    Examples
    --------
    >>> standing([0.9, 0.8, 0.85, 0.82], higher=False, patience=1)
    Standing(best=1, waited=2, reductions=2, in_a_row=2)
    """
    best, waited, reductions, in_a_row = -1, 0, 0, 0
    since_reduction = 0
    for epoch, value in enumerate(values):
        if best < 0 or (value > values[best] if higher else value < values[best]):
            best, waited, in_a_row, since_reduction = epoch, 0, 0, 0
            continue
        waited, since_reduction = waited + 1, since_reduction + 1
        if patience is not None and since_reduction >= patience:
            reductions, in_a_row, since_reduction = reductions + 1, in_a_row + 1, 0
    return Standing(best, waited, reductions, in_a_row)
