"""The numbers: one literal table of metrics, and what to say where a number does not exist."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.scored import Scored, mid_ranks
from leukfeat.evaluation.thresholds import Steps

POSITIVE_NOT_STATED = "positive class not stated: pass --positive"
MACRO = "macro one-vs-rest"


@dataclass(frozen=True)
class Score:
    """A number, or the reason why there is none.

    Attributes
    ----------
    value : float
        NaN where the statistic is undefined.
    reason : str
        Why it is undefined; empty where it is defined.

    Examples
    --------
    >>> str(Score(0.89812)), str(Score.undefined("one class only"))
    ('0.898', '–')
    """

    value: float
    reason: str = ""

    @classmethod
    def undefined(cls, reason: str) -> Score:
        """No number, and why."""
        return cls(math.nan, reason)

    @property
    def defined(self) -> bool:
        """Whether there is a number."""
        return not self.reason

    def __str__(self) -> str:
        return f"{self.value:.3f}" if self.defined else "–"


Function = Callable[[Scored], Score]


@dataclass(frozen=True)
class Metric:
    """One statistic of predictions.

    Attributes
    ----------
    title : str
        Name in tables for two classes.
    short : str
        Name where columns are narrow.
    function : callable
        From prepared predictions to a score.
    needs : ``"labels"`` or ``"probabilities"``
        What it looks at.
    direction : ``"higher"`` or ``"lower"``
        Which values are better.
    averaging : str
        How several classes become one number; empty where the definition covers any number of classes.
    """

    title: str
    short: str
    function: Function
    needs: Literal["labels", "probabilities"]
    direction: Literal["higher", "lower"] = "higher"
    averaging: str = ""

    def title_for(self, n_classes: int) -> str:
        """The title, naming the averaging where there are more than two classes."""
        return f"{self.title} ({self.averaging})" if n_classes > 2 and self.averaging else self.title


def score(predictions: Predictions, metrics: Iterable[str] | None = None) -> dict[str, Score]:
    """Every metric of a set of out-of-fold predictions.

    The predictions of all folds of a repeat are pooled before a metric is computed, because folds of few subjects
    are too small for most metrics (a fold may hold one class only); the values of the repeats are then averaged. For
    the values of single folds see :func:`score_by_fold`.

    Parameters
    ----------
    predictions : Predictions
        Any number of folds and repeats.
    metrics : iterable of str or None
        Names in :data:`METRICS`; all of them by default.

    Returns
    -------
    dict of str to Score
        In the order of the table. A metric that is undefined in one repeat is undefined.

    Raises
    ------
    UnknownNameError
        A name is not in the table.
    """
    names = _known(metrics)
    repeats = [
        Scored.of(predictions.take(predictions.repeat == repeat)) for repeat in np.unique(predictions.repeat).tolist()
    ]
    return {name: _mean([METRICS[name].function(scored) for scored in repeats]) for name in names}


def score_by_fold(
    predictions: Predictions, metrics: Iterable[str] | None = None
) -> dict[tuple[int, int], dict[str, Score]]:
    """Every metric in every (repeat, fold); see :func:`score`."""
    names = _known(metrics)
    pairs = sorted(set(zip(predictions.repeat.tolist(), predictions.fold.tolist(), strict=True)))
    found = {}
    for repeat, fold in pairs:
        scored = Scored.of(predictions.take((predictions.repeat == repeat) & (predictions.fold == fold)))
        found[repeat, fold] = {name: METRICS[name].function(scored) for name in names}
    return found


def confusion(predictions: Predictions) -> NDArray[np.int64]:
    """Counts of shape (k, k), true classes in rows, over all folds and repeats."""
    return Scored.of(predictions).confusion


def _known(metrics: Iterable[str] | None) -> list[str]:
    names = list(METRICS) if metrics is None else list(metrics)
    for name in names:
        if name not in METRICS:
            raise UnknownNameError("metric", name, METRICS)
    return names


def _mean(scores: Sequence[Score]) -> Score:
    lacking = [one for one in scores if not one.defined]
    return lacking[0] if lacking else Score(float(np.mean([one.value for one in scores])))


# ---------------------------------------------------------------------- of counts, one table or many


def f1_of_classes(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of each class, (..., k), from counts (..., k, k); 0 where a class is neither there nor predicted."""
    there = confusion.sum(axis=-2) + confusion.sum(axis=-1)
    return np.asarray(2 * np.diagonal(confusion, axis1=-2, axis2=-1) / np.maximum(there, 1))


def correlation(confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gorodkin's correlation of k classes (Comp. Biol. Chem. 28, 2004), which is Matthews' for two, from counts.

    Of shape (...) from (..., k, k); NaN where all rows are of one class, or all are called alike.
    """
    true, said = confusion.sum(axis=-1), confusion.sum(axis=-2)
    n = true.sum(axis=-1)
    across = np.trace(confusion, axis1=-2, axis2=-1) * n - (true * said).sum(axis=-1)
    spread = (n**2 - (said**2).sum(axis=-1)) * (n**2 - (true**2).sum(axis=-1))
    return np.asarray(np.where(spread > 0, across / np.sqrt(np.where(spread > 0, spread, 1)), np.nan))


# ---------------------------------------------------------------------- what the table refers to


def _accuracy(scored: Scored) -> Score:
    return Score(float((scored.y_true == scored.y_pred).mean()))


def _balanced_accuracy(scored: Scored) -> Score:
    if scored.absent:
        return Score.undefined(scored.absent)
    return Score(float(np.mean(scored.confusion.diagonal() / scored.confusion.sum(axis=1))))


def _weighted_f1(scored: Scored) -> Score:
    if len(np.unique(scored.y_true)) < 2:  # it would be a function of the recall alone
        return Score.undefined("one class only")
    return Score(float(np.average(f1_of_classes(scored.confusion), weights=scored.confusion.sum(axis=1))))


def _macro_f1(scored: Scored) -> Score:
    return Score.undefined(scored.absent) if scored.absent else Score(float(f1_of_classes(scored.confusion).mean()))


def _one_vs_rest(one: Callable[[Scored, int], Score]) -> Function:
    """The statistic of the positive class of two, or its unweighted mean over several classes."""

    def averaged(scored: Scored) -> Score:
        if not scored.of_interest:
            return Score.undefined(POSITIVE_NOT_STATED)
        return _mean([one(scored, k) for k in scored.of_interest])

    return averaged


def _sensitivity(scored: Scored, k: int) -> Score:
    return _ratio(scored.confusion[k, k], scored.confusion[k].sum(), f"class {scored.classes[k]!r} has no samples")


def _specificity(scored: Scored, k: int) -> Score:
    others = np.delete(scored.confusion, k, axis=0)
    return _ratio(others.sum() - others[:, k].sum(), others.sum(), f"only class {scored.classes[k]!r} has samples")


def _precision(scored: Scored, k: int) -> Score:
    said = scored.confusion[:, k].sum()
    if (scored.y_true == k).all():  # nothing could be called so by mistake
        return Score.undefined(f"only class {scored.classes[k]!r} has samples")
    return _ratio(scored.confusion[k, k], said, f"class {scored.classes[k]!r} is never predicted")


def _matthews(scored: Scored) -> Score:
    if len(np.unique(scored.y_true)) < 2:
        return Score.undefined("one class only")
    if len(np.unique(scored.y_pred)) < 2:
        return Score.undefined(f"only class {scored.classes[scored.y_pred[0]]!r} is predicted")
    return Score(float(correlation(scored.confusion.astype(np.float64))))


def _auroc(scored: Scored) -> Score:
    if scored.absent:
        return Score.undefined(scored.absent)
    # with two classes either column gives the same area, so no positive class is needed
    columns = scored.of_interest or (1,)
    return Score(float(np.mean([_area(scored.y_true == k, scored.ranking(k)) for k in columns])))


def _area(positive: NDArray[np.bool_], ranking: NDArray[np.float64]) -> float:
    """Share of pairs that stand in the right order, ties counting half (Mann and Whitney); from mid-ranks, exactly."""
    n_positive = int(positive.sum())
    above = mid_ranks(ranking)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * (len(positive) - n_positive)))


def _auprc(scored: Scored, k: int) -> Score:
    """Average precision: the precision at each distinct score, weighted by the members that it adds."""
    member = scored.y_true == k
    if not member.any():
        return Score.undefined(f"class {scored.classes[k]!r} has no samples")
    if member.all():
        return Score.undefined(f"only class {scored.classes[k]!r} has samples")
    steps = Steps.of(scored.ranking(k), member)
    return Score(float(steps.ppv @ np.diff(steps.sensitivity, prepend=0.0)))


def _log_loss(scored: Scored) -> Score:
    return Score(float(scored.surprise.mean()))


def _brier(scored: Scored) -> Score:
    miss = scored.proba - np.eye(len(scored.classes))[scored.y_true]
    # the usual score of two classes looks at one column only: half of the sum over both
    return Score(float((miss**2).sum(axis=1).mean() / (2 if len(scored.classes) == 2 else 1)))


def _ratio(part: np.integer, whole: np.integer, reason: str) -> Score:
    return Score(float(part / whole)) if whole else Score.undefined(reason)


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("accuracy", "acc", _accuracy, "labels"),
    "balanced_accuracy": Metric("balanced accuracy", "bal acc", _balanced_accuracy, "labels"),
    "weighted_f1": Metric("weighted F1", "wF1", _weighted_f1, "labels"),
    "macro_f1": Metric("macro F1", "mF1", _macro_f1, "labels"),
    "sensitivity": Metric("sensitivity", "sens", _one_vs_rest(_sensitivity), "labels", averaging=MACRO),
    "specificity": Metric("specificity", "spec", _one_vs_rest(_specificity), "labels", averaging=MACRO),
    "precision": Metric("precision", "prec", _one_vs_rest(_precision), "labels", averaging=MACRO),
    "mcc": Metric("MCC", "MCC", _matthews, "labels", averaging="multi-class, Gorodkin"),
    "auroc": Metric("AUROC", "AUROC", _auroc, "probabilities", averaging=MACRO),
    "auprc": Metric("AUPRC", "AUPRC", _one_vs_rest(_auprc), "probabilities", averaging=MACRO),
    "log_loss": Metric("log-loss", "logloss", _log_loss, "probabilities", "lower"),
    "brier": Metric("Brier", "Brier", _brier, "probabilities", "lower", averaging="summed over classes, 0 to 2"),
}
"""Every metric there is, by its name in tables and JSON. Those a head can be tuned for have the same names."""
