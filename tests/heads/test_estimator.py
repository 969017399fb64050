"""TunedHead keeps scikit-learn's contract."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from leukfeat.heads.tuning import TunedHead

pytestmark = pytest.mark.usefixtures("few_rounds")

# One of each kind: calibrated, stopping early, neither. A check fits many times, so each fit is small.
CHECKED = [
    TunedHead("svm", n_trials=1, inner_folds=2),
    TunedHead("xgboost", n_trials=1, inner_folds=2, params={"learning_rate": 0.3, "max_depth": 2}),
    TunedHead("tree", n_trials=2, inner_folds=2),
]


@parametrize_with_checks(CHECKED)
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)


def _halved(X: np.ndarray) -> np.ndarray:
    return X / np.float32(2)


def test_groups_are_routed_through_a_pipeline(cells) -> None:
    """scikit-learn hands groups on to those who ask for them, and to the outer folds."""
    with sklearn.config_context(enable_metadata_routing=True):
        head = TunedHead("svm", n_trials=2, params={"balance": "subject"}).set_fit_request(groups=True)
        pipeline = Pipeline([("halve", FunctionTransformer(_halved)), ("head", head)])
        found = cross_validate(
            pipeline,
            cells.X,
            cells.y,
            cv=GroupKFold(3),
            params={"groups": cells.groups},
            scoring="accuracy",
            return_estimator=True,
            error_score="raise",
        )
    assert found["test_score"].mean() > 0.7
    for fold, (train, _) in zip(found["estimator"], GroupKFold(3).split(cells.X, cells.y, cells.groups), strict=True):
        alone = TunedHead("svm", n_trials=2, params={"balance": "subject"})
        alone.fit(_halved(cells.X[train]), cells.y[train], cells.groups[train])
        assert fold["head"].trials_[0]["inner_scores"] == alone.trials_[0]["inner_scores"]


def test_the_constructor_stores_what_it_is_given() -> None:
    params = {"C": 1.0}
    assert TunedHead("svm", params=params).params is params
    assert repr(TunedHead("svm", n_trials=3)) == "TunedHead(head='svm', n_trials=3)"
