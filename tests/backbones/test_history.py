"""A history survives its way through JSON and CSV."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from leukfeat.backbones.history import EpochRecord, History
from leukfeat.backbones.scores import Scores
from leukfeat.errors import RunError

WITH = EpochRecord(1, 0.1 / 3, Scores(1 / 3, 0.5, 0.5, None), Scores(2 / 3, 0.75, 0.7, 0.8), 1.5)
WITHOUT = EpochRecord(2, 0.1, Scores(0.25, 0.5, 0.5, 0.5), None, 2.0)


@pytest.mark.parametrize("records", [(WITH,), (WITHOUT,), (WITH, WITHOUT)], ids=["validated", "not", "mixed"])
def test_nothing_is_lost(records: tuple[EpochRecord, ...], tmp_path: Path) -> None:
    """Not a digit: a training that is taken up again goes by these numbers."""
    records = tuple(replace(record, epoch=number) for number, record in enumerate(records, start=1))
    history = History(records, "loss", len(records), "all epochs done")
    assert History.from_description(json.loads(json.dumps(history.describe()))) == history
    assert History.load(history.save(tmp_path / "history.csv")) == history


def test_a_line_says_what_was_kept() -> None:
    """And by which rows."""
    line = History((WITH, WITHOUT), "loss", 1, "all epochs done").line
    assert line == ("2 epochs in 4 s (all epochs done); kept epoch 1: validation loss 0.6667, validation accuracy 0.75")
    assert "training auroc 0.5" in History((WITHOUT,), "auroc", 1, "all epochs done").line


def test_other_tables_are_refused(tmp_path: Path) -> None:
    """A history with a damaged number, or none at all."""
    (tmp_path / "cells.csv").write_text("path,label\na,b\n", encoding="utf-8")
    with pytest.raises(RunError, match="is no training history"):
        History.load(tmp_path / "cells.csv")
