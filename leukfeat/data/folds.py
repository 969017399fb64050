"""Stratified folds and parts of whole groups: the algorithms behind outer splits and inner tuning folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukfeat.errors import SplitError

_DRAWS = 16  # balanced draws are kept out of this many; more changes little, and fewer groups need it most


@dataclass(frozen=True, eq=False)
class Fold:
    """One train/validation/test division; every array holds row numbers of the manifest, sorted.

    Attributes
    ----------
    repeat, number : int
        Which repeat, and which fold of it.
    train, validation, test : ndarray of int64
        Disjoint rows; ``validation`` may be empty.
    """

    repeat: int
    number: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    def among(self, usable: NDArray[np.bool_]) -> Fold:
        """The fold without the rows that are not usable."""
        parts = (part[usable[part]] for part in (self.train, self.validation, self.test))
        return Fold(self.repeat, self.number, *parts)


@dataclass(frozen=True)
class _Groups:
    """Whole groups and what each holds.

    Attributes
    ----------
    of_row : ndarray of shape (n,)
        Group number of each row.
    counts : ndarray of shape (n_groups, n_classes)
        Rows of each class in each group.
    kind : ndarray of shape (n_groups,)
        Number of the class each group counts as: its most frequent one.
    classes : ndarray of shape (n_classes,)
        Names of the classes.
    """

    of_row: NDArray[np.int64]
    counts: NDArray[np.int64]
    kind: NDArray[np.int64]
    classes: NDArray[np.generic]

    @classmethod
    def of(cls, y: ArrayLike, groups: ArrayLike | None) -> _Groups:
        classes, y_index = np.unique(np.asarray(y), return_inverse=True)
        if groups is None:
            of_row = np.arange(len(y_index))
        else:
            _, of_row = np.unique(np.asarray(groups), return_inverse=True)
        counts = np.zeros((of_row.max(initial=-1) + 1, len(classes)), dtype=np.int64)
        np.add.at(counts, (of_row, y_index), 1)
        return cls(of_row, counts, counts.argmax(axis=1) if len(classes) else np.zeros(0, dtype=np.int64), classes)

    def scarcest(self) -> tuple[int, Any]:
        """The fewest groups a class has, and that class."""
        have = np.bincount(self.kind, minlength=len(self.classes))
        scarce = int(have.argmin())
        return int(have[scarce]), self.classes[scarce]


def most_folds(y: ArrayLike, groups: ArrayLike | None) -> tuple[int, Any]:
    """The most folds that whole groups can be dealt into, and the class that allows no more.

    Parameters
    ----------
    y, groups
        As in :func:`grouped_folds`.

    Returns
    -------
    int
        The fewest groups a class has; fewer than 2 means that there can be no folds.
    element of ``y``
        That class.

    Raises
    ------
    SplitError
        No rows.

    Examples
    --------
    >>> have, scarce = most_folds(["a", "a", "a", "b", "b"], [1, 2, 3, 4, 4])
    >>> have, str(scarce)
    (1, 'b')
    """
    whole = _Groups.of(y, groups)
    if not len(whole.of_row):
        raise SplitError("folds asked for, but there are no rows")
    return whole.scarcest()


def grouped_folds(
    y: ArrayLike, groups: ArrayLike | None, n_folds: int, seed: int, *, unit: str = "group"
) -> NDArray[np.int64]:
    """Deal whole groups into folds, balanced by class, different for every seed.

    Groups are shuffled within their class and dealt in rounds of ``n_folds``: each fold receives one group a round,
    the larger groups going to the folds that hold fewer rows of the class. So every fold has the same number of
    groups of a class to within one, and about the same number of rows. Of a few such draws the best balanced is kept.
    (scikit-learn's ``StratifiedGroupKFold`` sorts groups by size first, and so gives nearly the same folds for every
    seed.)

    Parameters
    ----------
    y : array-like of shape (n,)
        Class of each row. A group with rows of several classes counts as its most frequent one.
    groups : array-like of shape (n,) or None
        Group of each row; ``None`` makes every row a group of its own.
    n_folds : int
        At least 2.
    seed : int
        Seeds the shuffle.
    unit : str
        What a group is called in an error, e.g. ``"image"``.

    Returns
    -------
    ndarray of shape (n,), int64
        Fold number of each row, 0 … ``n_folds - 1``.

    Raises
    ------
    SplitError
        Fewer than two folds, no rows, or a class with fewer groups than folds.

    Examples
    --------
    >>> grouped_folds(["a", "a", "b", "b"], [1, 2, 3, 4], n_folds=2, seed=0).shape
    (4,)
    """
    whole = _Groups.of(y, groups)
    if n_folds < 2:
        raise SplitError(f"{n_folds} folds asked for; at least 2 are needed")
    if not len(whole.of_row):
        raise SplitError(f"{n_folds} folds asked for, but there are no rows")
    have, name = whole.scarcest()
    if have < n_folds:
        possible = f"at most {have} folds are possible" if have >= 2 else "folds need at least 2 of every class"
        units = unit if have == 1 else f"{unit}s"
        raise SplitError(f"{n_folds} folds asked for, but class {str(name)!r} has only {have} {units}; {possible}")
    rng = np.random.default_rng(seed)
    return _best(
        whole,
        draw=lambda: _deal(whole, n_folds, rng),
        wanted=np.full(n_folds, 1 / n_folds),
    )


def grouped_parts(
    y: ArrayLike, groups: ArrayLike | None, shares: Sequence[float], seed: int, *, unit: str = "group"
) -> NDArray[np.int64]:
    """Send whole groups to parts of wanted sizes, every class to every part, different for every seed.

    Parameters
    ----------
    y, groups, seed, unit
        As in :func:`grouped_folds`.
    shares : sequence of float
        Wanted share of the rows in each part; a part with share 0 stays empty.

    Returns
    -------
    ndarray of shape (n,), int64
        Part of each row, 0 … ``len(shares) - 1``.

    Raises
    ------
    SplitError
        No rows, or a class with fewer groups than parts.
    """
    whole = _Groups.of(y, groups)
    wanted = np.asarray(shares, dtype=float) / np.sum(shares)
    n_parts = int((wanted > 0).sum())
    if not len(whole.of_row):
        raise SplitError(f"{n_parts} parts asked for, but there are no rows")
    have, name = whole.scarcest()
    if have < n_parts:
        units = unit if have == 1 else f"{unit}s"
        raise SplitError(
            f"{n_parts} parts asked for, but class {str(name)!r} has only {have} {units}; a part needs one each"
        )
    rng = np.random.default_rng(seed)
    return _best(whole, draw=lambda: _share(whole, wanted, rng), wanted=wanted)


def _best(whole: _Groups, draw: Callable[[], NDArray[np.int64]], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """The best balanced of a few draws, row by row."""
    draws = [draw() for _ in range(_DRAWS if len(whole.kind) <= 1000 else 1)]
    return min(draws, key=lambda part_of_group: _imbalance(whole, part_of_group, wanted))[whole.of_row]


def _imbalance(whole: _Groups, part_of_group: NDArray[np.int64], wanted: NDArray[np.float64]) -> float:
    """How far the classes' rows are from their wanted shares in the parts: the worst class's distance."""
    rows = np.zeros((len(wanted), whole.counts.shape[1]))
    np.add.at(rows, part_of_group, whole.counts)
    return float(np.abs(rows / whole.counts.sum(axis=0) - wanted[:, None]).max())


def _share(whole: _Groups, wanted: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Send every class's shuffled groups where the most rows are still owed."""
    part_of_group = np.empty(len(whole.kind), dtype=np.int64)
    used = np.flatnonzero(wanted > 0)
    for k in range(len(whole.classes)):
        shuffled = rng.permutation(np.flatnonzero(whole.kind == k))
        owed = wanted * whole.counts[shuffled].sum()
        for turn, group in enumerate(shuffled):
            # the first groups make sure that no part is left without the class
            part = used[turn] if turn < len(used) else int(np.argmax(owed))
            part_of_group[group] = part
            owed[part] -= whole.counts[group].sum()
    return part_of_group


def _deal(whole: _Groups, n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal every class's shuffled groups in rounds, one group a fold and round."""
    fold_of_group = np.empty(len(whole.kind), dtype=np.int64)
    sizes = whole.counts.sum(axis=1)
    held = np.zeros(n_folds)  # rows dealt so far, over all classes
    for k in range(len(whole.classes)):
        held_of_class = np.zeros(n_folds)
        shuffled = rng.permutation(np.flatnonzero(whole.kind == k))
        for start in range(0, len(shuffled), n_folds):
            dealt = shuffled[start : start + n_folds]
            dealt = dealt[np.argsort(-sizes[dealt], kind="stable")]
            # the lightest folds first; ties are broken by the total, then by chance
            order = np.lexsort((rng.random(n_folds), held, held_of_class))[: len(dealt)]
            fold_of_group[dealt] = order
            held_of_class[order] += sizes[dealt]
            held[order] += sizes[dealt]
    return fold_of_group


def iterate_folds(fold: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (other rows, rows of the fold) for every fold number present."""
    for k in np.unique(fold):
        yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)
