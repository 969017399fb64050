"""Figures stay readable with many runs and subjects."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from leukfeat.reports.contents import Note
from leukfeat.reports.figures import draw, draw_roc, draw_subjects


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


def test_names_in_any_script_are_drawn_without_a_warning(two):
    # the text stays text, so the reader's browser chooses a font that has these signs; pytest makes warnings errors
    run = two("白血病細胞")
    predictions = replace(
        run.predictions,
        y_true=np.char.replace(run.predictions.y_true, "HEM", "정상"),
        classes=("ALL", "정상"),
    )
    assert "白血病細胞" in draw([replace(run, predictions=predictions)])["roc"]


def test_other_warnings_of_drawing_are_heard(two, monkeypatch):
    monkeypatch.setattr("leukfeat.reports.figures.draw_roc", lambda _: warnings.warn("something else", stacklevel=1))
    with pytest.raises(UserWarning, match="something else"):
        draw([two()])


def test_notes_stand_below_the_drawing_and_inside_the_figure(two):
    notes = [Note("many words of a note " * 9, ("a very long name of a run " * 5, "b")), Note("標" * 200)]
    run = two()
    for name, svg in draw([run], notes).items():
        texts = [node for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]
        footer = [node for node in texts if "6.5px" in node.get("style")]
        words = " ".join(node.text for node in footer)
        assert words.count("words of") >= 8, name
        assert words.count("標") == 200, name
        assert "and 1 more)" in words, name
        _, _, width, height = map(float, ElementTree.fromstring(svg).get("viewBox").split())
        bare = float(ElementTree.fromstring(draw([run])[name]).get("viewBox").split()[3])
        assert all(bare < float(node.get("y")) < height for node in footer), name
        # a sign of this font is at most half its size wide on average, an East Asian one as wide as its size
        assert all(6.5 * sum(1 if sign == "標" else 0.55 for sign in node.text) < width for node in footer), name


def test_a_figure_without_notes_has_no_footer(two):
    assert "6.5px" not in draw([two()])["roc"]
