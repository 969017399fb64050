"""Laws of dealing whole groups into folds and parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukfeat.data.folds import grouped_folds, grouped_parts, iterate_folds, most_folds
from leukfeat.errors import SplitError


@st.composite
def grouped_rows(draw: st.DrawFn) -> tuple[list[str], list[int], int]:
    """Classes and groups of rows, every class with at least as many groups as folds."""
    n_folds = draw(st.integers(2, 5))
    y, groups, group = [], [], 0
    for name in "abc"[: draw(st.integers(1, 3))]:
        for size in draw(st.lists(st.integers(1, 9), min_size=n_folds, max_size=12)):
            y += [name] * size
            groups += [group] * size
            group += 1
    return y, groups, n_folds


@given(rows=grouped_rows(), seed=st.integers(0, 2**32 - 1))
def test_folds_keep_groups_whole_and_classes_even(rows: tuple[list[str], list[int], int], seed: int) -> None:
    """A group is one person, and a fold without a class cannot be scored."""
    y, groups, n_folds = rows
    fold = grouped_folds(y, groups, n_folds, seed)
    assert len(fold) == len(y)
    fold_of_group = dict(zip(groups, fold.tolist(), strict=True))
    assert [fold_of_group[group] for group in groups] == fold.tolist()
    for name in set(y):
        mine = {group for group, kind in zip(groups, y, strict=True) if kind == name}
        held = np.bincount([fold_of_group[group] for group in mine], minlength=n_folds)
        assert held.max() - held.min() <= 1


@given(rows=grouped_rows())
def test_as_many_folds_are_possible_as_it_says_and_no_more(rows: tuple[list[str], list[int], int]) -> None:
    """Tuning asks for the number and then for the folds; the two must not disagree."""
    y, groups, _ = rows
    possible, scarce = most_folds(y, groups)
    assert set(grouped_folds(y, groups, possible, seed=0)) == set(range(possible))
    with pytest.raises(SplitError, match=f"class {str(scarce)!r} has only {possible} groups"):
        grouped_folds(y, groups, possible + 1, seed=0)


def test_no_rows_have_no_most_folds() -> None:
    with pytest.raises(SplitError, match="no rows"):
        most_folds([], None)


@given(rows=grouped_rows(), seed=st.integers(0, 2**32 - 1))
def test_parts_keep_groups_whole_and_hold_every_class(rows: tuple[list[str], list[int], int], seed: int) -> None:
    """Each part must be able to train or test every class, and no person may be divided."""
    y, groups, n_parts = rows
    part = grouped_parts(y, groups, [1.0] * n_parts, seed)
    part_of_group = dict(zip(groups, part.tolist(), strict=True))
    assert [part_of_group[group] for group in groups] == part.tolist()
    for name in set(y):
        assert set(part[np.asarray(y) == name]) == set(range(n_parts))


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    """A run can be repeated, and repeats differ from each other."""
    y, groups = ["a"] * 40 + ["b"] * 40, np.arange(80) // 2
    first = grouped_folds(y, groups, 5, 0)
    np.testing.assert_array_equal(first, grouped_folds(y, groups, 5, 0))
    assert any((first != grouped_folds(y, groups, 5, seed)).any() for seed in range(1, 4))


def test_parts_take_their_shares() -> None:
    """60/20/20 means rows, as far as whole groups allow."""
    y, groups = ["a"] * 500 + ["b"] * 500, np.arange(1000) // 10
    part = grouped_parts(y, groups, [60, 20, 20], seed=1)
    np.testing.assert_allclose(np.bincount(part) / 1000, [0.6, 0.2, 0.2], atol=0.021)


def test_a_part_without_a_share_stays_empty() -> None:
    """80/0/20 asks for no validation rows."""
    part = grouped_parts(["a", "b"] * 10, None, [80, 0, 20], seed=0)
    assert set(part) == {0, 2}


@pytest.mark.parametrize(
    ("n_folds", "y", "said"),
    [
        (4, ["a"] * 9 + ["b"] * 3, "class 'b' has only 3 groups; at most 3 folds are possible"),
        (2, ["a"] * 9 + ["b"], "class 'b' has only 1 group; folds need at least 2"),
        (1, ["a", "b"], "at least 2 are needed"),
        (2, [], "there are no rows"),
    ],
)
def test_an_impossible_request_says_what_is_possible(n_folds: int, y: list[str], said: str) -> None:
    """The scarcest class decides, and the message names it."""
    with pytest.raises(SplitError, match=said):
        grouped_folds(y, None, n_folds, 0)


def test_the_scarcest_class_is_named_whatever_its_name() -> None:
    """What is possible is a matter of all classes, not of the first that is too small."""
    with pytest.raises(SplitError, match="class 'z' has only 2 groups; at most 2"):
        grouped_folds(["a"] * 4 + ["z"] * 2, None, 5, 0)


def test_iterate_folds_yields_every_row_once_as_tested() -> None:
    """Inner tuning scores every row exactly once."""
    fold = grouped_folds(["a", "b"] * 10, None, 5, 0)
    tested = np.concatenate([test for _, test in iterate_folds(fold)])
    assert sorted(tested) == list(range(20))
    assert all(not set(train) & set(test) for train, test in iterate_folds(fold))
