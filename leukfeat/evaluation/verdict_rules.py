"""From a subject's cells to one number: a literal table of rules, and which of them does best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UsageError
from leukfeat.evaluation.inner import OuterFold
from leukfeat.evaluation.odds import FURTHEST
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.subjects import gathered

Values = NDArray[np.float64]


class VerdictRule(NamedTuple):
    """How the cells of one subject become a score from 0 to 1.

    Attributes
    ----------
    title : str
        For tables; ``{}`` stands for the setting.
    function : callable(p (c,), setting) -> float
        From the cells' probabilities of the positive class.
    settings : tuple of float
        Those that are tried; one 0 where there is nothing to set.
    """

    title: str
    function: Callable[[Values, float], float]
    settings: tuple[float, ...] = (0.0,)

    def named(self, setting: float) -> str:
        """The title with its setting."""
        return self.title.format(f"{setting:g}")


def _mean(p: Values, setting: float) -> float:
    return min(float(p.sum() / len(p)), 1.0)


def _mean_logit(p: Values, setting: float) -> float:
    """The mean log-odds as a probability; certainty counts as what a last bit leaves open."""
    with np.errstate(divide="ignore"):
        z = np.clip(np.log(p) - np.log1p(-p), -FURTHEST, FURTHEST)
    return float(1 / (1 + np.exp(-z.mean())))


def _fraction(p: Values, cut: float) -> float:
    return float((p >= cut).mean())


def _trimmed(p: Values, share: float) -> float:
    """The mean without that share of the cells at either end, rounded down."""
    off = int(share * len(p))
    return _mean(np.sort(p)[off : len(p) - off], 0.0)


def _top(p: Values, k: float) -> float:
    """The mean of the k cells that speak most for the class; of all, where there are fewer."""
    return _mean(np.sort(p)[-int(k) :], 0.0)


VERDICT_RULES: Mapping[str, VerdictRule] = {
    "mean": VerdictRule("mean probability", _mean),
    "mean-logit": VerdictRule("mean log-odds", _mean_logit),
    "fraction": VerdictRule("share of cells ≥ {}", _fraction, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
    "trimmed-mean": VerdictRule("mean without {} at either end", _trimmed, (0.1, 0.2)),
    "top-k": VerdictRule("mean of the {} highest", _top, (1, 3, 5, 10)),
}
"""Every rule, simplest first: of rules that do equally well the first is taken."""


@dataclass(frozen=True)
class ChosenRule:
    """The rule and cut of one outer fold.

    Attributes
    ----------
    repeat, fold : int
        Which.
    rule : str
        A name of :data:`~leukfeat.evaluation.verdict_rules.VERDICT_RULES`.
    setting : float
        Of the rule; 0 where it has none.
    cut : float
        Subjects whose score is at least this are called positive.
    balanced_accuracy : float
        Over the inner subjects it was chosen on, where it flatters.
    subjects : int
        How many these are.
    """

    repeat: int
    fold: int
    rule: str
    setting: float
    cut: float
    balanced_accuracy: float
    subjects: int

    @property
    def title(self) -> str:
        """Rule and cut in words."""
        return f"{VERDICT_RULES[self.rule].named(self.setting)}, cut {self.cut:.3f}"


@dataclass(frozen=True, eq=False)
class SubjectCells:
    """Subjects with the probabilities of their cells.

    Attributes
    ----------
    subjects : Predictions
        One row a subject (and repeat); its probabilities mean nothing.
    cells : tuple of ndarray of shape (c,)
        Probabilities of the positive class of each subject's cells.
    """

    subjects: Predictions
    cells: tuple[Values, ...]

    @classmethod
    def of(cls, predictions: Predictions) -> SubjectCells:
        """From cells; two classes, the positive one stated, one class a subject."""
        subjects, owner = gathered(predictions)
        k = predictions.classes.index(str(predictions.positive))
        order = np.argsort(owner, kind="stable")
        return cls(subjects, tuple(np.split(predictions.proba[order, k], np.cumsum(np.bincount(owner))[:-1])))

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether each subject is of the positive class."""
        return np.asarray(self.subjects.y_true == self.subjects.positive)

    def scores(self, rule: str, setting: float) -> Values:
        """What a rule makes of each subject."""
        return np.array([VERDICT_RULES[rule].function(p, setting) for p in self.cells])


def choose_rule(part: OuterFold, names: Sequence[str]) -> ChosenRule:
    """The best rule, setting and cut on the inner subjects of an outer fold.

    The cut is put where balanced accuracy over the inner subjects is greatest, in the middle between two scores (of
    several such places, in the widest gap). Of rules that do equally well the one with the greater AUROC over these
    subjects is taken, then the first.

    Parameters
    ----------
    part : OuterFold
        Its inner predictions are of cells, two classes, the positive one stated.
    names : sequence of str
        Of :data:`VERDICT_RULES`.

    Raises
    ------
    UsageError
        No rule is named.
    """
    inner = SubjectCells.of(part.inner)
    best: tuple[float, float] = (-1.0, -1.0)
    found: ChosenRule | None = None
    for name in names:
        for setting in VERDICT_RULES[name].settings:
            score = inner.scores(name, setting)
            cut, accuracy = _best_cut(score, inner.positive)
            rank = (round(accuracy, 12), round(_area(score, inner.positive), 12))
            if rank > best:
                best = rank
                found = ChosenRule(part.repeat, part.fold, name, setting, cut, accuracy, len(score))
    if found is None:
        raise UsageError(f"no verdict rule given; known: {', '.join(VERDICT_RULES)}")
    return found


def _best_cut(score: Values, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """The cut of greatest balanced accuracy, and that."""
    known = np.unique(score)
    if len(known) == 1:
        return float(known[0]), 0.5
    cuts = (known[1:] + known[:-1]) / 2
    called = score[:, None] >= cuts
    accuracy = (called[positive].mean(axis=0) + (~called[~positive]).mean(axis=0)) / 2
    good = np.flatnonzero(accuracy >= accuracy.max() - 1e-12)
    chosen = good[int(np.argmax(np.diff(known)[good]))]
    return float(cuts[chosen]), float(accuracy[chosen])


def _area(score: Values, positive: NDArray[np.bool_]) -> float:
    """AUROC of subject scores: the share of pairs in the right order, ties counting half."""
    pro, contra = score[positive][:, None], score[~positive]
    return float(((pro > contra) + 0.5 * (pro == contra)).mean())
