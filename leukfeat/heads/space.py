"""What is searched: numbers between bounds, choices among a few values, and the choices that heads have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leukfeat.errors import HeadError, UnknownNameError, UsageError


@dataclass(frozen=True)
class Number:
    """A number to search between two bounds.

    Parameters
    ----------
    name : str
        Name of the parameter.
    low, high : float
        Bounds, both included.
    default : float
        The value of the first trial.
    log : bool
        Whether to search on a logarithmic scale.
    whole : bool
        Whether only whole numbers are allowed.
    least, most : float
        What may be given: bounds of what the parameter can mean, not of the search. None is anything above 0.
    """

    name: str
    low: float
    high: float
    default: float
    log: bool = False
    whole: bool = False
    least: float | None = None
    most: float = math.inf

    def suggest(self, trial: Any) -> float | int:
        """Ask an Optuna trial for a value."""
        if self.whole:
            return int(trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(self.name, self.low, self.high, log=self.log))

    def check(self, value: object) -> None:
        """Refuse what the parameter cannot be; a number outside the bounds of the search may well be meant.

        Libraries are told to trust their parameters (see :data:`leukfeat.heads.threads.TRUSTING`), and some take a
        number that means nothing without a word.

        Raises
        ------
        UsageError
            No number, or none that the parameter can be.
        """
        if isinstance(value, int | float) and not isinstance(value, bool) and self._means_something(value):
            return
        kind = "a whole number" if self.whole else "a number"
        bounds = "above 0" if self.least is None else f"of at least {self.least:g}"
        bounds += f" and at most {self.most:g}" if math.isfinite(self.most) else ""
        raise UsageError(f"head parameter {self.name} is {value!r}; give {kind} {bounds}, e.g. {self.default:g}")

    def _means_something(self, value: float) -> bool:
        if not math.isfinite(value) or (self.whole and int(value) != value):
            return False
        return (value > 0 if self.least is None else value >= self.least) and value <= self.most


@dataclass(frozen=True)
class Choice:
    """One of a few values.

    Parameters
    ----------
    name : str
        Name of the parameter.
    values : tuple of str
        The values there are.
    default : str
        The value of the first trial.
    """

    name: str
    values: tuple[str, ...]
    default: str

    def among(self, values: Sequence[str]) -> Choice:
        """The same choice among fewer values."""
        return Choice(self.name, tuple(values), self.default if self.default in values else values[0])

    def suggest(self, trial: Any) -> str:
        """Ask an Optuna trial for a value."""
        return str(trial.suggest_categorical(self.name, self.values))

    def check(self, value: object) -> None:
        """Refuse a value that is not among the choices."""
        if value not in self.values:
            raise UnknownNameError(f"value of head parameter {self.name}", str(value), self.values)


Dimension = Number | Choice

SCALING = Choice("scaling", ("standard", "overall", "unit"), default="standard")
"""How features are scaled; see :class:`leukfeat.heads.scaling.Scaler`."""

REDUCTION = Choice(
    "reduction",
    ("none", "pca-64", "pca-128", "pca-256", "forest-64", "forest-128", "forest-256", "forest-512"),
    default="none",
)
"""Leading principal components, or the features a forest finds most important, or all features."""

BALANCE = Choice("balance", ("none", "class", "subject"), default="none")
"""Row weights; see :func:`leukfeat.heads.weights.balanced_weights`."""


def is_listed(value: object) -> bool:
    """Whether a given parameter is a list of values to choose among, rather than a value."""
    return isinstance(value, list | tuple) and bool(value)


def fitting(dimension: Dimension, largest_reduction: int, n_features: int) -> Dimension:
    """A dimension without the reductions that a table of features is too small for.

    Raises
    ------
    HeadError
        No reduction is left.
    """
    if dimension.name != REDUCTION.name or not isinstance(dimension, Choice):
        return dimension
    values = tuple(v for v in dimension.values if fits(v, largest_reduction, n_features))
    if not values:
        raise HeadError(
            f"reduction: none of {', '.join(dimension.values)} fits {n_features} features and inner folds of"
            f" {largest_reduction} rows; give smaller ones"
        )
    return dimension.among(values)


def reduction_size(reduction: str) -> int | None:
    """The number of features a reduction leaves, or None where it leaves all.

    Examples
    --------
    >>> reduction_size("pca-64"), reduction_size("none")
    (64, None)
    """
    kind, _, size = reduction.partition("-")
    return None if kind == "none" else int(size)


def fits(reduction: str, largest: int, n_features: int) -> bool:
    """Whether a reduction can be learned: fewer columns than there are, principal components fewer than ``largest``."""
    size = reduction_size(reduction)
    if size is None:
        return True
    return size < n_features and (size < largest or not reduction.startswith("pca"))
