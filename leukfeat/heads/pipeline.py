"""Scaler, reduction and classifier as one scikit-learn Pipeline, fitted on a set of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from leukfeat.heads.reduction import reducer
from leukfeat.heads.scaling import Scaler
from leukfeat.heads.space import reduction_size
from leukfeat.heads.spec import Frame, HeadSpec


class HeadPipeline(Pipeline):  # type: ignore[misc]  # scikit-learn is untyped
    """A Pipeline whose ``fit`` names ``sample_weight``, so that calibration around it passes the weights on."""

    def fit(self, X: Any, y: Any = None, sample_weight: NDArray[np.float64] | None = None) -> Self:
        """Fit every step; the weights are for the classifier."""
        if sample_weight is None:
            super().fit(X, y)
        else:
            super().fit(X, y, classifier__sample_weight=sample_weight)
        return self


def transformers(spec: HeadSpec, params: Mapping[str, Any], frame: Frame) -> tuple[Any, Any]:
    """The unfitted scaler and reduction, or ``"passthrough"``."""
    scaler = Scaler(params["scaling"]) if spec.scales else "passthrough"
    return scaler, reducer(params["reduction"], frame.seed)


def classifier(spec: HeadSpec, params: Mapping[str, Any], frame: Frame) -> Any:
    """The unfitted classifier, for a frame with the features before reduction."""
    kept = reduction_size(params["reduction"])
    return spec.build(params, frame if kept is None else replace(frame, n_features=kept))


def assemble(spec: HeadSpec, params: Mapping[str, Any], frame: Frame) -> HeadPipeline:
    """The unfitted Pipeline of a head with chosen parameters."""
    scaler, reduction = transformers(spec, params, frame)
    return HeadPipeline([("scaler", scaler), ("reduction", reduction), ("classifier", classifier(spec, params, frame))])


def scores(fitted: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """Scores of shape (n, K): probabilities where the classifier has them, else decision scores."""
    if hasattr(fitted, "predict_proba"):
        return np.asarray(fitted.predict_proba(X), dtype=np.float64)
    raw = np.asarray(fitted.decision_function(X), dtype=np.float64)
    return np.column_stack([-raw, raw]) if raw.ndim == 1 else raw
