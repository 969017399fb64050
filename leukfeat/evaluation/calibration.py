"""Calibration: what turns a model's probabilities into better ones, learned inside the training part of each fold.

References
----------
Guo, C. et al., On calibration of modern neural networks, ICML 2017 (temperature).
Platt, J., Probabilistic outputs for support vector machines, 1999 (logistic line with smoothed targets).
Zadrozny, B. and Elkan, C., Transforming classifier scores into accurate multiclass probability estimates, KDD 2002,
doi:10.1145/775047.775151 (isotonic regression).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import PredictionsError, UnknownNameError
from leukfeat.evaluation.inner import InnerPredictions, outer_folds, without_inner
from leukfeat.evaluation.odds import FURTHEST, as_columns, fit_line, log_odds
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters
from leukfeat.evaluation.scored import Scored

Proba = NDArray[np.float64]
Learned = Mapping[str, Any]
"""What a method has learned, as JSON types."""

HOTTEST = 20.0
"""Temperatures are sought from 1/20 to 20."""

_EDGE = 1e-3  # a log-temperature this near to the end of the range is at it


class Method(NamedTuple):
    """One way to calibrate.

    Attributes
    ----------
    title : str
        For tables.
    learn : callable(proba (n, K), y (n,)) -> mapping
        From inner probabilities and columns of the true classes.
    apply : callable(proba (m, K), learned) -> ndarray of shape (m, K)
        To other probabilities.
    two_classes : bool
        Whether it is for two classes only.
    """

    title: str
    learn: Callable[[Proba, NDArray[np.int64]], Learned]
    apply: Callable[[Proba, Learned], Proba]
    two_classes: bool


@dataclass(frozen=True)
class LearnedCalibration:
    """What one outer fold has learned.

    Attributes
    ----------
    repeat, fold : int
        Which.
    cells, groups : int
        Inner predictions it was learned from, and groups (linked subjects; images, where nobody knows) they are of.
    learned : mapping
        ``{"T": 1.3, "at_bound": False}``; ``{"intercept": …, "slope": …}``; ``{"log_odds": […], "values": […]}``.
    """

    repeat: int
    fold: int
    cells: int
    groups: int
    learned: Learned


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Predictions after calibration, with what was learned.

    Attributes
    ----------
    method : str
        A name of :data:`METHODS`.
    predictions : Predictions
        The same rows with other probabilities.
    folds : tuple of LearnedCalibration
        One an outer fold.
    """

    method: str
    predictions: Predictions
    folds: tuple[LearnedCalibration, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """What a report should say of it."""
        units = Clusters.of(self.predictions).units
        first = (
            f"{METHODS[self.method].title}, learned on the inner predictions of each of {len(self.folds)} training"
            f" part(s) ({min(one.groups for one in self.folds)} or more {units} each), applied to the test part"
        )
        if self.method == "platt":
            slopes = [one.learned["slope"] for one in self.folds]
            turned = sum(slope <= 0 for slope in slopes)
            warning = f"{turned} fold(s) have a slope of 0 or less: the order of their cells is lost"
            return (first, f"slope {_span(slopes)}", *([warning] * (turned > 0)))
        if self.method == "temperature":
            bound = sum(one.learned["at_bound"] for one in self.folds)
            told = f"temperature {_span([one.learned['T'] for one in self.folds])}"
            limit = f"the temperature of {bound} fold(s) is at the end of its range: the inner predictions fix none"
            return (first, told, *([limit] * (bound > 0)))
        return (first,)


def without_calibration(predictions: Predictions, inner: InnerPredictions | None, method: str) -> str:
    """Why these predictions cannot be calibrated by a method; empty where they can.

    Raises
    ------
    UnknownNameError
        There is no such method.
    """
    if method not in METHODS:
        raise UnknownNameError("calibration", method, METHODS)
    if METHODS[method].two_classes and len(predictions.classes) > 2:
        return f"{method} calibration is for two classes; temperature is for any number"
    return without_inner(predictions, inner)


def calibrated(predictions: Predictions, inner: InnerPredictions | None, method: str = "temperature") -> Calibrated:
    """Calibrate the test part of each outer fold by what is learned on the fold's inner predictions alone.

    Parameters
    ----------
    predictions : Predictions
        Out-of-fold predictions of cells.
    inner : InnerPredictions or None
        Of the same run.
    method : str
        ``"temperature"``: probabilities to the power 1/T, normalised; leaves the ranking and the predicted class.
        ``"platt"``: a logistic line through the log-odds. ``"isotonic"``: a rising step function, which makes ties.

    Returns
    -------
    Calibrated

    Raises
    ------
    PredictionsError
        Nothing can be learned; the reason is that of :func:`without_calibration`.
    UnknownNameError
        There is no such method.
    LeakageError
        A tested sample is among the rows to learn from.
    """
    reason = without_calibration(predictions, inner, method)
    if reason or inner is None:
        raise PredictionsError(f"predictions cannot be calibrated: {reason}")
    how, folds = METHODS[method], []
    proba = Scored.of(predictions).proba.copy()
    for part in outer_folds(predictions, inner):
        scored = Scored.of(part.inner)
        learned = how.learn(scored.proba, scored.y_true)
        proba[part.test] = how.apply(proba[part.test], learned)
        n_groups = len(np.unique(part.inner.group))
        folds.append(LearnedCalibration(part.repeat, part.fold, len(part.inner), n_groups, learned))
    return Calibrated(method, replace(predictions, proba=proba), tuple(folds))


def _span(values: list[float]) -> str:
    """The median, and the least and the greatest where there are several."""
    median = float(np.median(values))
    return f"{median:.2f}" + (f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else "")


def _logs(proba: Proba) -> Proba:
    """Log-probabilities; a 0 is taken as the last bit of 1."""
    return np.log(np.maximum(proba, np.finfo(np.float64).tiny))


def _learn_temperature(proba: Proba, y: NDArray[np.int64]) -> Learned:
    """The temperature of highest likelihood; the log-likelihood is concave in 1/T, so there is one."""
    from scipy.optimize import minimize_scalar

    logs = np.maximum(_logs(proba), -FURTHEST)  # one sure mistake shall not decide alone
    below = logs - logs.max(axis=1, keepdims=True)  # whatever the temperature, the most probable class has e^0
    if not below.any():  # every class is said to be as probable: no temperature changes that
        return {"T": 1.0, "at_bound": True}
    own = float(below[np.arange(len(y)), y].mean())

    def loss(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        return float(np.log(np.exp(below * inverse).sum(axis=1)).mean()) - own * inverse

    end = math.log(HOTTEST)
    found = float(minimize_scalar(loss, bounds=(-end, end), method="bounded", options={"xatol": 1e-9}).x)
    return {"T": math.exp(found), "at_bound": end - abs(found) < _EDGE}


def _apply_temperature(proba: Proba, learned: Learned) -> Proba:
    if proba.shape[1] == 2:  # through the log-odds both columns keep their precision, and so the ranking its order
        z = log_odds(np.maximum(proba, np.finfo(np.float64).tiny), 0) / learned["T"]
        return as_columns(z, 0)
    scaled = _logs(proba) / learned["T"]
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _bounded(proba: Proba) -> NDArray[np.float64]:
    """Log-odds of the second class, certainty taken as what a last bit leaves open."""
    return np.clip(log_odds(proba, 1), -FURTHEST, FURTHEST)


def _learn_platt(proba: Proba, y: NDArray[np.int64]) -> Learned:
    """Targets are drawn in by Platt's rule, so that separated classes have a line of their own."""
    z, n_pro = _bounded(proba), int(y.sum())
    targets = np.where(y == 1, (n_pro + 1) / (n_pro + 2), 1 / (len(y) - n_pro + 2))
    line = fit_line(z, targets, slope=0.0 if np.ptp(z) == 0 else None)  # all said the same: only the share is learned
    return {"intercept": line.intercept, "slope": line.slope}


def _apply_platt(proba: Proba, learned: Learned) -> Proba:
    return as_columns(learned["intercept"] + learned["slope"] * _bounded(proba), 1)


def _learn_isotonic(proba: Proba, y: NDArray[np.int64]) -> Learned:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(_bounded(proba), y)
    return {"log_odds": model.X_thresholds_.tolist(), "values": model.y_thresholds_.tolist()}


def _apply_isotonic(proba: Proba, learned: Learned) -> Proba:
    second = np.interp(_bounded(proba), learned["log_odds"], learned["values"])
    return np.stack([1 - second, second], axis=1)


METHODS: Mapping[str, Method] = {
    "temperature": Method("temperature scaling", _learn_temperature, _apply_temperature, two_classes=False),
    "platt": Method("Platt scaling", _learn_platt, _apply_platt, two_classes=True),
    "isotonic": Method("isotonic regression", _learn_isotonic, _apply_isotonic, two_classes=True),
}
"""Every way to calibrate."""
