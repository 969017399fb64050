"""Fits on inner folds: what a trial is judged by, and probabilities by models that have not seen a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.heads.calibration import Sigmoid
from leukfeat.heads.pipeline import classifier, scores
from leukfeat.heads.scoring import Metric
from leukfeat.heads.spec import MOST_ROUNDS, PATIENCE, Frame, HeadSpec
from leukfeat.heads.table import InnerFold, Rows, Table, grouped_pairs
from leukfeat.heads.threads import in_order
from leukfeat.heads.transforms import Transforms
from leukfeat.heads.weights import balanced_weights

Scores = NDArray[np.float64]

_CALIBRATION_FOLDS = 3  # inside the fitting rows of an inner fold


@dataclass(frozen=True)
class Judged:
    """A fit on an inner fold: its score, its number of rounds, and its scores (m, K) of the validation rows."""

    score: float
    rounds: int | None
    scores: Scores


class InnerFits:
    """Fits and judges parameters on inner folds; what trials share is made once.

    Folds are worked on side by side in threads, and asked for in order, so that their number changes nothing.

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
    device : str
        Where a booster runs.
    pool : Executor or None
        ``n_jobs`` threads; None works in the caller's.
    n_jobs : int
        Threads.
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
        device: str = "cpu",
        pool: Executor | None = None,
        n_jobs: int = 1,
    ) -> None:
        self.spec, self.table, self.folds, self.metric, self.seed = spec, table, folds, metric, seed
        self.largest_reduction = largest_reduction
        self.pool, self.n_jobs = (None, 1) if spec.threads_inside else (pool, n_jobs)
        self.frame = Frame(len(table.y), table.X.shape[1], seed, device, n_jobs if spec.threads_inside else 1)
        self.rows = Transforms(spec, table, folds, largest_reduction=largest_reduction, frame=self.frame)
        self._best: tuple[float, dict[str, Any], list[Scores]] | None = None

    def on(self, folds: tuple[InnerFold, ...]) -> InnerFits:
        """The same on other folds of the same rows."""
        return InnerFits(
            self.spec,
            self.table,
            folds,
            self.metric,
            largest_reduction=self.largest_reduction,
            seed=self.seed,
            device=self.frame.device,
            pool=self.pool,
            n_jobs=self.n_jobs,
        )

    def judge(self, params: Mapping[str, Any]) -> Iterator[tuple[float, int | None]]:
        """Score and number of rounds on one inner fold after the other; little is fitted before it is asked for."""
        found: list[Judged] = []
        works = [partial(self._judge_fold, number, fold, params) for number, fold in enumerate(self.folds)]
        for judged in in_order(self.pool, works, self.n_jobs):
            found.append(judged)
            yield judged.score, judged.rounds
        self._remember(params, found)

    def _remember(self, params: Mapping[str, Any], found: list[Judged]) -> None:
        """Keep the scores of the best trial: its models are those that predict the rows they have not seen."""
        value = float(np.mean([judged.score for judged in found])) * (1 if self.metric.greater_is_better else -1)
        if self._best is None or value > self._best[0]:
            self._best = value, dict(params), [judged.scores for judged in found]

    def _judge_fold(self, number: int, fold: InnerFold, params: Mapping[str, Any]) -> Judged:
        limits: dict[str, Any] = {}
        if len(fold.stop):
            limits = {"n_estimators": params.get("n_estimators", MOST_ROUNDS), "early_stopping_rounds": PATIENCE}
        model, found = self._fitted(number, fold, {**params, **limits})
        judged = found
        if self.spec.calibrated and self.metric.needs_probability:
            judged = self._probabilities(number, fold, params, found)
        score = self.metric.score(self.table.y[fold.validation], judged)
        return Judged(score, int(model.rounds_) if self.spec.stops_early else None, found)

    def _fitted(self, number: int, fold: InnerFold, params: Mapping[str, Any]) -> tuple[Any, Scores]:
        """A classifier fitted on the fitting rows of a fold, and its scores of the validation rows."""
        model = classifier(self.spec, params, self._frame_of(fold))
        shared = self.rows.shared(number, params)
        weight = self._weights(fold.fit, params)
        rows = self.rows.of(number, params)
        if shared is not None:
            shared.fit(model, weight, self._weights(fold.stop, params) if len(fold.stop) else None)
            return model, shared.scores(model, rows.take(fold.validation))
        model.fit(rows.take(fold.fit), self.table.y[fold.fit], **_given(weight))
        return model, scores(model, rows.take(fold.validation))

    def held_out(self, params: Mapping[str, Any]) -> list[Scores]:
        """Scores of the validation rows of every fold by classifiers fitted on its fitting rows.

        Those of the best trial are at hand; others are fitted for.
        """
        if self._best is not None and self._best[1] == dict(params):
            return self._best[2]
        works = [partial(self._fitted, number, fold, params) for number, fold in enumerate(self.folds)]
        return [found for _, found in in_order(self.pool, works, self.n_jobs)]

    def out_of_fold(self, params: Mapping[str, Any]) -> tuple[Rows, Scores]:
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
        proba = np.concatenate(self._unseen(params))
        unique, place, times = np.unique(rows, return_inverse=True, return_counts=True)
        total = np.stack([np.bincount(place, weights=column) for column in proba.T], axis=1)
        return unique, np.clip(total / times[:, None], 0.0, 1.0)

    def _unseen(self, params: Mapping[str, Any]) -> list[Scores]:
        """Probabilities of the validation rows of each fold."""
        if any(len(fold.stop) for fold in self.folds):
            works = [partial(self._unseen_by_all, number, fold, params) for number, fold in enumerate(self.folds)]
        elif self.spec.calibrated:
            held = self.held_out(params)
            works = [
                partial(self._probabilities, number, fold, params, held[number])
                for number, fold in enumerate(self.folds)
            ]
        else:
            return self.held_out(params)
        return list(in_order(self.pool, works, self.n_jobs))

    def _unseen_by_all(self, number: int, fold: InnerFold, params: Mapping[str, Any]) -> Scores:
        """By a booster that learns from the rows it stopped on too."""
        learn = np.concatenate([fold.fit, fold.stop])
        rows = self.rows.of(number, params)
        model = classifier(self.spec, params, self._frame_of(fold))
        model.fit(rows.take(learn), self.table.y[learn], **_given(self._weights(learn, params)))
        return scores(model, rows.take(fold.validation))

    def _probabilities(self, number: int, fold: InnerFold, params: Mapping[str, Any], found: Scores) -> Scores:
        """Probabilities for decision scores of validation rows: a sigmoid learned on folds inside the fitting rows."""
        y = self.table.y[fold.fit]
        shared, weight = self.rows.shared(number, params), self._weights(fold.fit, params)
        X = self.table.X[:0] if shared is not None else self.rows.of(number, params).take(fold.fit)
        inside = np.empty((len(y), found.shape[1]))
        for learn, held in grouped_pairs(self.table, _CALIBRATION_FOLDS, self.seed, fold.fit):
            model = classifier(self.spec, params, replace(self._frame_of(fold), n_rows=len(learn)))
            some = None if weight is None else weight[learn]
            if shared is not None:
                part = shared.part(learn, held)
                part.fit(model, some, None)
                inside[held] = part.scores(model, self.table.X[:0])
            else:
                model.fit(X[learn], y[learn], **_given(some))
                inside[held] = scores(model, X[held])
        return Sigmoid(inside, y, weight).probabilities(found)

    def _frame_of(self, fold: InnerFold) -> Frame:
        return replace(self.frame, n_rows=len(fold.fit))

    def _weights(self, rows: Rows, params: Mapping[str, Any]) -> NDArray[np.float64] | None:
        return balanced_weights(params.get("balance", "none"), self.table.y[rows], self.table.groups[rows])


def _given(weight: NDArray[np.float64] | None) -> dict[str, Any]:
    """Row weights as an argument, for not every classifier knows them."""
    return {} if weight is None else {"sample_weight": weight}
