"""Splits on disk: a CSV with the column ``sample`` and one column a fold (``fold_0`` …, ``repeat_0_fold_0`` …)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.folds import Fold
from leukfeat.data.listing import read_table
from leukfeat.errors import ManifestError, SplitError
from leukfeat.textfiles import write_csv

Part = Literal["train", "val", "test"]

_PARTS: dict[str, Part | None] = {"train": "train", "val": "val", "test": "test", "": None}
_COLUMN = re.compile(r"(?:repeat_(?P<repeat>\d+)_)?fold_(?P<number>\d+)")


def read_folds(file: Path, samples: Sequence[str], dataset: str) -> tuple[Fold, ...]:
    """Read folds; a cell is ``train``, ``val``, ``test`` or empty (not used).

    Parameters
    ----------
    file : Path
        The CSV.
    samples : sequence of str
        The manifest's samples in order; those the file does not name are not used.
    dataset : str
        What to call the manifest in an error.

    Returns
    -------
    tuple of Fold
        In order of repeat and number.

    Raises
    ------
    SplitError
        No such table, a column or word that means nothing, a sample that is unknown or listed twice.
    """
    try:
        table = read_table(file)
    except ManifestError as error:
        raise SplitError(str(error)) from error
    columns = [name for name in table[0] if name.startswith(("fold_", "repeat_"))]
    if "sample" not in table[0] or not columns:
        raise SplitError(f"{file}: needs the columns sample and fold_0 …; it has {', '.join(table[0])}")
    numbers = {name: _numbers(file, name) for name in columns}
    if len(set(numbers.values())) < len(numbers):
        raise SplitError(f"{file}: two of the columns {', '.join(columns)} mean the same fold; name each fold once")
    row_of = {sample: row for row, sample in enumerate(samples)}
    rows: dict[str, dict[Part, list[int]]] = {name: {"train": [], "val": [], "test": []} for name in columns}
    listed: set[str] = set()
    for line, cells in enumerate(table, start=2):
        sample = cells["sample"]
        if sample not in row_of:
            raise SplitError(f"{file} row {line}: sample {sample!r} is not in {dataset}")
        if sample in listed:
            raise SplitError(f"{file} row {line}: sample {sample!r} is listed twice")
        listed.add(sample)
        for name in columns:
            word = cells[name].strip()
            if word not in _PARTS:
                raise SplitError(f"{file} row {line} column {name}: {word!r} is not train, val, test or empty")
            part = _PARTS[word]
            if part is not None:
                rows[name][part].append(row_of[sample])
    folds = [
        Fold(*numbers[name], _sorted(parts["train"]), _sorted(parts["val"]), _sorted(parts["test"]))
        for name, parts in rows.items()
    ]
    return tuple(sorted(folds, key=lambda fold: (fold.repeat, fold.number)))


def write_folds(file: Path, samples: Sequence[str], folds: Sequence[Fold]) -> Path:
    """Write folds as :func:`read_folds` reads them."""
    columns = fold_columns(folds)
    rows = ([sample, *(part.get(row, "") for part in columns.values())] for row, sample in enumerate(samples))
    return write_csv(file, [["sample", *columns], *rows])


def fold_columns(folds: Sequence[Fold]) -> dict[str, dict[int, Part]]:
    """Part of every used row, by the name of the fold's column."""
    repeats = any(fold.repeat for fold in folds)
    return {
        (f"repeat_{fold.repeat}_" if repeats else "") + f"fold_{fold.number}": {
            **dict.fromkeys(fold.train.tolist(), "train"),
            **dict.fromkeys(fold.validation.tolist(), "val"),
            **dict.fromkeys(fold.test.tolist(), "test"),
        }
        for fold in folds
    }


def _numbers(file: Path, name: str) -> tuple[int, int]:
    found = _COLUMN.fullmatch(name)
    if found is None:
        raise SplitError(f"{file}: column {name!r} is neither fold_N nor repeat_R_fold_N")
    return int(found["repeat"] or 0), int(found["number"])


def _sorted(rows: Sequence[int]) -> NDArray[np.int64]:
    return np.sort(np.asarray(rows, dtype=np.int64))
