"""Folds that a data set ships with, and what has to be said of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.drawn import NO_ROWS, validation_share
from leukfeat.data.folds import Fold
from leukfeat.data.manifest import Manifest
from leukfeat.errors import SplitError, UsageError

DividedBy = Literal["subject", "image"]


def official(manifest: Manifest) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    """The official folds, else the official train and test parts, with notes.

    Raises
    ------
    SplitError
        The manifest has no official parts that make a split.
    """
    part = np.asarray(manifest.official)
    labelled = np.isin(np.arange(len(manifest)), manifest.labelled)
    names = sorted(set(part[labelled]) - {""})
    cv = [name for name in names if name.startswith("fold_")]
    if len(cv) >= 2:
        used = np.isin(part, cv) & labelled
        folds = tuple(
            Fold(0, number, _rows(used & (part != name)), NO_ROWS, _rows(used & (part == name)))
            for number, name in enumerate(cv)
        )
        left_out = sorted(set(names) - set(cv))
        return folds, (f"official folds; not used: {', '.join(left_out)}",) if left_out else ()
    if "train" in names and (tests := [name for name in names if name.startswith("test")]):
        parts = ([name] for name in ("train", "val"))
        train, val, test = (_rows(labelled & np.isin(part, some)) for some in (*parts, tests))
        notes = (f"tested on the official parts {' and '.join(tests)} together",) if len(tests) > 1 else ()
        return (Fold(0, 0, train, val, test),), notes
    raise SplitError(
        f"{manifest.dataset}: no official split; parts found: {', '.join(names) or 'none'}."
        " Use --split grouped, or --split fixed-test --test-part NAME"
    )


def fixed_test(
    manifest: Manifest, test_part: str, validation: float, validation_by: DividedBy, seed: int
) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    """One official part to test on, of which a share may be for validation, and all others not made for testing.

    Raises
    ------
    SplitError
        No such part, or it cannot be divided as asked.
    UsageError
        A share that is none, or an unknown way to divide.
    """
    if validation_by not in ("subject", "image"):
        raise UsageError(f"validation_by: {validation_by!r} is neither 'subject' nor 'image'")
    part = np.asarray(manifest.official)
    labelled = np.isin(np.arange(len(manifest)), manifest.labelled)
    if not (labelled & (part == test_part)).any():
        parts = sorted(set(part[labelled]) - {""})
        raise SplitError(
            f"{manifest.dataset}: no labelled images in official part {test_part!r};"
            f" parts: {', '.join(parts) or 'none'}"
        )
    # other parts that were made for testing are not trained on
    train = _rows(labelled & (part != test_part) & ~np.char.startswith(part, "test"))
    held = _rows(labelled & (part == test_part))
    notes = (f"tested on the official part {test_part}",)
    if not validation:
        return (Fold(0, 0, train, NO_ROWS, held),), notes
    per_image = validation_by == "image"
    if not per_image and not manifest.groups_known:
        raise SplitError(
            f"{manifest.dataset}: {test_part} cannot be divided by subject, because subjects are unknown;"
            " give a column subject or group, or divide it by image (validation_by: image)"
        )
    test, judge = validation_share(manifest, held, validation, seed, per_image=per_image)
    word = "image" if per_image else "subject"
    notes = (
        f"tested on {len(test)} of {len(held)} images of the official part {test_part};"
        f" the others, divided from them by {word}, are the validation part",
    )
    return (Fold(0, 0, train, judge, test),), notes


def _rows(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(chosen).astype(np.int64)
