"""The table of predictions: exact on disk, fair to ties, one verdict a subject."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.errors import PredictionsError, UsageError
from leukfeat.evaluation.predictions import Predictions
from leukfeat.experiments.predicted import PredictedTable


def table(**changes: Any) -> PredictedTable:
    columns: dict[str, Any] = {
        "sample": np.array(["a", "b", "c", "d"]),
        "subject": np.array(["1", "1", "2", ""]),
        "y_true": np.array(["HEM", "HEM", "ALL", "ALL"]),
        "proba": np.array([[0.1, 0.9], [0.6, 0.4], [1 / 3, 2 / 3], [0.5, 0.5]]),
        "classes": ("HEM", "ALL"),
        "seen": np.array([True, False, False, False]),
        "positive": "ALL",
    }
    return PredictedTable(**{**columns, **changes})


def test_what_is_saved_can_be_compared_with_runs(tmp_path: Path) -> None:
    """Where labels are known the file is a predictions file like any other tool's, to the last bit."""
    whole = table().take(np.array([0, 1, 2]))
    read = Predictions.load(whole.save(tmp_path / "p.csv"), positive="ALL")
    np.testing.assert_array_equal(read.with_classes(whole.classes).proba, whole.proba)
    np.testing.assert_array_equal(read.y_pred, whole.y_pred)
    assert read.subject.tolist() == ["1", "1", "2"]


def test_what_is_not_known_has_no_column(tmp_path: Path) -> None:
    nothing = np.array([""] * 4)
    file = table(subject=nothing, y_true=nothing).save(tmp_path / "p.csv")
    with file.open() as stream:
        assert next(csv.reader(stream)) == ["sample", "y_pred", "proba_HEM", "proba_ALL", "seen"]


def test_a_tie_goes_to_the_name_that_sorts_first() -> None:
    assert table().y_pred.tolist() == ["ALL", "HEM", "ALL", "ALL"]


def test_scores_are_of_the_rows_with_labels() -> None:
    assert table().scores()["accuracy"].value == 0.75
    assert table(y_true=np.array(["", "", "ALL", "ALL"])).scores()["accuracy"].value == 1.0
    assert table(y_true=np.array([""] * 4)).scores() == {}


def test_a_subject_has_the_mean_of_its_images(tmp_path: Path) -> None:
    verdicts = table().by_subject()
    assert verdicts.sample.tolist() == ["1", "2"]
    np.testing.assert_allclose(verdicts.proba, [[0.35, 0.65], [1 / 3, 2 / 3]])
    assert verdicts.images is not None
    assert verdicts.images.tolist() == [2, 1]
    assert verdicts.seen.tolist() == [True, False], "one image of training is enough"
    with verdicts.save(tmp_path / "s.csv").open() as stream:
        assert next(csv.DictReader(stream))["images"] == "2"


def test_a_subject_with_two_classes_has_no_true_one() -> None:
    mixed = table(y_true=np.array(["HEM", "ALL", "ALL", "ALL"])).by_subject()
    assert mixed.y_true.tolist() == ["", "ALL"]


def test_without_subjects_there_is_no_verdict() -> None:
    with pytest.raises(PredictionsError, match="no image has a subject"):
        table(subject=np.array([""] * 4)).by_subject()


def test_only_predictions_are_written_over(tmp_path: Path) -> None:
    table().save(tmp_path / "p.csv")
    table().save(tmp_path / "p.csv")
    (tmp_path / "cells.csv").write_text("path,label\na.png,ALL\n")
    for other in (tmp_path, tmp_path / "cells.csv"):
        with pytest.raises(UsageError, match="is no table of predictions"):
            table().save(other)
    assert (tmp_path / "cells.csv").read_text().startswith("path,label")
