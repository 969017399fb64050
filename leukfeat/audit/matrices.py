"""Every two-class confusion matrix that agrees with figures as printed: an exact search over whole numbers.

For given positives P and negatives N a matrix is a pair (TP, TN). Every measure grows, or stays, with either of them,
so each figure cuts a band out of the rectangle of pairs. Bands narrow the rectangle first; then every TP left has an
interval of TN, found by bisection, for many P and TP at once.

Differs from mlscorecheck (Fazekas and Kovács 2024, doi 10.1016/j.softx.2024.101763) in that P and N may be ranges,
single cells may be known, and the matrices themselves are listed; where both apply a test compares them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.measures import MEASURES, Counts, Values
from leukfeat.audit.printed import SLACK, Printed

LIMIT = 1_000_000  # pairs (P, TP) that one search looks at: some seconds at most
LISTED = 200_000  # matrices that are written out to find the best of them
_CHUNK = 500_000
_ROUNDS = 4

Band = tuple[float, float]


@dataclass(frozen=True)
class Constraint:
    """A printed figure and what it measures.

    Attributes
    ----------
    measure : str
        A name in :data:`leukfeat.audit.measures.MEASURES`.
    printed : Printed
        The figure.
    swapped : bool
        Whether the second class counts as positive.
    exact : bool
        Whether it is a count, for which no tolerance is right.
    """

    measure: str
    printed: Printed
    swapped: bool = False
    exact: bool = False

    def band(self, tolerance: float) -> Band:
        """Lowest and highest value that agrees."""
        return self.printed.band(0.0 if self.exact else tolerance)

    def values(self, tp: Counts, fn: Counts, fp: Counts, tn: Counts) -> Values:
        """The measure of matrices whose positive class is the first."""
        cells = (tn, fp, fn, tp) if self.swapped else (tp, fn, fp, tn)
        return MEASURES[self.measure](*cells)


@dataclass(frozen=True, eq=False)
class Rectangles:
    """Where the pairs (TP, TN) may lie, for every possible number of positives and negatives; all of shape (g,)."""

    positives: Counts
    negatives: Counts
    tp_low: Counts
    tp_high: Counts
    tn_low: Counts
    tn_high: Counts

    @classmethod
    def whole(cls, positives: Counts, negatives: Counts) -> Rectangles:
        """Nothing is known of the answers."""
        none = np.zeros_like(positives)
        return cls(positives, negatives, none, positives, none, negatives)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Rectangles:
        """Some of them."""
        return Rectangles(**{name: values[chosen] for name, values in self.__dict__.items()})

    @property
    def size(self) -> int:
        """How many matrices they hold."""
        return int(((self.tp_high - self.tp_low + 1) * (self.tn_high - self.tn_low + 1))[~self.empty].sum())

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Those without any pair."""
        return (self.tp_low > self.tp_high) | (self.tn_low > self.tn_high)


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes
    ----------
    fits : ndarray of shape (g,), bool
        Which numbers of positives and negatives allow a matrix.
    n_matrices : int
        How many matrices agree.
    cells : ndarray of shape (m, 4), int64
        TP, FN, FP and TN of up to :data:`LISTED` of them.
    misfit : ndarray of shape (m,), float64
        The largest difference between a matrix and what is printed, 0 where all of it would be printed so.
    complete : bool
        Whether every possibility was looked at; if not, more may fit than these.
    """

    fits: NDArray[np.bool_]
    n_matrices: int
    cells: Counts
    misfit: Values
    complete: bool

    @property
    def whole(self) -> bool:
        """Whether every matrix that agrees is listed."""
        return self.complete and self.n_matrices == len(self.cells)

    @property
    def best(self) -> tuple[int, int, int, int]:
        """TP, FN, FP and TN of the matrix that is nearest to the figures."""
        tp, fn, fp, tn = self.cells[int(np.argmin(self.misfit))].tolist()
        return tp, fn, fp, tn


def every(rectangles: Rectangles, constraints: Sequence[Constraint], tolerance: float | None = None) -> Found:
    """Look at every matrix of small rectangles; see :attr:`Rectangles.size` before.

    Parameters
    ----------
    rectangles, constraints
        As for :func:`search`.
    tolerance : float or None
        As for :func:`search`; ``None`` stands for the smallest at which there is a matrix.
    """
    owner = np.flatnonzero(~rectangles.empty)
    at = rectangles.take(owner)
    for cell in ("tp", "tn"):
        low, high = getattr(at, f"{cell}_low"), getattr(at, f"{cell}_high")
        widths = high - low + 1
        put = np.repeat(low, widths) + _within(widths)
        owner, at = np.repeat(owner, widths), at.take(np.repeat(np.arange(len(widths)), widths))
        at = replace(at, **{f"{cell}_low": put, f"{cell}_high": put})
    cells = np.stack([at.tp_low, at.positives - at.tp_low, at.negatives - at.tn_low, at.tn_low], axis=1)
    misfit = _misfit(cells, constraints)
    if tolerance is None:
        tolerance = float(misfit.min(initial=np.inf))
    kept = (misfit <= tolerance + SLACK) & np.isfinite(misfit)
    fits = np.zeros(len(rectangles.positives), dtype=bool)
    fits[owner[kept]] = True
    return Found(fits, int(kept.sum()), cells[kept], misfit[kept], complete=True)


def search(
    rectangles: Rectangles, constraints: Sequence[Constraint], tolerance: float = 0.0, *, limit: int | None = None
) -> Found:
    """Find every matrix that agrees with all figures.

    Parameters
    ----------
    rectangles : Rectangles
        What counts are possible, g of them.
    constraints : sequence of Constraint
        The figures.
    tolerance : float
        How far a value may be from a printed one where it would be printed otherwise.
    limit : int or None
        How many pairs (P, TP) to look at, :data:`LIMIT` by default; beyond it numbers of positives are left out evenly.
    """
    bands = [constraint.band(tolerance) for constraint in constraints]
    alive, narrow = _narrowed(rectangles, constraints, bands)
    widths = narrow.tp_high - narrow.tp_low + 1
    step = max(1, -(-int(widths.sum()) // (limit or LIMIT)))
    alive, narrow, widths = alive[::step], narrow.take(slice(None, None, step)), widths[::step]
    fits = np.zeros(len(rectangles.positives), dtype=bool)
    n_matrices, listed, room = 0, [np.zeros((0, 4), dtype=np.int64)], LISTED
    for part in _chunks(widths):
        owner = np.repeat(alive[part], widths[part])
        row = narrow.take(np.repeat(np.arange(part.start, part.stop), widths[part]))
        tp = row.tp_low + _within(widths[part])
        row = _narrowed_tn(replace(row, tp_low=tp, tp_high=tp), constraints, bands)
        depth = np.maximum(0, row.tn_high - row.tn_low + 1)
        fits[owner[depth > 0]] = True
        n_matrices += int(depth.sum())
        depth = np.clip(room - (np.cumsum(depth) - depth), 0, depth)
        room -= int(depth.sum())
        some = row.take(np.repeat(np.arange(len(depth)), depth))
        tn = some.tn_low + _within(depth)
        listed.append(np.stack([some.tp_low, some.positives - some.tp_low, some.negatives - tn, tn], axis=1))
    cells = np.concatenate(listed)
    return Found(fits, n_matrices, cells, _misfit(cells, constraints), complete=step == 1)


def _misfit(cells: Counts, constraints: Sequence[Constraint]) -> Values:
    """The largest difference to a printed figure; infinite where a count is missed."""
    misfit = np.zeros(len(cells))
    for constraint in constraints:
        missed = constraint.printed.misfit(constraint.values(*cells.T))
        misfit = np.maximum(misfit, np.where(missed > 0, np.inf, 0.0) if constraint.exact else missed)
    return misfit


def _narrowed(
    at: Rectangles, constraints: Sequence[Constraint], bands: Sequence[Band]
) -> tuple[NDArray[np.int64], Rectangles]:
    """Numbers of the rectangles that are left when rows and columns that no band meets are cut off, and these."""
    exchanged = [replace(constraint, swapped=not constraint.swapped) for constraint in constraints]
    alive = np.flatnonzero(~at.empty)
    at = at.take(alive)
    for _ in range(_ROUNDS):
        before = at
        at = _narrowed_tn(at, constraints, bands)
        at = _transposed(_narrowed_tn(_transposed(at), exchanged, bands))
        if all(np.array_equal(old, new) for old, new in zip(vars(before).values(), vars(at).values(), strict=True)):
            break
        alive, at = alive[~at.empty], at.take(~at.empty)
    return alive, at


def _transposed(at: Rectangles) -> Rectangles:
    """The same with the roles of the classes exchanged."""
    return Rectangles(at.negatives, at.positives, at.tn_low, at.tn_high, at.tp_low, at.tp_high)


def _narrowed_tn(at: Rectangles, constraints: Sequence[Constraint], bands: Sequence[Band]) -> Rectangles:
    """Cut TN to what the bands allow for some TP of the rectangle; exact where there is one TP only."""
    low, high = at.tn_low, at.tn_high
    most, fewest = (np.clip(tp, 0, at.positives) for tp in (at.tp_high, at.tp_low))
    for constraint, (lowest, highest) in zip(constraints, bands, strict=True):
        beyond = _first(at, constraint, fewest, highest + SLACK, low, high)
        low, high = _first(at, constraint, most, lowest - SLACK, low, high), beyond - 1
    return replace(at, tn_low=low, tn_high=high)


def _first(at: Rectangles, of: Constraint, tp: Counts, bound: float, low: Counts, high: Counts) -> Counts:
    """The smallest TN from low to high whose measure reaches a bound; high + 1 where none does."""
    left, right = low, np.maximum(high + 1, low)
    while (open_ := left < right).any():
        middle = (left + right) // 2
        tn = np.clip(middle, 0, at.negatives)  # rectangles that are empty already have any number there
        holds = of.values(tp, at.positives - tp, at.negatives - tn, tn) >= bound
        right = np.where(open_ & holds, middle, right)
        left = np.where(open_ & ~holds, middle + 1, left)
    return left


def _within(widths: Counts) -> Counts:
    """0, 1, … inside each of consecutive runs of these widths."""
    starts = np.cumsum(widths) - widths
    return np.arange(int(widths.sum())) - np.repeat(starts, widths)


def _chunks(widths: Counts) -> list[slice]:
    """Consecutive parts with about ``_CHUNK`` pairs each."""
    if not len(widths):
        return []
    number = (np.cumsum(widths) - 1) // _CHUNK
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(widths)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
