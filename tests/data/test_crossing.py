"""Who stands on two sides of a division, and who may learn from a validation part."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from leukfeat.data.crossing import validation_gives_test_away
from leukfeat.data.folds import Fold


@pytest.mark.parametrize(
    ("train", "validation", "test", "given_away"),
    [
        ("aabb", "ccd", "eef", False),  # every subject on one side
        ("aabb", "ccd", "cd", True),  # the test part divided by image
        ("aabb", "ccde", "eef", True),  # part of it
        ("aabbc", "cddd", "cdd", True),  # one group crosses as well: that of d is kept from training all the same
        ("abcd", "abcd", "abcd", False),  # a split by image: training meets them anyway
        ("abcde", "abcdf", "abf", False),  # and chance may keep it from one of them
        ("aabb", "", "cd", False),
    ],
)
def test_validation_rows_of_subjects_that_only_the_test_part_has_give_it_away(
    train: str, validation: str, test: str, given_away: bool
) -> None:
    """Whoever learns from them has met test subjects that training was kept away from."""
    bounds = np.cumsum([0, len(train), len(validation), len(test)])
    parts = [np.arange(start, stop) for start, stop in pairwise(bounds)]
    assert validation_gives_test_away(Fold(0, 0, *parts), train + validation + test) is given_away
