"""Rows that training sets aside are whole groups of every class."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.backbones.selection import choose_validation, part_for_head
from leukfeat.data.manifest import Manifest
from leukfeat.errors import SplitError


def cells(labels: str, subjects: str, digests: str = "") -> Manifest:
    names = tuple(f"{row}.png" for row in range(len(labels)))
    return Manifest(names, names, tuple(labels), tuple(subjects), tuple(digests) or tuple(f"d{row}" for row in names))


MANY = cells("aabbaabbaabbaabb" * 2, "1122334455667788" * 2)


@pytest.mark.parametrize("divide", [choose_validation, part_for_head])
@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides_and_no_class_on_one(divide: object, seed: int) -> None:
    """For the rows of a training part only; the order in which they are given does not matter."""
    rows = list(range(24))
    one, other = divide(MANY, rows, 0.3, seed)  # type: ignore[operator]
    assert sorted([*one, *other]) == rows
    assert not {MANY.group[row] for row in one} & {MANY.group[row] for row in other}
    assert {MANY.label[row] for row in one} == {MANY.label[row] for row in other} == {"a", "b"}
    again = divide(MANY, rows[::-1], 0.3, seed)  # type: ignore[operator]
    np.testing.assert_array_equal(one, again[0])


def test_linked_subjects_count_as_one() -> None:
    """Two ids that share an image are one person, who cannot be on both sides."""
    linked = cells("aaaabbbb", "11223344", "wxxyabcd")  # 1 and 2 share x
    with pytest.raises(SplitError, match=r"class 'a' has only one group of images \(1\+2\) .* set validation: 0"):
        choose_validation(linked, range(8), 0.5, 0)


def test_a_share_of_nothing_is_nothing() -> None:
    """The remedy the error names works."""
    fit, validation = choose_validation(cells("ab", "12"), [1, 0], 0, 0)
    assert (fit.tolist(), validation.tolist()) == ([0, 1], [])


def test_the_head_names_its_own_remedy() -> None:
    """One subject of a class cannot train the encoder and the head."""
    with pytest.raises(SplitError, match=r"class 'b' has only one group .* kept for the head; set head_trains_on: all"):
        part_for_head(cells("aabb", "1233"), range(4), 0.5, 0)


def test_classes_inside_mixed_groups() -> None:
    """Groups with several classes: a class that would end on one side is an error, never a silent loss."""
    mixed = cells("aaabaaab" + "aaaa", "11112222" + "3456")
    for seed in range(5):
        try:
            one, other = choose_validation(mixed, range(12), 0.3, seed)
        except SplitError as error:
            assert "class 'b'" in str(error)  # noqa: PT017 (not every seed raises)
        else:
            assert {mixed.label[row] for row in one} == {mixed.label[row] for row in other} == {"a", "b"}
