"""Subject verdicts: one decision a subject, by a rule and a cut that were tuned on inner predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.inner import InnerPredictions, outer_folds
from leukfeat.evaluation.intervals import LEVEL
from leukfeat.evaluation.operating import without_threshold
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.proportions import Share, shares
from leukfeat.evaluation.verdict_rules import VERDICT_RULES, ChosenRule, SubjectCells, choose_rule


@dataclass(frozen=True)
class Verdict:
    """What is said of one subject in one repeat.

    Attributes
    ----------
    repeat, fold : int
        Where it was tested.
    subject, group : str
        Who, and the linked subjects it belongs to.
    true_class, called : str
        What it is, and what it is called.
    cells : int
        Tested in this repeat.
    score, cut : float
        By the rule of the fold, and from where on it is called positive.
    rule : str
        The rule in words.
    """

    repeat: int
    fold: int
    subject: str
    group: str
    true_class: str
    called: str
    cells: int
    score: float
    cut: float
    rule: str

    @property
    def right(self) -> bool:
        """Whether it is called what it is."""
        return self.called == self.true_class


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Verdicts of all subjects, or the reason why there are none.

    Attributes
    ----------
    rows : tuple of Verdict
        One a subject and repeat.
    chosen : tuple of ChosenRule
        One an outer fold.
    accuracy, sensitivity, specificity : Share
        Over subjects.
    decisions : Predictions or None
        One row a subject and repeat with probability 1 for the class it is called, for metrics of labels and their
        intervals over resampled groups; None where there is a reason.
    scores : Predictions or None
        The same with the rule's score in place of the decision. Folds may have different rules and cuts, so that
        scores of different folds are not on one scale.
    reason : str
        Why there are none; empty where there are some.
    """

    rows: tuple[Verdict, ...]
    chosen: tuple[ChosenRule, ...]
    accuracy: Share
    sensitivity: Share
    specificity: Share
    decisions: Predictions | None
    scores: Predictions | None
    reason: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What a report should say of them."""
        if self.reason:
            return (f"subject verdicts: none, because {self.reason}",)
        rules = sorted({VERDICT_RULES[one.rule].named(one.setting) for one in self.chosen})
        told = [
            f"Verdicts by {', '.join(rules)}; rule and cut were chosen by balanced accuracy over the inner subjects of"
            f" each of {len(self.chosen)} training part(s)."
        ]
        subjects, groups = ({getattr(one, name) for one in self.rows} for name in ("subject", "group"))
        if len(groups) < len(subjects):
            told.append(
                f"{len(subjects)} subjects are {len(groups)} linked groups; their intervals count linked ids as one"
                " person."
            )
        return tuple(told)


def verdicts(
    predictions: Predictions,
    inner: InnerPredictions | None,
    rules: Sequence[str] | None = None,
    *,
    level: float = LEVEL,
) -> Verdicts:
    """One verdict a subject, by a rule and a cut chosen on each outer fold's inner predictions.

    How they are chosen is told in :func:`~leukfeat.evaluation.verdict_rules.choose_rule`.

    Parameters
    ----------
    predictions : Predictions
        Out-of-fold predictions of cells; two classes, the positive one stated; every subject has one class.
    inner : InnerPredictions or None
        Of the same run.
    rules : sequence of str or None
        Names of :data:`~leukfeat.evaluation.verdict_rules.VERDICT_RULES` to choose from; all by default.
    level : float
        Of the intervals.

    Returns
    -------
    Verdicts
        With a reason where there can be none.

    Raises
    ------
    UnknownNameError
        There is no such rule.
    UsageError
        No rule is named.
    """
    names = list(VERDICT_RULES) if rules is None else list(rules)
    for name in names:
        if name not in VERDICT_RULES:
            raise UnknownNameError("verdict rule", name, VERDICT_RULES)
    reason = without_threshold(predictions, inner, "subject")
    if reason or inner is None:
        nobody = Share.undefined(reason)
        return Verdicts((), (), nobody, nobody, nobody, None, None, reason)
    rows, chosen, pieces = [], [], []
    for part in outer_folds(predictions, inner):
        rule = choose_rule(part, names)
        tested = SubjectCells.of(predictions.take(part.test))
        scores = tested.scores(rule.rule, rule.setting)
        chosen.append(rule)
        pieces.append(_with_scores(tested.subjects, scores))
        rows.extend(_rows(tested, scores, rule))
    scored = Predictions.concatenate(pieces)
    decisions = _with_scores(scored, np.array([one.called == scored.positive for one in rows], dtype=np.float64))
    found = shares(decisions, level)
    return Verdicts(
        rows=tuple(rows),
        chosen=tuple(chosen),
        accuracy=found["accuracy"],
        sensitivity=found["sensitivity"],
        specificity=found["specificity"],
        decisions=decisions,
        scores=scored,
    )


def _with_scores(subjects: Predictions, scores: NDArray[np.float64]) -> Predictions:
    """The same rows with scores as the probabilities of the positive class."""
    k = subjects.classes.index(str(subjects.positive))
    proba = np.empty((len(subjects), 2))
    proba[:, k], proba[:, 1 - k] = scores, 1 - scores
    return replace(subjects, proba=proba)


def _rows(tested: SubjectCells, scores: NDArray[np.float64], rule: ChosenRule) -> list[Verdict]:
    subjects = tested.subjects
    positive = str(subjects.positive)
    other = next(name for name in subjects.classes if name != positive)
    return [
        Verdict(
            repeat=rule.repeat,
            fold=rule.fold,
            subject=subject,
            group=group,
            true_class=label,
            called=positive if score >= rule.cut else other,
            cells=cells,
            score=score,
            cut=rule.cut,
            rule=rule.title,
        )
        for subject, group, label, score, cells in zip(
            subjects.subject.tolist(),
            subjects.group.tolist(),
            subjects.y_true.tolist(),
            scores.tolist(),
            tested.cells.size.tolist(),
            strict=True,
        )
    ]
