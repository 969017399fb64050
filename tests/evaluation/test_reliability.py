"""Errors in bins and the parts of the Brier score are those of the definitions and of other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from leukfeat.evaluation.metrics import score
from leukfeat.evaluation.miscalibration import calibration_scores
from leukfeat.evaluation.reliability import Forecast, partition, reliability


def test_the_error_of_two_bins_by_hand(make) -> None:
    """Said 0.1 and 0.3 (mean 0.2), found 1/2; said 0.6 and 1.0 (mean 0.8), found 1: (2 * 0.3 + 2 * 0.2) / 4."""
    predictions = make(["HEM", "ALL", "ALL", "ALL"], [0.1, 0.3, 0.6, 1.0])
    found = reliability(predictions, n_bins=2)
    assert [(one.low, one.high, one.cells) for one in found.bins] == [(0.0, 0.5, 2), (0.5, 1.0, 2)]
    assert [(one.said, one.found) for one in found.bins] == [pytest.approx((0.2, 0.5)), pytest.approx((0.8, 1.0))]
    assert found.ece.value == pytest.approx(0.25)
    assert calibration_scores(predictions, 2)["ece_positive_width"].value == pytest.approx(0.25)
    # the predicted class: 0.9 right, 0.7 wrong, 0.6 right, 1.0 right
    assert calibration_scores(predictions, 1)["ece_top_width"].value == pytest.approx(0.8 - 0.75)


def test_the_error_is_that_of_the_bins_weighted_by_cells(study) -> None:
    for of in ("positive", "top-label"):
        for binning in ("width", "mass"):
            found = reliability(study[0], of=of, binning=binning)
            by_hand = sum(one.cells * abs(one.said - one.found) for one in found.bins) / len(study[0])
            assert found.ece.value == pytest.approx(by_hand)
            assert sum(one.cells for one in found.bins) == len(study[0])
            assert of.split("-")[0] in found.title
            assert binning in found.title


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_the_curve_is_that_of_scikit_learn(study, binning: str, strategy: str) -> None:
    predictions, _ = study
    found, said = calibration_curve(predictions.y_true == "ALL", predictions.proba[:, 0], n_bins=10, strategy=strategy)
    bins = reliability(predictions, binning=binning).bins
    assert [one.said for one in bins] == pytest.approx(said)
    assert [one.found for one in bins] == pytest.approx(found)


@pytest.mark.parametrize(
    ("n_bins", "top_label", "positive"),
    [(15, 0.2797251045703888, 0.3417553264604811), (10, 0.24267831444740295, 0.3256041237113403)],
)
def test_the_errors_are_those_of_torchmetrics(make, n_bins: int, top_label: float, positive: float) -> None:
    """Numbers of torchmetrics 1.9.0 (``multiclass_`` and ``binary_calibration_error``) on the same 60 cells."""
    said = [(37 * k + 11) % 97 / 97 + 0.002 for k in range(60)]
    predictions = make(["ALL" if (k * k * 7 + k) % 5 < 2 else "HEM" for k in range(60)], said)
    found = calibration_scores(predictions, n_bins)
    assert found["ece_top_width"].value == pytest.approx(top_label, abs=1e-7)
    assert found["ece_positive_width"].value == pytest.approx(positive, abs=1e-7)


def test_a_probability_on_an_edge_belongs_to_the_bin_below(make) -> None:
    """And 0 to the first, as scikit-learn has it: every cell is in one bin."""
    bins = reliability(make(["ALL", "HEM"] * 2, [0.0, 0.5, 0.75, 1.0]), n_bins=4).bins
    assert [(one.low, one.cells) for one in bins] == [(0.0, 1), (0.25, 1), (0.5, 1), (0.75, 1)]


def test_equal_probabilities_are_never_parted(make) -> None:
    """Bins of equal mass that cut through ties would depend on the order of the rows."""
    said = [0.2] * 7 + [0.9] * 3
    predictions = make(["ALL", "HEM"] * 5, said)
    bins = reliability(predictions, binning="mass", n_bins=4).bins
    assert [one.cells for one in bins] == [7, 3]
    alike = make(["ALL", "HEM"], [0.5, 0.5])
    assert [one.cells for one in reliability(alike, binning="mass").bins] == [2]


@pytest.mark.parametrize("binning", ["width", "mass"])
@pytest.mark.parametrize("n_bins", [1, 4, 15])
def test_the_parts_of_the_brier_score_add_up(study, binning, n_bins: int) -> None:
    """Exactly, because the remainder is what bins hide and nothing else."""
    predictions, _ = study
    forecast = Forecast(predictions.proba[:, 0], (predictions.y_true == "ALL").astype(float))
    parts = partition(forecast, n_bins, binning)
    assert parts.brier == pytest.approx(score(predictions, ["brier"])["brier"].value, abs=1e-15)


def test_forecasts_of_few_values_have_no_remainder() -> None:
    """Murphy's own case: every bin holds one value, and three parts are enough."""
    rng = np.random.default_rng(0)
    p = rng.choice([0.05, 0.35, 0.65, 0.95], size=300)
    y = (rng.random(300) < p**2).astype(float)
    parts = partition(Forecast(p, y), 10)
    assert parts.remainder == pytest.approx(0, abs=1e-15)
    values = np.unique(p)
    share, found = (np.array([function(p == v) for v in values]) for function in (np.mean, lambda rows: y[rows].mean()))
    assert parts.reliability == pytest.approx(share @ (values - found) ** 2)
    assert parts.resolution == pytest.approx(share @ (found - y.mean()) ** 2)


def test_intervals_of_bins_are_over_subjects(study_of, make) -> None:
    """Cells of one subject are alike, so bins of few subjects are less certain than their cells suggest."""
    predictions, _ = study_of(subjects=8, cells=100)
    widths = [one.interval.high - one.interval.low for one in reliability(predictions).bins if one.interval.defined]
    cells = make(predictions.y_true.tolist(), predictions.proba[:, 0])
    alone = [one.interval.high - one.interval.low for one in reliability(cells).bins if one.interval.defined]
    assert np.mean(widths) > 1.3 * np.mean(alone)
    lonely = reliability(make(["ALL", "HEM"], [0.9, 0.2])).bins[0].interval
    assert "needs at least 2" in lonely.reason


def test_without_a_positive_class_there_is_no_curve_of_it(make) -> None:
    unstated = make(["ALL", "HEM"], [0.7, 0.2], positive=None)
    assert "positive class not stated" in reliability(unstated).reason
    assert reliability(unstated, of="top-label").ece.defined
    three = make(["a", "b"], [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], classes=("a", "b", "c"), positive=None)
    assert reliability(three).bins == ()
    assert reliability(three, of="top-label").ece.value == pytest.approx((0.5 + 0.2) / 2)
