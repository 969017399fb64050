"""The area under the curve that is drawn is the area in the table."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.evaluation.curves import roc
from leukfeat.evaluation.metrics import score


@pytest.mark.parametrize(("n_classes", "n_repeats"), [(2, 1), (2, 3), (4, 1), (3, 2)])
def test_area_equals_the_metric(make, n_classes, n_repeats):
    rng = np.random.default_rng(0)
    classes = tuple("abcd"[:n_classes])
    n = 60
    y = [classes[row % n_classes] for row in range(n)] * n_repeats
    proba = rng.dirichlet(np.ones(n_classes), n * n_repeats)
    sample = [str(row) for row in range(n)] * n_repeats
    predictions = make(
        y, proba, classes=classes, positive=None, sample=sample, repeat=np.repeat(np.arange(n_repeats), n)
    )
    curve = roc(predictions)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    area = np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1]) / 2)
    assert area == pytest.approx(score(predictions)["auroc"].value, abs=2e-3)


def test_area_of_saturated_probabilities_is_the_same_whichever_class_is_positive(make):
    rng = np.random.default_rng(0)
    y = np.repeat(["ALL", "HEM"], 40)
    logit = rng.normal(np.where(y == "ALL", 43, 41), 3)
    proba = np.column_stack([1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(logit))])
    areas = []
    for positive in ("ALL", "HEM"):
        predictions = make(y, proba, positive=positive)
        curve = roc(predictions)
        areas.append(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1]) / 2))
        assert areas[-1] == pytest.approx(score(predictions)["auroc"].value)
    assert areas[0] == pytest.approx(areas[1])


def test_one_class_has_no_curve(make):
    curve = roc(make(["ALL", "ALL"], [0.1, 0.2]))
    assert (len(curve.x), curve.reason) == (0, "one class only")
