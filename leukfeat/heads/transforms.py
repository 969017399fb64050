"""What trials learn from an inner fold once and share: scaled and reduced rows, distances, binned rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from leukfeat.heads.pipeline import transformers
from leukfeat.heads.space import REDUCTION, Choice, reduction_size
from leukfeat.heads.spec import Frame, HeadSpec, Parts, Shared
from leukfeat.heads.table import InnerFold, Rows, Table
from leukfeat.heads.threads import sparingly

T = TypeVar("T")

_MEMORY = 1024 * 2**20  # bytes for the rows and what is kept of them between trials, unless the rows are many
_AFFINE = ("standard", "overall")  # scalings that leave the order of a feature's values as it was


@dataclass(frozen=True)
class Transformed:
    """All rows of a table, transformed as one inner fold has learned to; parts of it are made when asked for.

    Parameters
    ----------
    Z : ndarray of shape (n, k)
        Every row.
    columns : ndarray of int64, int or None
        Those that are left, or how many of the first; None leaves all.
    """

    Z: NDArray[Any]
    columns: Rows | int | None = None

    def take(self, rows: Rows) -> NDArray[Any]:
        """Some rows, contiguous."""
        if self.columns is None:
            return self.Z[rows]
        if isinstance(self.columns, int):
            return np.ascontiguousarray(self.Z[rows, : self.columns])
        return self.Z[np.ix_(rows, self.columns)]


@dataclass(frozen=True)
class Gathered:
    """Some rows of a transformed table, gathered when they are asked for.

    Parameters
    ----------
    of : Transformed
        The table.
    rows : ndarray of int64
        Which.
    """

    of: Transformed
    rows: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and features."""
        return len(self.rows), self.of.take(self.rows[:0]).shape[1]

    @property
    def nbytes(self) -> int:
        """Memory that all of them would take."""
        n_rows, n_features = self.shape
        return n_rows * n_features * self.of.Z.itemsize

    def __getitem__(self, part: slice) -> NDArray[Any]:
        return self.of.take(self.rows[part])


class _Learned(NamedTuple):
    fit: Gathered
    stop: Gathered
    validation: Gathered


class Transforms:
    """Rows of inner folds, transformed by what each fold's fitting rows teach.

    Whatever is learned is learned from the rows a fold fits on, never from those it stops or judges on. It depends on
    few parameters, and is kept between trials up to a limit of memory. What was used longest ago leaves first, but not
    for the same of another fold: folds come round in one order, so that what is kept is wanted before what is new.

    Parameters
    ----------
    spec : HeadSpec
        The head.
    table : Table
        The training rows.
    folds : tuple of InnerFold
        Inner folds.
    largest_reduction : int
        Principal components must be fewer than this.
    frame : Frame
        Seeds the forest that finds important features, and says where a booster runs.
    """

    def __init__(
        self, spec: HeadSpec, table: Table, folds: tuple[InnerFold, ...], *, largest_reduction: int, frame: Frame
    ) -> None:
        self.spec, self.table, self.folds, self.frame = spec, table, folds, frame
        self._largest = _largest_reductions(spec, largest_reduction, table.X.shape[1])
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()  # folds are worked on in threads; what one keeps may push out another's

    def of(self, number: int, params: Mapping[str, Any]) -> Transformed:
        """Scaled and reduced rows of an inner fold."""
        reduction = params["reduction"]
        size = reduction_size(reduction)
        scaled = self._scaled(number, params)
        if size is None:
            return Transformed(scaled)
        # a reduction that the user fixed may be larger than any that is searched
        searched = self._largest.get(reduction.partition("-")[0], reduction)
        largest = {**params, "reduction": max(searched, reduction, key=lambda name: reduction_size(name) or 0)}
        if reduction.startswith("forest"):
            return Transformed(scaled, self._ranked(number, scaled, largest)[:size])
        return Transformed(self._components(number, scaled, largest), size)

    def shared(self, number: int, params: Mapping[str, Any]) -> Shared | None:
        """What classifiers fitted on these rows share beyond them; None where there is nothing."""
        share, fold, y = self.spec.share, self.folds[number], self.table.y
        if share is None:
            return None
        labels = Parts(y[fold.fit], y[fold.stop], y[fold.validation])
        key = (number, "shared", params.get("scaling"), params["reduction"])

        def make() -> Shared | None:
            with sparingly(self.table.X.nbytes):
                rows = self.of(number, params)
                parts = (Gathered(rows, part) for part in (fold.fit, fold.stop, fold.validation))
                return share(_Learned(*parts), labels, self.frame)

        return self._keep(key, make)

    def forget_shared(self) -> None:
        """Let go of what classifiers shared; it is made again where it is needed."""
        with self._lock:
            for key in [key for key in self._kept if key[1] == "shared"]:
                del self._kept[key]

    def _scaled(self, number: int, params: Mapping[str, Any]) -> NDArray[Any]:
        scaler, _ = transformers(self.spec, params, self.frame)
        if scaler == "passthrough":
            return self.table.X
        X, fit = self.table.X, self.folds[number].fit
        return self._keep((number, params["scaling"]), lambda: np.asarray(scaler.fit(X[fit]).transform(X)))

    def _components(self, number: int, scaled: NDArray[Any], params: Mapping[str, Any]) -> NDArray[Any]:
        key = (number, params.get("scaling"), params["reduction"])
        return self._keep(key, lambda: np.asarray(self._reduction(number, scaled, params).transform(scaled)))

    def _ranked(self, number: int, scaled: NDArray[Any], params: Mapping[str, Any]) -> Rows:
        """Columns, most important first. Trees care for the order of values only, so scalings that keep it share."""
        affine = params.get("scaling") in _AFFINE
        key = (number, "affine" if affine else params.get("scaling"), params["reduction"])
        X = self.table.X if affine else scaled
        return self._keep(key, lambda: np.asarray(self._reduction(number, X, params).order_))

    def _reduction(self, number: int, X: NDArray[Any], params: Mapping[str, Any]) -> Any:
        """A reduction learned from the rows a fold fits on."""
        fit = self.folds[number].fit
        _, reduction = transformers(self.spec, params, replace(self.frame, n_rows=len(fit)))
        return reduction.fit(X[fit], self.table.y[fit])

    def _keep(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What is kept under a key, made if need be; what was used longest ago makes room."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                found: T = self._kept[key]
                return found
        made = make()  # outside the lock: each key belongs to one fold, and a fold to one thread at a time
        room = _room(self.table.X.nbytes)
        with self._lock:
            self._kept[key] = made
            unlike = [other for other in self._kept if other[1:] != key[1:]]
            while unlike and self._size() > room:
                del self._kept[unlike.pop(0)]
            if len(self._kept) > 1 and self._size() > room:
                del self._kept[key]
        return made

    def _size(self) -> int:
        return sum(getattr(each, "nbytes", 0) for each in self._kept.values())


def _room(n_bytes: int) -> int:
    """Bytes kept beside rows of this size: what they leave of a gigabyte, or as much again."""
    return max(_MEMORY - n_bytes, n_bytes)


def _largest_reductions(spec: HeadSpec, largest: int, n_features: int) -> dict[str, str]:
    """The largest reduction of each kind that is searched, e.g. ``{"pca": "pca-256"}``."""
    names: dict[str, str] = {}
    for dimension in spec.space_for(largest, n_features):
        if dimension.name == REDUCTION.name and isinstance(dimension, Choice):
            for value in sorted((v for v in dimension.values if v != "none"), key=lambda v: reduction_size(v) or 0):
                names[value.partition("-")[0]] = value
    return names
