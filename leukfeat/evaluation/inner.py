"""Inner predictions: what may be learned from, because the models that made them had not seen the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import LeakageError
from leukfeat.evaluation.predictions import Predictions

NO_INNER = "no inner predictions: made by another tool, by an older leukfeat, or by a network without validation rows"

INNER_SEEN = "the encoder was trained on the cells that calibration and thresholds are learned from: both flatter"
"""What to say beside anything learned from inner predictions that :func:`inner_seen` tells of."""


@dataclass(frozen=True, eq=False)
class InnerPredictions(Predictions):
    """Probabilities for rows of the *training* part of each outer fold, by models that had not seen these rows.

    The columns are those of :class:`~leukfeat.evaluation.predictions.Predictions`, but ``repeat`` and ``fold`` name
    the outer fold that the rows train, so a sample stands once in each fold and several times in all. They are for
    learning a temperature, a threshold or a rule that is then applied to the test part of the very same fold, never
    for judging a model: its parameters, or its epoch, were chosen on these rows.
    """

    once_within: ClassVar[tuple[str, ...]] = ("repeat", "fold")

    def of_fold(self, repeat: int, fold: int) -> Predictions | None:
        """The rows that train one outer fold, as ordinary predictions; None where there are none."""
        key = repeat, fold
        if key not in self._taken:
            self._taken[key] = self._rows_of(repeat, fold)
        return self._taken[key]

    @cached_property
    def _taken(self) -> dict[tuple[int, int], Predictions | None]:
        """The folds that were asked for: calibration, thresholds and verdicts all want the same."""
        return {}

    def _rows_of(self, repeat: int, fold: int) -> Predictions | None:
        rows = np.flatnonzero((self.repeat == repeat) & (self.fold == fold))
        if not len(rows):
            return None
        columns: dict[str, Any] = {column.name: getattr(self, column.name) for column in fields(self)}
        taken = {name: value[rows] for name, value in columns.items() if isinstance(value, np.ndarray)}
        return Predictions(**{**columns, **taken})


class OuterFold(NamedTuple):
    """One outer fold: what is learned from, and what it is applied to.

    Attributes
    ----------
    repeat, fold : int
        Which.
    test : ndarray of shape (m,), int64
        Rows of the predictions that it tests.
    inner : Predictions
        Of its training part.
    """

    repeat: int
    fold: int
    test: NDArray[np.int64]
    inner: Predictions


def without_inner(predictions: Predictions, inner: InnerPredictions | None) -> str:
    """Why nothing can be learned inside the training parts of these predictions; empty where it can."""
    if inner is None:
        return NO_INNER
    if sorted(inner.classes) != sorted(predictions.classes):
        return "the inner predictions are of other classes"
    for repeat, fold, _ in _tested(predictions):
        if fold < 0:
            return "subjects are tested in several folds, so that none of these has learned for all their cells"
        rows = (inner.repeat == repeat) & (inner.fold == fold)
        if not rows.any():
            return f"fold {fold} of repeat {repeat} has no inner predictions"
        present = np.unique(inner.y_true[rows])
        if len(present) < 2:
            return f"the inner predictions of fold {fold} of repeat {repeat} are all of class {str(present[0])!r}"
    return ""


def outer_folds(predictions: Predictions, inner: InnerPredictions) -> Iterator[OuterFold]:
    """Every outer fold with its inner predictions, in order; ask :func:`without_inner` first.

    Raises
    ------
    LeakageError
        A sample is in the inner predictions of the very fold that tests it.
    """
    inner = inner.with_classes(predictions.classes)
    for repeat, fold, rows in _tested(predictions):
        learned = inner.of_fold(repeat, fold)
        if learned is None:
            continue
        tested = sorted(set(learned.sample.tolist()) & set(predictions.sample[rows].tolist()))
        if tested:
            raise LeakageError(
                f"inner predictions of fold {fold}: {len(tested)} sample(s) are tested in this very fold, e.g."
                f" {tested[0]}; run the command of this run again"
            )
        yield OuterFold(repeat, fold, rows, learned)


def inner_seen(folds: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the facts of any fold say that its encoder was trained on the rows of its inner predictions."""
    return any(facts.get("inner_seen", False) for facts in folds)


def _tested(predictions: Predictions) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Repeat, fold and rows of every fold, sorted."""
    for repeat, fold in sorted(set(zip(predictions.repeat.tolist(), predictions.fold.tolist(), strict=True))):
        yield repeat, fold, np.flatnonzero((predictions.repeat == repeat) & (predictions.fold == fold))
