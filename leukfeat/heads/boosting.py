"""Gradient-boosted trees: XGBoost and LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leukfeat.heads.space import BALANCE, REDUCTION, Number
from leukfeat.heads.spec import Frame, HeadSpec, Learned, Parts, Shared, classifier_params

_LEARNING_RATE = Number("learning_rate", 0.05, 0.4, default=0.2, log=True)
_SUBSAMPLE = Number("subsample", 0.5, 1.0, default=0.8, most=1.0)
_COLSAMPLE = Number("colsample_bytree", 0.05, 0.5, default=0.1, log=True, most=1.0)
_LAMBDA = Number("reg_lambda", 0.1, 30.0, default=1.0, log=True, least=0.0)


def _build_xgboost(params: Mapping[str, Any], frame: Frame) -> Any:
    from leukfeat.heads.boosters import XGBoost

    return XGBoost(**classifier_params(params), device=frame.device, random_state=frame.seed)


def _share_xgboost(X: Learned, y: Parts, frame: Frame) -> Shared | None:
    from leukfeat.heads.bins import Bins
    from leukfeat.heads.boosters import XGBoost

    return Bins.made(XGBoost, X, y, frame.device)


def _build_lightgbm(params: Mapping[str, Any], frame: Frame) -> Any:
    from leukfeat.heads.boosters import LightGBM

    return LightGBM(**classifier_params(params), device=frame.device, random_state=frame.seed)


def _share_lightgbm(X: Learned, y: Parts, frame: Frame) -> Shared | None:
    from leukfeat.heads.bins import Bins
    from leukfeat.heads.boosters import LightGBM

    return Bins.made(LightGBM, X, y, frame.device)


XGBOOST = HeadSpec(
    name="xgboost",
    summary="gradient-boosted trees, grown level by level",
    space=(
        _LEARNING_RATE,
        Number("max_depth", 2, 8, default=4, whole=True, least=0),
        Number("min_child_weight", 0.3, 10.0, default=1.0, log=True, least=0.0),
        _SUBSAMPLE,
        _COLSAMPLE,
        _LAMBDA,
        REDUCTION,
        BALANCE,
    ),
    build=_build_xgboost,
    share=_share_xgboost,
    devices=("cpu", "cuda"),
    library="xgboost",
    runs="train(tree_method=hist, device={device})",
    stops_early=True,
)

LIGHTGBM = HeadSpec(
    name="lightgbm",
    summary="gradient-boosted trees, grown leaf by leaf",
    space=(
        _LEARNING_RATE,
        Number("num_leaves", 4, 48, default=15, log=True, whole=True, least=2),
        Number("min_child_samples", 2, 40, default=10, log=True, whole=True, least=0),
        _SUBSAMPLE,
        _COLSAMPLE,
        _LAMBDA,
        REDUCTION,
        BALANCE,
    ),
    build=_build_lightgbm,
    share=_share_lightgbm,
    devices=("cpu", "cuda"),
    library="lightgbm",
    runs="train(boosting=gbdt, device_type={device})",
    stops_early=True,
)
