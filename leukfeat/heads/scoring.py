"""What tuning tries to make better: one literal table of metrics, named as in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from leukfeat.errors import UnknownNameError


@dataclass(frozen=True)
class Metric:
    """A number for how well scores (n, K) fit classes (n,).

    Parameters
    ----------
    score : callable(y, scores) -> float
        ``y`` are class numbers 0 … K-1, ``scores`` has a column for each class.
    greater_is_better : bool
        Which way is up.
    needs_probability : bool
        Whether scores must be probabilities; else anything that ranks will do.
    """

    score: Callable[[NDArray[np.int64], NDArray[np.float64]], float]
    greater_is_better: bool = True
    needs_probability: bool = False


def _auroc(y: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve, each class against the rest, averaged over the classes that have rows."""
    if scores.shape[1] == 2:
        return float(metrics.roc_auc_score(y == 1, scores[:, 1] - scores[:, 0]))
    present = np.unique(y)
    return float(np.mean([metrics.roc_auc_score(y == k, scores[:, k]) for k in present]))


def _balanced_accuracy(y: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Mean recall of the classes that have rows."""
    hit = scores.argmax(axis=1) == y
    return float(np.mean([hit[y == k].mean() for k in np.unique(y)]))


def _f1(average: str) -> Callable[[NDArray[np.int64], NDArray[np.float64]], float]:
    def score(y: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
        return float(
            metrics.f1_score(
                y, scores.argmax(axis=1), labels=np.arange(scores.shape[1]), average=average, zero_division=0.0
            )
        )

    return score


METRICS: dict[str, Metric] = {
    "auroc": Metric(_auroc),
    "balanced_accuracy": Metric(_balanced_accuracy),
    "accuracy": Metric(lambda y, scores: float((scores.argmax(axis=1) == y).mean())),
    "weighted_f1": Metric(_f1("weighted")),
    "macro_f1": Metric(_f1("macro")),
    "mcc": Metric(lambda y, scores: float(metrics.matthews_corrcoef(y, scores.argmax(axis=1)))),
    "log_loss": Metric(
        lambda y, p: float(metrics.log_loss(y, p, labels=np.arange(p.shape[1]))),
        greater_is_better=False,
        needs_probability=True,
    ),
}


def find_metric(name: str | None, n_classes: int) -> tuple[str, Metric]:
    """A metric and its name; ``None`` is ``auroc`` for two classes and ``balanced_accuracy`` for more.

    Raises
    ------
    UnknownNameError
        No such metric; the message lists those there are.
    """
    name = ("auroc" if n_classes == 2 else "balanced_accuracy") if name is None else name
    if name not in METRICS:
        raise UnknownNameError("metric", str(name), METRICS)
    return name, METRICS[name]
