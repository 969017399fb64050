"""The curves of a training are drawn from its CSV alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from leukfeat.errors import RunError, UnknownNameError
from leukfeat.reports.training import draw_training

HEADER = (
    "epoch,lr,train_loss,train_accuracy,train_balanced_accuracy,train_auroc,validation_loss,validation_accuracy,"
    "validation_balanced_accuracy,validation_auroc,seconds,metric,chosen,ended"
)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Three epochs of which the second was kept."""
    rows = [
        f"{epoch},{0.001 / epoch},{1 / epoch},0.7,0.7,0.8,{loss},0.6,0.65,0.7,9.5,loss,{int(epoch == 2)},done"
        for epoch, loss in ((1, 0.9), (2, 0.5), (3, 0.7))
    ]
    file = tmp_path / "history.csv"
    file.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return file


def test_the_figure_names_its_curves_and_the_epoch_that_was_kept(history: Path) -> None:
    """As text, so that it can be read, searched and set in another font."""
    svg = draw_training(history)
    for words in ("loss", "balanced accuracy", "learning rate", "epoch 2 of 3 is kept (chosen by loss)", "validation"):
        assert words in svg
    assert "AUROC" in draw_training(history, metric="auroc")
    assert svg == draw_training(history)  # the same figure twice is the same file


def test_a_training_without_validation_has_one_curve(history: Path) -> None:
    """No empty legend entry for what there is not."""
    lines = [line.split(",") for line in history.read_text(encoding="utf-8").splitlines()]
    for line in lines[1:]:
        line[6:10] = [""] * 4
    history.write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")
    svg = draw_training(history)
    assert "training (as shown: augmented)" in svg
    assert ">validation<" not in svg


def test_other_tables_are_refused(history: Path, tmp_path: Path) -> None:
    """With the column that is missing."""
    other = tmp_path / "cells.csv"
    other.write_text("path,label\na.png,ALL\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"is no training history \('metric'\)"):
        draw_training(other)
    with pytest.raises(UnknownNameError, match="training curve 'acuracy' is not known; did you mean 'accuracy'"):
        draw_training(history, metric="acuracy")


def test_drawing_needs_no_torch(history: Path) -> None:
    """A history can be drawn for ever, wherever it was made."""
    code = (
        f"from leukfeat.reports.training import draw_training; import sys; draw_training({str(history)!r});"
        " raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
