"""Several models as one: rules that combine probabilities, and what some of them have to learn first.

A rule that learns (weights, a second model, a cut) is given rows that its members have not been trained on; who makes
sure of that is :mod:`leukfeat.experiments.ensembles`. Everything a fitted rule knows is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from leukfeat.errors import PredictionsError, UnknownNameError, UsageError
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.rules import JUDGES, RULES, Learned, Proba

__all__ = ["RULES", "EnsembleRule", "FittedRule", "combined", "stacked"]


@dataclass(frozen=True)
class EnsembleRule:
    """How members become one model.

    Parameters
    ----------
    name : str
        One of :data:`leukfeat.evaluation.rules.RULES`.
    metric : str or None
        ``weighted``: what weighs a member (``kappa`` by default). ``switch``: what the cut makes best
        (``balanced_accuracy`` by default). One of :data:`leukfeat.evaluation.rules.JUDGES`.
    power : float or None
        ``weighted``: the weight is the metric to this power (1 by default); a larger one favours the best member more.
    C : float or None
        ``stacking``: inverse strength of the L2 penalty (1 by default), as in scikit-learn.

    Raises
    ------
    UnknownNameError
        No such rule or metric.
    UsageError
        An option that the rule does not have, or one that is not above 0.

    Examples
    --------
    >>> EnsembleRule("weighted").label, EnsembleRule("vote").learns
    ('weighted by kappa', False)
    """

    name: str
    metric: str | None = None
    power: float | None = None
    C: float | None = None

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise UnknownNameError("ensemble rule", self.name, RULES)
        given = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "name"}
        known = RULES[self.name].options
        for option, value in given.items():
            if value is None:
                continue
            if option not in known:
                raise UsageError(f"rule {self.name!r} has no option {option}; it has {', '.join(known) or 'none'}")
            if option == "metric":
                if value not in JUDGES:
                    raise UnknownNameError("metric of an ensemble rule", str(value), JUDGES)
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise UsageError(f"rule {self.name!r}: {option} is {value!r}; give a number above 0")

    @classmethod
    def of(cls, value: EnsembleRule | Mapping[str, Any] | str) -> EnsembleRule:
        """A rule from its name or from a mapping of its fields, as in a recipe."""
        if isinstance(value, EnsembleRule):
            return value
        if isinstance(value, str):
            return cls(value)
        unknown = sorted(set(value) - {part.name for part in fields(cls)})
        if unknown or "name" not in value:
            raise UsageError(f"ensemble rule {dict(value)}: " + (f"no option {unknown[0]}" if unknown else "no name"))
        return cls(**value)

    @property
    def settings(self) -> dict[str, Any]:
        """The options of this rule, defaults filled in."""
        return {
            option: default if getattr(self, option) is None else getattr(self, option)
            for option, default in RULES[self.name].options.items()
        }

    @property
    def label(self) -> str:
        """Short name for tables."""
        if self.name != "weighted":
            return self.name
        power = self.settings["power"]
        return f"weighted by {self.settings['metric']}" + (f"^{power:g}" if power != 1 else "")

    @property
    def learns(self) -> bool:
        """Whether it has to be fitted on rows that the members have not been trained on."""
        return RULES[self.name].learn is not None

    def describe(self) -> dict[str, Any]:
        """Name and settings, as JSON types; :meth:`of` reads them."""
        return {"name": self.name, **self.settings}

    def check_members(self, n_members: int) -> None:
        """Refuse a number of members that the rule cannot combine.

        Raises
        ------
        UsageError
            Fewer than two, or not two where exactly two are needed.
        """
        exactly = RULES[self.name].members
        if n_members < 2 or (exactly is not None and n_members != exactly):
            raise UsageError(f"rule {self.name!r} combines {exactly or 'two or more'} members; there are {n_members}")

    def fit(self, proba: Proba | None = None, y: NDArray[np.int64] | None = None) -> FittedRule:
        """Learn what there is to learn.

        Parameters
        ----------
        proba : ndarray of shape (m, n, k) or None
            Probabilities of m members for n rows and k classes, on rows that the members have not been trained on;
            not needed by a rule that learns nothing.
        y : ndarray of shape (n,), int64, or None
            Column of the true class of each row. A class may be absent.

        Raises
        ------
        UsageError
            A rule that learns is given nothing, or too few or too many members.
        PredictionsError
            Values that are no probabilities, or rows of one class only.
        """
        learn = RULES[self.name].learn
        if learn is None:
            return FittedRule(self)
        if proba is None or y is None:
            raise UsageError(f"rule {self.name!r} learns: give it rows that its members have not been trained on")
        proba, y = _checked(proba), np.asarray(y, dtype=np.int64)
        self.check_members(len(proba))
        if y.shape != (proba.shape[1],) or (len(y) and not 0 <= y.min() <= y.max() < proba.shape[2]):
            raise PredictionsError(
                f"rule {self.name!r}: y of shape {y.shape} does not name a column for each of {proba.shape[1]} rows"
            )
        if len(np.unique(y)) < 2:
            raise PredictionsError(
                f"rule {self.name!r} learns from rows of at least two classes; these {len(y)} have fewer"
            )
        with threadpool_limits(limits=1):  # sums are added in one order, whatever the machine
            return FittedRule(self, learn(self.settings, proba, y))


@dataclass(frozen=True)
class FittedRule:
    """A rule that is ready to combine.

    Attributes
    ----------
    rule : EnsembleRule
        What it is.
    learned : mapping
        What it has learned, as JSON types: ``weights`` and the ``scores`` they come from; ``cut`` and its ``score``;
        ``coefficients``, ``intercepts`` and ``columns`` of a stacked model. Empty for a rule that does not learn.
    """

    rule: EnsembleRule
    learned: Learned = field(default_factory=dict)

    def combine(self, proba: Proba) -> Proba:
        """One model's probabilities from those of its members.

        Parameters
        ----------
        proba : ndarray of shape (m, n, k)
            Probabilities of the members, in the order and with the classes that the rule was fitted with.

        Returns
        -------
        ndarray of shape (n, k), float64
            Rows sum to 1.

        Raises
        ------
        PredictionsError
            Values that are no probabilities, or not as many members or classes as the rule was fitted with.
        """
        proba = _checked(proba)
        expected = self.learned.get("shape")
        if expected is not None and [proba.shape[0], proba.shape[2]] != list(expected):
            raise PredictionsError(
                f"rule {self.rule.name!r} was fitted with {expected[0]} members and {expected[1]} classes; these are"
                f" {proba.shape[0]} and {proba.shape[2]}"
            )
        return RULES[self.rule.name].combine(proba, self.learned)

    def describe(self) -> dict[str, Any]:
        """Everything it is, as JSON types."""
        return {**self.rule.describe(), "learned": dict(self.learned)}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """What :meth:`describe` described.

        Raises
        ------
        UsageError
            It describes no rule, or what a rule has learned is missing or damaged.
        """
        learned = description.get("learned", {})
        rule = EnsembleRule.of({name: value for name, value in description.items() if name != "learned"})
        fitted = cls(rule, dict(learned) if isinstance(learned, Mapping) else {})
        if not rule.learns:
            return fitted
        try:
            n_members, n_classes = fitted.learned["shape"]
            fitted.combine(np.full((n_members, 1, n_classes), 1 / n_classes))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UsageError(f"ensemble rule {rule.name!r}: what it has learned is missing or damaged") from error
        return fitted


def stacked(members: Sequence[tuple[Proba, Sequence[str]]], classes: Sequence[str]) -> Proba:
    """Members' probabilities with the same columns.

    Parameters
    ----------
    members : sequence of (ndarray of shape (n, k_i), class names)
        A class that a member does not know has probability 0.
    classes : sequence of str
        The columns wanted; every member's classes are among them.

    Returns
    -------
    ndarray of shape (m, n, k)

    Raises
    ------
    PredictionsError
        A member knows a class that is not among the columns.
    """
    columns = np.zeros((len(members), len(members[0][0]), len(classes)))
    for member, (proba, names) in zip(columns, members, strict=True):
        foreign = sorted(set(names) - set(classes))
        if foreign:
            raise PredictionsError(f"a member predicts class {foreign[0]!r}; the ensemble's: {', '.join(classes)}")
        member[:, [list(classes).index(name) for name in names]] = proba
    return columns


def combined(predictions: Sequence[Predictions], rule: EnsembleRule) -> Predictions:
    """Out-of-fold predictions of several models on the same folds, as those of one model.

    Parameters
    ----------
    predictions : sequence of Predictions
        Of the same samples, repeats and folds; classes may stand in any order.
    rule : EnsembleRule
        One that does not learn: the other folds' predictions come from models that were trained on this fold's rows.

    Raises
    ------
    UsageError
        The rule learns, or cannot combine so many.
    PredictionsError
        The predictions are not of the same samples, folds and classes.
    """
    rule.check_members(len(predictions))
    if rule.learns:
        raise UsageError(
            f"rule {rule.name!r} learns, and predictions of test parts are no rows to learn from;"
            " name the ensemble in a recipe, where it learns inside each training part"
        )
    first, *others = (one.take(np.lexsort((one.sample, one.fold, one.repeat))) for one in predictions)
    columns = [first.proba]
    for number, other in enumerate(others, start=2):
        same = len(other) == len(first) and all(
            np.array_equal(getattr(other, name), getattr(first, name))
            for name in ("sample", "repeat", "fold", "y_true")
        )
        if not same:
            raise PredictionsError(f"predictions 1 and {number} are not of the same samples, folds and labels")
        columns.append(other.with_classes(first.classes).proba)
    return replace(first, proba=rule.fit().combine(np.stack(columns)))


def _checked(proba: Proba) -> Proba:
    """Probabilities whose rows sum to 1, of shape (m, n, k)."""
    proba = np.asarray(proba, dtype=np.float64)
    if proba.ndim != 3 or not len(proba) or proba.shape[2] < 2:
        raise PredictionsError(f"members' probabilities have shape {proba.shape}, not (members, rows, classes)")
    whole = proba.sum(axis=2, keepdims=True)
    if not np.isfinite(proba).all() or (proba < 0).any() or (whole <= 0).any():
        raise PredictionsError("members' probabilities are not finite, below 0, or all 0 in a row")
    return np.asarray(proba / whole)
