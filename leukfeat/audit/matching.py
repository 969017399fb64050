"""AUROC among cells of equal area: what a model tells apart when size cannot help it.

Of all pairs of a positive and a negative cell only those are counted whose areas differ by at most 5 %. The AUROC is
the share of these pairs in which the positive cell has the higher score, ties counting half. No pair is chosen over
another, so that the figure has no random part; a cell without a partner of equal size has no say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.findings import Finding
from leukfeat.evaluation.intervals import Interval, Replicates, scale_of
from leukfeat.evaluation.metrics import Score, score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import N_DRAWS, Clusters, Draws
from leukfeat.evaluation.scored import Scored

Values = NDArray[np.float64]

TOLERANCE = 0.05
"""Areas within this share of each other count as equal."""

_PAIRS = 2_000_000  # held at once
_ROUNDING = 1e-12  # of logarithms: areas that differ by exactly the tolerance are within it


@dataclass(frozen=True)
class Matched:
    """AUROC of a model among cells of equal area.

    Attributes
    ----------
    auroc : Score
        Of the matched pairs; the mean over classes, each against the others, where there are several.
    interval : Interval
        By resampling clusters.
    plain : Score
        Over all pairs of the same cells.
    area : Score
        What area itself reaches over the matched pairs: about 0.5 where matching has done its work.
    pairs, cells, without_area : int
        Pairs in all; cells with at least one partner; cells whose area is unknown.
    tolerance : float
        Largest relative difference of areas.
    """

    auroc: Score
    interval: Interval
    plain: Score
    area: Score
    pairs: int
    cells: int
    without_area: int
    tolerance: float

    def __str__(self) -> str:
        if not self.auroc.defined:
            return f"AUROC among cells of equal area is undefined: {self.auroc.reason}"
        how = f"95 % CI {self.interval}" if self.interval.defined else self.interval.reason
        return (
            f"AUROC {self.auroc} ({how}) among {self.pairs:,} pairs of cells whose areas differ by at most"
            f" {self.tolerance:.0%}; {self.plain} among all pairs; area itself {self.area} among the matched ones"
        )

    def finding(self) -> Finding:
        """The note that stands beside the plain AUROC."""
        return Finding.of("area-matched", str(self), [self.to_dict()])

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON types; None where one is undefined."""
        scores = {name: getattr(self, name) for name in ("auroc", "plain", "area")}
        return {
            **{name: one.value if one.defined else None for name, one in scores.items()},
            "low": self.interval.low if self.interval.defined else None,
            "high": self.interval.high if self.interval.defined else None,
            "reason": self.auroc.reason or self.interval.reason,
            **{name: getattr(self, name) for name in ("pairs", "cells", "without_area", "tolerance")},
        }


def area_matched(
    predictions: Predictions,
    area: Mapping[str, float],
    *,
    tolerance: float = TOLERANCE,
    n_draws: int = N_DRAWS,
) -> Matched:
    """AUROC over pairs of cells of equal area.

    Parameters
    ----------
    predictions : Predictions
        Of cells.
    area : mapping of str to float
        Foreground of each sample (see :class:`leukfeat.audit.measurements.Measurements`); NaN, or no entry, where it
        is unknown.
    tolerance : float
        Largest relative difference of two areas: the larger is at most ``1 + tolerance`` times the smaller.
    n_draws : int
        Resamples of the interval.

    Returns
    -------
    Matched
        Undefined, with the reason, where there is no such pair.
    """
    areas = np.array([area.get(sample, math.nan) for sample in predictions.sample.tolist()], dtype=np.float64)
    known = np.isfinite(areas) & (areas > 0)
    lacking = len(np.unique(predictions.sample[~known]))
    if not known.any():
        return _undefined("no area is known", lacking, tolerance)
    rows, areas = predictions.take(known), areas[known]
    clusters = Clusters.of(rows)
    tables: list[_Pairs] = []
    partnered = np.zeros(len(rows), dtype=bool)
    for repeat in np.unique(rows.repeat):
        own = np.flatnonzero(rows.repeat == repeat)
        scored = Scored.of(rows.take(own))
        for k in scored.of_interest or (1,):
            cells = _Cells(scored.y_true == k, scored.ranking(k), np.log(areas[own]), clusters.of_row[own])
            tables.append(_Pairs.of(cells, math.log1p(tolerance), len(clusters)))
            partnered[own] |= tables[-1].partnered
    if not all(table.pairs for table in tables):
        return _undefined(f"no cells of both classes have areas within {tolerance:.0%}", lacking, tolerance)
    draws = Draws.of(clusters, 2 if clusters.too_few else n_draws)
    auroc = Score(float(_auroc(tables, np.ones((1, len(clusters))))[0]))
    replicates = Replicates(
        estimate=auroc,
        drawn=_auroc_of(tables, draws),
        clusters=clusters,
        scale=scale_of("auroc", len(predictions.classes)),
        nudge=0.5 / min(table.pairs for table in tables),
    )
    return Matched(
        auroc=auroc,
        interval=replicates.interval(),
        plain=score(rows, ["auroc"])["auroc"],
        area=Score(float(np.mean([table.right_by_area / table.pairs for table in tables]))),
        pairs=sum(table.pairs for table in tables) // len(np.unique(rows.repeat)),
        cells=len(np.unique(rows.sample[partnered])),
        without_area=lacking,
        tolerance=tolerance,
    )


def _undefined(reason: str, lacking: int, tolerance: float) -> Matched:
    none = Score.undefined(reason)
    return Matched(none, Interval.undefined(reason), none, none, 0, 0, lacking, tolerance)


@dataclass(frozen=True, eq=False)
class _Cells:
    """One repeat, one class against the others: what makes a pair, each of shape (n,)."""

    positive: NDArray[np.bool_]
    ranking: Values
    log_area: Values
    cluster: NDArray[np.int64]

    def pairs(self, reach: float) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows of positive cells, and of others within reach on the log scale; some millions of pairs at a time."""
        positives, others = np.flatnonzero(self.positive), np.flatnonzero(~self.positive)
        others = others[np.argsort(self.log_area[others], kind="stable")]
        sorted_area, own_area = self.log_area[others], self.log_area[positives]
        low = np.searchsorted(sorted_area, own_area - reach - _ROUNDING, side="left")
        width = np.searchsorted(sorted_area, own_area + reach + _ROUNDING, side="right") - low
        chunk_of = np.cumsum(width) // _PAIRS
        for number in np.unique(chunk_of):
            here = np.flatnonzero(chunk_of == number)
            ends = np.cumsum(width[here])
            within = np.arange(ends[-1]) - np.repeat(ends - width[here], width[here])
            yield np.repeat(positives[here], width[here]), others[np.repeat(low[here], width[here]) + within]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Matched pairs, counted by the clusters of their cells.

    Attributes
    ----------
    total, right : sparse array of shape (g, g)
        Pairs of each two clusters, and those in the right order, ties counting half.
    right_by_area : float
        Pairs in which the positive cell is the larger one.
    partnered : ndarray of shape (n,), bool
        Cells that stand in any pair.
    """

    total: Any
    right: Any
    right_by_area: float
    partnered: NDArray[np.bool_]

    @classmethod
    def of(cls, cells: _Cells, reach: float, g: int) -> _Pairs:
        from scipy.sparse import coo_array, csr_array

        total, right, by_area = csr_array((g, g)), csr_array((g, g)), 0.0
        partnered = np.zeros(len(cells.positive), dtype=bool)
        for mine, other in cells.pairs(reach):
            where = cells.cluster[mine], cells.cluster[other]
            total += coo_array((np.ones(len(mine)), where), shape=(g, g)).tocsr()
            right += coo_array((_in_order(cells.ranking, mine, other), where), shape=(g, g)).tocsr()
            by_area += float(_in_order(cells.log_area, mine, other).sum())
            partnered[mine] = partnered[other] = True
        return cls(total, right, by_area, partnered)

    @property
    def pairs(self) -> int:
        """How many there are."""
        return round(float(self.total.sum()))


def _in_order(values: Values, mine: NDArray[np.int64], other: NDArray[np.int64]) -> Values:
    """1 where the positive cell has the larger value, a half where both are equal."""
    return np.asarray((values[mine] > values[other]) + 0.5 * (values[mine] == values[other]))


def _auroc(tables: list[_Pairs], counts: Values) -> Values:
    """Of resamples in which each cluster stands as often as ``counts`` (B, g) says; NaN where no pair is left."""

    def counted(table: Any) -> Values:
        return np.asarray(np.einsum("bg,bg->b", (table @ counts.T).T, counts))

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.mean([counted(one.right) / counted(one.total) for one in tables], axis=0))


def _auroc_of(tables: list[_Pairs], draws: Draws) -> Values:
    found = [_auroc(tables, draws.counts[chunk].astype(np.float64)) for chunk in draws.chunks(len(draws.clusters))]
    return np.concatenate(found)
