"""From cells to subjects: one verdict a subject, and how well each subject's cells were told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.metrics import METRICS, Score, score
from leukfeat.evaluation.predictions import Predictions

AnyPredictions = TypeVar("AnyPredictions", bound=Predictions)

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
    mixed = [one.subject for one in subject_accuracy(predictions) if len(one.classes) > 1]
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
    numbers: dict[tuple[int | str, ...], int] = {}
    keys = zip(*(getattr(predictions, name).tolist() for name in (*predictions.once_within, "subject")), strict=True)
    owner = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    first = np.unique(owner, return_index=True)[1]
    least, most = predictions.fold[first].copy(), predictions.fold[first].copy()
    np.minimum.at(least, owner, predictions.fold)
    np.maximum.at(most, owner, predictions.fold)
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
    rows: dict[str, list[tuple[str, str, bool]]] = {}
    correct = predictions.y_true == predictions.y_pred
    for subject, sample, label, right in zip(
        predictions.subject.tolist(),
        predictions.sample.tolist(),
        predictions.y_true.tolist(),
        correct.tolist(),
        strict=True,
    ):
        rows.setdefault(subject, []).append((sample, label, right))
    return tuple(
        SubjectAccuracy(
            subject=subject,
            classes=tuple(sorted({label for _, label, _ in tested})),
            cells=len({sample for sample, _, _ in tested}),
            tested=len(tested),
            correct=sum(right for _, _, right in tested),
        )
        for subject, tested in rows.items()
    )
