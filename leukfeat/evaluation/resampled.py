"""Every metric under many resamples at once: the table of metrics again, as array operations over weights.

A resample gives every cluster a whole number, and each metric is computed as if the cluster's rows stood there that
often. With all numbers 1 the values are those of :func:`leukfeat.evaluation.metrics.score`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.metrics import METRICS, correlation, f1_of_classes
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Draws
from leukfeat.evaluation.scored import Scored

Values = NDArray[np.float64]

_LARGE = 5_000_000  # counts by cluster and step held at once


def resampled(predictions: Predictions, draws: Draws, metrics: Iterable[str] | None = None) -> dict[str, Values]:
    """Metrics of every resample.

    Parameters
    ----------
    predictions : Predictions
        Of one model; the rows that ``draws`` were made for.
    draws : Draws
        B resamples of its clusters.
    metrics : iterable of str or None
        Names in :data:`leukfeat.evaluation.metrics.METRICS`; all by default.

    Returns
    -------
    dict of str to ndarray of shape (B,), float64
        Repeats are averaged. NaN where a metric is undefined in a resample.

    Raises
    ------
    UnknownNameError
        A name is not in the table.
    """
    names = list(METRICS) if metrics is None else list(metrics)
    for name in names:
        if name not in _FUNCTIONS:
            raise UnknownNameError("metric", name, _FUNCTIONS)
    repeats = []
    for repeat in np.unique(predictions.repeat):
        rows = np.flatnonzero(predictions.repeat == repeat)
        repeats.append(_Resamples(Scored.of(predictions.take(rows)), draws.clusters.of_row[rows], draws))
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is NaN: undefined in that resample
        return {name: np.mean([_FUNCTIONS[name](one) for one in repeats], axis=0) for name in names}


@dataclass(frozen=True, eq=False)
class _Resamples:
    """One repeat under all resamples.

    Attributes
    ----------
    scored : Scored
        Its n rows.
    cluster : ndarray of shape (n,), int64
        Column of ``draws.counts`` that weighs each row.
    draws : Draws
        B resamples.
    """

    scored: Scored
    cluster: NDArray[np.int64]
    draws: Draws

    def total(self, values: NDArray[np.float64]) -> Values:
        """Weighted sums of values (n, c) -> (B, c), or (n,) -> (B,)."""
        sums = np.zeros((self.draws.counts.shape[1], *values.shape[1:]))
        np.add.at(sums, self.cluster, values)
        return np.asarray(self.draws.weights @ sums)

    @cached_property
    def confusion(self) -> Values:
        """Of shape (B, k, k): true classes are rows, predicted classes columns."""
        k, g = len(self.scored.classes), self.draws.counts.shape[1]
        cell = (self.cluster * k + self.scored.y_true) * k + self.scored.y_pred
        return np.asarray(self.draws.weights @ np.bincount(cell, minlength=g * k * k).reshape(g, k * k)).reshape(
            -1, k, k
        )

    @cached_property
    def of_class(self) -> Values:
        """True members of each class, (B, k)."""
        return np.asarray(self.confusion.sum(axis=2))

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """Resamples in which every class has rows, (B,)."""
        return np.asarray((self.of_class > 0).all(axis=1))

    def where_whole(self, values: Values) -> Values:
        """Values, but where a class has no rows."""
        return np.asarray(np.where(self.whole, values, np.nan))

    def beside_others(self, values: Values, k: int) -> Values:
        """Values of class ``k``, but where no other class has rows that could be taken for it."""
        return np.asarray(np.where(np.delete(self.of_class, k, axis=1).any(axis=1), values, np.nan))

    def of_interest(self, one: Callable[[_Resamples, int], Values]) -> Values:
        """A statistic of the positive class of two, or its mean over several classes."""
        classes = self.scored.of_interest
        if not classes:
            return np.full(len(self.draws), np.nan)
        return np.asarray(np.mean([one(self, k) for k in classes], axis=0))

    @cached_property
    def _areas(self) -> dict[int, tuple[Values, Values]]:
        return {}

    def areas(self, k: int) -> tuple[Values, Values]:
        """Areas under the ROC and the precision-recall curve of class ``k``, each (B,); both cost what one costs."""
        if k not in self._areas:
            ranking = self.scored.ranking(k)
            order = np.argsort(-ranking, kind="stable")
            member, cluster = self.scored.y_true[order] == k, self.cluster[order]
            ends = np.flatnonzero(np.append(np.diff(ranking[order]) != 0, True))  # last rows of runs of equal scores
            few = self.draws.counts.shape[1] * len(ends) <= _LARGE
            under = _under_curves_of_clusters if few else _under_curves_of_rows
            self._areas[k] = under(member, cluster, ends, self.draws)
        return self._areas[k]


def _under_curves_of_rows(
    member: NDArray[np.bool_], cluster: NDArray[np.int64], ends: NDArray[np.int64], draws: Draws
) -> tuple[Values, Values]:
    """Areas under both curves in every resample, each (B,), from the weights of all rows.

    Parameters
    ----------
    member, cluster : ndarray of shape (n,)
        Whether rows, in falling order of a score, are of the class, and the column of ``draws.counts`` of each.
    ends : ndarray of shape (r,), int64
        Where counts are read: the last row of each run of equal scores.
    draws : Draws
        B resamples.
    """
    roc, precision = np.empty(len(draws)), np.empty(len(draws))
    for chunk in draws.chunks(len(member)):
        weights = draws.counts[chunk][:, cluster]
        down = np.zeros((2, len(weights), len(ends) + 1))
        for found, rows in zip(down, (member, ~member), strict=True):
            found[:, 1:] = np.cumsum(weights * rows, axis=1, dtype=np.float64)[:, ends]
        roc[chunk], precision[chunk] = _under_roc(*down), _under_precision(*down)
    return roc, precision


def _under_curves_of_clusters(
    member: NDArray[np.bool_], cluster: NDArray[np.int64], ends: NDArray[np.int64], draws: Draws
) -> tuple[Values, Values]:
    """The same from what each of g clusters counts at each end, of which resamples are sums.

    The area under the ROC curve is a share of pairs of rows, so it needs only how many pairs of every two clusters
    stand in the right order: g² numbers for n² pairs.
    """
    shape = draws.counts.shape[1], len(ends)
    step = np.searchsorted(ends, np.arange(len(member)))
    added = [
        np.bincount(cluster[rows] * shape[1] + step[rows], minlength=shape[0] * shape[1]).reshape(shape)
        for rows in (member, ~member)
    ]
    members, others = (np.cumsum(some, axis=1, dtype=np.float64) for some in added)
    in_order = added[0] @ (others[:, -1:] - others + added[1] / 2).T  # ties count half
    weights = draws.weights
    pairs = (weights @ members[:, -1]) * (weights @ others[:, -1])
    roc = np.einsum("bg,bg->b", weights @ in_order, weights) / pairs

    where = np.flatnonzero(added[0].any(axis=0))  # precision counts where members are added
    # whole numbers below 2**24 are exact in 32 bits
    at = [np.pad(some[:, where].astype(np.float32), ((0, 0), (1, 0))) for some in (members, others)]
    precision = np.empty(len(draws))
    for chunk in draws.chunks(len(where)):
        precision[chunk] = _under_precision(*((draws.counts[chunk] @ some).astype(np.float64) for some in at))
    return np.asarray(roc), precision


def _under_roc(members: Values, others: Values) -> Values:
    """Share of pairs in the right order, ties counting half: trapezes under counts of shape (b, r + 1)."""
    steps = np.diff(members, axis=1)
    right = others[:, -1:] - (others[:, 1:] + others[:, :-1]) / 2
    return np.asarray(np.einsum("br,br->b", steps, right) / (members[:, -1] * others[:, -1]))


def _under_precision(members: Values, others: Values) -> Values:
    """Average precision: the precision at each step, weighted by the members it adds."""
    precision = members[:, 1:] / np.maximum(members[:, 1:] + others[:, 1:], 1)  # counts: 0 of 0 is 0
    return np.asarray(np.einsum("br,br->b", np.diff(members, axis=1), precision) / members[:, -1])


def _accuracy(one: _Resamples) -> Values:
    return np.asarray(np.trace(one.confusion, axis1=1, axis2=2) / one.confusion.sum(axis=(1, 2)))


def _recalls(one: _Resamples) -> Values:
    return np.asarray(np.diagonal(one.confusion, axis1=1, axis2=2) / one.of_class)


def _balanced_accuracy(one: _Resamples) -> Values:
    return one.where_whole(_recalls(one).mean(axis=1))


def _weighted_f1(one: _Resamples) -> Values:
    weighted = (f1_of_classes(one.confusion) * one.of_class).sum(axis=1) / one.of_class.sum(axis=1)
    return np.where((one.of_class > 0).sum(axis=1) > 1, weighted, np.nan)


def _macro_f1(one: _Resamples) -> Values:
    return one.where_whole(f1_of_classes(one.confusion).mean(axis=1))


def _sensitivity(one: _Resamples, k: int) -> Values:
    return np.asarray(one.confusion[:, k, k] / one.of_class[:, k])


def _specificity(one: _Resamples, k: int) -> Values:
    others = np.delete(one.confusion, k, axis=1)
    every = others.sum(axis=(1, 2))
    return np.asarray((every - others[:, :, k].sum(axis=1)) / every)


def _precision(one: _Resamples, k: int) -> Values:
    return one.beside_others(one.confusion[:, k, k] / one.confusion[:, :, k].sum(axis=1), k)


def _auroc(one: _Resamples) -> Values:
    columns = one.scored.of_interest or (1,)
    return one.where_whole(np.mean([one.areas(k)[0] for k in columns], axis=0))


def _auprc(one: _Resamples, k: int) -> Values:
    return one.beside_others(one.areas(k)[1], k)


def _log_loss(one: _Resamples) -> Values:
    return np.asarray(one.total(one.scored.surprise) / one.of_class.sum(axis=1))


def _brier(one: _Resamples) -> Values:
    k = len(one.scored.classes)
    miss = ((one.scored.proba - np.eye(k)[one.scored.y_true]) ** 2).sum(axis=1)
    return np.asarray(one.total(miss) / one.of_class.sum(axis=1) / (2 if k == 2 else 1))


_FUNCTIONS: Mapping[str, Callable[[_Resamples], Values]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "weighted_f1": _weighted_f1,
    "macro_f1": _macro_f1,
    "sensitivity": lambda one: one.of_interest(_sensitivity),
    "specificity": lambda one: one.of_interest(_specificity),
    "precision": lambda one: one.of_interest(_precision),
    "mcc": lambda one: correlation(one.confusion),
    "auroc": _auroc,
    "auprc": lambda one: one.of_interest(_auprc),
    "log_loss": _log_loss,
    "brier": _brier,
}
