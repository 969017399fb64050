"""Gradient-boosted trees: XGBoost and LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from leukfeat.heads.spec import BALANCE, DEFAULT_ROUNDS, REDUCTION, Frame, HeadSpec, Number

_LEARNING_RATE = Number("learning_rate", 0.05, 0.4, default=0.2, log=True)
_ROW_SHARE = Number("row_share", 0.5, 1.0, default=0.8)
_FEATURE_SHARE = Number("feature_share", 0.05, 0.5, default=0.1, log=True)
_L2 = Number("l2", 0.1, 30.0, default=1.0, log=True)


def _build_xgboost(params: Mapping[str, Any], frame: Frame) -> Any:
    from leukfeat.heads.boosters import XGBoost

    return XGBoost(
        rounds=int(params.get("rounds", DEFAULT_ROUNDS)),
        patience=params.get("patience"),
        learning_rate=params["learning_rate"],
        depth=params["depth"],
        min_child_weight=params["min_child_weight"],
        row_share=params["row_share"],
        feature_share=params["feature_share"],
        l2=params["l2"],
        random_state=frame.seed,
    )


def _build_lightgbm(params: Mapping[str, Any], frame: Frame) -> Any:
    from leukfeat.heads.boosters import LightGBM

    return LightGBM(
        rounds=int(params.get("rounds", DEFAULT_ROUNDS)),
        patience=params.get("patience"),
        learning_rate=params["learning_rate"],
        leaves=params["leaves"],
        min_leaf_rows=params["min_leaf_rows"],
        row_share=params["row_share"],
        feature_share=params["feature_share"],
        l2=params["l2"],
        random_state=frame.seed,
    )


XGBOOST = HeadSpec(
    name="xgboost",
    summary="gradient-boosted trees, grown level by level",
    space=(
        _LEARNING_RATE,
        Number("depth", 2, 8, default=4, whole=True),
        Number("min_child_weight", 0.3, 10.0, default=1.0, log=True),
        _ROW_SHARE,
        _FEATURE_SHARE,
        _L2,
        REDUCTION,
        BALANCE,
    ),
    build=_build_xgboost,
    implementation=lambda: f"xgboost {version('xgboost')} train(tree_method=hist, device=cpu)",
    stops_early=True,
)

LIGHTGBM = HeadSpec(
    name="lightgbm",
    summary="gradient-boosted trees, grown leaf by leaf",
    space=(
        _LEARNING_RATE,
        Number("leaves", 4, 48, default=15, log=True, whole=True),
        Number("min_leaf_rows", 2, 40, default=10, log=True, whole=True),
        _ROW_SHARE,
        _FEATURE_SHARE,
        _L2,
        REDUCTION,
        BALANCE,
    ),
    build=_build_lightgbm,
    implementation=lambda: f"lightgbm {version('lightgbm')} train(boosting=gbdt, device_type=cpu)",
    stops_early=True,
)
