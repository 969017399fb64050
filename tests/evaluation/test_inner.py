"""What may be learned from: rows of the training part of each outer fold, and no tested cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import LeakageError, PredictionsError
from leukfeat.evaluation.inner import NO_INNER, InnerPredictions, inner_seen, outer_folds, without_inner
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.subjects import by_subject


def test_a_sample_trains_several_folds_and_stands_once_in_each(study) -> None:
    _, inner = study
    assert np.unique(inner.sample, return_counts=True)[1].tolist() == [4] * 400, "in all folds but its own"
    columns = {name: getattr(inner, name) for name in ("sample", "subject", "group", "repeat", "fold", "y_true")}
    with pytest.raises(PredictionsError, match=r"stands 4 times in repeat 0; keep one row a sample and repeat"):
        Predictions(**columns, proba=inner.proba, classes=inner.classes)
    with pytest.raises(PredictionsError, match=r"stands 2 times in repeat 0 fold 1; keep one row a sample and repeat"):
        InnerPredictions.concatenate([inner, inner.take(np.flatnonzero(inner.fold == 1)[:1])])


def test_the_rows_of_a_fold_are_ordinary_predictions(study) -> None:
    _, inner = study
    part = inner.of_fold(0, 3)
    assert type(part) is Predictions
    assert len(part) == 320
    assert set(part.fold.tolist()) == {3}
    assert inner.of_fold(1, 3) is None


def test_they_come_back_from_a_file(study, tmp_path) -> None:
    _, inner = study
    found = InnerPredictions.load(inner.save(tmp_path / "inner.csv"), positive="ALL")
    assert (type(found), found.digest) == (InnerPredictions, inner.digest)


def test_every_fold_is_paired_with_what_trains_it(study_of) -> None:
    predictions, inner = study_of(repeats=2)
    parts = list(outer_folds(predictions, inner))
    assert [(part.repeat, part.fold) for part in parts] == [(r, f) for r in (0, 1) for f in range(5)]
    for part in parts:
        assert not set(part.inner.subject) & set(predictions.subject[part.test]), "calibrators see no test subject"
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(len(predictions)))


def test_columns_in_another_order_are_put_in_order(study) -> None:
    predictions, inner = study
    turned = inner.with_classes(("HEM", "ALL"))
    for part, same in zip(outer_folds(predictions, turned), outer_folds(predictions, inner), strict=True):
        assert np.array_equal(part.inner.proba, same.inner.proba)


def test_a_tested_sample_is_nothing_to_learn_from(study) -> None:
    predictions, inner = study
    leaked = replace(inner, fold=(inner.fold + 1) % 5)
    with pytest.raises(LeakageError, match="tested in this very fold"):
        list(outer_folds(predictions, leaked))


def test_why_nothing_can_be_learned_is_said(study) -> None:
    predictions, inner = study
    assert without_inner(predictions, inner) == ""
    assert without_inner(predictions, None) == NO_INNER
    assert without_inner(predictions, inner.take(inner.fold != 2)) == "fold 2 of repeat 0 has no inner predictions"
    single = inner.take((inner.fold != 2) | (inner.y_true == "HEM"))
    assert "fold 2 of repeat 0 are all of class 'HEM'" in without_inner(predictions, single)
    assert "other classes" in without_inner(
        predictions, replace(inner.take([0]), y_true=["x"], classes=("x", "HEM"), positive=None)
    )
    divided = replace(predictions, fold=np.arange(len(predictions)) % 5)
    assert "tested in several folds" in without_inner(by_subject(divided), inner)


def test_subjects_are_pooled_in_every_outer_fold(study) -> None:
    _, inner = study
    subjects = by_subject(inner)
    assert (type(subjects), len(subjects)) == (InnerPredictions, 5 * 16)
    rows = (inner.fold == 4) & (inner.subject == "S01")
    found = subjects.proba[(subjects.fold == 4) & (subjects.subject == "S01"), 0]
    assert found == pytest.approx([inner.proba[rows, 0].mean()])


def test_one_fold_whose_encoder_saw_the_rows_is_enough() -> None:
    assert inner_seen([{"inner_seen": False}, {"inner_seen": True}])
    assert not inner_seen([{"inner_seen": False}, {}])
