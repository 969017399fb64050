"""What is left of tuning: the best Pipeline fitted on all rows, and inner predictions with its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import HeadError
from leukfeat.heads.calibration import Sigmoid
from leukfeat.heads.inner import InnerFits
from leukfeat.heads.pipeline import HeadPipeline, assemble
from leukfeat.heads.table import InnerFold, Rows, Splits, Table, grouped_pairs, inner_folds
from leukfeat.heads.weights import balanced_weights

InnerPredictions = tuple[Rows, NDArray[np.float64]]

_CALIBRATION_FOLDS = 4  # where the given inner folds do not cover all rows once


def calibration_folds(table: Table, pairs: Splits, seed: int) -> tuple[InnerFold, ...]:
    """Folds whose held-out scores a sigmoid is learned on, where the inner folds do not cover all rows once; else none.

    Raises
    ------
    HeadError
        A class has rows of fewer than two groups.
    """
    tiles = np.bincount(np.concatenate([validation for _, validation in pairs]), minlength=len(table.y))
    if (tiles == 1).all():
        return ()
    return inner_folds(table, grouped_pairs(table, _CALIBRATION_FOLDS, seed), stops_early=False, seed=0)


def refit(
    inner: InnerFits, params: Mapping[str, Any], calibration: tuple[InnerFold, ...], *, out_of_fold: bool
) -> tuple[Any, InnerPredictions]:
    """Fit the Pipeline to keep, and predict every row by a model that has not seen it.

    Parameters
    ----------
    inner : InnerFits
        Inner folds, and what tuning has learned from them.
    params : mapping
        The best parameters; of a booster with ``n_estimators``.
    calibration : tuple of InnerFold
        Of :func:`calibration_folds`.
    out_of_fold : bool
        Whether inner predictions are made.

    Returns
    -------
    estimator : HeadPipeline or CalibratedClassifierCV
        Fitted on all rows.
    inner_predictions : tuple of ndarray
        Rows and probabilities of :meth:`leukfeat.heads.inner.InnerFits.out_of_fold`; empty where there are none.
    """
    if inner.spec.stops_early:
        inner.rows.forget_shared()  # the fits to come learn from more rows than those that were binned for trials
    fit = partial(_pipeline, inner, params)
    fitting = None if inner.pool is None else inner.pool.submit(fit)  # beside the fits on inner folds
    predictions = _inner_predictions(inner, params, out_of_fold=out_of_fold)
    sigmoid = _sigmoid(inner, params, calibration) if inner.spec.calibrated else None
    pipeline = fit() if fitting is None else fitting.result()
    return (pipeline if sigmoid is None else sigmoid.around(pipeline)), predictions


def _pipeline(inner: InnerFits, params: Mapping[str, Any]) -> HeadPipeline:
    table = inner.table
    weights = balanced_weights(params.get("balance", "none"), table.y, table.groups)
    return assemble(inner.spec, params, inner.frame).fit(table.X, table.y, sample_weight=weights)


def _inner_predictions(inner: InnerFits, params: Mapping[str, Any], *, out_of_fold: bool) -> InnerPredictions:
    """Inner predictions of the best parameters; none where there is too little to make them honestly."""
    if out_of_fold:
        try:
            return inner.out_of_fold(params)
        except HeadError:
            pass  # a class with one group in the training part of an inner fold: nothing can be calibrated
    return np.empty(0, dtype=np.int64), np.empty((0, len(inner.table.classes)))


def _sigmoid(inner: InnerFits, params: Mapping[str, Any], calibration: tuple[InnerFold, ...]) -> Sigmoid:
    """A sigmoid learned on scores of held-out rows: of the inner folds, where there are no others for it."""
    table = inner.table
    if calibration:
        inner = inner.on(calibration)
    rows = np.concatenate([fold.validation for fold in inner.folds])
    found = np.concatenate(inner.held_out(params))
    weights = balanced_weights(params.get("balance", "none"), table.y, table.groups)
    return Sigmoid(found, table.y[rows], None if weights is None else weights[rows])
