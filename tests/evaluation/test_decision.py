"""Net benefit is what Vickers and Elkin define, and its references are what they must be."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.errors import UsageError
from leukfeat.evaluation.decision import decision_curve
from leukfeat.evaluation.resampling import Clusters, Draws


def test_net_benefit_by_hand(make) -> None:
    """At 0.5: two hits and one alarm of five, odds 1: 1/5. At 0.2: three hits, two alarms, odds 1/4: 3/5 - 2/5/4."""
    predictions = make(["ALL", "ALL", "ALL", "HEM", "HEM"], [0.9, 0.6, 0.3, 0.7, 0.2])
    curve = decision_curve(predictions, thresholds=np.array([0.2, 0.5]))
    assert curve.model == pytest.approx([3 / 5 - 2 / 5 / 4, 1 / 5])
    assert curve.treat_all == pytest.approx([3 / 5 - 2 / 5 / 4, 3 / 5 - 2 / 5])
    assert curve.prevalence == pytest.approx(0.6)


def test_calling_everybody_is_treating_all(study) -> None:
    """A threshold below every score, and a model that is never below it, act on everybody."""
    predictions, _ = study
    lowest = predictions.proba[:, 0].min() * 0.99
    curve = decision_curve(predictions, thresholds=np.array([lowest, 0.5]))
    assert curve.model[0] == pytest.approx(curve.treat_all[0])
    assert curve.model[1] > max(curve.treat_all[1], 0)


def test_a_perfect_model_has_the_prevalence_as_its_benefit(make) -> None:
    curve = decision_curve(make(["ALL", "HEM", "HEM", "HEM"], [1.0, 0.0, 0.0, 0.0]))
    assert curve.model == pytest.approx(np.full(99, 0.25))
    assert curve.useful == ((pytest.approx(0.01), pytest.approx(0.99)),)


def test_a_model_that_knows_nothing_is_never_useful(make) -> None:
    curve = decision_curve(make(["ALL", "HEM"], [0.5, 0.5]))
    assert curve.useful == ()


def test_at_a_stated_prevalence_benefit_comes_from_sensitivity_and_specificity(study) -> None:
    predictions, _ = study
    own = decision_curve(predictions)
    assert decision_curve(predictions, prevalence=own.prevalence).model == pytest.approx(own.model)
    rare = decision_curve(predictions, thresholds=np.array([0.3]), prevalence=0.02)
    called, positive = predictions.proba[:, 0] >= 0.3, predictions.y_true == "ALL"
    benefit = called[positive].mean() * 0.02 - called[~positive].mean() * 0.98 * 0.3 / 0.7
    assert rare.model == pytest.approx([benefit])


def test_the_band_is_over_subjects(study) -> None:
    predictions, _ = study
    draws = Draws.of(Clusters.of(predictions), 500)
    curve = decision_curve(predictions, draws=draws)
    inside = (curve.low <= curve.model + 1e-12) & (curve.model <= curve.high + 1e-12)
    assert inside.mean() > 0.95
    assert len(decision_curve(predictions).low) == 0


def test_why_there_is_no_curve_is_said(make) -> None:
    assert "positive class not stated" in decision_curve(make(["ALL", "HEM"], [0.7, 0.2], positive=None)).reason
    assert decision_curve(make(["ALL", "ALL"], [0.7, 0.2])).reason == "one class only"
    three = make(["a"], [[0.5, 0.3, 0.2]], classes=("a", "b", "c"), positive=None)
    assert decision_curve(three).reason == "for two classes only"


def test_thresholds_and_prevalence_are_checked(study) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        decision_curve(study[0], thresholds=np.array([0.0, 0.5]))
    with pytest.raises(UsageError, match="a prevalence of 1"):
        decision_curve(study[0], prevalence=1)
