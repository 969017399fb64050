"""The measurements of many images: made once, in threads, for every baseline that wants them."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.silhouette import CORNER_SIDE, CORNERS, OUTLINE_SIDE, SCALARS, Shape, measure
from leukfeat.data.arrays import is_member
from leukfeat.data.manifest import Manifest
from leukfeat.data.pixels import read_row
from leukfeat.errors import ImageError, UsageError
from leukfeat.textfiles import plain_cell, write_csv

Progress = Callable[[int, int], None]

COLUMNS = (*SCALARS, "file_bytes")
"""The numbers of a table of measurements, in the order of its CSV."""

_TEXTS = ("sample", "rule", "reason")
_MOST_THREADS = 8


@dataclass(frozen=True, eq=False)
class Measurements:
    """A row of measurements for each image.

    Attributes
    ----------
    sample : tuple of str
        Whose they are.
    scalars : mapping of str to ndarray of shape (n,), float64
        By the names of :data:`COLUMNS`; NaN where something is undefined.
    rule : tuple of str
        How each foreground was found.
    reason : tuple of str
        Why there is no foreground, or why the image could not be read; empty where all was measured.
    outline : ndarray of shape (n, 256), uint8, or None
        Down-sampled masks; None in a table that was read from a CSV, which holds numbers only.
    corners : ndarray of shape (n, 4, 192), uint8, or None
        Down-sampled corners; likewise.
    unread : tuple of str
        Samples that could not be read, and have no measurements at all.
    """

    sample: tuple[str, ...]
    scalars: Mapping[str, NDArray[np.float64]]
    rule: tuple[str, ...]
    reason: tuple[str, ...]
    outline: NDArray[np.uint8] | None = None
    corners: NDArray[np.uint8] | None = None
    unread: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sample)

    @cached_property
    def area(self) -> dict[str, float]:
        """Foreground of each sample in square pixels, NaN where there is none."""
        return dict(zip(self.sample, self.scalars["area"].tolist(), strict=True))

    @cached_property
    def lacking(self) -> str:
        """How many images have no foreground, and the most frequent reason; empty where all have one."""
        reasons = Counter(reason for reason in self.reason if reason)
        if not reasons:
            return ""
        return f"no foreground in {reasons.total()} of {len(self)} images: {reasons.most_common(1)[0][0]}"

    def save(self, file: Path | str) -> Path:
        """Write the numbers as CSV: ``sample,rule,reason,image_height,…``; an undefined one is empty."""
        texts = [self.sample, self.rule, self.reason]
        numbers = [["" if math.isnan(v) else repr(v) for v in self.scalars[name].tolist()] for name in COLUMNS]
        return write_csv(file, [(*_TEXTS, *COLUMNS), *zip(*texts, *numbers, strict=True)])

    @classmethod
    def load(cls, file: Path | str) -> Measurements:
        """Read what :meth:`save` wrote.

        Raises
        ------
        UsageError
            The file cannot be read, or is no table of measurements.
        """
        try:
            with Path(file).open(newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream, strict=True))
            return cls(
                scalars={name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS},
                sample=tuple(plain_cell(row["sample"]) for row in rows),
                rule=tuple(plain_cell(row["rule"]) for row in rows),
                reason=tuple(plain_cell(row["reason"]) for row in rows),
            )
        except KeyError as error:
            raise UsageError(f"{file}: is no table of measurements: column {error} is missing") from None
        except (OSError, UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
            raise UsageError(f"{file}: cannot be read as a table of measurements: {error}") from None


def measure_rows(
    manifest: Manifest, rows: Sequence[int] | NDArray[np.int64], *, progress: Progress | None = None
) -> Measurements:
    """Measure the images of some rows; an image is read, measured and forgotten.

    Parameters
    ----------
    manifest : Manifest
        The data.
    rows : sequence of int
        Which rows. Rows of one image (the same digest) are measured once.
    progress : callable(done, total) or None
        Called after every distinct image.

    Returns
    -------
    Measurements
        In the order of ``rows``. A row that cannot be read has the reason, and NaN everywhere.
    """
    numbers = [int(row) for row in rows]
    first = {manifest.sha256[row] or f"row {row}": row for row in reversed(numbers)}

    def one(row: int) -> Shape | str:
        try:
            return measure(read_row(manifest, row))
        except ImageError as error:
            return error.reason

    shapes: dict[str, Shape | str] = {}
    with ThreadPoolExecutor(max_workers=min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for key, shape in zip(first, pool.map(one, first.values()), strict=True):
            shapes[key] = shape
            if progress is not None:
                progress(len(shapes), len(first))
    return _table(manifest, numbers, [shapes[manifest.sha256[row] or f"row {row}"] for row in numbers])


def _table(manifest: Manifest, rows: Sequence[int], shapes: Sequence[Shape | str]) -> Measurements:
    n = len(rows)
    scalars = {name: np.full(n, math.nan) for name in COLUMNS}
    outline = np.zeros((n, OUTLINE_SIDE**2), np.uint8)
    corners = np.zeros((n, len(CORNERS), 3 * CORNER_SIDE**2), np.uint8)
    for number, (row, shape) in enumerate(zip(rows, shapes, strict=True)):
        if isinstance(shape, str):
            continue
        for name in SCALARS:
            scalars[name][number] = shape.scalars[name]
        scalars["file_bytes"][number] = _size(manifest, row)
        outline[number] = shape.outline.ravel()
        corners[number] = shape.corners.reshape(len(CORNERS), -1)
    return Measurements(
        sample=tuple(manifest.sample[row] for row in rows),
        scalars=scalars,
        rule=tuple("" if isinstance(shape, str) else shape.rule for shape in shapes),
        reason=tuple(shape if isinstance(shape, str) else shape.reason for shape in shapes),
        outline=outline,
        corners=corners,
        unread=tuple(manifest.sample[row] for row, shape in zip(rows, shapes, strict=True) if isinstance(shape, str)),
    )


def _size(manifest: Manifest, row: int) -> float:
    """Bytes of a row's file; NaN inside an array file, where an image has none of its own."""
    if is_member(manifest.path[row]):
        return math.nan
    try:
        return float(manifest.file(row).stat().st_size)
    except OSError:  # gone since it was read
        return math.nan
