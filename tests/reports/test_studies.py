"""Studies in words: every number with its interval, whose it is, and what was resampled."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from leukfeat.evaluation.intervals import Interval
from leukfeat.evaluation.leakage_meter import Arm, LeakageMeter
from leukfeat.evaluation.learning_curve import CurvePoint, LearningCurve
from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.paired import Difference
from leukfeat.evaluation.site_matrix import Site, SiteCell, SiteMatrix
from leukfeat.evaluation.studies import Study
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty
from leukfeat.reports.estimates import TOO_NARROW
from leukfeat.reports.figures.studies import leakage_drawing, learning_curve_drawing, sites_drawing
from leukfeat.reports.studies import described, study_lines, study_sentences, study_table

WHY = "class 'ALL' has 1 subject"


def measured(value: float, low: float, high: float) -> Estimate:
    return Estimate(Score(value), Interval(low, high))


def step(first: str, second: str, value: float, low: float, high: float, p: float) -> Difference:
    return Difference(first, second, "auroc", Score(value), Interval(low, high), Score(p))


METER = LeakageMeter(
    candidate="densenet201 → svm",
    dataset="cells",
    metric="auroc",
    images=144,
    unit="linked subject",
    n_clusters=24,
    resampling=Uncertainty(n_draws=500),
    arms=(
        Arm("image-level", "runs/a", measured(0.95, 0.9, 0.99), 1.0, ("image-level: optimistic",)),
        Arm("subject-level", "runs/b", measured(0.8, 0.7, 0.9), 0.25, ()),
        Arm("linked-subject-level", "runs/c", measured(0.75, 0.6, 0.85), 0.0, ()),
    ),
    differences=(
        step("image-level", "linked-subject-level", 0.2, 0.11, 0.29, 0.00002),
        step("image-level", "subject-level", 0.15, 0.05, 0.25, 0.004),
        step("subject-level", "linked-subject-level", 0.05, -0.01, 0.11, 0.09),
    ),
    notes=("a note",),
)
CURVE = LearningCurve(
    candidate="densenet201 → svm",
    dataset="cells",
    metric="auroc",
    unit="subject",
    n_clusters=24,
    resampling=Uncertainty(),
    points=(
        CurvePoint(4, 24, 3, "runs/4", measured(0.6, 0.5, 0.7), Score(0.03)),
        CurvePoint(19.2, 115.2, 1, "runs/all", measured(0.75, 0.6, 0.85), Score.undefined("one draw")),
    ),
    last_step=step("19.2 subjects", "4 subjects", 0.15, 0.02, 0.28, 0.03),
)
MATRIX = SiteMatrix(
    candidate="densenet201 → svm",
    metric="auroc",
    resampling=Uncertainty(),
    sites=(
        Site("munich", "cells", 60, 12, (("ALL", 30), ("HEM", 30)), 1.0, 0.66, 60),
        Site("tehran", "fields", 80, None, (("ALL", 50), ("HEM", 30)), 0.0, 0.01, 60),
    ),
    cells=(
        SiteCell("munich", "munich", "r0", measured(0.9, 0.8, 0.95), "subject", 12, None, ()),
        SiteCell("munich", "tehran", "r1", measured(0.55, 0.5, 0.6), "image", 80, None, ()),
        SiteCell("tehran", "munich", "r2", measured(0.6, 0.4, 0.8), "subject", 12, None, ()),
        SiteCell("tehran", "tehran", "r3", measured(0.97, 0.95, 0.98), "image", 80, None, ()),
    ),
    warnings=("background shift",),
)
MATRIX = replace(
    MATRIX,
    cells=tuple(
        replace(cell, change=step("x", "y", -0.3, -0.5, -0.1, 0.007)) if cell.trained_on != cell.tested_on else cell
        for cell in MATRIX.cells
    ),
)


def test_what_leaks_is_said_with_interval_p_and_number_of_subjects() -> None:
    assert study_sentences(METER)[0] == (
        "Split at image-level, svm on densenet201 has AUROC 0.950; at linked-subject-level 0.750: a difference of"
        " +0.200 (95 % CI +0.110 to +0.290, p < 0.001, 24 linked subjects)."
    )
    assert len(study_sentences(METER)) == 3
    table = study_table(METER)
    assert table.texts == [
        ["image-level", "100.0%", "0.950 (0.900–0.990)", "+0.200 (+0.110 to +0.290)"],
        ["subject-level", "25.0%", "0.800 (0.700–0.900)", "+0.050 (-0.010 to +0.110)"],
        ["linked-subject-level", "0.0%", "0.750 (0.600–0.850)", "–"],
    ]
    assert "in brackets: 95 % intervals from 500 resamples of 24 linked subjects" in table.footnotes
    assert "a note" in table.footnotes


def test_whether_more_subjects_help_is_said_of_the_last_step() -> None:
    (sentence,) = study_sentences(CURVE)
    assert sentence == (
        "From 4 to 19.2 training subjects, AUROC of svm on densenet201 went from 0.600 to 0.750: +0.150 (95 % CI +0.020"
        " to +0.280, p = 0.03, 24 subjects)."
    )
    assert study_table(CURVE).texts[1] == ["19.2", "115", "1", "0.750 (0.600–0.850)", "–"]
    assert "– one draw (SD between draws)" in study_table(CURVE).footnotes


def test_a_model_from_elsewhere_is_held_against_one_from_home() -> None:
    assert study_sentences(MATRIX)[0] == (
        "Trained on munich, svm on densenet201 has AUROC 0.550 on tehran, and 0.970 when trained there: -0.300 (95 % CI"
        " -0.500 to -0.100, p = 0.007, 80 images)."
    )
    table = study_table(MATRIX)
    assert [row[:2] for row in table.texts] == [
        ["munich", "munich"], ["munich", "tehran"], ["tehran", "munich"], ["tehran", "tehran"],
    ]  # fmt: skip
    assert table.footnotes.count(TOO_NARROW) == 1, "images of tehran are resampled, and that is said once"
    assert described(MATRIX).texts[1] == ["tehran", "80", "unknown", "ALL 50, HEM 30", "0%", "1%"]
    assert "background shift" in study_lines(MATRIX)


def test_what_is_unknown_is_said_and_not_shown_as_a_number() -> None:
    """Undefined intervals and scores keep their reason; no NaN is ever printed."""
    unsure = replace(METER.differences[0], interval=Interval.undefined(WHY), p=Score.undefined(WHY))
    nothing = replace(METER.differences[1], estimate=Score.undefined("one class only"))
    arm = replace(METER.arms[0], measured=Estimate(Score(0.95), Interval.undefined(WHY)))
    meter = replace(METER, arms=(arm, *METER.arms[1:]), differences=(unsure, nothing), unit="group of images")
    sentences = study_sentences(meter)
    assert sentences[0].endswith(f"a difference of +0.200 (no interval: {WHY}).")
    assert sentences[1] == "image-level and subject-level splits are not compared: one class only."
    assert TOO_NARROW in study_table(meter).footnotes
    lost = replace(CURVE.last_step, estimate=Score.undefined("one class only"))
    (sentence,) = study_sentences(replace(CURVE, last_step=lost))
    assert sentence == "Whether more subjects help is not known: one class only."
    change = replace(MATRIX.cells[1].change or lost, estimate=Score.undefined("one class only"))
    matrix = replace(MATRIX, cells=(MATRIX.cells[0], replace(MATRIX.cells[1], change=change), *MATRIX.cells[2:]))
    assert "trained at home it has none to compare: one class only" in study_sentences(matrix)[0]
    for study in (meter, matrix):
        assert "nan" not in "\n".join(study_lines(study))


@pytest.mark.parametrize("study", [METER, CURVE, MATRIX], ids=lambda study: study.kind)
def test_every_kind_of_study_fits_a_terminal(study: Study) -> None:
    lines = study_lines(study, 90)
    assert lines[0] == study_table(study).title
    assert max(map(len, lines[1:])) <= 90


def test_every_kind_of_study_is_drawn_with_its_numbers() -> None:
    """The drawing shows what the table says; an undefined number is left out, not drawn at nothing."""
    for drawing in (leakage_drawing(METER), learning_curve_drawing(CURVE), sites_drawing(MATRIX)):
        assert drawing.svg.startswith("<?xml")
        assert drawing.pdf.startswith(b"%PDF")
        assert drawing.table.rows
    assert leakage_drawing(METER).table == study_table(METER)
    assert "0.950" in leakage_drawing(METER).svg
    undefined = Estimate(Score.undefined(WHY), Interval.undefined(WHY))
    assert math.isnan(undefined.score.value)
    meter = replace(METER, arms=(replace(METER.arms[0], measured=undefined), *METER.arms[1:]))
    svg = leakage_drawing(meter).svg
    assert "0.950" not in svg
    assert "0.800" in svg
