"""What the report shows is made once, so that tables and figures cannot disagree."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.evaluation.subjects import subject_accuracy
from leukfeat.reports.contents import subject_rows, subject_table
from leukfeat.reports.figures.subjects import draw_subjects


def test_the_table_and_the_figure_show_the_same_subjects(two):
    runs = [two("a"), two("b", gap=2.0)]
    rows = subject_rows(runs)
    accuracy = [{one.subject: one.accuracy for one in subject_accuracy(run.predictions)} for run in runs]
    for row in rows:
        assert row.accuracies == tuple(found[row.subject] for found in accuracy)
        assert row.mean == pytest.approx(np.mean(row.accuracies))
    assert [row.mean for row in rows] == sorted(row.mean for row in rows), "the worst first"
    assert [line[0] for line in subject_table(runs).rows] == [row.subject for row in rows]
    drawn = [dots.get_offsets()[:, 0].tolist() for dots in draw_subjects(["a", "b"], rows).axes[0].collections]
    by_class = sorted(rows, key=lambda row: row.true_class)  # stable: the worst of a class first
    assert drawn == [[row.accuracies[number] for row in by_class] for number in range(2)]


def test_without_subjects_there_are_no_rows(four):
    assert subject_rows([four]) == ()
