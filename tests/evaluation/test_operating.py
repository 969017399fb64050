"""Thresholds are chosen on inner predictions, reach what they promise there, and say so where they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.evaluation.inner import InnerPredictions
from leukfeat.evaluation.intervals import intervals
from leukfeat.evaluation.metrics import score
from leukfeat.evaluation.operating import at_prevalence, operate
from leukfeat.evaluation.resampling import Clusters, Draws
from leukfeat.evaluation.subjects import by_subject
from leukfeat.evaluation.thresholds import QUANTITIES, Steps, at, reaching

SCORES = np.array([0.9, 0.8, 0.8, 0.6, 0.5, 0.5, 0.3, 0.1])
POSITIVE = np.array([1, 1, 0, 1, 1, 0, 0, 0], dtype=bool)


def _threshold(text: str) -> float:
    return reaching(Steps.of(SCORES, POSITIVE), at(text))[0]


def test_steps_by_hand() -> None:
    """Distinct scores 0.9, 0.8, 0.6, 0.5, 0.3, 0.1; rows with equal scores are called together."""
    steps = Steps.of(SCORES, POSITIVE)
    assert steps.t.tolist() == [0.9, 0.8, 0.6, 0.5, 0.3, 0.1]
    assert steps.sensitivity.tolist() == [0.25, 0.5, 0.75, 1, 1, 1]
    assert steps.specificity.tolist() == [1, 0.75, 0.75, 0.5, 0.25, 0]
    assert steps.ppv.tolist() == pytest.approx([1, 2 / 3, 3 / 4, 4 / 6, 4 / 7, 1 / 2])
    assert steps.npv[:5].tolist() == pytest.approx([4 / 7, 3 / 5, 3 / 4, 1, 1])
    assert np.isnan(steps.npv[5])


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("sensitivity=0.75", 0.6),
        ("sensitivity=0.76", 0.5),  # the next step
        ("sensitivity=1", 0.5),  # the highest threshold that has it, not the lowest
        ("specificity=0.75", 0.6),  # the lowest
        ("specificity=1", 0.9),
        ("ppv=0.7", 0.6),
        ("npv=0.75", 0.6),
        ("youden", 0.6),  # 0.75 + 0.75; 1 + 0.5 and 0.5 + 0.75 are no better
    ],
)
def test_thresholds_by_hand(text: str, threshold: float) -> None:
    assert _threshold(text) == threshold


def test_a_share_that_floating_point_spoils_is_reached() -> None:
    scores = np.arange(20) / 20
    value, reason = reaching(Steps.of(scores, np.ones(20, dtype=bool)), at("sensitivity=0.95"))
    assert (value, reason) == (0.05, "")


def test_a_stricter_target_never_has_a_higher_threshold(study) -> None:
    predictions, inner = study
    targets = np.linspace(0.05, 1, 20)
    rows = [operate(predictions, inner, at(f"sensitivity={target}")).thresholds for target in targets]
    values = np.array([[one.value for one in thresholds] for thresholds in rows])
    assert (np.diff(values, axis=0) <= 0).all()


@pytest.mark.parametrize("level", ["cell", "subject"])
@pytest.mark.parametrize("quantity", ["sensitivity", "specificity"])
def test_the_target_is_reached_on_the_inner_predictions_and_not_by_more_than_a_step(study, level, quantity) -> None:
    predictions, inner = study
    for one in operate(predictions, inner, at(f"{quantity}=0.9"), level).thresholds:
        achieved = getattr(one, quantity)
        assert achieved >= 0.9 - 1e-12
        assert achieved < 0.9 + 1 / (one.positives if quantity == "sensitivity" else one.negatives)
        assert one.positives == (8 if level == "subject" else 160)


def test_decisions_are_predictions_with_every_metric_and_interval(study) -> None:
    predictions, inner = study
    found = operate(predictions, inner, at("sensitivity=0.9"))
    threshold = np.array([found.thresholds[fold].value for fold in predictions.fold])
    called = predictions.proba[:, 0] >= threshold
    positive = predictions.y_true == "ALL"
    scores = score(found.decisions, ["sensitivity", "specificity"])
    assert scores["sensitivity"].value == pytest.approx(called[positive].mean())
    assert scores["specificity"].value == pytest.approx((~called)[~positive].mean())
    within = intervals(found.decisions, ["sensitivity"])["sensitivity"]
    assert within.low < scores["sensitivity"].value < within.high
    assert "sensitivity ≥ 0.9 (cells), chosen on the inner predictions of each of 5" in found.words


def test_subjects_are_decided_about_by_their_mean(study) -> None:
    predictions, inner = study
    found = operate(predictions, inner, at("youden"), "subject")
    assert found.decisions.sample.tolist() == by_subject(predictions).sample.tolist()
    means = by_subject(predictions).proba[:, 0]
    threshold = np.array([found.thresholds[fold].value for fold in found.decisions.fold])
    assert (found.decisions.y_pred == np.where(means >= threshold, "ALL", "HEM")).all()


@pytest.mark.parametrize("text", ["sensitivity=0.9", "specificity=0.9", "ppv=0.8", "npv=0.8", "youden"])
@pytest.mark.parametrize("level", ["cell", "subject"])
def test_labels_of_the_test_part_change_no_threshold(study, text: str, level) -> None:
    predictions, inner = study
    turned = np.where(predictions.y_true == "ALL", "HEM", "ALL")  # of whole subjects, so that each keeps one class
    plain, other = (
        operate(each, inner, at(text), level) for each in (predictions, replace(predictions, y_true=turned))
    )
    assert plain.thresholds == other.thresholds
    assert np.array_equal(plain.decisions.proba, other.decisions.proba)


@pytest.mark.parametrize("quantity", ["sensitivity", "specificity"])
def test_a_conservative_threshold_keeps_a_reserve_that_grows_with_doubt(study_of, quantity: str) -> None:
    """Fewer subjects tell less, so the bound is lower and the threshold further away."""
    reserves = []
    for subjects in (20, 100):
        predictions, inner = study_of(subjects=subjects, cells=2000 // subjects, effect=0.8)
        plain, careful = (
            operate(predictions, inner, at(f"{quantity}=0.85", conservative=flag)).thresholds for flag in (False, True)
        )
        more = [getattr(b, quantity) - getattr(a, quantity) for a, b in zip(plain, careful, strict=True)]
        assert min(more) > 0
        reserves.append(np.mean(more))
    assert reserves[0] > 1.5 * reserves[1]


def test_the_bound_is_that_of_a_bootstrap_over_subjects(study_of) -> None:
    """With many subjects two ways to the same quantile agree."""
    predictions, inner = study_of(subjects=100, cells=20, effect=0.8)
    (threshold, *_) = operate(predictions, inner, at("sensitivity=0.85", conservative=True)).thresholds
    part = inner.of_fold(0, 0)
    rows = part.take(part.y_true == "ALL")
    draws = Draws.of(Clusters.of(rows), 4000)
    called = np.bincount(draws.clusters.of_row, weights=rows.proba[:, 0] >= threshold.value)
    cells = np.bincount(draws.clusters.of_row)
    assert np.quantile((draws.counts @ called) / (draws.counts @ cells), 0.05) == pytest.approx(0.85, abs=0.01)


def test_few_subjects_without_a_mistake_do_not_promise_much(study_of) -> None:
    """8 of 8 inner subjects called right have a lower bound of 0.05^(1/8) = 0.688, whatever the threshold."""
    predictions, inner = study_of(cells=50, effect=0.1)
    assert operate(predictions, inner, at("sensitivity=0.95"), "subject").decisions is not None
    found = operate(predictions, inner, at("sensitivity=0.95", conservative=True), "subject")
    assert found.reason == (
        "fold 0 of repeat 0: no threshold has sensitivity ≥ 0.95 at its lower bound on the inner predictions; the best"
        " has 0.688"
    )
    assert operate(predictions, inner, at("sensitivity=0.68", conservative=True), "subject").decisions is not None


def test_a_bound_needs_two_subjects(study) -> None:
    predictions, inner = study
    one = inner.take((inner.y_true == "HEM") | np.isin(inner.subject, ["S01", "S03"]))
    # S01 is tested in fold 0, S03 in fold 1, so folds 0 and 1 have one of them to learn from
    found = operate(predictions, one, at("sensitivity=0.9", conservative=True))
    assert found.reason == "fold 0 of repeat 0: class 'ALL' has 1 subject to learn from; a bound needs 2"
    assert operate(predictions, one, at("sensitivity=0.9")).decisions is not None


def test_a_target_out_of_reach_is_said(study) -> None:
    """Where cells of the other class have the highest score, no threshold is free of false alarms."""
    predictions, inner = study
    top = inner.proba.copy()
    top[inner.y_true == "HEM"] = [1, 0]
    found = operate(predictions, replace(inner, proba=top), at("specificity=0.5"))
    assert found.decisions is None
    assert found.reason.startswith("fold 0 of repeat 0: no threshold has specificity ≥ 0.5 on the inner predictions")
    assert "the best has 0.000" in found.words
    assert all(np.isnan(one.value) and one.reason for one in found.thresholds)


def test_ties_are_called_alike(study) -> None:
    """Three values only: 90 % sensitivity then means 100 %, and the report shows what was achieved."""
    predictions, inner = study
    coarse = replace(inner, proba=np.where((inner.proba[:, :1] > 0.3), [0.5, 0.5], [0.2, 0.8]))
    (threshold,) = {one.value for one in operate(predictions, coarse, at("sensitivity=0.6")).thresholds}
    assert threshold == 0.5


def test_why_there_is_no_operating_point_is_said(study, make) -> None:
    predictions, inner = study
    target = at("sensitivity=0.9")
    assert "no inner predictions" in operate(predictions, None, target).reason
    unstated = replace(predictions, positive=None)
    assert "positive class not stated" in operate(unstated, inner, target).reason
    three = make(["a"], [[0.5, 0.3, 0.2]], classes=("a", "b", "c"), positive=None)
    assert operate(three, inner, target).reason == "a threshold needs two classes"
    unknown = replace(predictions, subject=np.full(len(predictions), "unknown"))
    assert operate(unknown, inner, target, "subject").reason == "subjects unknown"
    assert operate(unknown, inner, target).decisions is not None
    mixed = InnerPredictions.concatenate(
        [inner.take(inner.fold != 0), replace(inner.take(inner.fold == 0), subject=["x"] * 320)]
    )
    assert "cells of several classes, e.g. x" in operate(predictions, mixed, target, "subject").reason


@pytest.mark.parametrize(
    "text", ["sensitivity", "sensitivity=", "sensitivity=0", "sensitivity=1.5", "ppv=high", "youden=1"]
)
def test_a_target_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="operating point"):
        at(text)


def test_unknown_quantities_and_bounds_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sensitivity'"):
        at("sensitivty=0.95")
    with pytest.raises(UsageError, match="only sensitivity and specificity"):
        at("ppv=0.9", conservative=True)
    assert [str(at(f"{name}=0.9")) for name in QUANTITIES if name != "youden"][2] == "ppv ≥ 0.9"


def test_predictive_values_are_those_of_bayes(study) -> None:
    predictions, inner = study
    decisions = operate(predictions, inner, at("sensitivity=0.9")).decisions
    sens, spec = (score(decisions)[name].value for name in ("sensitivity", "specificity"))
    found = at_prevalence(decisions, 0.1)
    assert found["ppv"].score.value == pytest.approx(sens * 0.1 / (sens * 0.1 + (1 - spec) * 0.9))
    assert found["npv"].score.value == pytest.approx(spec * 0.9 / (spec * 0.9 + (1 - sens) * 0.1))
    for one in found.values():
        assert one.interval.low < one.score.value < one.interval.high


def test_at_its_own_prevalence_the_predictive_value_is_the_precision(study) -> None:
    decisions = operate(*study, at("specificity=0.8")).decisions
    share = float((decisions.y_true == "ALL").mean())
    assert at_prevalence(decisions, share)["ppv"].score.value == pytest.approx(score(decisions)["precision"].value)


def test_predictive_values_that_do_not_exist_have_a_reason(make, study) -> None:
    silent = make(["ALL", "ALL", "HEM", "HEM"], [0.0, 0.0, 0.0, 0.0])
    found = at_prevalence(silent, 0.1)
    assert found["ppv"].score.reason == "nothing is called positive"
    assert found["npv"].score.value == pytest.approx(0.9)
    assert at_prevalence(make(["ALL", "ALL"], [0.2, 0.9]), 0.1)["npv"].score.reason
    with pytest.raises(UsageError, match="a prevalence of 5"):
        at_prevalence(study[0], 5)


@pytest.mark.parametrize("prevalence", [0.5, 0.05, 0.001])
def test_predictive_values_lie_within_their_intervals_however_rare_the_positives(study, prevalence):
    """Near a prevalence of 0 an NPV crowds at 1, where steps of rows say nothing about it."""
    predictions, inner = study
    decisions = operate(predictions, inner, at("youden")).decisions
    for name, found in at_prevalence(decisions, prevalence).items():
        assert found.interval.low < found.score.value < found.interval.high, name


def test_predictive_values_have_no_interval_where_resampling_shows_nothing(study):
    """All healthy subjects called right is no proof that none would be called ill."""
    predictions, inner = study
    decisions = operate(predictions, inner, at("youden"), "subject").decisions
    assert score(decisions, ["specificity"])["specificity"].value == 1
    found = at_prevalence(decisions, 0.05)["ppv"]
    assert found.score.value == 1
    assert found.interval.reason == "specificity is the same in every resample"
