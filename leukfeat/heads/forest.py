"""One decision tree, and many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from leukfeat.heads.spec import BALANCE, REDUCTION, Choice, Frame, HeadSpec, Number


def _build_forest(params: Mapping[str, Any], frame: Frame) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=params["trees"],
        max_depth=params["depth"],
        min_samples_leaf=params["min_leaf_rows"],
        max_features=_share(params["feature_share"], frame),
        n_jobs=1,
        random_state=frame.seed,
    )


def _build_tree(params: Mapping[str, Any], frame: Frame) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        criterion=params["criterion"],
        max_depth=params["depth"],
        min_samples_leaf=params["min_leaf_rows"],
        ccp_alpha=params["pruning"],
        random_state=frame.seed,
    )


def _share(share: float, frame: Frame) -> int:
    """Features tried at a split, given in units of the square root of their number."""
    return max(1, min(frame.n_features, round(share * math.sqrt(frame.n_features))))


RANDOM_FOREST = HeadSpec(
    name="random-forest",
    summary="the mean of many randomised decision trees",
    space=(
        Number("trees", 50, 250, default=150, whole=True),
        Number("depth", 4, 24, default=16, whole=True),
        Number("min_leaf_rows", 1, 10, default=1, log=True, whole=True),
        Number("feature_share", 0.5, 3.0, default=1.0, log=True),
        REDUCTION,
        BALANCE,
    ),
    build=_build_forest,
    implementation=lambda: f"scikit-learn {version('scikit-learn')} RandomForestClassifier",
)

TREE = HeadSpec(
    name="tree",
    summary="one decision tree",
    space=(
        Choice("criterion", ("gini", "entropy"), default="gini"),
        Number("depth", 2, 16, default=8, whole=True),
        Number("min_leaf_rows", 1, 50, default=5, log=True, whole=True),
        Number("pruning", 1e-5, 3e-2, default=1e-3, log=True),
        REDUCTION,
        BALANCE,
    ),
    build=_build_tree,
    implementation=lambda: f"scikit-learn {version('scikit-learn')} DecisionTreeClassifier",
)
