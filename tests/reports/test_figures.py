"""Figures stay readable with many runs and subjects."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from leukfeat.reports.figures import draw_roc, draw_subjects


def test_no_two_of_twenty_runs_look_alike(two):
    runs = [two(f"run {number}", gap=0.1 * number) for number in range(20)]
    lines = draw_roc(runs).axes[0].get_lines()[1:]  # the first is the diagonal
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


def test_labels_of_many_subjects_do_not_overlap(two):
    run = two()
    predictions = run.predictions
    subjects = [f"a subject with a very long id {number}" for number in range(24)]
    rows = np.arange(48)
    many = replace(
        predictions, subject=np.repeat(subjects, 2), group=predictions.sample, y_true=np.repeat(["ALL", "HEM"], 24)
    )
    figure = draw_subjects([replace(run, name=f"run {k}", predictions=many.take(rows)) for k in range(12)])
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 24
    assert all(upper.y0 >= lower.y1 or upper.y1 <= lower.y0 for upper, lower in pairwise(boxes))
    width = figure.get_window_extent().width
    assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)
    assert all(
        text.get_window_extent().x0 >= 0 and text.get_window_extent().x1 <= width
        for text in figure.legends[0].get_texts()
    )
