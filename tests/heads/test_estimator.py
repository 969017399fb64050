"""TunedHead keeps scikit-learn's contract."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from leukfeat.heads.tuning import TunedHead

CHECKED = [
    TunedHead("logistic", n_trials=1, inner_folds=2),
    TunedHead("svm", n_trials=2, inner_folds=2),
    TunedHead("knn", n_trials=1, inner_folds=2),
    TunedHead("tree", n_trials=2, inner_folds=2),
    TunedHead("xgboost", n_trials=1, inner_folds=2, params={"learning_rate": 0.3, "depth": 2}),
    TunedHead("lightgbm", n_trials=1, inner_folds=2, params={"learning_rate": 0.3, "min_leaf_rows": 2}),
    TunedHead("random-forest", n_trials=1, inner_folds=2, params={"trees": 10}),
]


@parametrize_with_checks(CHECKED)
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)
