"""Statistics of calibration: equal to other libraries, right where the truth is known, undefined with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.errors import UsageError
from leukfeat.evaluation.metrics import score
from leukfeat.evaluation.miscalibration import STATISTICS, calibration_scores
from leukfeat.evaluation.odds import as_columns, fit_line, log_odds


def test_slope_and_intercept_are_those_of_a_logistic_regression(study_of) -> None:
    """statsmodels as the oracle: a GLM of the outcome on the log-odds, then with the log-odds as an offset."""
    glm = pytest.importorskip("statsmodels.api", reason="statsmodels is an oracle")
    predictions, _ = study_of(sureness=1.7)
    z = np.log(predictions.proba[:, 0] / predictions.proba[:, 1])
    y = (predictions.y_true == "ALL").astype(float)
    binomial = glm.families.Binomial()
    intercept, slope = glm.GLM(y, glm.add_constant(z), family=binomial).fit(tol=1e-12).params
    (in_the_large,) = glm.GLM(y, np.ones(len(y)), family=binomial, offset=z).fit(tol=1e-12).params
    found = calibration_scores(predictions)
    assert found["slope"].value == pytest.approx(slope, abs=1e-8)
    assert found["intercept"].value == pytest.approx(intercept, abs=1e-8)
    assert found["in_the_large"].value == pytest.approx(in_the_large, abs=1e-8)


def test_a_model_twice_too_sure_has_half_the_slope(study_of) -> None:
    slopes = [calibration_scores(study_of(sureness=s)[0])["slope"].value for s in (1.0, 2.0)]
    assert slopes[1] == pytest.approx(slopes[0] / 2)


def test_the_positive_class_turns_signs_round_and_nothing_else(study) -> None:
    predictions, _ = study
    one, other = calibration_scores(predictions), calibration_scores(predictions.with_positive("HEM"))
    assert other["slope"].value == pytest.approx(one["slope"].value)
    assert other["intercept"].value == pytest.approx(-one["intercept"].value)
    for name in ("ece_top_width", "brier", "brier_reliability", "brier_resolution"):
        assert other[name].value == pytest.approx(one[name].value), name


def test_every_statistic_of_repeats_is_a_mean(study_of) -> None:
    predictions, _ = study_of(repeats=2)
    both = calibration_scores(predictions)
    alone = [calibration_scores(predictions.take(predictions.repeat == r)) for r in (0, 1)]
    for name in STATISTICS:
        assert both[name].value == pytest.approx(np.mean([one[name].value for one in alone])), name


def test_brier_is_the_metric_of_that_name(study, make) -> None:
    three = make(
        ["a", "b", "c"], np.random.default_rng(0).dirichlet(np.ones(3), 3), classes=("a", "b", "c"), positive=None
    )
    for predictions in (study[0], three):
        found = calibration_scores(predictions)
        assert found["brier"].value == pytest.approx(score(predictions, ["brier"])["brier"].value)
        parts = [found[f"brier_{name}"].value for name in ("reliability", "resolution", "uncertainty", "remainder")]
        assert parts[0] - parts[1] + parts[2] + parts[3] == pytest.approx(found["brier"].value)
    assert calibration_scores(three)["slope"].reason == "for two classes only"
    assert calibration_scores(three)["ece_positive_width"].defined


@pytest.mark.parametrize(
    ("y_true", "said", "reason"),
    [
        (["ALL", "ALL"], [0.2, 0.8], "one class only"),
        (["ALL", "HEM", "ALL"], [1.0, 0.4, 0.3], "1 probabilities are exactly 0 or 1"),
        (["ALL", "HEM", "ALL"], [0.4, 0.4, 0.4], "all probabilities are equal"),
        (["ALL", "HEM", "ALL"], [0.9, 0.4, 0.8], "the classes are told apart perfectly"),
        (["ALL", "HEM", "ALL"], [0.2, 0.4, 0.3], "the classes are told apart perfectly"),
    ],
)
def test_a_line_that_does_not_exist_has_a_reason(make, y_true, said, reason: str) -> None:
    found = calibration_scores(make(y_true, said))
    assert found["slope"].reason == found["intercept"].reason == reason
    assert found["brier"].defined


def test_numbers_of_bins_are_checked(study) -> None:
    with pytest.raises(UsageError, match="0 bins"):
        calibration_scores(study[0], 0)


def test_log_odds_keep_what_one_column_loses() -> None:
    z = np.array([-300.0, -40, -1e-9, 0, 2, 50, 700])
    for k in (0, 1):
        assert log_odds(as_columns(z, k), k) == pytest.approx(z, rel=1e-12, abs=1e-15)


def test_a_line_through_nearly_certain_targets_is_found() -> None:
    """A full Newton step from zero leads far away here; the likelihood has one maximum all the same."""
    rng = np.random.default_rng(1)
    z = rng.normal(scale=30, size=200)
    y = (rng.random(200) < 1 / (1 + np.exp(-z / 30))).astype(float)
    line = fit_line(z, y)
    p = 1 / (1 + np.exp(-(line.intercept + line.slope * z)))
    assert (y - p).sum() == pytest.approx(0, abs=1e-7)
    assert z @ (y - p) == pytest.approx(0, abs=1e-5)
