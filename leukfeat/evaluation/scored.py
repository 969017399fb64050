"""Predictions as every statistic reads them: columns in place of names, and what orders the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.predictions import Predictions

_ROUNDING = 1e-9  # rows that miss a sum of 1 by less are whole: float arithmetic, not a tool that wrote few digits

_LEAST = float(np.finfo(np.float64).eps)  # a probability of 0 for what happened costs 36, not infinity


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions of one repeat as the metrics want them: classes as column numbers.

    Attributes
    ----------
    y_true, y_pred : ndarray of shape (n,), int64
        Column of the true and of the predicted class.
    stored : ndarray of shape (n, k), float64
        Probabilities as the predictions hold them; rows are ranked by these.
    classes : tuple of str
        Names of the columns.
    positive : int or None
        Column of the positive class of a two-class problem, where it is stated.
    """

    y_true: NDArray[np.int64]
    y_pred: NDArray[np.int64]
    stored: NDArray[np.float64]
    classes: tuple[str, ...]
    positive: int | None

    @classmethod
    def of(cls, predictions: Predictions) -> Scored:
        """Prepare predictions."""
        column = {name: k for k, name in enumerate(predictions.classes)}
        stated = predictions.positive if len(predictions.classes) == 2 else None
        return cls(
            y_true=np.array([column[name] for name in predictions.y_true.tolist()]),
            y_pred=np.array([column[name] for name in predictions.y_pred.tolist()]),
            stored=predictions.proba,
            classes=predictions.classes,
            positive=None if stated is None else column[stated],
        )

    @cached_property
    def proba(self) -> NDArray[np.float64]:
        """Probabilities whose rows sum to 1; those that another tool rounded are divided by their sum."""
        whole = self.stored.sum(axis=1, keepdims=True)
        return np.where(np.abs(whole - 1) > _ROUNDING, self.stored / whole, self.stored)

    @property
    def surprise(self) -> NDArray[np.float64]:
        """-log of the probability of what happened, (n,): the log-loss of each row."""
        own = self.proba[np.arange(len(self.y_true)), self.y_true]
        return np.asarray(-np.log(np.clip(own, _LEAST, 1 - _LEAST)))

    def ranking(self, k: int) -> NDArray[np.float64]:
        """What orders the rows by how much they speak for class ``k``, of shape (n,); equal where they say the same.

        Of several classes this is the stored column, untouched, because any arithmetic may break a tie. Of two it is
        the rank of the odds from both columns: where one probability rounds to 1.0 the other still tells rows apart,
        and turning the classes round turns the order round exactly.
        """
        if len(self.classes) > 2:
            return self.stored[:, k]
        pro, contra = self.stored[:, k], self.stored[:, 1 - k]
        with np.errstate(divide="ignore", over="ignore"):  # an odds of infinity is the last rank
            odds = np.where(pro >= contra, pro / contra - 1, 1 - contra / pro)
        # the rank stands for the odds: differences of infinite ones are no numbers
        return np.unique(odds, return_inverse=True)[1].astype(np.float64)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts of shape (k, k): true classes are rows, predicted classes columns."""
        k = len(self.classes)
        return np.bincount(self.y_true * k + self.y_pred, minlength=k * k).reshape(k, k)

    @property
    def absent(self) -> str:
        """Why a statistic over all classes is undefined here; empty where every class has samples."""
        empty = [self.classes[k] for k in np.flatnonzero(self.confusion.sum(axis=1) == 0)]
        if len(self.classes) - len(empty) < 2:
            return "one class only"
        return f"class {empty[0]!r} has no samples" if empty else ""

    @property
    def of_interest(self) -> Sequence[int]:
        """The columns a one-vs-rest statistic looks at: the positive class of two, every one of several."""
        if len(self.classes) > 2:
            return range(len(self.classes))
        return () if self.positive is None else (self.positive,)


def mid_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of values (n,) from 1; ties share their mean."""
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(ties) - (ties - 1) / 2)[place])
