"""How far probabilities are from what happens: one literal table of statistics.

References
----------
Cox, D. R., Two further applications of a model for binary regression, Biometrika 45, 1958 (slope and intercept).
Van Calster, B. et al., Calibration: the Achilles heel of predictive analytics, BMC Medicine 17, 2019,
doi:10.1186/s12916-019-1466-7. For the errors in bins and the parts of the Brier score see
:mod:`leukfeat.evaluation.reliability`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from leukfeat.errors import UsageError
from leukfeat.evaluation.metrics import POSITIVE_NOT_STATED, Score
from leukfeat.evaluation.odds import fit_line, log_odds
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.reliability import (
    N_BINS,
    Binning,
    Of,
    binned,
    calibration_error,
    forecast_of,
    partition,
    top_label,
)
from leukfeat.evaluation.scored import Scored


def calibration_scores(predictions: Predictions, n_bins: int = N_BINS) -> dict[str, Score]:
    """Every statistic of :data:`STATISTICS`; computed in each repeat and averaged.

    Returns
    -------
    dict of str to Score
        One that is undefined in a repeat is undefined.
    """
    if n_bins < 1:
        raise UsageError(f"{n_bins} bins asked for; give 1 or more")
    repeats = [Scored.of(predictions.take(predictions.repeat == one)) for one in np.unique(predictions.repeat)]
    found: dict[str, Score] = {}
    for name, statistic in STATISTICS.items():
        scores = [statistic.function(scored, n_bins) for scored in repeats]
        lacking = [one for one in scores if not one.defined]
        found[name] = lacking[0] if lacking else Score(float(np.mean([one.value for one in scores])))
    return found


Function = Callable[[Scored, int], Score]


class Statistic(NamedTuple):
    """One statistic of calibration.

    Attributes
    ----------
    title : str
        For tables; says which of the statistics of that name it is.
    function : callable(scored, n_bins) -> Score
        Of one repeat.
    best : float or None
        The value of a model without a fault, where there is one.
    """

    title: str
    function: Function
    best: float | None = 0.0


def _error(of: Of, binning: Binning) -> Function:
    def ece(scored: Scored, n_bins: int) -> Score:
        if of == "positive" and not scored.of_interest:
            return Score.undefined(POSITIVE_NOT_STATED)
        forecasts = [top_label(scored)] if of == "top-label" else [forecast_of(scored, k) for k in scored.of_interest]
        return Score(float(np.mean([calibration_error(one, binned(one.p, binning, n_bins)[1]) for one in forecasts])))

    return ece


def _part(name: str) -> Function:
    """A part of the Brier score: of one of two classes, whichever; summed over several."""

    def part(scored: Scored, n_bins: int) -> Score:
        columns = range(len(scored.classes)) if len(scored.classes) > 2 else (1,)
        return Score(float(sum(getattr(partition(forecast_of(scored, k), n_bins), name) for k in columns)))

    return part


def _undefined_line(scored: Scored) -> str:
    """Why there is no logistic line through the outcomes; empty where there is one."""
    if len(scored.classes) > 2:
        return "for two classes only"
    if not scored.of_interest:
        return POSITIVE_NOT_STATED
    if scored.absent:
        return "one class only"
    certain = int((scored.stored <= 0).any(axis=1).sum())
    return f"{certain} probabilities are exactly 0 or 1" if certain else ""


def _slope_and_intercept(scored: Scored) -> tuple[Score, Score]:
    reason = _undefined_line(scored)
    if not reason:
        z, y = log_odds(scored.stored, scored.of_interest[0]), scored.y_true == scored.of_interest[0]
        if np.ptp(z) == 0:
            reason = "all probabilities are equal"
        elif z[y].min() >= z[~y].max() or z[y].max() <= z[~y].min():
            reason = "the classes are told apart perfectly"
    if reason:
        return Score.undefined(reason), Score.undefined(reason)
    line = fit_line(z, y.astype(np.float64))
    return Score(line.slope), Score(line.intercept)


def _in_the_large(scored: Scored, n_bins: int) -> Score:
    reason = _undefined_line(scored)
    if reason:
        return Score.undefined(reason)
    z, y = log_odds(scored.stored, scored.of_interest[0]), scored.y_true == scored.of_interest[0]
    return Score(fit_line(z, y.astype(np.float64), slope=1.0).intercept)


STATISTICS: Mapping[str, Statistic] = {
    "ece_positive_width": Statistic("ECE (positive class, bins of equal width)", _error("positive", "width")),
    "ece_positive_mass": Statistic("ECE (positive class, bins of equal mass)", _error("positive", "mass")),
    "ece_top_width": Statistic("ECE (top label, bins of equal width)", _error("top-label", "width")),
    "ece_top_mass": Statistic("ECE (top label, bins of equal mass)", _error("top-label", "mass")),
    "brier": Statistic("Brier", _part("brier")),
    "brier_reliability": Statistic("Brier: reliability", _part("reliability")),
    "brier_resolution": Statistic("Brier: resolution", _part("resolution"), None),
    "brier_uncertainty": Statistic("Brier: uncertainty", _part("uncertainty"), None),
    "brier_remainder": Statistic("Brier: within bins", _part("remainder"), None),
    "slope": Statistic("calibration slope", lambda scored, n_bins: _slope_and_intercept(scored)[0], 1.0),
    "intercept": Statistic("calibration intercept", lambda scored, n_bins: _slope_and_intercept(scored)[1]),
    "in_the_large": Statistic("calibration in the large (slope 1)", _in_the_large),
}
"""Every statistic of calibration."""
