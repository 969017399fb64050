"""The rows a head is trained on, and inner folds of them: who learns, who tells when to stop, who judges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukfeat.data.folds import grouped_folds, iterate_folds, most_folds
from leukfeat.errors import HeadError

Rows = NDArray[np.int64]
Splits = list[tuple[Rows, Rows]]

_STOP_SHARE = 5  # one part in so many of the groups tells a booster when to stop


@dataclass(frozen=True)
class Table:
    """The rows a head is trained on.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Features, float32 or float64.
    y : ndarray of shape (n,), int64
        Class numbers 0 … K-1.
    groups : ndarray of shape (n,), int64
        Group numbers.
    classes : tuple of str
        What the classes are called, for messages.
    """

    X: NDArray[Any]
    y: Rows
    groups: Rows
    classes: tuple[str, ...]

    def most_folds(self, rows: Rows | None = None) -> tuple[int, str]:
        """The most grouped folds possible, and the class that allows no more."""
        y, groups = (self.y, self.groups) if rows is None else (self.y[rows], self.groups[rows])
        possible, rarest = most_folds(y, groups)
        return possible, self.classes[rarest]


@dataclass(frozen=True)
class InnerFold:
    """One split of the training rows, by row number.

    Parameters
    ----------
    fit : ndarray of int64
        Everything is learned from these: scaling, reduction, classifier.
    stop : ndarray of int64
        Rows of other groups that tell a booster when to stop; empty for other heads.
    validation : ndarray of int64
        Rows of other groups again; they only judge.
    """

    fit: Rows
    stop: Rows
    validation: Rows


def grouped_pairs(table: Table, n_folds: int, seed: int, rows: Rows | None = None) -> Splits:
    """(training rows, validation rows) of grouped folds, as many as asked for or as the rarest class allows.

    Parameters
    ----------
    table : Table
        The training rows.
    n_folds, seed : int
        How many folds, and what deals them.
    rows : ndarray of int64 or None
        The rows to divide, among which the folds then count; None are all.

    Raises
    ------
    HeadError
        A class has rows of fewer than two groups.
    """
    possible, rarest = table.most_folds(rows)
    if possible < 2:
        raise HeadError(
            f"class {rarest!r} has {possible} subject(s) in the training rows; tuning and calibration need at least 2"
            f" subjects of each class (a subject counts for its most frequent class)"
        )
    y, groups = (table.y, table.groups) if rows is None else (table.y[rows], table.groups[rows])
    return list(iterate_folds(grouped_folds(y, groups, min(n_folds, possible), seed)))


def given_pairs(table: Table, pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> Splits:
    """Check (training rows, validation rows) pairs that the caller made.

    Raises
    ------
    HeadError
        Rows out of range, a group on both sides, a class without a training row, or fewer than two classes to judge.
    """
    checked: Splits = []
    for number, (train, validation) in enumerate(pairs):
        train, validation = np.asarray(train), np.asarray(validation)
        where = f"inner fold {number}"
        for part in (train, validation):
            if part.ndim != 1 or not np.issubdtype(part.dtype, np.integer) or not len(part):
                raise HeadError(f"{where}: give two non-empty lists of row numbers")
            if part.min() < 0 or part.max() >= len(table.y):
                raise HeadError(f"{where}: row numbers go from 0 to {len(table.y) - 1}")
        shared = np.intersect1d(table.groups[train], table.groups[validation])
        if len(shared):
            raise HeadError(f"{where}: {len(shared)} group(s) are on both sides; keep a group's rows together")
        lacking = np.setdiff1d(np.arange(len(table.classes)), table.y[train])
        if len(lacking):
            raise HeadError(f"{where}: class {table.classes[lacking[0]]!r} has no training row")
        if len(np.unique(table.y[validation])) < 2:
            raise HeadError(f"{where}: the validation rows are all of one class; nothing can be judged on them")
        checked.append((train.astype(np.int64), validation.astype(np.int64)))
    if not checked:
        raise HeadError("inner_folds is an empty list; give a number of folds or at least one pair of row lists")
    return checked


def inner_folds(table: Table, pairs: Splits, *, stops_early: bool, seed: int) -> tuple[InnerFold, ...]:
    """Inner folds of pairs; for a booster, some groups of each training part are set aside to stop on.

    Where a training part has one group of some class nothing can be set aside, and the booster runs its default
    number of rounds.
    """
    folds = []
    for number, (train, validation) in enumerate(pairs):
        fit, stop = train, train[:0]
        possible, _ = table.most_folds(train)
        if stops_early and possible >= 2:
            part = grouped_folds(table.y[train], table.groups[train], min(_STOP_SHARE, possible), seed + number)
            fit, stop = train[part != 0], train[part == 0]
        folds.append(InnerFold(fit, stop, validation))
    return tuple(folds)


def refuse_not_finite(X: NDArray[Any]) -> None:
    """Name the first value that is no number, for whoever has to find it.

    Raises
    ------
    HeadError
        There is one.
    """
    finite = np.isfinite(X)
    if finite.all():
        return
    row, column = (int(i) for i in np.argwhere(~finite)[0])
    kind = "NaN" if math.isnan(X[row, column]) else "infinity (inf)"
    rows = int((~finite).any(axis=1).sum())
    raise HeadError(
        f"features contain NaN or inf: {rows} of {len(X)} rows, first {kind} in row {row}, feature {column};"
        f" extract these rows again or leave them out"
    )
