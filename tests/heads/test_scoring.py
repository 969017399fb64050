"""Metrics of tuning."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation import metrics as reported
from leukfeat.heads.scoring import METRICS, find_metric


def _scored(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    y = np.arange(60) % n_classes
    proba = rng.dirichlet(np.ones(n_classes), 60)
    proba[np.arange(60), y] += 0.3
    return y, proba / proba.sum(axis=1, keepdims=True)


def test_auroc_of_two_classes_is_scikit_learns() -> None:
    y, proba = _scored(2)
    assert METRICS["auroc"].score(y, proba) == pytest.approx(metrics.roc_auc_score(y, proba[:, 1]))


def test_auroc_of_more_classes_is_the_mean_of_one_against_the_rest() -> None:
    y, proba = _scored(4)
    expected = metrics.roc_auc_score(y, proba, multi_class="ovr", average="macro")
    assert METRICS["auroc"].score(y, proba) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", metrics.accuracy_score),
        ("balanced_accuracy", metrics.balanced_accuracy_score),
        ("mcc", metrics.matthews_corrcoef),
        ("macro_f1", lambda y, p: metrics.f1_score(y, p, average="macro")),
        ("weighted_f1", lambda y, p: metrics.f1_score(y, p, average="weighted")),
    ],
)
def test_label_metrics_are_scikit_learns(name: str, expected) -> None:
    y, proba = _scored(3)
    assert METRICS[name].score(y, proba) == pytest.approx(expected(y, proba.argmax(axis=1)))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_has_one_name_in_tuning_and_in_reports(name: str) -> None:
    """A recipe's ``metric`` is then found in the tables of the run."""
    assert (reported.METRICS[name].direction == "higher") == METRICS[name].greater_is_better


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_prefers_the_truth(name: str) -> None:
    y, proba = _scored(3)
    perfect = np.eye(3)[y]
    better, worse = METRICS[name].score(y, perfect), METRICS[name].score(y, proba)
    assert better > worse if METRICS[name].greater_is_better else better < worse


@pytest.mark.parametrize("name", ["auroc", "balanced_accuracy"])
def test_a_class_without_rows_does_not_count(name: str) -> None:
    """The validation part of a hold-out split may lack a rare class."""
    y, proba = _scored(3)
    rows = y < 2
    assert np.isfinite(METRICS[name].score(y[rows], proba[rows]))


def test_the_default_depends_on_the_number_of_classes() -> None:
    assert find_metric(None, 2)[0] == "auroc"
    assert find_metric(None, 3)[0] == "balanced_accuracy"
    with pytest.raises(UnknownNameError, match="did you mean 'auroc'"):
        find_metric("aurocc", 2)
