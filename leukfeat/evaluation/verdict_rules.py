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

_DIGITS = 12  # of scores, cuts and gaps: which of two equal ones is the larger must not hang on the order of a sum


class Cells(NamedTuple):
    """The cells of s subjects, one subject after the other.

    Attributes
    ----------
    p : ndarray of shape (n,), float64
        Probabilities of the positive class, rising within each subject.
    start, size : ndarray of shape (s,), int64
        Where each subject begins, and how many cells it has; at least one.
    """

    p: Values
    start: NDArray[np.int64]
    size: NDArray[np.int64]

    @classmethod
    def of(cls, p: Values, owner: NDArray[np.int64]) -> Cells:
        """From the number of the subject of each cell, 0 to s - 1."""
        size = np.bincount(owner)
        return cls(p[np.lexsort((p, owner))], np.cumsum(size) - size, size)

    def mean(
        self, values: Values, first: NDArray[np.int64] | None = None, last: NDArray[np.int64] | None = None
    ) -> Values:
        """Means over each subject of values (n,), of all its cells or from its ``first`` to before its ``last``."""
        begin = self.start if first is None else self.start + first
        end = self.start + (self.size if last is None else last)
        # sums between pairs of places; the one behind the last cell is there too
        sums = np.add.reduceat(np.append(values, 0.0), np.column_stack([begin, end]).ravel())[::2]
        return np.asarray(sums / (end - begin))


class VerdictRule(NamedTuple):
    """How the cells of one subject become a score from 0 to 1.

    Attributes
    ----------
    title : str
        For tables; ``{}`` stands for the setting.
    function : callable(Cells, setting) -> ndarray of shape (s,), float64
        The scores of s subjects.
    settings : tuple of float
        Those that are tried; one 0 where there is nothing to set.
    """

    title: str
    function: Callable[[Cells, float], Values]
    settings: tuple[float, ...] = (0.0,)

    def named(self, setting: float) -> str:
        """The title with its setting."""
        return self.title.format(f"{setting:g}")


def _mean(cells: Cells, setting: float) -> Values:
    return np.minimum(cells.mean(cells.p), 1.0)


def _mean_logit(cells: Cells, setting: float) -> Values:
    """The mean log-odds as a probability; certainty counts as what a last bit leaves open."""
    with np.errstate(divide="ignore"):
        z = np.clip(np.log(cells.p) - np.log1p(-cells.p), -FURTHEST, FURTHEST)
    return np.asarray(1 / (1 + np.exp(-cells.mean(z))))


def _fraction(cells: Cells, cut: float) -> Values:
    return cells.mean((cells.p >= cut).astype(np.float64))


def _trimmed(cells: Cells, share: float) -> Values:
    """The mean without that share of the cells at either end, rounded down."""
    off = (share * cells.size).astype(np.int64)
    return np.minimum(cells.mean(cells.p, off, cells.size - off), 1.0)


def _top(cells: Cells, k: float) -> Values:
    """The mean of the k cells that speak most for the class; of all, where there are fewer."""
    return np.minimum(cells.mean(cells.p, np.maximum(cells.size - int(k), 0)), 1.0)


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
    cells : Cells
        Of the subjects, in the order of the rows.
    """

    subjects: Predictions
    cells: Cells

    @classmethod
    def of(cls, predictions: Predictions) -> SubjectCells:
        """From cells; two classes, the positive one stated, one class a subject."""
        subjects, owner = gathered(predictions)
        k = predictions.classes.index(str(predictions.positive))
        return cls(subjects, Cells.of(predictions.proba[:, k], owner))

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether each subject is of the positive class."""
        return np.asarray(self.subjects.y_true == self.subjects.positive)

    def scores(self, rule: str, setting: float) -> Values:
        """What a rule makes of each subject; rounded, so that subjects with like cells are level."""
        return np.round(VERDICT_RULES[rule].function(self.cells, setting), _DIGITS)


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
    cuts = np.round((known[1:] + known[:-1]) / 2, _DIGITS)
    called = score[:, None] >= cuts
    accuracy = (called[positive].mean(axis=0) + (~called[~positive]).mean(axis=0)) / 2
    good = np.flatnonzero(accuracy >= accuracy.max() - 1e-12)
    chosen = good[int(np.argmax(np.round(np.diff(known), _DIGITS)[good]))]
    return float(cuts[chosen]), float(accuracy[chosen])


def _area(score: Values, positive: NDArray[np.bool_]) -> float:
    """AUROC of subject scores: the share of pairs in the right order, ties counting half."""
    pro, contra = score[positive][:, None], score[~positive]
    return float(((pro > contra) + 0.5 * (pro == contra)).mean())
