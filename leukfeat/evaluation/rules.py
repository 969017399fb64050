"""The rules by which several models become one: what each has to learn first, and how it combines.

The functions take probabilities of m members for n rows and k classes, whose rows sum to 1, as arrays of shape
(m, n, k); see :mod:`leukfeat.evaluation.ensembles` for how they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.metrics import METRICS, Function, Score
from leukfeat.evaluation.scored import Scored

Proba = NDArray[np.float64]
Learned = Mapping[str, Any]
Settings = Mapping[str, Any]

_FLOOR = 1e-7  # below this a network's 32-bit softmax says nothing; a logarithm needs more than zero
_NUDGE = 1e-6  # what breaks a tied vote, far less than any vote
_CUTS = 200  # cuts that a switch tries, at most


@dataclass(frozen=True)
class Rule:
    """One way to combine.

    Attributes
    ----------
    about : str
        In a few words.
    combine : callable
        From probabilities of shape (m, n, k) and what was learned to probabilities of shape (n, k).
    learn : callable or None
        From settings, probabilities and the column of each row's class to what is learned, as JSON types.
    options : mapping
        Options and their defaults.
    members : int or None
        How many it combines; ``None`` for two or more.
    """

    about: str
    combine: Callable[[Proba, Learned], Proba]
    learn: Callable[[Settings, Proba, NDArray[np.int64]], Learned] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    members: int | None = None


def _logs(proba: Proba) -> Proba:
    return np.log(np.maximum(proba, _FLOOR))


def _softmax(scores: Proba) -> Proba:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _mean(proba: Proba, learned: Learned) -> Proba:
    return np.asarray(proba.mean(axis=0))


def _mean_logit(proba: Proba, learned: Learned) -> Proba:
    return _softmax(_logs(proba).mean(axis=0))


def _vote(proba: Proba, learned: Learned) -> Proba:
    """The share of members whose most probable class it is; a tied vote leans to the class with the larger mean."""
    n_classes = proba.shape[2]
    votes = np.eye(n_classes)[proba.argmax(axis=2)].sum(axis=0)  # (n, k)
    leading = votes == votes.max(axis=1, keepdims=True)
    tied = leading.sum(axis=1) > 1
    winner = np.where(leading, proba.mean(axis=0), -1.0).argmax(axis=1)
    votes[tied, winner[tied]] += _NUDGE
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def _weighted(proba: Proba, learned: Learned) -> Proba:
    return np.asarray(np.tensordot(np.asarray(learned["weights"]), proba, axes=1))


def _learn_weights(settings: Settings, proba: Proba, y: NDArray[np.int64]) -> Learned:
    """Weights that sum to 1; a member no better than chance (kappa, MCC at or below 0) has none."""
    metric, power = settings["metric"], settings["power"]
    scores = [_judged(metric, member, y) for member in proba]
    weights = np.maximum(scores, 0.0) ** power
    weights = weights / weights.sum() if weights.sum() else np.full(len(proba), 1 / len(proba))
    return {"weights": weights.tolist(), "scores": scores, "shape": [len(proba), proba.shape[2]]}


def _stacked_model(proba: Proba, learned: Learned) -> Proba:
    scores = _as_features(proba) @ np.asarray(learned["coefficients"]).T + np.asarray(learned["intercepts"])
    columns = np.zeros(proba.shape[1:])
    columns[:, learned["columns"]] = _softmax(scores)
    return columns


def _learn_stacking(settings: Settings, proba: Proba, y: NDArray[np.int64]) -> Learned:
    """A multinomial logistic regression; a class without rows has probability 0 ever after."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=settings["C"], max_iter=10_000).fit(_as_features(proba), y)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one row of two
        coefficients, intercepts = (np.concatenate([np.zeros_like(part), part]) for part in (coefficients, intercepts))
    return {
        "coefficients": coefficients.tolist(),
        "intercepts": intercepts.tolist(),
        "columns": model.classes_.tolist(),
        "shape": [len(proba), proba.shape[2]],
    }


def _as_features(proba: Proba) -> Proba:
    """Log-probabilities of all members side by side, (m, n, k) -> (n, m * k)."""
    return np.concatenate(list(_logs(proba)), axis=1)


def _switched(proba: Proba, learned: Learned) -> Proba:
    first, second = proba
    sure = first.max(axis=1, keepdims=True) >= learned["cut"]
    return np.asarray(np.where(sure, first, second))


def _learn_cut(settings: Settings, proba: Proba, y: NDArray[np.int64]) -> Learned:
    """The cut that makes the metric best; of equal ones the lowest, which leaves most to the first member."""
    confidence = np.unique(proba[0].max(axis=1))
    between = (confidence[1:] + confidence[:-1]) / 2
    if len(between) > _CUTS:
        between = between[np.linspace(0, len(between) - 1, _CUTS).round().astype(np.int64)]
    cuts = [0.0, *between.tolist(), 2.0]  # never, sometimes, always the second
    scores = [_judged(settings["metric"], _switched(proba, {"cut": cut}), y) for cut in cuts]
    best = int(np.argmax(scores))
    return {"cut": cuts[best], "score": scores[best], "shape": [len(proba), proba.shape[2]]}


def _judged(metric: str, proba: Proba, y: NDArray[np.int64]) -> float:
    """A metric of one model's probabilities among the classes that have rows; 0 where it is undefined."""
    present = np.unique(y)
    among = proba if len(present) == proba.shape[1] else np.maximum(proba[:, present], _FLOOR)
    score = JUDGES[metric](
        Scored(
            y_true=np.searchsorted(present, y),
            y_pred=among.argmax(axis=1),
            stored=among,
            classes=tuple(str(k) for k in present),
            positive=None,
        )
    )
    return score.value if score.defined else 0.0


def _kappa(scored: Scored) -> Score:
    """Cohen's kappa: agreement beyond what the frequencies of true and predicted classes would give by chance."""
    table = scored.confusion / scored.confusion.sum()
    chance = float(table.sum(axis=0) @ table.sum(axis=1))
    if chance == 1:
        return Score.undefined("one class only")
    return Score((float(np.trace(table)) - chance) / (1 - chance))


_METRICS = ("accuracy", "balanced_accuracy", "weighted_f1", "macro_f1", "mcc", "auroc")

JUDGES: Mapping[str, Function] = {"kappa": _kappa, **{name: METRICS[name].function for name in _METRICS}}
"""What can weigh a member or choose a cut: higher is better, no positive class needed."""

RULES: Mapping[str, Rule] = {
    "mean": Rule("mean of the probabilities", _mean),
    "mean-logit": Rule("mean of the log-probabilities, normalised: the geometric mean", _mean_logit),
    "vote": Rule("share of the members that vote for the class; ties go to the larger mean probability", _vote),
    "weighted": Rule(
        "mean weighted by each member's metric", _weighted, _learn_weights, {"metric": "kappa", "power": 1.0}
    ),
    "stacking": Rule("logistic regression on the log-probabilities", _stacked_model, _learn_stacking, {"C": 1.0}),
    "switch": Rule(
        "the first member where its largest probability reaches a cut, else the second",
        _switched,
        _learn_cut,
        {"metric": "balanced_accuracy"},
        members=2,
    ),
}
"""Every rule there is."""
