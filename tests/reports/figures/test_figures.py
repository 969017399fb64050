"""Figures stay readable with many runs, subjects and folds: nothing overlaps, nothing leaves its paper."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from leukfeat.evaluation.bands import Band, bands
from leukfeat.evaluation.decision import decision_curve
from leukfeat.evaluation.intervals import Interval
from leukfeat.evaluation.metrics import Score, confusion
from leukfeat.evaluation.paired import Difference
from leukfeat.evaluation.ranks import rank
from leukfeat.evaluation.reliability import reliability
from leukfeat.evaluation.resampling import Clusters, Draws
from leukfeat.reports.contents import SubjectRow
from leukfeat.reports.figures.area import Sized, area_drawing
from leukfeat.reports.figures.confusion import draw_confusion
from leukfeat.reports.figures.curves import BANDS_SHOWN, decision_drawing, draw_roc, roc_drawing
from leukfeat.reports.figures.differences import draw_forest, draw_ranking, ranking_drawing
from leukfeat.reports.figures.flow import Stage, draw_flow, flow_drawing
from leukfeat.reports.figures.reliability import draw_reliability, reliability_drawing
from leukfeat.reports.figures.subjects import draw_subjects
from leukfeat.reports.pairs import Pair

LONG = "a network with a very long name (of_weights.with_a_longer_one_in1k) → gradient boosting"


def inside(figure) -> None:
    """Every text is on the paper; ticks beyond the limits of their axes are none."""
    figure.draw_without_rendering()
    paper = figure.get_window_extent()
    ticks = {
        tick
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for place, tick in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
        if not axes.axison or not min(axis.get_view_interval()) <= place <= max(axis.get_view_interval())
    }
    for text in figure.findobj(lambda one: hasattr(one, "get_text") and one.get_text() and one.get_visible()):
        if text in ticks or not (text.axes is None or text.axes.get_visible()):
            continue
        box = text.get_window_extent()
        assert box.x0 >= paper.x0 - 1, text.get_text()
        assert box.x1 <= paper.x1 + 1, text.get_text()
        assert box.y0 >= paper.y0 - 1, text.get_text()
        assert box.y1 <= paper.y1 + 1, text.get_text()


def apart(boxes) -> None:
    """No box overlaps the next."""
    assert all(upper.y0 >= lower.y1 - 0.5 or upper.y1 <= lower.y0 + 0.5 for upper, lower in pairwise(boxes))


def a_band() -> Band:
    x = np.linspace(0, 1, 5)
    return Band(x, np.sqrt(x), x, np.minimum(1, x + 0.4), 0.5)


def test_no_two_of_twenty_runs_look_alike_and_three_have_bands():
    bands = {f"run {number}": a_band() for number in range(20)}
    figure = draw_roc(bands, dict.fromkeys(bands, "0.800"), "ALL")
    lines = figure.axes[0].get_lines()[1:]  # the first is the diagonal
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20
    assert len(figure.axes[0].collections) == BANDS_SHOWN


def test_every_run_is_in_the_numbers_of_the_curves():
    bands = {f"run {number}": a_band() for number in range(5)}
    table = roc_drawing(bands, dict.fromkeys(bands, "0.800"), "", "ALL").table
    assert {row[0] for row in table.rows} == set(bands)
    assert [row[1:] for row in table.rows if row[0] == "run 4"][1] == (0.25, 0.5, 0.25, 0.65)


def test_a_curve_that_is_undefined_says_why_in_the_legend():
    empty = np.empty(0)
    figure = draw_roc({"a": Band(empty, empty, empty, empty, np.nan, "one class only")}, {"a": "–"}, None)
    assert "a: one class only" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_long_names_stay_on_the_paper():
    bands = {f"{LONG} {number}": a_band() for number in range(8)}
    inside(draw_roc(bands, dict.fromkeys(bands, "0.800"), "a positive class with a long name"))
    counts = {name: np.array([[90, 10], [20, 80]]) for name in bands}
    inside(draw_confusion(counts, ["ALL with a long name", "HEM with a long name"]))


def test_labels_of_many_subjects_do_not_overlap():
    rows = [
        SubjectRow(f"a subject with a very long id {k}", "ALL" if k < 12 else "HEM", 30, (0.5,) * 12) for k in range(24)
    ]
    figure = draw_subjects([f"{LONG} {k}" for k in range(12)], rows)
    inside(figure)
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 24
    apart(boxes)


def a_pair(number: int, p: float) -> Pair:
    value = 0.01 * number
    found = Difference(
        f"{LONG} {number}", f"{LONG} x", "auroc", Score(value), Interval(value - 0.1, value + 0.1), Score(p)
    )
    return Pair(found, Score(p))


def test_a_forest_shows_what_is_told_apart_by_colour_and_every_number_in_words():
    figure = draw_forest([a_pair(3, 0.01), a_pair(1, 0.4)], "AUROC")
    inside(figure)
    squares = [line for line in figure.axes[0].get_lines() if line.get_marker() == "s"]
    assert len({line.get_color() for line in squares}) == 2
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "+0.030 (-0.070 to +0.130)" in texts
    assert "0.01" in texts
    apart([text.get_window_extent() for text in figure.axes[0].texts if "−" in text.get_text()])


def test_a_pair_without_a_difference_is_no_row_of_the_forest():
    undefined = Score.undefined("one class only")
    lost = Pair(Difference("a", "b", "auroc", undefined, Interval.undefined("one class only"), undefined), undefined)
    assert len([t for t in draw_forest([lost, a_pair(1, 0.5)], "AUROC").axes[0].texts if "−" in t.get_text()]) == 1


def test_ranks_join_what_does_not_differ():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(12, 5)) + np.array([6, 3, 0.2, 0.1, 0.0])
    names = [f"{LONG} {number}" for number in range(5)]
    ranking = rank(scores, data_sets=[f"set{chr(97 + k)}" for k in range(12)], candidates=names)
    figure = draw_ranking(ranking)
    inside(figure)
    bars = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == 3]
    assert len(bars) == len(ranking.groups) > 0
    table = ranking_drawing(ranking, "AUROC", "").table
    assert [row[0] for row in table.rows] == list(ranking.order)


@pytest.mark.parametrize("folds", [0, 3, 6, 40])
def test_the_boxes_of_a_flow_hold_their_text(folds):
    stages = [
        Stage("A data set with a very long title that needs more than one line of the box it stands in", ("a", "b")),
        Stage("Usable", ("10,000 images",), ("3 images unreadable " * 4, "7 images for training only")),
        Stage("Tested", ("an ordinary line of a count of images and subjects " * 2,)),
    ]
    parts = [Stage(f"Test {number}", ("240 images", "a class of a long name: 120")) for number in range(folds)]
    figure = draw_flow(stages, parts)
    inside(figure)
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if type(patch).__name__ == "Rectangle"]
    assert len(boxes) == 4 + (folds if folds <= 6 else 0)
    for text in figure.axes[0].texts:
        if text.get_text():
            place = text.get_window_extent()
            held = [b for b in boxes if b.x0 <= place.x0 and place.x1 <= b.x1 and b.y0 <= place.y0 and place.y1 <= b.y1]
            assert len(held) == 1, text.get_text()


def test_the_numbers_of_a_flow_have_the_folds_too():
    rows = flow_drawing([Stage("Tested", ("48 images",))], [Stage("Test 0", ("16 images",))]).table.rows
    assert ("Test 0", "here", "16 images") in rows


def test_reliability_has_a_panel_a_run_and_numbers_of_both_kinds(two):
    rows = two().predictions
    draws = Draws.of(Clusters.of(rows), 100)
    one = reliability(rows, n_bins=5, draws=draws)
    diagrams = {f"{LONG} {number}": {"before": one, "after": one} for number in range(7)}
    inside(draw_reliability(diagrams, "temperature"))
    table = reliability_drawing(diagrams, "temperature", "").table
    assert {(row[0], row[1]) for row in table.rows} == {
        (name, kind) for name in diagrams for kind in ("before", "after")
    }
    assert sum(row[4] for row in table.rows if row[:2] == (f"{LONG} 6", "after")) == len(rows)


def test_decision_curves_have_the_benefit_of_acting_on_all_in_their_numbers(two):
    curve = decision_curve(two().predictions)
    drawing = decision_drawing({"a": curve}, "", "ALL")
    first = drawing.table.rows[0]
    assert first[:3] == ("a", curve.threshold[0], curve.model[0])
    assert first[5] == curve.treat_all[0]


def test_size_and_score_are_of_the_tested_cells_whose_area_is_known(two):
    rows = two().predictions
    areas = {sample: 100.0 + k for k, sample in enumerate(rows.sample.tolist()[:20])} | {"elsewhere": 5.0}
    areas[str(rows.sample[0])] = float("nan")
    sized = Sized.of(rows, areas)
    assert sized.sample.tolist() == rows.sample.tolist()[1:20]
    assert sized.score.tolist() == rows.proba[1:20, 0].tolist()
    # a model that reads nothing but the size
    grown = replace(sized, score=sized.area / 200)
    assert grown.correlation("ALL") == pytest.approx(1)
    assert np.isnan(replace(sized, score=np.full(19, 0.5)).correlation("ALL"))
    assert len(area_drawing({"a": sized}, "probability of ALL", "").table.rows) == 19


def test_of_several_classes_the_score_is_that_of_the_true_one(four):
    rows = four.predictions
    sized = Sized.of(rows, dict.fromkeys(rows.sample.tolist(), 9.0))
    column = [rows.classes.index(label) for label in rows.y_true.tolist()]
    assert sized.score.tolist() == rows.proba[np.arange(len(rows)), column].tolist()


def test_confusion_of_four_classes_stays_on_the_paper(four):
    inside(draw_confusion({LONG: confusion(four.predictions)}, four.predictions.classes))


def test_bands_of_real_predictions_can_be_drawn(two):
    rows = two().predictions
    found = {"a": bands(rows, Draws.of(Clusters.of(rows), 200))["roc"]}
    inside(draw_roc(found, {"a": "0.9"}, "ALL"))
