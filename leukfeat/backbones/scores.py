"""How good logits are while a network is trained; what is published is computed in ``leukfeat.evaluation``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """Of one epoch on one part of the rows.

    Attributes
    ----------
    loss : float
        Mean of the loss that is trained.
    accuracy, balanced_accuracy : float
        Share of images told correctly, and the mean of that share over the classes there are.
    auroc : float or None
        Area under the ROC curve (of several classes: mean of one against the rest); None where a class is missing.
    """

    loss: float
    accuracy: float
    balanced_accuracy: float
    auroc: float | None


SCORE_NAMES = ("loss", "accuracy", "balanced_accuracy", "auroc")


def scores_of(logits: NDArray[np.float32], y: NDArray[np.int64], loss: float) -> Scores:
    """Score logits.

    Parameters
    ----------
    logits : ndarray of shape (n, K)
        Finite.
    y : ndarray of shape (n,)
        Classes, 0 … K - 1.
    loss : float
        Their loss.

    Examples
    --------
    >>> scores_of(np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), np.array([0, 1, 1]), 0.5)
    Scores(loss=0.5, accuracy=0.6666666666666666, balanced_accuracy=0.75, auroc=0.5)
    """
    right = logits.argmax(axis=1) == y
    recalls = [float(right[y == k].mean()) for k in np.unique(y)]
    return Scores(loss, float(right.mean()), float(np.mean(recalls)), _auroc(logits.astype(np.float64), y))


def _auroc(logits: NDArray[np.float64], y: NDArray[np.int64]) -> float | None:
    n_classes = logits.shape[1]
    if len(np.unique(y)) < n_classes or n_classes < 2:
        return None
    if n_classes == 2:
        return _area(logits[:, 1] - logits[:, 0], y == 1)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    return float(np.mean([_area(shares[:, k], y == k) for k in range(n_classes)]))


def _area(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive scores above a negative, ties counting half (Mann-Whitney)."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n_positive = int(positive.sum())
    wins = rank[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * (len(score) - n_positive)))
