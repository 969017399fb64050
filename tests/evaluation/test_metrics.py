"""Metrics equal what a reader computes by hand, and are reasons where there is nothing to compute."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, matthews_corrcoef, roc_auc_score

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.metrics import METRICS, POSITIVE_NOT_STATED, Score, confusion, score, score_by_fold

# ALL: 0.9, 0.8, 0.4; HEM: 0.7, 0.2, 0.1, 0.3, so TP 2, FN 1, FP 1, TN 3
Y = ["ALL", "ALL", "ALL", "HEM", "HEM", "HEM", "HEM"]
P = [0.9, 0.8, 0.4, 0.7, 0.2, 0.1, 0.3]
BY_HAND = {
    "accuracy": 5 / 7,
    "balanced_accuracy": (2 / 3 + 3 / 4) / 2,
    "weighted_f1": (3 * (4 / 6) + 4 * (6 / 8)) / 7,
    "macro_f1": (4 / 6 + 6 / 8) / 2,
    "sensitivity": 2 / 3,
    "specificity": 3 / 4,
    "precision": 2 / 3,
    "mcc": (2 * 3 - 1 * 1) / math.sqrt(3 * 3 * 4 * 4),
    "auroc": 11 / 12,  # of 12 pairs only (0.4, 0.7) is the wrong way round
    "auprc": (1 + 1 + 3 / 4) / 3,
    "log_loss": -np.mean(np.log([0.9, 0.8, 0.4, 0.3, 0.8, 0.9, 0.7])),
    "brier": np.mean(np.square([0.1, 0.2, 0.6, 0.7, 0.2, 0.1, 0.3])),
}


@pytest.mark.parametrize("name", METRICS)
def test_metric_equals_the_hand_computation(name, make):
    assert score(make(Y, P))[name].value == pytest.approx(BY_HAND[name], abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_are_those_of_sklearn(n_classes, ties, make):
    rng = np.random.default_rng(n_classes)
    classes = tuple("abcde"[:n_classes])
    true = rng.integers(n_classes, size=200)
    proba = rng.dirichlet(np.ones(n_classes), 200) + 0.6 * np.eye(n_classes)[true]
    proba = np.round(proba / proba.sum(axis=1, keepdims=True), 1 if ties else 12)
    proba[:, -1] += 1 - proba.sum(axis=1)
    proba = np.abs(proba) / np.abs(proba).sum(axis=1, keepdims=True)
    given = make([classes[k] for k in true], proba, classes=classes, positive=classes[0])
    said = np.searchsorted(classes, given.y_pred)
    of_interest = [0] if n_classes == 2 else range(n_classes)
    expected = {
        "weighted_f1": f1_score(true, said, average="weighted"),
        "macro_f1": f1_score(true, said, average="macro", labels=range(n_classes)),
        "mcc": matthews_corrcoef(true, said),
        "auroc": np.mean([roc_auc_score(true == k, proba[:, k]) for k in of_interest]),
        "auprc": np.mean([average_precision_score(true == k, proba[:, k]) for k in of_interest]),
        "log_loss": log_loss(true, proba),
    }
    found = score(given)
    assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-12)


def test_certainty_that_is_wrong_costs_36(make):
    found = score(make(["ALL", "HEM"], [0.0, 0.5]), ["log_loss"])["log_loss"].value
    assert found == pytest.approx(log_loss([1, 0], [0.0, 0.5]))
    assert found == pytest.approx((36.04 + np.log(2)) / 2, rel=1e-3)


def test_a_class_that_is_never_predicted_counts_as_sklearn_counts_it(make):
    classes = ("a", "b", "c")
    proba = np.array([[0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.7, 0.2, 0.1], [0.1, 0.5, 0.4]])
    given = make(["a", "b", "c", "b"], proba, classes=classes, positive=None)
    true, said = [0, 1, 2, 1], [0, 1, 0, 1]
    found = score(given)
    assert found["weighted_f1"].value == pytest.approx(f1_score(true, said, average="weighted"))
    assert found["macro_f1"].value == pytest.approx(f1_score(true, said, average="macro"))
    assert found["mcc"].value == pytest.approx(matthews_corrcoef(true, said))
    two = given.take(np.array([0, 1, 3]))  # without c: an average weighted by rows is still defined
    assert score(two)["weighted_f1"].value == pytest.approx(f1_score([0, 1, 1], [0, 1, 1], average="weighted"))
    assert not score(two)["macro_f1"].defined


def test_metrics_do_not_depend_on_the_order_of_columns_or_rows(make):
    # a file of another tool may have either order; the positive class is named, never a position
    given = make(Y, P)
    turned = given.with_classes(("HEM", "ALL")).take(np.arange(len(Y))[::-1])
    expected, found = score(given), score(turned)
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {name: one.value for name, one in expected.items()}
    )


@pytest.mark.parametrize(("n_classes", "n_neighbours"), [(3, 7), (3, 10), (4, 9), (4, 15)])
def test_equal_votes_stay_equal_in_every_order_of_columns(n_classes, n_neighbours, make):
    # votes of neighbours sum to one but for a last bit; dividing by that sum would break the ties between rows
    rng = np.random.default_rng(n_neighbours)
    classes = tuple("abcd"[:n_classes])
    true = np.arange(120) % n_classes
    leaning = 1 + np.eye(n_classes)[true]
    votes = np.array([rng.multinomial(n_neighbours, row / row.sum()) for row in leaning]) / n_neighbours
    given = make([classes[k] for k in true], votes, classes=classes, positive=None)
    expected = {
        "auroc": np.mean([roc_auc_score(true == k, votes[:, k]) for k in range(n_classes)]),
        "auprc": np.mean([average_precision_score(true == k, votes[:, k]) for k in range(n_classes)]),
    }
    scores = score(given)
    assert {name: scores[name].value for name in expected} == pytest.approx(expected, abs=1e-12)
    for order in permutations(classes):
        found = score(given.with_classes(order))
        assert {name: one.value for name, one in found.items()} == pytest.approx(
            {name: one.value for name, one in scores.items()}, abs=1e-12
        ), order


@pytest.mark.parametrize("zeros", [False, True])
def test_the_area_of_two_classes_is_the_same_whichever_is_positive(zeros, make):
    # near a logit of 45 one probability rounds to 1.0; what tells such rows apart is left in the other column
    rng = np.random.default_rng(0)
    y = np.repeat(["ALL", "HEM"], 40)
    logit = rng.normal(45 * np.sign(rng.normal(np.where(y == "ALL", 0.7, -0.7))), 3)
    if zeros:
        logit[::9] = np.sign(logit[::9]) * np.inf
    proba = np.column_stack([1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(logit))])
    assert len(np.unique(proba[:, 0])) < len(np.unique(logit)), "some are rounded"
    found = {
        positive: score(make(y, proba, positive=positive), ["auroc"])["auroc"].value
        for positive in ("ALL", "HEM", None)
    }
    assert found["HEM"] == found[None] == pytest.approx(found["ALL"], abs=1e-12)
    assert found["ALL"] == pytest.approx(roc_auc_score(y == "ALL", np.nan_to_num(logit, posinf=999, neginf=-999)))


def test_a_tie_is_told_the_same_in_every_column_order(make):
    given = make(["ALL", "HEM"], [0.5, 0.5])
    assert given.y_pred.tolist() == given.with_classes(("HEM", "ALL")).y_pred.tolist()


def test_weighted_f1_of_the_reference_entry(make):
    # TN 536, FP 112, FN 77, TP 1142 on the C-NMC preliminary set: weighted F1 0.8981
    y = ["HEM"] * (536 + 112) + ["ALL"] * (77 + 1142)
    p = [0.0] * 536 + [1.0] * 112 + [0.0] * 77 + [1.0] * 1142
    found = score(make(y, p))
    assert round(found["weighted_f1"].value, 4) == 0.8981
    assert confusion(make(y, p)).tolist() == [[1142, 77], [112, 536]]


@pytest.mark.parametrize("name", ["sensitivity", "specificity", "precision", "auprc"])
def test_without_a_positive_class_what_needs_it_is_undefined(name, make):
    found = score(make(Y, P, positive=None))
    assert found[name].reason == POSITIVE_NOT_STATED
    assert math.isnan(found[name].value)


def test_without_a_positive_class_symmetric_metrics_stand(make):
    found = score(make(Y, P, positive=None))
    for name in ("accuracy", "mcc", "auroc", "log_loss", "brier"):
        assert found[name].value == pytest.approx(BY_HAND[name]), name


@pytest.mark.parametrize("name", ["auroc", "mcc", "macro_f1", "balanced_accuracy", "weighted_f1"])
def test_one_class_has_no_contrast(name, make):
    assert score(make(["ALL", "ALL"], [0.9, 0.2]))[name] == Score.undefined("one class only") or math.isnan(
        score(make(["ALL", "ALL"], [0.9, 0.2]))[name].value
    )
    assert score(make(["ALL", "ALL"], [0.9, 0.2]))[name].reason == "one class only"


def test_a_ratio_over_nothing_is_a_reason_and_not_zero(make):
    never_positive = score(make(Y, [0.1] * len(Y)))
    assert never_positive["precision"].reason == "class 'ALL' is never predicted"
    assert never_positive["mcc"].reason == "only class 'HEM' is predicted"
    assert never_positive["sensitivity"] == Score(0.0)
    only_positive = score(make(["ALL", "ALL"], [0.9, 0.2]))
    for name in ("specificity", "precision", "auprc"):
        assert only_positive[name].reason == "only class 'ALL' has samples", "1 whatever is predicted says nothing"


def test_several_classes_name_their_averaging():
    titles = {name: metric.title_for(4) for name, metric in METRICS.items()}
    assert titles["sensitivity"] == "sensitivity (macro one-vs-rest)"
    assert titles["auroc"] == "AUROC (macro one-vs-rest)"
    assert METRICS["sensitivity"].title_for(2) == "sensitivity"


def test_several_classes_are_averaged_as_the_title_says(make):
    y = ["a", "a", "b", "b", "c"]
    proba = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]]
    found = score(make(y, proba, classes=("a", "b", "c"), positive=None))
    assert found["sensitivity"].value == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert found["specificity"].value == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert found["precision"].value == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert found["auroc"].value == pytest.approx((5 / 6 + 5 / 6 + 1) / 3)
    assert found["brier"].value == pytest.approx(np.mean([0.06, 1.14, 0.06, 0.26, 0.14]))
    lacking = score(make(y[:4], proba[:4], classes=("a", "b", "c"), positive=None))
    assert lacking["auroc"].reason == lacking["macro_f1"].reason == "class 'c' has no samples"


def test_repeats_are_averaged_and_folds_pooled(make):
    # pooling: each fold holds one class, so a mean over folds would not exist
    first = {"fold": [0] * 3 + [1] * 4}
    assert score(make(Y, P, **first))["auroc"].value == pytest.approx(11 / 12)
    worse = [0.1, *P[1:]]
    both = make(Y * 2, P + worse, sample=[f"cell-{k}" for k in range(7)] * 2, repeat=[0] * 7 + [1] * 7)
    alone = [score(make(Y, p))["auroc"].value for p in (P, worse)]
    assert score(both)["auroc"].value == pytest.approx(np.mean(alone))


def test_a_metric_undefined_in_one_repeat_is_undefined(make):
    sample = ["x", "y"] * 2
    both = make(["ALL", "HEM"] * 2, [0.9, 0.1, 0.2, 0.1], sample=sample, repeat=[0, 0, 1, 1])
    assert score(both)["precision"].reason == "class 'ALL' is never predicted"


def test_values_of_single_folds_are_at_hand(make):
    found = score_by_fold(make(Y, P, fold=[0, 0, 1, 0, 0, 1, 1]), ["accuracy", "auroc"])
    assert {pair: one["accuracy"].value for pair, one in found.items()} == {(0, 0): 3 / 4, (0, 1): 2 / 3}


def test_probabilities_rounded_by_another_tool_are_made_to_sum_to_one(make):
    rounded = make(["ALL", "HEM"], [[0.3335, 0.666], [0.2, 0.8]])
    assert score(rounded)["log_loss"].value == pytest.approx(-np.mean(np.log([0.3335 / 0.9995, 0.8])))


def test_an_unknown_metric_is_named_with_a_guess(make):
    with pytest.raises(UnknownNameError, match="did you mean 'auroc'"):
        score(make(Y, P), ["aurok"])


def test_what_a_head_is_tuned_for_has_the_name_it_is_reported_under():
    # one word per idea: a recipe's metric is found again in every table
    from leukfeat.heads.scoring import METRICS as TUNED_FOR

    assert set(TUNED_FOR) <= set(METRICS)
