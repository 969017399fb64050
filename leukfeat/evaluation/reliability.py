"""Reliability: do cells that are given a probability of 0.8 belong to the class eight times in ten?

References
----------
Naeini, M. P. et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015 (expected calibration
error). Nixon, J. et al., Measuring calibration in deep learning, CVPR workshops 2019 (bins of equal mass).
Murphy, A. H., A new vector partition of the probability score, J. Appl. Meteorology 12, 1973; Stephenson, D. B. et al.,
Two extra components in the Brier score decomposition, Weather and Forecasting 23, 2008, doi:10.1175/2007WAF2006116.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.intervals import Interval, Replicates, Scale
from leukfeat.evaluation.metrics import MACRO, POSITIVE_NOT_STATED, Score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import N_DRAWS, Clusters, Draws
from leukfeat.evaluation.scored import Scored

N_BINS = 15
"""Bins of an expected calibration error where nobody says otherwise."""

Binning = Literal["width", "mass"]
Of = Literal["positive", "top-label"]
Values = NDArray[np.float64]


class Forecast(NamedTuple):
    """Events and the probabilities they were given.

    Attributes
    ----------
    p : ndarray of shape (n,), float64
        Said.
    y : ndarray of shape (n,), float64
        1 where it happened, else 0.
    """

    p: Values
    y: Values


@dataclass(frozen=True)
class Bin:
    """Cells that were given about the same probability.

    Attributes
    ----------
    low, high : float
        Its edges; a probability on an edge belongs to the bin below, 0 to the first.
    cells : int
        Predictions in it.
    said, found : float
        Mean probability, and share of cells for which it came true.
    interval : Interval
        Of ``found``, over resampled clusters; undefined with its reason where there are too few.
    """

    low: float
    high: float
    cells: int
    said: float
    found: float
    interval: Interval


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram as data, or the reason why there is none.

    Attributes
    ----------
    title : str
        What was binned and how.
    bins : tuple of Bin
        Those with cells in them, in rising order.
    ece : Score
        Mean distance of ``said`` and ``found``, weighted by cells; of all repeats together.
    reason : str
        Why there is none; empty where there is one.
    """

    title: str
    bins: tuple[Bin, ...]
    ece: Score
    reason: str = ""


def reliability(
    predictions: Predictions,
    *,
    of: Of = "positive",
    binning: Binning = "width",
    n_bins: int = 10,
    draws: Draws | None = None,
) -> Reliability:
    """Said and found in bins, of all repeats together.

    Parameters
    ----------
    predictions : Predictions
        Of cells or of subjects.
    of : ``"positive"`` or ``"top-label"``
        The probability of the positive class, for two classes; or that of the predicted class, for any number.
    binning : ``"width"`` or ``"mass"``
        Bins of equal width, or of about equally many cells; equal probabilities are never parted.
    n_bins : int
        At most so many.
    draws : Draws or None
        Resamples for the intervals of the bins; made here by default.
    """
    title = _title(of, binning, n_bins, len(predictions.classes))
    scored = Scored.of(predictions)
    if of == "positive" and len(scored.of_interest) != 1:
        reason = POSITIVE_NOT_STATED if not scored.of_interest else "the positive class is one of two; of several: top"
        return Reliability(title, (), Score.undefined(reason), reason)
    forecast = top_label(scored) if of == "top-label" else forecast_of(scored, scored.of_interest[0])
    edges, number = binned(forecast.p, binning, n_bins)
    if draws is None:
        clusters = Clusters.of(predictions)
        draws = Draws.of(clusters, 2 if clusters.too_few else N_DRAWS)
    found = []
    for k in np.unique(number).tolist():
        inside = number == k
        found.append(
            Bin(
                low=float(edges[k]),
                high=float(edges[k + 1]),
                cells=int(inside.sum()),
                said=float(forecast.p[inside].mean()),
                found=float(forecast.y[inside].mean()),
                interval=_interval_of_share(inside, forecast.y, draws),
            )
        )
    return Reliability(title, tuple(found), Score(calibration_error(forecast, number)))


class Partition(NamedTuple):
    """A Brier score in parts: ``brier = reliability - resolution + uncertainty + remainder``.

    Attributes
    ----------
    reliability : float
        Mean squared distance of said and found in the bins; 0 is best.
    resolution : float
        Mean squared distance of what is found in the bins from the share of the class in all; large is good.
    uncertainty : float
        Variance of the class itself.
    remainder : float
        What bins hide: the variance of the probabilities within them, less twice their covariance with the outcome. It
        is 0 where all probabilities of a bin are equal, and makes the sum exact where they are not.
    """

    reliability: float
    resolution: float
    uncertainty: float
    remainder: float

    @property
    def brier(self) -> float:
        """The sum: the Brier score of one class."""
        return self.reliability - self.resolution + self.uncertainty + self.remainder


def partition(forecast: Forecast, n_bins: int = N_BINS, binning: Binning = "width") -> Partition:
    """Murphy's decomposition of the Brier score, with Stephenson's terms for what happens within bins."""
    p, y = forecast
    _, number = binned(p, binning, n_bins)
    cells = np.bincount(number)
    kept = cells > 0
    said = np.bincount(number, weights=p)[kept] / cells[kept]
    found = np.bincount(number, weights=y)[kept] / cells[kept]
    share = cells[kept] / len(p)
    place = np.cumsum(kept)[number] - 1
    aside = p - said[place]
    return Partition(
        reliability=float(share @ (said - found) ** 2),
        resolution=float(share @ (found - y.mean()) ** 2),
        uncertainty=float(y.mean() * (1 - y.mean())),
        remainder=float((aside**2).mean() - 2 * (aside * (y - found[place])).mean()),
    )


# ---------------------------------------------------------------------- forecasts and bins


def forecast_of(scored: Scored, k: int) -> Forecast:
    """Class ``k`` against the rest."""
    return Forecast(scored.proba[:, k], (scored.y_true == k).astype(np.float64))


def top_label(scored: Scored) -> Forecast:
    """Whether the predicted class is right; a tie is decided as for every other metric."""
    rows = np.arange(len(scored.y_pred))
    return Forecast(scored.proba[rows, scored.y_pred], (scored.y_pred == scored.y_true).astype(np.float64))


def binned(p: Values, binning: Binning, n_bins: int) -> tuple[Values, NDArray[np.int64]]:
    """Edges (b + 1,) and the bin of each probability (n,)."""
    edges = np.linspace(0, 1, n_bins + 1)
    if binning == "mass":
        edges = np.unique(np.quantile(p, edges))
        edges = edges if len(edges) > 1 else np.repeat(edges, 2)
    return edges, np.searchsorted(edges[1:-1], p, side="left")


def calibration_error(forecast: Forecast, number: NDArray[np.int64]) -> float:
    """Expected calibration error: distance of said and found in the bins, weighted by cells."""
    return float(np.abs(np.bincount(number, weights=forecast.p - forecast.y)).sum() / len(forecast.p))


def _interval_of_share(inside: NDArray[np.bool_], y: Values, draws: Draws) -> Interval:
    """Of the share of events among some rows, when clusters are resampled."""
    clusters = draws.clusters
    n = len(clusters)
    cells = np.bincount(clusters.of_row, weights=inside, minlength=n)
    events = np.bincount(clusters.of_row, weights=inside * y, minlength=n)
    with np.errstate(invalid="ignore"):
        drawn = np.asarray((draws.weights @ events) / (draws.weights @ cells))
    return Replicates(
        estimate=Score(float(events.sum() / cells.sum())),
        drawn=drawn,
        clusters=clusters,
        scale=Scale(0, 1),
        nudge=0.5 / float(cells.sum()),
    ).interval()


def _title(of: Of, binning: Binning, n_bins: int, n_classes: int) -> str:
    what = {"positive": "positive class" if n_classes == 2 else MACRO, "top-label": "top label"}[of]
    return f"{what}, {n_bins} bins of equal {binning}"
