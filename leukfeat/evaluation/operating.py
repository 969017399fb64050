"""Operating points: a threshold chosen on inner predictions, and what it achieves on subjects nobody has seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UsageError
from leukfeat.evaluation.inner import InnerPredictions, OuterFold, outer_folds, without_inner
from leukfeat.evaluation.intervals import Interval, Replicates, Scale
from leukfeat.evaluation.metrics import POSITIVE_NOT_STATED, Score, score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampled import resampled
from leukfeat.evaluation.resampling import N_DRAWS, Clusters, Draws
from leukfeat.evaluation.subjects import by_subject, without_subjects
from leukfeat.evaluation.thresholds import Steps, Target, Values, at, reaching

__all__ = ["At", "OperatingPoint", "Threshold", "Values", "at", "at_prevalence", "operate", "without_threshold"]

Level = Literal["cell", "subject"]

_TINY = 1e-12  # a share that no prevalence asked for comes near
_CONFIDENCE = 0.95  # of the one-sided bound that a conservative threshold keeps


@dataclass(frozen=True)
class Threshold:
    """What one outer fold has chosen.

    Attributes
    ----------
    repeat, fold : int
        Which.
    value : float
        Rows whose probability of the positive class is at least this are called positive; NaN where there is none.
    sensitivity, specificity : float
        On the inner predictions it was chosen on, where they flatter; NaN where there is none.
    positives, negatives : int
        Inner rows it was chosen on.
    reason : str
        Why there is none; empty where there is one.
    """

    repeat: int
    fold: int
    value: float
    sensitivity: float
    specificity: float
    positives: int
    negatives: int
    reason: str = ""


@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """Thresholds of every fold, and the decisions they make on its test part.

    Attributes
    ----------
    target : Target
        What the thresholds were chosen for.
    level : ``"cell"`` or ``"subject"``
        What is decided about; a subject by the mean probability of its cells.
    thresholds : tuple of Threshold
        One an outer fold; empty where there are no inner predictions.
    decisions : Predictions or None
        The tested rows with probability 1 for the class they are called and 0 for the other, so that every metric of
        labels, and its interval over resampled subjects, can be had from them. None where there is a reason.
    reason : str
        Why there is no operating point; empty where there is one.
    """

    target: Target
    level: Level
    thresholds: tuple[Threshold, ...]
    decisions: Predictions | None
    reason: str = ""

    @property
    def words(self) -> str:
        """One sentence for a report."""
        what = f"threshold for {self.target} ({self.level}s)"
        if self.reason:
            return f"{what}: none, because {self.reason}"
        values = [one.value for one in self.thresholds]
        span = f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"
        return f"{what}, chosen on the inner predictions of each of {len(values)} training part(s): {span}"


def without_threshold(predictions: Predictions, inner: InnerPredictions | None, level: Level = "cell") -> str:
    """Why no threshold can be chosen for these predictions; empty where one can be sought."""
    if len(predictions.classes) > 2:
        return "a threshold needs two classes"
    if predictions.positive is None:
        return POSITIVE_NOT_STATED
    if level == "cell":
        return without_inner(predictions, inner)
    for each in (predictions, inner):
        if each is not None and (reason := without_subjects(each)):
            return reason
    return without_inner(by_subject(predictions), inner)


def operate(
    predictions: Predictions, inner: InnerPredictions | None, target: Target, level: Level = "cell"
) -> OperatingPoint:
    """Choose a threshold on each outer fold's inner predictions and decide about its test part.

    Sensitivity: the highest threshold that reaches it, t = max{t : sensitivity(t) ≥ target}; NPV likewise. Specificity
    and PPV: the lowest. ``youden``: the highest of those with the greatest sensitivity + specificity. Rows with equal
    probability are called alike, so a target may be passed by far where there are many ties. A conservative target
    must be reached by a one-sided 95 % lower bound over the clusters of the inner rows of that class, which few
    subjects may not allow.

    Parameters
    ----------
    predictions : Predictions
        Out-of-fold predictions of cells; two classes, the positive one stated.
    inner : InnerPredictions or None
        Of the same run.
    target : Target
        See :func:`~leukfeat.evaluation.thresholds.at`.
    level : ``"cell"`` or ``"subject"``
        Decide about cells, or about subjects by the mean probability of their cells (the threshold is then chosen on
        the inner subjects).

    Returns
    -------
    OperatingPoint
        With a reason in place of decisions where there can be none, or where the target is out of reach in a fold.
    """
    reason = without_threshold(predictions, inner, level)
    if reason or inner is None:
        return OperatingPoint(target, level, (), None, reason)
    if level == "subject":
        predictions, inner = by_subject(predictions), by_subject(inner)
    k = predictions.classes.index(str(predictions.positive))
    called, thresholds = np.zeros(len(predictions), dtype=np.bool_), []
    for part in outer_folds(predictions, inner):
        found = _choose(part, target, k)
        thresholds.append(found)
        called[part.test] = predictions.proba[part.test, k] >= found.value
    lacking = next((one for one in thresholds if one.reason), None)
    if lacking is not None:
        where = f"fold {lacking.fold} of repeat {lacking.repeat}"
        return OperatingPoint(target, level, tuple(thresholds), None, f"{where}: {lacking.reason}")
    proba = np.zeros_like(predictions.proba)
    proba[:, k], proba[:, 1 - k] = called, ~called
    return OperatingPoint(target, level, tuple(thresholds), replace(predictions, proba=proba))


def _choose(part: OuterFold, target: Target, k: int) -> Threshold:
    """The threshold of one outer fold."""
    positive = part.inner.y_true == part.inner.classes[k]
    steps = Steps.of(part.inner.proba[:, k], positive)
    bound, reason = None, ""
    if target.conservative:
        bound, reason = _lower_bound(part.inner, steps, target.quantity, k)
    value, unreached = (math.nan, reason) if reason else reaching(steps, target, bound)
    n = int(positive.sum()), int((~positive).sum())
    if unreached:
        return Threshold(part.repeat, part.fold, math.nan, math.nan, math.nan, *n, unreached)
    step = int(np.flatnonzero(steps.t == value)[0])
    achieved = float(steps.sensitivity[step]), float(steps.specificity[step])
    return Threshold(part.repeat, part.fold, value, *achieved, *n)


def _lower_bound(inner: Predictions, steps: Steps, quantity: str, k: int) -> tuple[Values, str]:
    """Lower bound of sensitivity or specificity at every threshold (m,), or why there is none.

    The share is a ratio of sums over clusters, its variance that of their residuals (Cochran, Sampling Techniques,
    1977, section 6.4); the bound is taken on the logit scale by Student's t with one degree of freedom a cluster, less
    one. Where no mistake is seen there is no variance to see either, and the bound is that of Clopper and Pearson for
    as many right calls as there are clusters.
    """
    from scipy.special import expit, logit, stdtrit

    of_class = inner.classes[k if quantity == "sensitivity" else 1 - k]
    rows = inner.take(inner.y_true == of_class)
    clusters = Clusters.of(rows)
    if len(clusters) < 2:
        return np.empty(0), f"class {of_class!r} has 1 {clusters.unit} to learn from; a bound needs 2"
    step_of = np.searchsorted(-steps.t, -rows.proba[:, k])  # the first threshold at which each row is called
    cells = np.zeros((len(clusters), len(steps.t)))
    np.add.at(cells, (clusters.of_row, step_of), 1)
    called = np.cumsum(cells, axis=1)  # of each cluster, at each threshold
    size, n = called[:, -1:], len(clusters)
    kept = called if quantity == "sensitivity" else size - called
    share = kept.sum(axis=0) / size.sum()
    spread = np.sqrt(n / (n - 1) * ((kept - share * size) ** 2).sum(axis=0)) / size.sum()
    inside = np.clip(share, 0.5 / size.sum(), 1 - 0.5 / size.sum())
    reach = float(stdtrit(n - 1, _CONFIDENCE)) * spread / (inside * (1 - inside))
    without_mistake = (1 - _CONFIDENCE) ** (1 / n)
    return np.where(share >= 1, without_mistake, expit(logit(inside) - reach)), ""


class At(NamedTuple):
    """A value with its interval.

    Attributes
    ----------
    score : Score
        The value, or the reason why there is none.
    interval : Interval
        Over resampled clusters.
    """

    score: Score
    interval: Interval


def at_prevalence(decisions: Predictions, prevalence: float, *, draws: Draws | None = None) -> dict[str, At]:
    """Predictive values where a given share is positive, by Bayes' theorem from sensitivity and specificity.

    The share of positive cells in a study says little about the share where a test will be used, and predictive values
    depend on it.

    Parameters
    ----------
    decisions : Predictions
        Of an :class:`OperatingPoint`, or any two-class predictions.
    prevalence : float
        Between 0 and 1, exclusive.
    draws : Draws or None
        Resamples of the clusters of ``decisions``; made here by default.

    Returns
    -------
    dict
        ``"ppv"`` and ``"npv"``.

    Raises
    ------
    UsageError
        The prevalence is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise UsageError(f"a prevalence of {prevalence}: give a number between 0 and 1, e.g. 0.05")
    clusters = Clusters.of(decisions) if draws is None else draws.clusters
    drawn = Draws.of(clusters, 2 if clusters.too_few else N_DRAWS) if draws is None else draws
    names = ("sensitivity", "specificity")
    plain, values = score(decisions, names), resampled(decisions, drawn, names)
    lacking = next((plain[name] for name in names if not plain[name].defined), None)
    if lacking is not None:
        nothing = At(Score.undefined(lacking.reason), Interval.undefined(lacking.reason))
        return {"ppv": nothing, "npv": nothing}

    nudge = 0.5 / len(decisions)  # of what is counted; near a prevalence of 0 the values themselves crowd at a bound

    def nudged(shares: Mapping[str, Values]) -> dict[str, Values]:
        return _by_bayes({name: np.clip(each, nudge, 1 - nudge) for name, each in shares.items()}, prevalence)

    fixed = next((f"{name} is the same in every resample" for name in names if np.ptp(values[name]) == 0), "")
    counted = {name: np.array([plain[name].value]) for name in names}
    estimates, centres = _by_bayes(counted, prevalence), nudged(counted)
    found = {}
    for name, each in nudged(values).items():
        value = float(estimates[name][0])
        reason = f"nothing is called {'positive' if name == 'ppv' else 'negative'}"
        estimate = Score.undefined(reason) if math.isnan(value) else Score(value)
        made = Replicates(
            estimate=Score(float(centres[name][0])) if estimate.defined else estimate,
            drawn=each,
            clusters=clusters,
            scale=Scale(0, 1),
            nudge=_TINY,
        )
        found[name] = At(estimate, Interval.undefined(fixed) if fixed and estimate.defined else made.interval())
    return found


def _by_bayes(values: Mapping[str, NDArray[np.float64]], prevalence: float) -> dict[str, Values]:
    """Predictive values (B,) of sensitivities and specificities (B,); NaN where nothing is called so."""
    sensitivity, specificity = values["sensitivity"], values["specificity"]
    hit, alarm = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    miss, rest = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"ppv": hit / (hit + alarm), "npv": rest / (rest + miss)}
