"""Subject level: one row a subject, and none where it would be made up."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.subjects import SEVERAL_FOLDS, by_subject, score_by_subject, subject_accuracy

Y = ["ALL", "ALL", "HEM", "HEM", "ALL"]
P = [0.9, 0.2, 0.4, 0.1, 0.7]
WHO = {"subject": ["S1", "S1", "H1", "H1", "S2"], "fold": [0, 0, 1, 1, 0]}


def test_a_subject_has_the_mean_probability_of_its_cells(make):
    found = by_subject(make(Y, P, **WHO))
    assert found.sample.tolist() == ["S1", "H1", "S2"]
    assert found.proba[:, 0] == pytest.approx([0.55, 0.25, 0.7])
    assert found.y_true.tolist() == ["ALL", "HEM", "ALL"]
    assert found.fold.tolist() == [0, 1, 0]


def test_repeats_stay_apart(make):
    twice = make(Y * 2, P + [0.5] * 5, sample=[*"abcde"] * 2, repeat=[0] * 5 + [1] * 5, subject=WHO["subject"] * 2)
    found = by_subject(twice)
    assert found.repeat.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.proba[:, 0] == pytest.approx([0.55, 0.25, 0.7, 0.5, 0.5, 0.5])


def test_a_divided_subject_belongs_to_no_fold(make):
    assert by_subject(make(Y, P, **WHO | {"fold": [0, 1, 1, 1, 0]})).fold.tolist() == [SEVERAL_FOLDS, 1, 0]


def test_unknown_subjects_have_no_subject_level(make):
    with pytest.raises(PredictionsError, match="subjects unknown"):
        by_subject(make(Y, P))
    assert {one.reason for one in score_by_subject(make(Y, P)).values()} == {"subjects unknown"}
    assert subject_accuracy(make(Y, P)) == ()


def test_a_subject_of_two_classes_has_no_true_verdict(make):
    mixed = make(Y, P, subject=["S1", "S1", "S1", "H1", "S2"])
    with pytest.raises(PredictionsError, match=r"1 subject\(s\) have cells of several classes, e.g. S1"):
        by_subject(mixed)
    assert {(one.subject, one.true_class) for one in subject_accuracy(mixed)} == {
        ("S1", "ALL+HEM"),
        ("H1", "HEM"),
        ("S2", "ALL"),
    }


def test_a_class_named_like_a_mixture_does_not_hide_one(make):
    # "ALL+HEM" may be a class of its own, and a subject of ALL and HEM cells is still of two classes
    mixed = make(
        ["ALL", "HEM", "ALL+HEM"],
        np.full((3, 3), 1 / 3),
        classes=("ALL", "HEM", "ALL+HEM"),
        positive=None,
        subject=["S1", "S1", "S2"],
    )
    with pytest.raises(PredictionsError, match=r"1 subject\(s\) have cells of several classes, e.g. S1"):
        by_subject(mixed)


def test_accuracy_of_each_subject_counts_its_cells(make):
    first, second, third = subject_accuracy(make(Y, P, **WHO))
    assert (first.subject, first.cells, first.correct, first.accuracy) == ("S1", 2, 1, 0.5)
    assert (second.correct, third.true_class) == (2, "ALL")
    twice = make(Y * 2, P * 2, sample=[*"abcde"] * 2, repeat=[0] * 5 + [1] * 5, subject=WHO["subject"] * 2)
    assert (subject_accuracy(twice)[0].cells, subject_accuracy(twice)[0].tested) == (2, 4)


def test_one_cell_a_subject_gives_the_cell_scores(make):
    # with nothing to average, both levels are the same table
    alone = make(Y, P, subject=[*"abcde"])
    assert np.array_equal(by_subject(alone).proba, alone.proba)
