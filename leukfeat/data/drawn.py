"""Folds that are drawn by chance: cross-validation, hold-outs, and a reserved test part.

Every function takes a manifest and gives the folds; :class:`~leukfeat.data.splits.SplitPlan` makes plans of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.folds import Fold, grouped_folds, grouped_parts
from leukfeat.data.manifest import Manifest
from leukfeat.data.words import IMAGE_LEVEL
from leukfeat.errors import SplitError, UsageError

NO_ROWS = np.zeros(0, dtype=np.int64)

_DRAWS = 16  # of which the best balanced is kept

TrainsOn = Literal["rest", "one"]

Whole = Literal["group", "subject", "image"]
"""What is never divided: linked groups, subject ids whatever they are linked to, or nothing but images."""


def cross_validation(manifest: Manifest, n_folds: int, n_repeats: int, seed: int, *, whole: Whole) -> tuple[Fold, ...]:
    """Every labelled row tested once a repeat, with all others of its group, of its subject, or alone.

    Raises
    ------
    SplitError
        Nothing groups the images, nobody knows the subjects, or a class has fewer groups than folds.
    UsageError
        Fewer than two folds, or no repeat.
    """
    if n_folds < 2:
        raise UsageError(f"--folds {n_folds}: at least 2 are needed")
    if whole == "group":
        _needs_groups(manifest, "grouped")
    if whole == "subject":
        _needs_subjects(manifest)
    return tuple(
        Fold(repeat, number, rows[fold_of != number], NO_ROWS, rows[fold_of == number])
        for repeat, own_seed in _seeds(seed, n_repeats)
        for rows, fold_of in [_dealt(manifest, n_folds, own_seed, whole)]
        for number in range(n_folds)
    )


def holdout(
    manifest: Manifest, fractions: Sequence[float], n_repeats: int, seed: int, *, per_image: bool
) -> tuple[Fold, ...]:
    """One training, validation and test part a repeat, of about the wanted shares.

    Raises
    ------
    SplitError
        Nothing groups the images, or a class has too few groups to stand in every part.
    UsageError
        Shares that are none, or no repeat.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or not shares[0] * shares[2]:
        raise UsageError(
            f"--fractions {'/'.join(f'{f:g}' for f in fractions)}: give train/validation/test such as 60/20/20"
        )
    if not per_image:
        _needs_groups(manifest, "holdout")
    rows = _labelled(manifest)
    folds = []
    for repeat, own_seed in _seeds(seed, n_repeats):
        train, validation, test = in_parts(manifest, rows, shares.tolist(), own_seed, per_image=per_image)
        folds.append(Fold(repeat, 0, train, validation, test))
    return tuple(folds)


def reserved(manifest: Manifest, n_folds: int, seed: int, train: TrainsOn, validation: float) -> tuple[Fold, ...]:
    """Grouped folds of which the last is the test part of all; each of the others makes one fold of the plan.

    A sample is tested once in each, so each has a repeat number of its own.

    Raises
    ------
    SplitError
        Nothing groups the images, or a class has too few groups for the folds, or for a fold's validation share.
    UsageError
        Too few folds, a share that is none, or an unknown way to train.
    """
    if train not in ("rest", "one"):
        raise UsageError(f"train: {train!r} is neither 'rest' (all folds but two) nor 'one' (a single fold)")
    if n_folds < (least := 3 if train == "rest" else 2):
        raise UsageError(f"--folds {n_folds}: at least {least} are needed, of which one is reserved for testing")
    _needs_groups(manifest, "reserved")
    rows, fold_of = _dealt(manifest, n_folds, seed, "group")
    test = rows[fold_of == n_folds - 1]
    folds = []
    for number in range(n_folds - 1):
        own = rows[fold_of == number]
        if train == "rest":
            learn, judge = rows[(fold_of != number) & (fold_of != n_folds - 1)], own
        else:
            learn, judge = _some_groups(manifest, own, validation, seed + number)
        folds.append(Fold(number, 0, learn, judge, test))
    return tuple(folds)


def validation_share(
    manifest: Manifest, rows: NDArray[np.int64], share: float, seed: int, *, per_image: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows into (what remains, a validation part of about the wanted share); a share of 0 leaves all.

    Raises
    ------
    SplitError
        A class has fewer than two groups among the rows.
    UsageError
        The share is not from 0 to less than 1.
    """
    _check_share(share)
    if not share:
        return rows, NO_ROWS
    remaining, validation = in_parts(manifest, rows, [1 - share, share], seed, per_image=per_image)
    return remaining, validation


def _some_groups(
    manifest: Manifest, rows: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As :func:`validation_share`, but a share of the groups, each counted once, however many images it has.

    Of a few such draws the one is taken that comes closest to the share in images too.
    """
    _check_share(share)
    if not share:
        return rows, NO_ROWS
    _, first, group_of = np.unique(np.asarray(manifest.group)[rows], return_index=True, return_inverse=True)
    label = np.asarray(manifest.label)[rows[first]]
    _, unit = _groups_of(manifest, rows, "group")
    seeds = np.random.SeedSequence(seed).generate_state(_DRAWS).tolist()
    try:
        draws = [grouped_parts(label, None, [1 - share, share], one, unit=unit)[group_of] for one in seeds]
    except SplitError as error:
        raise SplitError(f"{manifest.dataset}: {error}") from None
    part = min(draws, key=lambda draw: abs(float(draw.mean()) - share))
    return rows[part == 0], rows[part == 1]


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise UsageError(f"validation: {share:g} is no share; give 0 for none, or e.g. 0.2")


def in_parts(
    manifest: Manifest, rows: NDArray[np.int64], shares: Sequence[float], seed: int, *, per_image: bool
) -> list[NDArray[np.int64]]:
    """Rows of each part, of about the wanted shares, every class in every part.

    Raises
    ------
    SplitError
        A class has fewer groups (images, where they are divided) than there are parts.
    """
    groups, unit = _groups_of(manifest, rows, "image" if per_image else "group")
    try:
        part = grouped_parts(np.asarray(manifest.label)[rows], groups, shares, seed, unit=unit)
    except SplitError as error:
        raise SplitError(f"{manifest.dataset}: {error}") from None
    return [rows[part == number] for number in range(len(shares))]


def _dealt(manifest: Manifest, n_folds: int, seed: int, whole: Whole) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labelled rows, and the fold number of each."""
    rows = _labelled(manifest)
    groups, unit = _groups_of(manifest, rows, whole)
    try:
        return rows, grouped_folds(np.asarray(manifest.label)[rows], groups, n_folds, seed, unit=unit)
    except SplitError as error:
        raise SplitError(f"{manifest.dataset}: {error}") from None


def _labelled(manifest: Manifest) -> NDArray[np.int64]:
    """Rows with a label, of at least two classes."""
    if len(manifest.classes) < 2:
        raise SplitError(
            f"{manifest.dataset}: only one class ({', '.join(manifest.classes) or 'none'}); two are needed"
        )
    return manifest.labelled


def _groups_of(manifest: Manifest, rows: NDArray[np.int64], whole: Whole) -> tuple[NDArray[np.str_] | None, str]:
    """What is kept whole, and what one of it is called."""
    if whole == "image":
        return None, "image"
    if whole == "subject":  # upper and lower case are one subject, as they are in groups
        return np.array([manifest.subject[row].casefold() for row in rows]), "subject"
    linked = "linked subject" if manifest.links else "subject"
    return np.asarray(manifest.group)[rows], linked if manifest.subjects_known else "group"


def _needs_groups(manifest: Manifest, kind: str) -> None:
    if not manifest.groups_known:
        raise SplitError(
            f"{manifest.dataset}: a {kind} split needs subjects, and they are unknown; give a column subject or group,"
            f" or use --split per-image and accept the words '{IMAGE_LEVEL}' in every output"
        )


def _needs_subjects(manifest: Manifest) -> None:
    if not manifest.subjects_known:
        raise SplitError(
            f"{manifest.dataset}: a split by subject needs subjects, and they are unknown; give a column subject, or"
            " use --split grouped where a column group keeps images together"
        )


def _seeds(seed: int, n_repeats: int) -> Iterator[tuple[int, int]]:
    """Every repeat and a seed of its own."""
    if n_repeats < 1:
        raise UsageError(f"--repeats {n_repeats}: at least 1 is needed")
    for repeat in range(n_repeats):
        yield repeat, int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])
