"""What a classification head is: its search space, how it is built, and what tuning must know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

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
    """

    name: str
    low: float
    high: float
    default: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Any) -> float | int:
        """Ask an Optuna trial for a value."""
        if self.whole:
            return int(trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(self.name, self.low, self.high, log=self.log))

    def check(self, value: object) -> None:
        """Refuse a value that is no number; a number outside the bounds of the search may well be meant."""
        if isinstance(value, bool) or not isinstance(value, int | float) or (self.whole and int(value) != value):
            kind = "a whole number" if self.whole else "a number"
            raise UsageError(f"head parameter {self.name} is {value!r}; give {kind}, e.g. {self.default:g}")


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


@dataclass(frozen=True)
class Frame:
    """What a classifier may know before it is built.

    Parameters
    ----------
    n_rows : int
        Rows it will be fitted on.
    n_features : int
        Features that reach it.
    seed : int
        Seeds whatever the classifier draws at random.
    device : str
        ``cpu``, or ``cuda`` for a head that can.
    n_jobs : int
        Threads that a fit may use where it gives the same with any number of them.
    """

    n_rows: int
    n_features: int
    seed: int
    device: str = "cpu"
    n_jobs: int = 1


class Parts(NamedTuple):
    """Something about the rows of an inner fold: those to fit on, to stop on (perhaps none), to judge on."""

    fit: NDArray[Any]
    stop: NDArray[Any]
    validation: NDArray[Any]


class Matrix(Protocol):
    """A matrix that is looked at in slices of its rows: an array, or one that gathers them when it is asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and features."""

    @property
    def nbytes(self) -> int:
        """Memory that all of it would take."""

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Some rows, one after another."""


class Learned(Protocol):
    """Features of an inner fold, of which what is shared is made."""

    @property
    def fit(self) -> Matrix:
        """Rows to fit on."""

    @property
    def stop(self) -> Matrix:
        """Rows to stop on; perhaps none."""

    @property
    def validation(self) -> Matrix:
        """Rows to judge on."""


class Shared(Protocol):
    """What fits on the same rows of an inner fold share beyond the rows: distances, binned rows."""

    @property
    def nbytes(self) -> int:
        """Memory it takes."""

    def fit(self, model: Any, weight: NDArray[np.float64] | None, stop_weight: NDArray[np.float64] | None) -> None:
        """Fit a classifier of the head on the rows to fit on."""

    def scores(self, model: Any, X_validation: NDArray[Any]) -> NDArray[np.float64]:
        """Scores of shape (m, K) of the rows to judge on."""

    def part(self, fit: NDArray[np.int64], validation: NDArray[np.int64]) -> Shared:
        """The same for two parts of the rows to fit on."""


@dataclass(frozen=True)
class HeadSpec:
    """A kind of classification head.

    Parameters
    ----------
    name : str
        What users call it.
    summary : str
        One line for tables.
    space : tuple of Number or Choice
        What is searched, with the values of the first trial. Names are those of the library's own arguments.
    build : callable(params, frame) -> scikit-learn classifier
        Makes the unfitted classifier. It runs in one thread.
    library, runs : str
        The distribution that is used, and what of it runs; ``{device}`` stands for where.
    faster : callable() -> str or None
        Another library that fits in place of it, where it is installed: its name and version, or "".
    share : callable(X, y, frame) -> Shared or None, or None
        Makes what fits on the same rows share, from features and classes of an inner fold.
    devices : tuple of str
        Where it can run.
    threads_inside : bool
        Whether a fit uses several threads and gives the same with any number of them; inner folds then take turns.
    stops_early : bool
        Whether it adds rounds until rows held out of its training part stop improving. Such a classifier takes
        ``n_estimators``, ``early_stopping_rounds`` and ``fit(..., stop=)``, and has ``rounds_`` afterwards.
    calibrated : bool
        Whether it has decision scores only, so that probabilities come from calibration on grouped folds.
    """

    name: str
    summary: str
    space: tuple[Dimension, ...]
    build: Callable[[Mapping[str, Any], Frame], Any]
    library: str
    runs: str
    faster: Callable[[], str] | None = None
    share: Callable[[Learned, Parts, Frame], Shared | None] | None = None
    devices: tuple[str, ...] = ("cpu",)
    threads_inside: bool = False
    stops_early: bool = False
    calibrated: bool = False

    @property
    def implementation(self) -> str:
        """Which library and class runs on the CPU, with its version."""
        return self.implementation_on("cpu")

    def implementation_on(self, device: str) -> str:
        """Which library and class runs, with its version, and what fits in its place."""
        stock = f"{self.library} {version(self.library)} {self.runs.format(device=device)}"
        faster = self.faster() if self.faster else ""
        return f"{stock}, fitted by {faster}" if faster else stock

    @property
    def scales(self) -> bool:
        """Whether the scaling of features matters to it and is searched."""
        return any(dimension.name == SCALING.name for dimension in self.space)

    def space_for(
        self, largest_reduction: int, n_features: int, given: Mapping[str, Any] | None = None
    ) -> tuple[Dimension, ...]:
        """The search space without what is given, and without reductions that a table of features is too small for.

        Parameters
        ----------
        largest_reduction : int
            Principal components must be fewer than this; the number of rows they are learned from bounds them.
        n_features : int
            Features before reduction.
        given : mapping or None
            Parameters that are not searched, and lists of the only values that a choice is searched among.

        Raises
        ------
        HeadError
            None of the given reductions fits the table.
        """
        given = given or {}
        kept: list[Dimension] = []
        for dimension in self.space:
            if isinstance(dimension, Choice) and is_listed(given.get(dimension.name)):
                kept.append(dimension.among(given[dimension.name]))
            elif dimension.name not in given:
                kept.append(dimension)
        return tuple(_fitting(dimension, largest_reduction, n_features) for dimension in kept)

    def check_params(self, params: Mapping[str, Any]) -> None:
        """Refuse given parameters that this head does not have.

        Raises
        ------
        UnknownNameError
            No such parameter, or no such choice.
        UsageError
            A value of the wrong type.
        """
        known = {dimension.name: dimension for dimension in self.space}
        if self.stops_early:
            known["n_estimators"] = Number("n_estimators", 1, 10_000, DEFAULT_ROUNDS, whole=True)
        for name, value in params.items():
            if name not in known:
                raise UnknownNameError(f"parameter of head {self.name}", str(name), known)
            for each in value if is_listed(value) and isinstance(known[name], Choice) else (value,):
                known[name].check(each)


def is_listed(value: object) -> bool:
    """Whether a given parameter is a list of values to choose among, rather than a value."""
    return isinstance(value, list | tuple) and bool(value)


def _fitting(dimension: Dimension, largest_reduction: int, n_features: int) -> Dimension:
    """A dimension without the reductions that are too large."""
    if dimension.name != REDUCTION.name or not isinstance(dimension, Choice):
        return dimension
    values = tuple(v for v in dimension.values if fits(v, largest_reduction, n_features))
    if not values:
        raise HeadError(
            f"reduction: none of {', '.join(dimension.values)} fits {n_features} features and inner folds of"
            f" {largest_reduction} rows; give smaller ones"
        )
    return dimension.among(values)


DEFAULT_ROUNDS = 150  # of a booster, where no rows can be held out to find a better number
MOST_ROUNDS = 400
PATIENCE = 20  # rounds without improvement on the held-out rows
LEAST_GAIN = 1e-3  # of the log-loss that counts as improvement; further rounds cost time and gain no rank


def classifier_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are arguments of the library's classifier: all but scaling, reduction and balance.

    Examples
    --------
    >>> classifier_params({"ccp_alpha": 0.01, "reduction": "none", "balance": "class"})
    {'ccp_alpha': 0.01}
    """
    ours = {SCALING.name, REDUCTION.name, BALANCE.name}
    return {name: value for name, value in params.items() if name not in ours}


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
