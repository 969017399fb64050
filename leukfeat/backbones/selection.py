"""Rows of a training part that training itself sets aside: to choose the epoch, and for the head on the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.folds import grouped_parts
from leukfeat.data.manifest import Manifest
from leukfeat.errors import SplitError

Rows = Sequence[int] | NDArray[np.int64]


def choose_validation(
    manifest: Manifest, rows: Rows, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows into those that are learned from and those that choose the epoch, linked groups whole.

    Parameters
    ----------
    manifest : Manifest
        The data.
    rows : sequence of int
        A training part; every row has a label.
    share : float
        Share of the rows that shall choose the epoch; 0 for none.
    seed : int
        Other seeds choose other groups.

    Returns
    -------
    fit, validation : ndarray of int64
        Sorted; every class is in both, unless ``share`` is 0.

    Raises
    ------
    SplitError
        A class has too few groups for that.
    """
    return _divided(manifest, rows, share, seed, "choose the epoch", "set validation: 0 and keep the last epoch")


def part_for_head(
    manifest: Manifest, rows: Rows, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows into those that train an encoder and those a head is fitted on, linked groups whole.

    Parameters
    ----------
    manifest, rows, seed
        As in :func:`choose_validation`.
    share : float
        Share of the rows that the encoder does not see.

    Returns
    -------
    encoder, head : ndarray of int64
        Sorted; every class is in both.

    Raises
    ------
    SplitError
        A class has too few groups for that.
    """
    return _divided(manifest, rows, share, seed, "be kept for the head", "set head_trains_on: all")


def _divided(
    manifest: Manifest, rows: Rows, share: float, seed: int, purpose: str, remedy: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    kept = np.unique(np.asarray(rows, dtype=np.int64))
    if share == 0:
        return kept, kept[:0]
    labels = np.array([manifest.label[row] for row in kept])
    groups = np.array([manifest.group[row] for row in kept])
    for name in np.unique(labels):
        have = np.unique(groups[labels == name])
        if len(have) < 2:
            raise SplitError(
                f"class {str(name)!r} has only one group of images ({have[0]}) among {len(kept)} training rows, so none"
                f" of it can {purpose}; {remedy}, or give more"
            )
    part = grouped_parts(labels, groups, (1 - share, share), seed)
    first, second = kept[part == 0], kept[part == 1]
    for name in np.unique(labels):
        if not all(np.any(labels[part == side] == name) for side in (0, 1)):
            raise SplitError(
                f"class {str(name)!r} stands in groups with other classes, and these cannot be divided so that some of"
                f" it can {purpose}; {remedy}, or choose another seed"
            )
    return first, second
