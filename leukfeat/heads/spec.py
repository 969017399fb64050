"""What a classification head is: its search space, how it is built, and what tuning must know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UnknownNameError
from leukfeat.heads.space import BALANCE, REDUCTION, SCALING, Choice, Dimension, Number, fitting, is_listed


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
    faster : callable(n_rows) -> str or None
        Another library that fits so many rows in place of it, where it is installed: its name and version, or "".
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
    faster: Callable[[int], str] | None = None
    share: Callable[[Learned, Parts, Frame], Shared | None] | None = None
    devices: tuple[str, ...] = ("cpu",)
    threads_inside: bool = False
    stops_early: bool = False
    calibrated: bool = False

    def implementation(self, n_rows: int, device: str = "cpu") -> str:
        """Which library and class runs, with its version, and what fits so many rows in its place."""
        stock = f"{self.library} {version(self.library)} {self.runs.format(device=device)}"
        faster = self.faster(n_rows) if self.faster else ""
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
        return tuple(fitting(dimension, largest_reduction, n_features) for dimension in kept)

    def check_params(self, params: Mapping[str, Any]) -> None:
        """Refuse given parameters that this head does not have.

        Raises
        ------
        UnknownNameError
            No such parameter, or no such choice.
        UsageError
            A value that the parameter cannot have.
        """
        known = {dimension.name: dimension for dimension in self.space}
        if self.stops_early:
            known["n_estimators"] = Number("n_estimators", 1, 10_000, DEFAULT_ROUNDS, whole=True)
        for name, value in params.items():
            if name not in known:
                raise UnknownNameError(f"parameter of head {self.name}", str(name), known)
            for each in value if is_listed(value) and isinstance(known[name], Choice) else (value,):
                known[name].check(each)


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
