"""What the user fixes is what is judged, and what is fitted in the end."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.errors import HeadError
from leukfeat.heads.study import StudyPlan, search
from leukfeat.heads.tuning import TunedHead


def _rows(n: int = 240, d: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    X = rng.normal(size=(n, d)).astype(np.float32)
    X[:, :5] += y[:, None]
    return X, y


@pytest.mark.parametrize("reduction", ["pca-64", "forest-64", "forest-128"])
def test_a_fixed_reduction_is_judged_as_it_is_fitted(reduction: str) -> None:
    from leukfeat.heads.transforms import Transformed

    widths: set[int] = set()
    take = Transformed.take

    def watched(self: Transformed, rows: np.ndarray) -> np.ndarray:
        taken = take(self, rows)
        widths.add(taken.shape[1])
        return taken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transformed, "take", watched)
        X, y = _rows()
        TunedHead("logistic", n_trials=2, inner_folds=2, params={"reduction": reduction}).fit(X, y)
    assert widths == {int(reduction.partition("-")[2])}


def test_a_reduction_that_the_rows_cannot_carry_is_refused_at_once() -> None:
    X, y = _rows(40)
    with pytest.raises(HeadError, match="give a smaller one"):
        TunedHead("svm", n_trials=2, inner_folds=2, params={"reduction": "pca-64"}).fit(X, y)


@pytest.mark.parametrize("head", ["xgboost", "lightgbm"])
def test_fixed_rounds_are_the_rounds_of_the_model(head: str) -> None:
    X, y = _rows(80, 10)
    fitted = TunedHead(head, n_trials=2, inner_folds=2, params={"n_estimators": 7}).fit(X, y)
    assert fitted.best_params_["n_estimators"] == 7
    assert {rounds for trial in fitted.trials_ for rounds in trial["rounds"]} == {7}


def test_a_score_that_is_no_number_ends_the_search() -> None:
    """Optuna would take it for a failed trial, ask again, and never be done."""
    plan = StudyPlan(
        "x", {"rows": "digest"}, n_folds=1, n_trials=2, timeout=None, seed=0, greater_is_better=True, storage=None
    )
    with pytest.raises(HeadError, match="the metric is nan"):
        search(lambda params: iter([(float("nan"), None)]), (), {}, plan)
