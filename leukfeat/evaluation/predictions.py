"""Out-of-fold predictions: the narrow waist between every model and every number."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from leukfeat.data.words import UNKNOWN
from leukfeat.errors import PredictionsError
from leukfeat.textfiles import plain_cell, write_csv

_KEYS = ("sample", "subject", "group", "repeat", "fold", "y_true", "y_pred")
_COLUMNS: Mapping[str, DTypeLike] = {
    "sample": np.str_,
    "subject": np.str_,
    "group": np.str_,
    "repeat": np.int64,
    "fold": np.int64,
    "y_true": np.str_,
    "proba": np.float64,
}
_PREFIX = "proba_"
_LONGEST_NAME = 1024  # characters; a column becomes an array in which every name takes as much room
_WHOLE = 2**53  # beyond this a float no longer tells neighbouring integers apart


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities for samples that the model had not seen.

    Attributes
    ----------
    sample, subject, group : ndarray of shape (n,), str
        Who; ``subject`` is ``"unknown"`` where nobody knows.
    repeat, fold : ndarray of shape (n,), int64
        The fold in which the sample was tested.
    y_true : ndarray of shape (n,), str
        True class.
    proba : ndarray of shape (n, k), float64
        Probability of each class; rows sum to 1.
    classes : tuple of str
        The classes, in the order of ``proba``'s columns.
    positive : str or None
        The class that counts as positive; needed for sensitivity and the like in two-class problems.

    Raises
    ------
    PredictionsError
        Arrays of different length, a label that is not a class, a sample twice in one repeat, or probabilities that
        are not finite, outside [0, 1], or do not sum to 1 (tolerance 1e-3).
    """

    sample: NDArray[np.str_]
    subject: NDArray[np.str_]
    group: NDArray[np.str_]
    repeat: NDArray[np.int64]
    fold: NDArray[np.int64]
    y_true: NDArray[np.str_]
    proba: NDArray[np.float64]
    classes: tuple[str, ...]
    positive: str | None = None

    once_within: ClassVar[tuple[str, ...]] = ("repeat",)  # in which a sample stands once

    def __post_init__(self) -> None:
        for name, kind in _COLUMNS.items():  # one dtype everywhere, or the digest would depend on who made the array
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))
        n = len(self.sample)
        for name in _COLUMNS:
            if len(getattr(self, name)) != n:
                raise PredictionsError(f"predictions: {name} has {len(getattr(self, name))} rows, sample has {n}")
        if n == 0:
            raise PredictionsError("predictions: no rows")
        if self.proba.shape != (n, len(self.classes)) or len(self.classes) < 2:
            raise PredictionsError(f"predictions: proba is {self.proba.shape} for classes {', '.join(self.classes)}")
        if len(set(self.classes)) < len(self.classes):
            raise PredictionsError(f"predictions: a class stands twice in {', '.join(self.classes)}")
        unknown = sorted(set(self.y_true.tolist()) - set(self.classes))
        if unknown:
            raise PredictionsError(
                f"predictions: true label {unknown[0]!r} has no probability column; classes: {', '.join(self.classes)}"
            )
        if self.positive is not None and self.positive not in self.classes:
            raise PredictionsError(
                f"predictions: positive class {self.positive!r} is not among the classes {', '.join(self.classes)}"
            )
        self._check_proba()
        self._check_once()

    def _check_proba(self) -> None:
        bad = ~np.isfinite(self.proba).all(axis=1)
        what = "not finite"
        if not bad.any():
            bad, what = ((self.proba < 0) | (self.proba > 1)).any(axis=1), "outside [0, 1]"
        if not bad.any():
            bad, what = np.abs(self.proba.sum(axis=1) - 1) > 1e-3, "not summing to 1"
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise PredictionsError(
                f"predictions row {row + 2} (sample {self.sample[row]}): probabilities {self.proba[row].tolist()} are"
                f" {what} ({int(bad.sum())} such rows)"
            )

    def _check_once(self) -> None:
        if len(set(self.sample.tolist())) == len(self):
            return
        within = self.once_within
        keys = Counter(zip(*(getattr(self, name).tolist() for name in (*within, "sample")), strict=True))
        (key, times) = keys.most_common(1)[0]
        if times > 1:
            same = np.all([getattr(self, name) == value for name, value in zip(within, key, strict=False)], axis=0)
            rows = np.flatnonzero(same & (self.sample == key[-1])) + 2
            where = " ".join(f"{name} {value}" for name, value in zip(within, key, strict=False))
            raise PredictionsError(
                f"predictions rows {', '.join(map(str, rows[:5]))}: sample {key[-1]!r} stands {times} times in {where};"
                f" keep one row a sample and {' and '.join(within)}"
            )

    def __len__(self) -> int:
        return len(self.sample)

    @cached_property
    def y_pred(self) -> NDArray[np.str_]:
        """The most probable class of each row; a tie goes to the name that sorts first, in whatever column it is."""
        order = sorted(range(len(self.classes)), key=self.classes.__getitem__)
        names = np.array([self.classes[k] for k in order], dtype=np.str_)
        predicted: NDArray[np.str_] = names[self.proba[:, order].argmax(axis=1)]
        return predicted

    @cached_property
    def subjects_known(self) -> bool:
        """Whether rows carry real subject ids."""
        return not (self.subject == UNKNOWN).any()

    @cached_property
    def divided_groups(self) -> int:
        """Groups tested in more than one fold of a repeat: their images stood on both sides."""
        return self._divided(self.group)

    @cached_property
    def divided_subjects(self) -> int:
        """Known subjects tested in more than one fold of a repeat; 0 where subjects are unknown."""
        return self._divided(self.subject) if self.subjects_known else 0

    @cached_property
    def mixed_subjects(self) -> tuple[str, ...]:
        """Known subjects with cells of several classes, in order of first appearance."""
        if not self.subjects_known:
            return ()
        pairs = dict.fromkeys(zip(self.subject.tolist(), self.y_true.tolist(), strict=True))
        classes = Counter(subject for subject, _ in pairs)
        return tuple(subject for subject, times in classes.items() if times > 1)

    def _divided(self, owner: NDArray[np.str_]) -> int:
        folds: dict[tuple[int, str], set[int]] = {}
        for repeat, name, fold in zip(self.repeat.tolist(), owner.tolist(), self.fold.tolist(), strict=True):
            folds.setdefault((repeat, name), set()).add(fold)
        return len({name for (_, name), numbers in folds.items() if len(numbers) > 1})

    @cached_property
    def digest(self) -> str:
        """sha256 over every value, probabilities to the last bit."""
        seal = hashlib.sha256(json.dumps([self.classes, self.positive]).encode())
        for name in _COLUMNS:
            column = getattr(self, name)
            text = column.dtype.kind == "U"  # as JSON, where no name can be mistaken for two
            seal.update(json.dumps(column.tolist()).encode() if text else np.ascontiguousarray(column).tobytes())
        return seal.hexdigest()

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """Some rows, in the order given."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return replace(self, **columns)

    def with_positive(self, positive: str) -> Self:
        """The same predictions with the positive class stated."""
        return replace(self, positive=positive)

    def with_classes(self, classes: Sequence[str]) -> Self:
        """The same predictions with the probability columns in another order."""
        if sorted(classes) != sorted(self.classes):
            raise PredictionsError(
                f"predictions: classes are {', '.join(self.classes)}; they cannot be put as {', '.join(classes)}"
            )
        if tuple(classes) == self.classes:
            return self
        order = [self.classes.index(name) for name in classes]
        return replace(self, proba=self.proba[:, order], classes=tuple(classes))

    @classmethod
    def concatenate(cls, pieces: Sequence[Self]) -> Self:
        """Put the folds of one run together; all must name the same classes in the same order."""
        first = pieces[0]
        if any((piece.classes, piece.positive) != (first.classes, first.positive) for piece in pieces):
            raise PredictionsError("predictions: pieces with different classes cannot be put together")
        columns: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in pieces]) for name in _COLUMNS}
        return replace(first, **columns)

    def save(self, file: Path | str) -> Path:
        """Write CSV: ``sample,subject,group,repeat,fold,y_true,y_pred,proba_<class>…``, floats exact."""
        columns = [getattr(self, name).tolist() for name in _KEYS]
        columns += [[repr(p) for p in column] for column in self.proba.T.tolist()]
        header = [*_KEYS, *(f"{_PREFIX}{name}" for name in self.classes)]
        return write_csv(file, [header, *zip(*columns, strict=True)])

    @classmethod
    def load(cls, file: Path | str, *, positive: str | None = None) -> Self:
        """Read a predictions CSV, ours or another tool's.

        ``sample``, ``y_true`` and ``proba_<class>`` columns are needed. Without ``subject`` the subjects are unknown;
        without ``group`` a group is a subject (or, where subjects are unknown, a sample); without ``repeat`` and
        ``fold`` there is one of each. Other columns are left alone; the predicted class is always the most probable.

        Raises
        ------
        PredictionsError
            The file cannot be read, lacks a column, or holds a number that is none.
        """
        table = _Table.read(Path(file))
        probabilities = [name for name in table.columns if name.startswith(_PREFIX)]
        if not {"sample", "y_true"} <= set(table.columns) or len(probabilities) < 2:
            raise PredictionsError(
                f"{file}: needs sample, y_true and at least two {_PREFIX}<class> columns;"
                f" it has {', '.join(table.columns) or 'none'}"
            )
        n = len(table.row)
        sample = table.names("sample")
        subject = table.names("subject") if "subject" in table.columns else (UNKNOWN,) * n
        alone = tuple(s if who == UNKNOWN else who for s, who in zip(sample, subject, strict=True))
        zeros = np.zeros(n, dtype=np.int64)
        columns: dict[str, Any] = {
            "sample": np.array(sample),
            "subject": np.array(subject),
            "group": np.array(table.names("group") if "group" in table.columns else alone),
            "repeat": table.integers("repeat") if "repeat" in table.columns else zeros,
            "fold": table.integers("fold") if "fold" in table.columns else zeros,
            "y_true": np.array(table.names("y_true")),
            "proba": np.column_stack([table.floats(name) for name in probabilities]),
        }
        try:
            return cls(**columns, classes=tuple(n.removeprefix(_PREFIX) for n in probabilities), positive=positive)
        except PredictionsError as error:
            raise PredictionsError(f"{file}: {error}") from None


@dataclass(frozen=True)
class _Table:
    """A CSV as text columns, with the row each value stands in, as a spreadsheet would number it."""

    file: Path
    columns: Mapping[str, tuple[str, ...]]
    row: tuple[int, ...]

    @classmethod
    def read(cls, file: Path) -> _Table:
        try:
            with file.open(newline="", encoding="utf-8-sig") as stream:
                lines = [(number, line) for number, line in enumerate(csv.reader(stream), start=1) if line]
        except FileNotFoundError:
            raise PredictionsError(f"{file}: no such file") from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise PredictionsError(f"{file}: cannot be read as a CSV: {error}") from error
        if len(lines) < 2:
            raise PredictionsError(f"{file}: holds no rows")
        (_, first), *body = lines
        header = [plain_cell(cell) for cell in first]
        twice = [name for name, times in Counter(header).items() if times > 1 and name]
        if twice:
            raise PredictionsError(f"{file}: column {twice[0]!r} stands there twice; keep one")
        uneven = [(number, len(line)) for number, line in body if len(line) != len(header)]
        if uneven:
            raise PredictionsError(
                f"{file} row {uneven[0][0]}: {uneven[0][1]} values for {len(header)} columns ({len(uneven)} such rows)"
            )
        nulls = [number for number, line in lines if "\0" in "".join(line)]
        if nulls:
            raise PredictionsError(f"{file} row {nulls[0]}: holds a null character; is it damaged?")
        columns = map(_plain_column, zip(*(line for _, line in body), strict=True))
        return cls(file, dict(zip(header, columns, strict=True)), tuple(number for number, _ in body))

    def names(self, name: str) -> tuple[str, ...]:
        values = self.columns[name]
        longest = max(values, key=len)
        if len(longest) > _LONGEST_NAME:
            row = self.row[values.index(longest)]
            raise PredictionsError(
                f"{self.file} row {row}: {name} has {len(longest):,} characters; at most {_LONGEST_NAME:,} are read"
            )
        if "" in values:
            row = self.row[values.index("")]
            raise PredictionsError(
                f"{self.file} row {row}: {name} is empty ({values.count('')} such rows); fill it"
                + (", or leave the column out" if name in ("subject", "group") else "")
            )
        return values

    def floats(self, name: str) -> NDArray[np.float64]:
        try:
            return np.array(self.columns[name], dtype=np.float64)
        except ValueError:
            row, value = next(
                (row, value) for row, value in zip(self.row, self.columns[name], strict=True) if not _is_number(value)
            )
            raise PredictionsError(f"{self.file} row {row}: {name} is {value!r}, not a number") from None

    def integers(self, name: str) -> NDArray[np.int64]:
        numbers = self.floats(name)  # "3.0" is what some tools make of 3
        wrong = np.flatnonzero(~((np.abs(numbers) < _WHOLE) & (numbers == np.floor(numbers))))
        if len(wrong):
            row, value = self.row[wrong[0]], self.columns[name][wrong[0]]
            raise PredictionsError(f"{self.file} row {row}: {name} is {value!r}, not a whole number")
        return numbers.astype(np.int64)


def _plain_column(cells: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of which :func:`safe_cell` made a column; most columns hold nothing that it would have changed."""
    return tuple(map(plain_cell, cells)) if "'" in "".join(cells) else cells


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
