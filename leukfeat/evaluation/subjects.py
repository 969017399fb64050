"""From cells to subjects: one verdict a subject, and how well each subject's cells were told."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.metrics import METRICS, Score, score
from leukfeat.evaluation.predictions import Predictions

AnyPredictions = TypeVar("AnyPredictions", bound=Predictions)
Key = TypeVar("Key", bound=Hashable)

SEVERAL_FOLDS = -1
"""Fold number of a subject whose cells were tested in several folds."""


@dataclass(frozen=True)
class SubjectAccuracy:
    """How many of a subject's cells were told correctly.

    Attributes
    ----------
    subject : str
        Its id.
    classes : tuple of str
        The true classes of its cells, sorted; a subject should have one.
    cells : int
        Distinct samples.
    tested : int
        Predictions: cells times repeats.
    correct : int
        Correct ones among the predictions.
    """

    subject: str
    classes: tuple[str, ...]
    cells: int
    tested: int
    correct: int

    @property
    def true_class(self) -> str:
        """Its class, for tables; several are joined by ``+``."""
        return "+".join(self.classes)

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return self.correct / self.tested


def without_subjects(predictions: Predictions) -> str:
    """Why there is no subject level; empty where there is one."""
    if not predictions.subjects_known:
        return "subjects unknown"
    mixed = predictions.mixed_subjects
    return f"{len(mixed)} subject(s) have cells of several classes, e.g. {mixed[0]}" if mixed else ""


def by_subject(predictions: AnyPredictions) -> AnyPredictions:
    """One row a subject and repeat: the mean probability of its cells.

    Parameters
    ----------
    predictions : Predictions or InnerPredictions
        Of cells; every subject has one class.

    Returns
    -------
    Predictions or InnerPredictions
        ``sample`` is the subject. ``fold`` is -1 where the subject's cells were tested in several folds. Of inner
        predictions, one row a subject and outer fold.

    Raises
    ------
    PredictionsError
        Subjects are unknown, or one has cells of several classes.
    """
    subjects, owner = gathered(predictions)
    cells = np.bincount(owner)
    total = np.stack([np.bincount(owner, weights=column) for column in predictions.proba.T], axis=1)
    # rounding may lift a mean of ones by a last bit
    return replace(subjects, proba=np.clip(total / cells[:, None], 0.0, 1.0))


def gathered(predictions: AnyPredictions) -> tuple[AnyPredictions, NDArray[np.int64]]:
    """Which cells make which subject, for any rule that pools them.

    Returns
    -------
    subjects : Predictions or InnerPredictions
        As :func:`by_subject` returns them, but each with the probabilities of its first cell.
    owner : ndarray of shape (n,), int64
        Row of ``subjects`` that each cell belongs to.

    Raises
    ------
    PredictionsError
        As :func:`by_subject`.
    """
    reason = without_subjects(predictions)
    if reason:
        raise PredictionsError(f"predictions: no subject level: {reason}; use the cell level")
    keys = zip(*(getattr(predictions, name).tolist() for name in (*predictions.once_within, "subject")), strict=True)
    owner, _ = _numbered(keys)
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    first, folds = order[starts], predictions.fold[order]
    least, most = np.minimum.reduceat(folds, starts), np.maximum.reduceat(folds, starts)
    heads = predictions.take(first)
    return replace(heads, sample=heads.subject, fold=np.where(least == most, least, SEVERAL_FOLDS)), owner


def score_by_subject(predictions: Predictions) -> dict[str, Score]:
    """Every metric at subject level; undefined with the reason where there is no subject level."""
    reason = without_subjects(predictions)
    return {name: Score.undefined(reason) for name in METRICS} if reason else score(by_subject(predictions))


def subject_accuracy(predictions: Predictions) -> tuple[SubjectAccuracy, ...]:
    """Cell accuracy of every subject, in order of first appearance; empty where subjects are unknown."""
    if not predictions.subjects_known:
        return ()
    owner, subjects = _numbered(predictions.subject.tolist())
    sample, samples = _numbered(predictions.sample.tolist())
    label, labels = _numbered(predictions.y_true.tolist())
    has = np.zeros((len(subjects), len(labels)), dtype=np.bool_)
    has[owner, label] = True
    cells = np.bincount(np.unique(owner * len(samples) + sample) // len(samples))
    tested = np.bincount(owner)
    correct = np.bincount(owner[predictions.y_true == predictions.y_pred], minlength=len(subjects))
    return tuple(
        SubjectAccuracy(
            subject=subject,
            classes=tuple(sorted(labels[k] for k in np.flatnonzero(has[row]))),
            cells=int(cells[row]),
            tested=int(tested[row]),
            correct=int(correct[row]),
        )
        for row, subject in enumerate(subjects)
    )


def _numbered(values: Iterable[Key]) -> tuple[NDArray[np.int64], list[Key]]:
    """The number of each value, of shape (n,), and the values that have numbers, in order of first appearance."""
    numbers: dict[Key, int] = {}
    owner = np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
    return owner, list(numbers)
