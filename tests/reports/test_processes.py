"""Numbers of many runs are those of one process, wherever they are computed."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run
from leukfeat.reports import processes
from leukfeat.reports.comparison import Comparison, compare
from leukfeat.reports.processes import of_each
from leukfeat.reports.sections import Drawing, write_drawings
from leukfeat.reports.table import Table


def run_with(seed: int) -> Run:
    """A run on cells of 12 subjects in 3 folds, its probabilities drawn by chance."""
    subject = np.repeat(np.arange(12), 6)
    y = subject % 2
    positive = 1 / (1 + np.exp(-(2 * y - 1) - 2 * np.random.default_rng(seed).normal(size=len(y))))
    return Run(
        name=f"run {seed}",
        predictions=Predictions(
            sample=np.array([f"{row}.bmp" for row in range(len(y))]),
            subject=subject.astype(str),
            group=subject.astype(str),
            repeat=np.zeros(len(y), dtype=np.int64),
            fold=subject // 2 % 3,
            y_true=np.array(["healthy", "leukemia"])[y],
            proba=np.column_stack([1 - positive, positive]),
            classes=("healthy", "leukemia"),
            positive="leukemia",
        ),
    )


def test_items_keep_their_order_and_few_rows_stay_in_this_process() -> None:
    assert of_each(lambda item: (item, os.getpid()), [3, 1, 2], rows=100) == [(item, os.getpid()) for item in (3, 1, 2)]


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes for tests of a suite that has one each otherwise, and for any number of rows."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setattr(processes, "WORTHWHILE", 0)


@pytest.mark.usefixtures("two_processors")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor")
def test_many_rows_go_to_other_processes_in_their_order() -> None:
    # a lambda, because another process cannot import a module of tests
    found = of_each(lambda item: (item, os.getpid()), [3, 1, 2], rows=3)
    assert [item for item, _ in found] == [3, 1, 2]
    assert os.getpid() not in {process for _, process in found}


def test_a_comparison_is_the_same_from_several_processes(request: pytest.FixtureRequest) -> None:
    runs = [run_with(seed) for seed in range(3)]
    alone = compare(runs)
    told, tables = alone.to_dict(), texts(alone)
    request.getfixturevalue("two_processors")
    spread = compare([replace(run) for run in runs])
    assert spread.to_dict() == told  # pairs too: differences are of the same draws, whichever process made them
    assert texts(spread) == tables


@pytest.mark.parametrize("grid", [False, True])
def test_a_report_is_the_same_files_from_several_processes(
    request: pytest.FixtureRequest, tmp_path: Path, grid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the caller has set for figures of his own."""
    monkeypatch.setitem(matplotlib.rcParams, "axes.grid", grid)
    runs = [run_with(seed) for seed in range(3)]
    compare(runs).save(tmp_path / "alone")
    request.getfixturevalue("two_processors")
    compare([replace(run) for run in runs]).save(tmp_path / "spread")
    names = sorted(file.name for file in (tmp_path / "alone").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "spread").iterdir())
    assert len([name for name in names if name.endswith(".pdf")]) > 5
    different = [
        name for name in names if (tmp_path / "alone" / name).read_bytes() != (tmp_path / "spread" / name).read_bytes()
    ]
    assert not different


def test_drawings_are_written_where_they_are_asked_for(two_processors: None) -> None:
    where = lambda form: f"{form} {os.getpid()}".encode()  # noqa: E731 (another process cannot import a test)
    drawings = [Drawing(name, name, "", Table(name, (), ()), where) for name in "ab"]
    write_drawings(drawings, rows=0)
    for drawing in drawings:
        form, process = drawing.svg.split()
        assert (form, drawing.pdf) == ("svg", f"pdf {process}".encode())
        assert int(process) != os.getpid()


@pytest.mark.usefixtures("two_processors")
def test_warnings_of_other_processes_are_heard() -> None:
    def loud(item: int) -> int:
        import warnings

        warnings.warn(f"{item} is odd", UserWarning, stacklevel=1)
        return item

    with pytest.warns(UserWarning, match="is odd"):
        assert of_each(loud, [3, 5], rows=0) == [3, 5]


def texts(comparison: Comparison) -> dict[str, list[str]]:
    """Every table as text."""
    return {name: table.to_lines() for name, table in comparison.tables.items()}


@pytest.mark.usefixtures("two_processors")
def test_an_error_of_another_process_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        of_each(partial(int, base=10), ["1", "x"], rows=0)
