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
from leukfeat.evaluation.metrics import METRICS
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
        return np.asarray(self.draws.counts.astype(np.float64) @ sums)

    @cached_property
    def confusion(self) -> Values:
        """Of shape (B, k, k): true classes are rows, predicted classes columns."""
        k = len(self.scored.classes)
        cells = np.zeros((len(self.cluster), k * k))
        cells[np.arange(len(self.cluster)), self.scored.y_true * k + self.scored.y_pred] = 1
        return self.total(cells).reshape(-1, k, k)

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
            members, others = (_Descent(rows, cluster, ends, self.draws) for rows in (member, ~member))
            roc, precision = np.empty(len(self.draws)), np.empty(len(self.draws))
            for chunk in self.draws.chunks(len(order)):
                down = members.reached(chunk), others.reached(chunk)
                roc[chunk], precision[chunk] = _under_roc(*down), _under_precision(*down)
            self._areas[k] = roc, precision
        return self._areas[k]


@dataclass(frozen=True, eq=False)
class _Descent:
    """Some rows in falling order of a score, counted on the way down.

    Attributes
    ----------
    rows : ndarray of shape (n,), bool
        Which are counted.
    cluster : ndarray of shape (n,), int64
        Column of ``draws.counts`` that weighs each row.
    ends : ndarray of shape (r,), int64
        Where counts are read: the last row of each run of equal scores.
    draws : Draws
        B resamples.
    """

    rows: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    ends: NDArray[np.int64]
    draws: Draws

    @cached_property
    def _by_cluster(self) -> NDArray[np.float32] | None:
        """How many rows of each cluster are counted at each end, (g, r); None where that would be large."""
        shape = (self.draws.counts.shape[1], len(self.ends))
        if shape[0] * shape[1] > _LARGE:
            return None
        counts = np.zeros(shape, dtype=np.float32)
        np.add.at(counts, (self.cluster[self.rows], np.searchsorted(self.ends, np.flatnonzero(self.rows))), 1)
        return np.cumsum(counts, axis=1, out=counts)

    def reached(self, chunk: slice) -> Values:
        """Counts at each end under a chunk of resamples, (b, r + 1), beginning with 0."""
        drawn = self.draws.counts[chunk]
        found = np.zeros((len(drawn), len(self.ends) + 1))
        if self._by_cluster is not None:  # whole numbers below 2**24 are exact in 32 bits
            found[:, 1:] = drawn @ self._by_cluster
        else:
            found[:, 1:] = np.cumsum(drawn[:, self.cluster] * self.rows, axis=1, dtype=np.float64)[:, self.ends]
        return found


def _under_roc(members: Values, others: Values) -> Values:
    """Share of pairs in the right order, ties counting half: trapezes under counts of shape (b, r + 1)."""
    steps = np.diff(members, axis=1)
    right = others[:, -1:] - (others[:, 1:] + others[:, :-1]) / 2
    return np.asarray(np.einsum("br,br->b", steps, right) / (members[:, -1] * others[:, -1]))


def _under_precision(members: Values, others: Values) -> Values:
    """Average precision: the precision at each step, weighted by the members it adds."""
    said = members[:, 1:] + others[:, 1:]
    precision = np.divide(members[:, 1:], said, out=np.zeros_like(said), where=said > 0)
    return np.asarray(np.einsum("br,br->b", np.diff(members, axis=1), precision) / members[:, -1])


def _accuracy(one: _Resamples) -> Values:
    return np.asarray(np.trace(one.confusion, axis1=1, axis2=2) / one.confusion.sum(axis=(1, 2)))


def _recalls(one: _Resamples) -> Values:
    return np.asarray(np.diagonal(one.confusion, axis1=1, axis2=2) / one.of_class)


def _balanced_accuracy(one: _Resamples) -> Values:
    return one.where_whole(_recalls(one).mean(axis=1))


def _f1(one: _Resamples) -> Values:
    """F1 of each class, (B, k); 0 where a class is neither there nor predicted."""
    right = np.diagonal(one.confusion, axis1=1, axis2=2)
    whole = one.of_class + one.confusion.sum(axis=1)
    return np.where(whole > 0, 2 * right / np.where(whole > 0, whole, 1), 0.0)


def _weighted_f1(one: _Resamples) -> Values:
    weighted = (_f1(one) * one.of_class).sum(axis=1) / one.of_class.sum(axis=1)
    return np.where((one.of_class > 0).sum(axis=1) > 1, weighted, np.nan)


def _macro_f1(one: _Resamples) -> Values:
    return one.where_whole(_f1(one).mean(axis=1))


def _sensitivity(one: _Resamples, k: int) -> Values:
    return np.asarray(one.confusion[:, k, k] / one.of_class[:, k])


def _specificity(one: _Resamples, k: int) -> Values:
    others = np.delete(one.confusion, k, axis=1)
    every = others.sum(axis=(1, 2))
    return np.asarray((every - others[:, :, k].sum(axis=1)) / every)


def _precision(one: _Resamples, k: int) -> Values:
    return one.beside_others(one.confusion[:, k, k] / one.confusion[:, :, k].sum(axis=1), k)


def _matthews(one: _Resamples) -> Values:
    """Gorodkin's correlation of k classes, which is Matthews' for two."""
    true, said = one.of_class, one.confusion.sum(axis=1)
    n = true.sum(axis=1)
    right = np.trace(one.confusion, axis1=1, axis2=2)
    across = right * n - (true * said).sum(axis=1)
    spread = (n**2 - (said**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))
    return np.asarray(np.where(spread > 0, across / np.sqrt(np.where(spread > 0, spread, 1)), np.nan))


def _auroc(one: _Resamples) -> Values:
    columns = one.scored.of_interest or (1,)
    return one.where_whole(np.mean([one.areas(k)[0] for k in columns], axis=0))


def _auprc(one: _Resamples, k: int) -> Values:
    return one.beside_others(one.areas(k)[1], k)


def _log_loss(one: _Resamples) -> Values:
    floor = np.finfo(
        np.float64
    ).eps  # as scikit-learn does: a probability of 0 for what happened costs 36, not infinity
    own = np.clip(one.scored.proba, floor, 1 - floor)[np.arange(len(one.cluster)), one.scored.y_true]
    return np.asarray(one.total(-np.log(own)) / one.of_class.sum(axis=1))


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
    "mcc": _matthews,
    "auroc": _auroc,
    "auprc": lambda one: one.of_interest(_auprc),
    "log_loss": _log_loss,
    "brier": _brier,
}
