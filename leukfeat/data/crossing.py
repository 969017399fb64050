"""What stands on two sides of a division: owners of rows, and linked subjects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.folds import Fold
from leukfeat.data.linkage import Link


def crossing_owners(folds: Sequence[Fold], owner: Sequence[str]) -> set[str]:
    """Owners (subjects, groups) with rows in more than one part of some fold.

    Parameters
    ----------
    folds : sequence of Fold
        The divisions.
    owner : sequence of str
        Owner of each row of the manifest.
    """
    return {name for fold in folds for first, second in combinations(_sides(fold, owner), 2) for name in first & second}


def crossing_links(folds: Sequence[Fold], subject: Sequence[str], links: Sequence[Link]) -> list[Link]:
    """Links of which one subject stands on another side of some fold than the other."""
    sides = [_sides(fold, subject) for fold in folds]
    return [
        link
        for link in links
        if any(
            (link.first in first and link.second in second) or (link.second in first and link.first in second)
            for parts in sides
            for first, second in combinations(parts, 2)
        )
    ]


def shared_with_test(fold: Fold, owner: Sequence[str]) -> tuple[set[str], set[str]]:
    """Owners with rows in the test part and in the training part, and those with rows in the test and validation part.

    Parameters
    ----------
    fold, owner
        As in :func:`crossing_owners`, of one fold.
    """
    train, validation, test = _sides(fold, owner)
    return train & test, validation & test


def validation_gives_test_away(fold: Fold, owner: Sequence[str]) -> bool:
    """Whether whoever learns from validation rows meets test subjects that training keeps away from.

    That is so where the validation part shares owners with the test part and the training part shares none, or where
    most validation rows are of owners that stand in the test part and not in the training part: some other owner that
    crosses into training changes nothing for them. In a split by image training meets nearly all of them itself.

    Parameters
    ----------
    fold, owner
        As in :func:`crossing_owners`, of one fold.
    """
    learned, judged = shared_with_test(fold, owner)
    apart = judged - learned
    rows = sum(owner[row] in apart for row in fold.validation)
    return bool(judged) and (not learned or 2 * rows > len(fold.validation))


def _sides(fold: Fold, owner: Sequence[str]) -> list[set[str]]:
    parts: tuple[NDArray[np.int64], ...] = (fold.train, fold.validation, fold.test)
    return [{owner[row] for row in part} for part in parts]
