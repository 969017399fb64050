"""Tables from anywhere: every reader reads or refuses, gives back the names that were written, and makes no formula."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leukfeat.audit.measurements import COLUMNS, Measurements
from leukfeat.data.folds import Fold
from leukfeat.data.manifest import Manifest
from leukfeat.data.splitfiles import read_folds, write_folds
from leukfeat.errors import LeukfeatError
from leukfeat.evaluation.predictions import Predictions
from leukfeat.experiments.predicted import PredictedTable
from leukfeat.experiments.recipe import load_recipe
from leukfeat.textfiles import plain_cell, safe_cell, write_csv

SIGNS = "=+-@'\t\r\n ,;\"|＝aé0.5eE"
NAMES = st.text(alphabet=SIGNS, min_size=1, max_size=12)
# what a table can hold as a name: readers strip what stands around paths, labels and subjects
TIDY = NAMES.map(lambda name: " ".join(name.split())).filter(bool)
FORMULAS = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1+1",
    "＝1+1",
    "'=1",
    "''=1",
    "-a/1.png",
)
NUMBERS = ("-0.5", "+3", "-1e-5", ".5", "-.5", "0", "1e300", "-inf")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet may evaluate a cell (OWASP, "CSV Injection"); a number or a sign alone is harmless."""
    return bool(re.match(r"\s*[=+\-@＝＋－＠].|[\t\r\n]", cell, re.DOTALL)) and not re.fullmatch(
        r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)", cell
    )


def cells_of(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


@given(st.text(max_size=20) | NAMES | st.sampled_from(FORMULAS + NUMBERS))
@example("'")
@example("'-0.5")
def test_a_cell_is_read_as_it_was_written_and_is_no_formula(name: str) -> None:
    """Whatever the name: also one that looks as if it had been made safe before."""
    assert plain_cell(safe_cell(name)) == name
    assert not is_formula(safe_cell(name))


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_stay_numbers(number: str) -> None:
    assert safe_cell(number) == number
    float(safe_cell(number))


@pytest.mark.parametrize("name", ["+", "-", "H3", "'tis", "a=b", "ALL/1.png", "@"])
def test_harmless_names_stay_as_they_are(name: str) -> None:
    """Classes are called + and -; other tools read the same names as we."""
    assert safe_cell(name) == name


def predictions_of(samples: list[str], classes: tuple[str, ...]) -> Predictions:
    n = len(samples)
    proba = np.random.default_rng(n).dirichlet(np.ones(len(classes)), n)
    return Predictions(
        sample=np.array(samples),
        subject=np.array(samples[::-1]),
        group=np.array(samples),
        repeat=np.zeros(n, np.int64),
        fold=np.arange(n),
        y_true=np.array([classes[k % len(classes)] for k in range(n)]),
        proba=proba,
        classes=classes,
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.lists(TIDY, min_size=2, max_size=3, unique=True))
@example(list(FORMULAS), ["=ALL", "-HEM", "+"])
def test_predictions_come_back_to_the_last_bit(samples: list[str], classes: list[str]) -> None:
    written = predictions_of(samples, tuple(classes))
    with tempfile.TemporaryDirectory() as folder:
        file = written.save(Path(folder) / "predictions.csv")
        assert Predictions.load(file).digest == written.digest
        assert not [cell for row in cells_of(file) for cell in row if is_formula(cell)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        TIDY.filter(lambda name: "::" not in name and name not in (".", "..")), min_size=2, max_size=5, unique=True
    )
)
@example(["-a", "=b", "+c", "@d", "'=e"])
def test_manifests_and_splits_come_back_as_they_were(names: list[str]) -> None:
    n = len(names)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        manifest = Manifest(
            sample=tuple(names),
            path=tuple(f"{k}.png" for k in range(n)),
            label=tuple(names),
            subject=tuple(f"={name}" for name in names),
            sha256=tuple(f"{k:064x}" for k in range(n)),
            site=tuple(f"@{name}" for name in names),
            root=here,
        )
        file = manifest.save(here / "cells.csv")
        again = Manifest.load(file)
        assert (again.digest, again.site) == (manifest.digest, manifest.site)
        fold = Fold(0, 0, np.arange(1, n), np.empty(0, np.int64), np.array([0]))
        split = write_folds(here / "split.csv", manifest.sample, [fold])
        assert read_folds(split, again.sample, "cells")[0].test.tolist() == [0]
        assert not [cell for table in (file, split) for row in cells_of(table) for cell in row if is_formula(cell)]


def test_every_other_table_is_safe_too(tmp_path: Path) -> None:
    """Predictions of new images and measurements carry sample names from anywhere."""
    names = np.array(FORMULAS)
    n = len(names)
    new = PredictedTable(
        sample=names, subject=names, y_true=np.array(["=a"] * n), proba=np.full((n, 2), 0.5),
        classes=("=a", "-b"), seen=np.zeros(n, np.bool_),
    )  # fmt: skip
    scalars = {name: np.full(n, -0.5) for name in COLUMNS}
    measured = Measurements(tuple(FORMULAS), scalars, tuple(FORMULAS), tuple(FORMULAS))
    files = [new.save(tmp_path / "new.csv"), measured.save(tmp_path / "measured.csv")]
    assert not [cell for file in files for row in cells_of(file) for cell in row if is_formula(cell)]
    again = Measurements.load(files[1])
    assert (again.sample, again.area) == (measured.sample, measured.area)
    assert cells_of(files[1])[1][3] == "-0.5"


# ---------------------------------------------------------------------- whatever stands in a file


BYTES = st.binary(max_size=80)
CELLS = st.text(alphabet="ab/.:=-+'\",;\t\r\n \0é0123456789_proba", max_size=14)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=7), min_size=1, max_size=4)
HEADERS: dict[str, tuple[str, ...]] = {
    "manifest": ("path", "label", "subject", "sha256", "sample", "group", "positive", "copy_of"),
    "split": ("sample", "fold_0", "fold_1", "repeat_0_fold_1"),
    "predictions": ("sample", "y_true", "proba_a", "proba_b", "fold", "repeat", "subject"),
}


def _folds(file: Path) -> Any:
    return read_folds(file, ("a", "b", "a/b"), "cells")


READERS: dict[str, Callable[[Path], Any]] = {
    "manifest": Manifest.open,
    "split": _folds,
    "predictions": Predictions.load,
}


def _read(kind: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        file.write_bytes(content)
        try:
            READERS[kind](file)
        except LeukfeatError as error:
            assert str(error)  # noqa: PT017 (it need not be raised)


@pytest.mark.parametrize("kind", READERS)
@settings(deadline=None, max_examples=80)
@given(content=BYTES)
def test_any_bytes_are_a_table_or_are_refused(kind: str, content: bytes) -> None:
    _read(kind, content)


@pytest.mark.parametrize("kind", READERS)
@settings(deadline=None, max_examples=60)
@given(rows=TABLES, width=st.integers(1, 8), data=st.data())
def test_any_cells_under_the_right_header_are_read_or_refused(
    kind: str, rows: list[list[str]], width: int, data: st.DataObject
) -> None:
    header = data.draw(st.lists(st.sampled_from(HEADERS[kind]), min_size=width, max_size=width))
    wanted = [*HEADERS[kind][:4], *header][: max(4, width)]
    with tempfile.TemporaryDirectory() as folder:
        table = [wanted, *((row * len(wanted))[: len(wanted)] for row in rows)]
        content = write_csv(Path(folder) / "t.csv", table).read_bytes()
    _read(kind, content)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("cell", ["\0", "x\0", "x" * 2000], ids=["null", "null at the end", "long"])
def test_names_that_arrays_or_systems_would_change_are_refused(kind: str, cell: str, tmp_path: Path) -> None:
    """Arrays drop a null at the end, so that two samples become one; one long name makes a column of gigabytes."""
    header = HEADERS[kind][: 3 if kind == "split" else 4]
    rows = [[cell, *["0.5"] * (len(header) - 1)] for _ in range(2)]
    write_csv(tmp_path / "table.csv", [header, *rows])
    with pytest.raises(LeukfeatError, match=r"null character|characters|is not in cells"):
        READERS[kind](tmp_path / "table.csv")


def test_a_long_text_beside_the_names_is_nobody_s_business(tmp_path: Path) -> None:
    """Clinical tables have columns of remarks."""
    (tmp_path / "1.png").write_bytes(b"x")
    write_csv(tmp_path / "cells.csv", [("path", "label", "subject", "remark"), ("1.png", "a", "p", "x" * 5000)])
    assert Manifest.open(tmp_path / "cells.csv").subject == ("p",)


KEYS = st.sampled_from(
    ["data", "path", "split", "folds", "kind", "backbone", "name", "head", "seed", "sites", "x", "<<"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["grouped", "svm"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(KEYS, inside, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(content=st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_mapping_is_a_recipe_or_is_refused_in_one_line(content: dict[str, Any]) -> None:
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        try:
            load_recipe(file)
        except LeukfeatError as error:
            assert "\n" not in str(error)  # noqa: PT017 (it need not be raised)
