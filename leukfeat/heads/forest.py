"""One decision tree, and many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from leukfeat.heads.space import BALANCE, REDUCTION, Choice, Number
from leukfeat.heads.spec import Frame, HeadSpec, classifier_params


def _build_forest(params: Mapping[str, Any], frame: Frame) -> Any:
    from leukfeat.heads.trees import Forest

    given = classifier_params(params)
    # Given in units of the square root of the number of features, so that it means the same after every reduction.
    tried = round(given.pop("max_features_per_sqrt_d") * math.sqrt(frame.n_features))
    max_features = max(1, min(frame.n_features, tried))
    return Forest(**given, max_features=max_features, random_state=frame.seed, fit_jobs=frame.n_jobs)


def _fitted_by(n_rows: int) -> str:
    from leukfeat.heads import intelex

    return intelex.named()


def _build_tree(params: Mapping[str, Any], frame: Frame) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(**classifier_params(params), random_state=frame.seed)


RANDOM_FOREST = HeadSpec(
    name="random-forest",
    summary="the mean of many randomised decision trees",
    space=(
        Number("n_estimators", 50, 250, default=150, whole=True),
        Number("max_depth", 4, 24, default=16, whole=True),
        Number("min_samples_leaf", 1, 10, default=1, log=True, whole=True),
        Number("max_features_per_sqrt_d", 0.5, 3.0, default=1.0, log=True),
        REDUCTION,
        BALANCE,
    ),
    build=_build_forest,
    library="scikit-learn",
    runs="RandomForestClassifier",
    faster=_fitted_by,
    threads_inside=True,
)

TREE = HeadSpec(
    name="tree",
    summary="one decision tree",
    space=(
        Choice("criterion", ("gini", "entropy"), default="gini"),
        Number("max_depth", 2, 16, default=8, whole=True),
        Number("min_samples_leaf", 1, 50, default=5, log=True, whole=True),
        Number("ccp_alpha", 1e-5, 3e-2, default=1e-3, log=True, least=0.0),
        REDUCTION,
        BALANCE,
    ),
    build=_build_tree,
    library="scikit-learn",
    runs="DecisionTreeClassifier",
)
