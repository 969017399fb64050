"""C-NMC 2019 by its file names: subjects, classes and official parts of every copy in circulation.

Training cells are called ``UID_<subject>_<image>_<cell>_<all|hem>.bmp`` and lie in ``fold_0`` … ``fold_2``. The images
of the preliminary and the final test phase are called ``<number>.bmp``; what the preliminary ones show is written in a
label CSV with the columns ``Patient_ID,new_names,labels``.

References
----------
Gupta, A. & Gupta, R. (2019). C-NMC 2019: classification of normal versus malignant cells in B-ALL white blood cancer
microscopic images. The Cancer Imaging Archive. https://doi.org/10.7937/tcia.2019.dc64i46r
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from leukfeat.data.listing import Entry, Listing, Tree
from leukfeat.errors import ManifestError

NAME = "cnmc"
POSITIVE = "ALL"

_CELL = re.compile(r"UID_(?P<subject>H?\d+)_(?P<image>\d+)_(?P<cell>\d+)_(?P<label>all|hem)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_FOLD = re.compile(r"fold_\d+", re.IGNORECASE)
_PARTS = (  # folder names of The Cancer Imaging Archive, of Kaggle, and of the challenge's server
    ("prelim", re.compile(r"C-NMC_test_prelim.*|validation_data|phase2", re.IGNORECASE)),
    ("final", re.compile(r"C-NMC_test_final.*|testing_data|phase3", re.IGNORECASE)),
)
_LABEL_FILE = re.compile(r"C-NMC_test_prelim.*\.csv|phase2\.csv", re.IGNORECASE)
_CLASSES = {"1": "ALL", "0": "HEM"}


@dataclass(frozen=True)
class _Cell:
    """What a cell's name says."""

    subject: str
    label: str


def matches(name: str) -> bool:
    """Whether a file name belongs to C-NMC."""
    path = PurePosixPath(name)
    return bool(_CELL.fullmatch(path.stem) or (_NUMBER.fullmatch(path.stem) and _part(path) in ("prelim", "final")))


def read(tree: Tree) -> Listing:
    """List a copy of C-NMC 2019, in any of its layouts.

    Subject ids are upper-cased: ``h3`` is the healthy subject ``H3``. Preliminary images are joined with their label
    CSV by file name, never by order; without it they are listed without label. Final-phase labels are not public. An
    image that a copy holds twice, in a folder and in a folder of the same name within, is listed once.

    Raises
    ------
    ManifestError
        A name whose class contradicts its subject id, its folder or its row of the label CSV; a label CSV that cannot
        be read.
    """
    told, label_file = _labels(tree)
    entries: dict[tuple[str, str], Entry] = {}
    skipped: list[tuple[str, str]] = []
    for name in sorted(tree.images, key=lambda name: (name.count("/"), name)):
        path = PurePosixPath(name)
        part = _part(path)
        if cell := _cell(path.name):
            _check_folder(name, cell)
        elif not _NUMBER.fullmatch(path.stem) or part not in ("prelim", "final"):
            skipped.append((name, "the name is neither UID_<subject>_<image>_<cell>_<all|hem> nor a test image's"))
            continue
        elif part == "prelim":
            cell = told.get(path.stem)
        if (part, path.name) in entries:
            skipped.append((name, f"this official part holds an image of the same name ({path.name}) already"))
            continue
        entries[part, path.name] = Entry(name, cell.label if cell else "", cell.subject if cell else "", official=part)
    have = {PurePosixPath(name).stem for part, name in entries if part == "prelim"}
    if have:
        skipped += [
            (f"{number}.bmp", f"{label_file} names it, but there is no such image") for number in told.keys() - have
        ]
    rows = sorted(entries.values(), key=lambda entry: entry.path)
    return Listing(NAME, tuple(rows), POSITIVE, tuple(sorted(skipped)))


def _cell(name: str) -> _Cell | None:
    """Subject and class from a cell's file name; the id of a healthy subject starts with H, and no other does."""
    found = _CELL.fullmatch(PurePosixPath(name).stem)
    if found is None:
        return None
    cell = _Cell(found["subject"].upper(), found["label"].upper())
    if (cell.label == "HEM") != cell.subject.startswith("H"):
        raise ManifestError(
            f"{name}: class {cell.label} contradicts subject {cell.subject} (healthy ids start with H, others do not);"
            " correct the name or remove the file"
        )
    return cell


def _check_folder(name: str, cell: _Cell) -> None:
    folder = PurePosixPath(name).parent.name.upper()
    if folder in _CLASSES.values() and folder != cell.label:
        raise ManifestError(
            f"{name}: lies in folder {folder.lower()}, but its name says {cell.label}; remove the wrong one"
        )


def _part(path: PurePosixPath) -> str:
    """Official part by the innermost folder that names one; empty where none does."""
    for folder in reversed(path.parts[:-1]):
        if _FOLD.fullmatch(folder):
            return folder.lower()
        for part, pattern in _PARTS:
            if pattern.fullmatch(folder):
                return part
    return ""


def _labels(tree: Tree) -> tuple[dict[str, _Cell], str]:
    """Subject and class of each preliminary image by its number, and the file that says so."""
    for name in tree.names:
        if not _LABEL_FILE.fullmatch(PurePosixPath(name).name):
            continue
        text = tree.text(name)
        if text is None:  # a checksum list: the name is known, the text is not
            continue
        try:
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
        except csv.Error as error:
            raise ManifestError(f"{name}: cannot be read as a CSV: {error}") from error
        lacking = [
            column for column in ("Patient_ID", "new_names", "labels") if column not in (rows[0] if rows else {})
        ]
        if lacking:
            raise ManifestError(
                f"{name}: column {', '.join(lacking)} is missing; it joins labels to the preliminary images"
            )
        return {
            PurePosixPath(row["new_names"] or "").stem: _told(name, line, row) for line, row in enumerate(rows, 2)
        }, name
    return {}, ""


def _told(file: str, line: int, row: dict[str, str]) -> _Cell:
    known = (row["Patient_ID"] or "").strip()
    cell = _cell(known)
    if cell is None:
        raise ManifestError(f"{file} row {line}: {known!r} is not UID_<subject>_<image>_<cell>_<all|hem>.bmp")
    if _CLASSES.get((row["labels"] or "").strip()) != cell.label:
        raise ManifestError(
            f"{file} row {line}: labels is {row['labels']!r}, but {known} says {cell.label} (1 = ALL, 0 = HEM)"
        )
    return cell
