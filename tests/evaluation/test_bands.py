"""Curves with bands agree with the areas that tables print, and bands are about subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import UsageError
from leukfeat.evaluation.bands import GRID, Band, Kind, Values, bands
from leukfeat.evaluation.metrics import score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters, Draws


def made(n_subjects: int = 20, cells: int = 15, ties: bool = False, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    n = n_subjects * cells
    subject = np.repeat([f"S{k}" for k in range(n_subjects)], cells)
    y = np.repeat(["ALL", "HEM"] * (n_subjects // 2), cells)
    z = np.where(y == "ALL", 1, -1) + np.repeat(rng.normal(0, 1, n_subjects), cells) + rng.normal(0, 1, n)
    p = 1 / (1 + np.exp(-z))
    p = np.round(p, 1) if ties else p
    zero = np.zeros(n, dtype=int)
    sample = np.array([f"{k}.bmp" for k in range(n)])
    return Predictions(sample, subject, subject, zero, zero, y, np.column_stack([p, 1 - p]), ("ALL", "HEM"), "ALL")


def drawn(predictions: Predictions, n: int = 300) -> Draws:
    return Draws.of(Clusters.of(predictions), n)


def band(
    predictions: Predictions, kind: Kind, draws: Draws | None = None, *, level: float = 0.95, grid: Values = GRID
) -> Band:
    """One of the curves."""
    return bands(predictions, draws, level=level, grid=grid)[kind]


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_below_the_curve_is_the_one_that_tables_print(ties):
    rows = made(ties=ties)
    fine = np.linspace(0, 1, 20_001)
    scores = score(rows, ["auroc", "auprc"])
    roc = band(rows, "roc", grid=fine)
    assert np.trapezoid(roc.y, fine) == pytest.approx(scores["auroc"].value, abs=2e-4)
    precision = band(rows, "precision-recall", grid=fine)
    assert precision.y[1:].mean() == pytest.approx(scores["auprc"].value, abs=2e-3)


def test_the_band_holds_the_curve_and_is_wider_where_subjects_are_drawn():
    rows = made()
    by_subject = band(rows, "roc", drawn(rows))
    alone = replace(rows, subject=rows.sample, group=rows.sample)
    by_cell = band(alone, "roc", drawn(alone))
    middle = slice(10, -10)
    assert (by_subject.low[middle] <= by_subject.y[middle] + 1e-9).all()
    assert (by_subject.y[middle] <= by_subject.high[middle] + 1e-9).all()
    # cells of a subject are alike: to draw cells one by one hides most of what is uncertain
    width = [float((one.high - one.low)[middle].mean()) for one in (by_subject, by_cell)]
    assert width[0] > 1.5 * width[1]


@pytest.mark.parametrize("kind", ["roc", "precision-recall"])
def test_a_resample_is_the_curve_of_subjects_that_stand_there_so_often(kind):
    rows = made(n_subjects=12)
    draws = drawn(rows, 1)
    often = draws.counts[0, draws.clusters.of_row].astype(int)
    again = np.repeat(np.arange(len(rows)), often)
    zero = np.zeros(len(again), dtype=int)
    names = np.array([f"{k}.bmp" for k in range(len(again))])  # a sample may stand once only
    who, y, proba = rows.subject[again], rows.y_true[again], rows.proba[again]
    copies = Predictions(names, who, who, zero, zero, y, proba, rows.classes, rows.positive)
    assert set(often.tolist()) > {0, 1}
    found = band(rows, kind, draws)
    assert found.low == pytest.approx(band(copies, kind).y, abs=1e-6)
    assert found.high == pytest.approx(found.low)


def test_coarse_steps_of_the_band_do_not_move_it(monkeypatch):
    rows = made()
    draws = drawn(rows, 100)
    coarse = band(rows, "roc", draws)
    monkeypatch.setattr("leukfeat.evaluation.bands._STEPS", 10**9)
    fine = band(rows, "roc", draws)
    assert np.abs(coarse.low - fine.low).max() < 0.02
    assert np.abs(coarse.high - fine.high).max() < 0.02


def test_a_curve_of_several_classes_is_the_mean_of_theirs():
    rng = np.random.default_rng(0)
    sample = np.array([f"{k}.bmp" for k in range(90)])
    y = np.array(["a", "b", "c"] * 30)
    proba = rng.dirichlet(np.ones(3), 90)
    zero = np.zeros(90, dtype=int)
    rows = Predictions(sample, sample, sample, zero, zero, y, proba, ("a", "b", "c"))
    fine = np.linspace(0, 1, 10_001)
    assert np.trapezoid(band(rows, "roc", grid=fine).y, fine) == pytest.approx(score(rows)["auroc"].value, abs=1e-3)
    assert band(rows, "precision-recall").prevalence == pytest.approx(1 / 3)


def test_what_cannot_be_drawn_has_a_reason():
    rows = made()
    only = rows.take(rows.y_true == "ALL")
    assert band(only, "roc").reason == "one class only"
    assert "not stated" in band(replace(rows, positive=None), "precision-recall").reason
    assert not band(replace(rows, positive=None), "roc").reason, "the area is the same for either class"


def test_without_subjects_to_draw_there_is_no_band():
    rows = made(n_subjects=2)  # one subject of each class
    found = band(rows, "roc", drawn(rows))
    assert len(found.y) == len(GRID)
    assert len(found.low) == 0


def test_levels_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="95"):
        band(made(), "roc", level=95)
