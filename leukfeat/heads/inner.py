"""Inner folds: the rows a trial is fitted on, stopped on and judged on, and what trials learn from them once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from leukfeat.data.folds import grouped_folds, iterate_folds, most_folds
from leukfeat.errors import HeadError
from leukfeat.heads.pipeline import Splits, calibrated, classifier, scores, transformers, unfinished_fits_allowed
from leukfeat.heads.scoring import Metric
from leukfeat.heads.spec import MOST_ROUNDS, PATIENCE, REDUCTION, Choice, Frame, HeadSpec, reduction_size
from leukfeat.heads.weights import balanced_weights

Rows = NDArray[np.int64]
Parts = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Transformed rows of an inner fold: to fit on, to stop on, to judge on."""

_STOP_SHARE = 5  # one part in so many of the groups tells a booster when to stop
_MEMORY = 512 * 2**20  # bytes of transformed rows kept between trials


@dataclass(frozen=True)
class Table:
    """The rows a head is trained on.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Features, float32 or float64.
    y : ndarray of shape (n,), int64
        Class numbers 0 … K-1.
    groups : ndarray of shape (n,), int64
        Group numbers.
    classes : tuple of str
        What the classes are called, for messages.
    """

    X: NDArray[Any]
    y: Rows
    groups: Rows
    classes: tuple[str, ...]

    def most_folds(self, rows: Rows | None = None) -> tuple[int, str]:
        """The most grouped folds possible, and the class that allows no more."""
        y, groups = (self.y, self.groups) if rows is None else (self.y[rows], self.groups[rows])
        possible, rarest = most_folds(y, groups)
        return possible, self.classes[rarest]


@dataclass(frozen=True)
class InnerFold:
    """One split of the training rows, by row number.

    Parameters
    ----------
    fit : ndarray of int64
        Everything is learned from these: scaling, reduction, classifier.
    stop : ndarray of int64
        Rows of other groups that tell a booster when to stop; empty for other heads.
    validation : ndarray of int64
        Rows of other groups again; they only judge.
    """

    fit: Rows
    stop: Rows
    validation: Rows


def grouped_pairs(table: Table, n_folds: int, seed: int) -> Splits:
    """(training rows, validation rows) of grouped folds, as many as asked for or as the rarest class allows.

    Raises
    ------
    HeadError
        A class has rows of fewer than two groups.
    """
    possible, rarest = table.most_folds()
    if possible < 2:
        raise HeadError(
            f"class {rarest!r} has {possible} subject(s) in the training rows; tuning and calibration need at least 2"
            f" subjects of each class (a subject counts for its most frequent class)"
        )
    return list(iterate_folds(grouped_folds(table.y, table.groups, min(n_folds, possible), seed)))


def given_pairs(table: Table, pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> Splits:
    """Check (training rows, validation rows) pairs that the caller made.

    Raises
    ------
    HeadError
        Rows out of range, a group on both sides, a class without a training row, or fewer than two classes to judge.
    """
    checked: Splits = []
    for number, (train, validation) in enumerate(pairs):
        train, validation = np.asarray(train), np.asarray(validation)
        where = f"inner fold {number}"
        for part in (train, validation):
            if part.ndim != 1 or not np.issubdtype(part.dtype, np.integer) or not len(part):
                raise HeadError(f"{where}: give two non-empty lists of row numbers")
            if part.min() < 0 or part.max() >= len(table.y):
                raise HeadError(f"{where}: row numbers go from 0 to {len(table.y) - 1}")
        shared = np.intersect1d(table.groups[train], table.groups[validation])
        if len(shared):
            raise HeadError(f"{where}: {len(shared)} group(s) are on both sides; keep a group's rows together")
        lacking = np.setdiff1d(np.arange(len(table.classes)), table.y[train])
        if len(lacking):
            raise HeadError(f"{where}: class {table.classes[lacking[0]]!r} has no training row")
        if len(np.unique(table.y[validation])) < 2:
            raise HeadError(f"{where}: the validation rows are all of one class; nothing can be judged on them")
        checked.append((train.astype(np.int64), validation.astype(np.int64)))
    if not checked:
        raise HeadError("inner_folds is an empty list; give a number of folds or at least one pair of row lists")
    return checked


def inner_folds(table: Table, pairs: Splits, *, stops_early: bool, seed: int) -> tuple[InnerFold, ...]:
    """Inner folds of pairs; for a booster, some groups of each training part are set aside to stop on.

    Where a training part has one group of some class nothing can be set aside, and the booster runs its default
    number of rounds.
    """
    folds = []
    for number, (train, validation) in enumerate(pairs):
        fit, stop = train, train[:0]
        possible, _ = table.most_folds(train)
        if stops_early and possible >= 2:
            part = grouped_folds(table.y[train], table.groups[train], min(_STOP_SHARE, possible), seed + number)
            fit, stop = train[part != 0], train[part == 0]
        folds.append(InnerFold(fit, stop, validation))
    return tuple(folds)


class InnerFits:
    """Fits and judges parameters on inner folds; what trials share is learned once.

    Scaled and reduced rows depend on few parameters, and are kept between trials up to a limit of memory, those used
    longest ago leaving first. They are learned from the rows a fold fits on, never from those it stops or judges on.

    Parameters
    ----------
    spec : HeadSpec
        The head.
    table : Table
        The training rows.
    folds : tuple of InnerFold
        Inner folds.
    metric : Metric
        How to judge.
    largest_reduction : int
        Principal components must be fewer than this.
    seed : int
        Seeds forests, boosters and, where the metric needs probabilities of a head without, calibration folds.
    """

    def __init__(
        self,
        spec: HeadSpec,
        table: Table,
        folds: tuple[InnerFold, ...],
        metric: Metric,
        *,
        largest_reduction: int,
        seed: int,
    ) -> None:
        self.spec, self.table, self.folds, self.metric, self.seed = spec, table, folds, metric, seed
        self._largest = _largest_reductions(spec, largest_reduction, table.X.shape[1])
        self._kept: OrderedDict[tuple[Any, ...], Parts] = OrderedDict()

    def judge(self, params: Mapping[str, Any]) -> Iterator[tuple[float, int | None]]:
        """Score and number of rounds on one inner fold after the other; nothing is fitted before it is asked for."""
        for number, fold in enumerate(self.folds):
            yield self._judge_fold(number, fold, params)

    def _judge_fold(self, number: int, fold: InnerFold, params: Mapping[str, Any]) -> tuple[float, int | None]:
        X, X_stop, X_validation = self.transformed(number, params)
        y, groups = self.table.y, self.table.groups
        limits: dict[str, Any] = {}
        fit_arguments: dict[str, Any] = {}
        if len(fold.stop):
            stop_weight = self._weights(fold.stop, params)
            limits = {"n_estimators": params.get("n_estimators", MOST_ROUNDS), "early_stopping_rounds": PATIENCE}
            fit_arguments["stop"] = (X_stop, y[fold.stop], stop_weight)
        model = classifier(self.spec, {**params, **limits}, self._frame(fold))
        if self.spec.calibrated and self.metric.needs_probability:
            part = Table(X, y[fold.fit], groups[fold.fit], self.table.classes)
            model = calibrated(model, grouped_pairs(part, 3, self.seed))
        weight = self._weights(fold.fit, params)
        if weight is not None:
            fit_arguments["sample_weight"] = weight
        with unfinished_fits_allowed():
            model.fit(X, y[fold.fit], **fit_arguments)
        score = self.metric.score(y[fold.validation], scores(model, X_validation))
        return score, int(model.rounds_) if self.spec.stops_early else None

    def out_of_fold(self, params: Mapping[str, Any]) -> tuple[Rows, NDArray[np.float64]]:
        """Probabilities for the validation rows of every inner fold, by models that have not seen them.

        As the head to keep, each model is fitted on the whole training part of its inner fold: a booster for the
        number of rounds that ``params`` give, on the rows it would otherwise stop on as well; a head without
        probabilities with a sigmoid learned on grouped folds inside that part. Scaling and reduction are those of the
        trials. ``params`` may have been chosen by how well they do on the same rows, so that these probabilities
        flatter a little, as the score of the best trial does.

        Returns
        -------
        rows : ndarray of shape (m,), int64
            Sorted; every row that some inner fold validates on, once.
        proba : ndarray of shape (m, K), float64
            Means, where a row is in several validation parts.

        Raises
        ------
        HeadError
            A head without probabilities, and a class with one group in a training part: nothing can be calibrated.
        """
        rows = np.concatenate([fold.validation for fold in self.folds])
        proba = np.concatenate([self._unseen(number, fold, params) for number, fold in enumerate(self.folds)])
        unique, place, times = np.unique(rows, return_inverse=True, return_counts=True)
        total = np.stack([np.bincount(place, weights=column) for column in proba.T], axis=1)
        return unique, np.clip(total / times[:, None], 0.0, 1.0)

    def _unseen(self, number: int, fold: InnerFold, params: Mapping[str, Any]) -> NDArray[np.float64]:
        X, X_stop, X_validation = self.transformed(number, params)
        learn = np.concatenate([fold.fit, fold.stop])
        part = Table(np.concatenate([X, X_stop]), self.table.y[learn], self.table.groups[learn], self.table.classes)
        model = classifier(self.spec, params, self._frame(fold))
        if self.spec.calibrated:
            model = calibrated(model, grouped_pairs(part, 3, self.seed))
        weight = self._weights(learn, params)
        with unfinished_fits_allowed():  # not every classifier knows weights
            model.fit(part.X, part.y, **({} if weight is None else {"sample_weight": weight}))
        return np.asarray(model.predict_proba(X_validation), dtype=np.float64)

    def _frame(self, fold: InnerFold) -> Frame:
        return Frame(len(fold.fit), self.table.X.shape[1], self.seed)

    def _weights(self, rows: Rows, params: Mapping[str, Any]) -> NDArray[np.float64] | None:
        return balanced_weights(params.get("balance", "none"), self.table.y[rows], self.table.groups[rows])

    def transformed(self, number: int, params: Mapping[str, Any]) -> Parts:
        """Scaled and reduced rows of an inner fold: to fit on, to stop on, to judge on."""
        reduction = params["reduction"]
        kind = reduction.partition("-")[0]
        size = reduction_size(reduction)
        searched = self._largest.get(kind, reduction)
        # a reduction that the user fixed may be larger than any that is searched
        largest = {**params, "reduction": max(searched, reduction, key=lambda name: reduction_size(name) or 0)}
        scaling = params.get("scaling")
        scaled = self._keep((number, scaling), lambda: self._scaled(self.folds[number], params))
        if size is None:
            return scaled
        parts = self._keep((number, scaling, largest["reduction"]), lambda: self._reduced(number, scaled, largest))
        fit, stop, validation = (np.ascontiguousarray(part[:, :size]) for part in parts)
        return fit, stop, validation

    def _scaled(self, fold: InnerFold, params: Mapping[str, Any]) -> Parts:
        X = self.table.X
        scaler, _ = transformers(self.spec, params, self._frame(fold))
        if scaler == "passthrough":
            return X[fold.fit], X[fold.stop], X[fold.validation]
        fitted = clone(scaler).fit(X[fold.fit])
        return _apply(fitted, X[fold.fit], X[fold.stop], X[fold.validation])

    def _reduced(self, number: int, scaled: Parts, params: Mapping[str, Any]) -> Parts:
        fit, stop, validation = scaled
        _, reduction = transformers(self.spec, params, self._frame(self.folds[number]))
        fitted = clone(reduction).fit(fit, self.table.y[self.folds[number].fit])
        return _apply(fitted, fit, stop, validation)

    def _keep(self, key: tuple[Any, ...], make: Callable[[], Parts]) -> Parts:
        """What is kept under a key, made if need be; what was used longest ago makes room."""
        made = self._kept.pop(key, None) or make()
        self._kept[key] = made
        while len(self._kept) > 1 and sum(part.nbytes for parts in self._kept.values() for part in parts) > _MEMORY:
            self._kept.popitem(last=False)
        return made


def _apply(fitted: Any, *parts: NDArray[Any]) -> Parts:
    """Transform parts, of which the middle one may be empty."""
    fit, stop, validation = (fitted.transform(part) if len(part) else part for part in parts)
    return fit, stop if len(stop) else fit[:0], validation


def _largest_reductions(spec: HeadSpec, largest: int, n_features: int) -> dict[str, str]:
    """The largest reduction of each kind that is searched, e.g. ``{"pca": "pca-256"}``."""
    names: dict[str, str] = {}
    for dimension in spec.space_for(largest, n_features):
        if dimension.name == REDUCTION.name and isinstance(dimension, Choice):
            for value in sorted((v for v in dimension.values if v != "none"), key=lambda v: reduction_size(v) or 0):
                names[value.partition("-")[0]] = value
    return names
