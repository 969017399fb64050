"""The sigmoid learned from scores at hand is that of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from leukfeat.heads.calibration import Sigmoid


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_what_calibration_on_the_same_folds_gives(n_classes: int, weighted: bool) -> None:
    """Scikit-learn fits the classifier again on every fold; the scores are the same, and so is the sigmoid."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % n_classes
    X = rng.normal(size=(120, 6)) + y[:, None]
    weight = rng.uniform(0.5, 2.0, 120) if weighted else None
    folds = [(np.flatnonzero(rows % 4 != k), np.flatnonzero(rows % 4 == k)) for k in range(4) for rows in [X_rows(120)]]
    theirs = CalibratedClassifierCV(SVC(), ensemble=False, cv=folds).fit(X, y, sample_weight=weight)
    found = np.empty((120, n_classes))
    for train, held in folds:
        some = None if weight is None else weight[train]
        raw = SVC().fit(X[train], y[train], sample_weight=some).decision_function(X[held])
        found[held] = np.column_stack([-raw, raw]) if n_classes == 2 else raw
    pipeline = Pipeline([("classifier", SVC())]).fit(X, y, classifier__sample_weight=weight)
    ours = Sigmoid(found, y, weight)
    assert ours.probabilities(found).sum(axis=1) == pytest.approx(np.ones(120))
    np.testing.assert_allclose(ours.around(pipeline).predict_proba(X), theirs.predict_proba(X), atol=1e-9)


def X_rows(n: int) -> np.ndarray:
    """Row numbers in blocks, so that every fold has every class."""
    return np.arange(n) // 6
