"""Growing training parts: nested, stratified, whole groups, and never a row of the test part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukfeat.data.growth import LEAST_TRAINED, growths, sizes_of
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import SplitError

Make = Callable[..., Manifest]


def subjects(make_manifest: Make, n_a: int, n_b: int, n_cells: int = 2) -> Manifest:
    rows = [(f"A{k}", "a") for k in range(n_a) for _ in range(n_cells)]
    return make_manifest([*rows, *((f"B{k}", "b") for k in range(n_b) for _ in range(n_cells))])


@st.composite
def plans(draw: st.DrawFn) -> SplitPlan:
    """Grouped plans with and without validation parts, one class up to four times as frequent as the other."""
    n_b = draw(st.integers(4, 9))
    names = [f"A{k}" for k in range(draw(st.integers(n_b, 4 * n_b)))] + [f"B{k}" for k in range(n_b)]
    rows = [(name, name[0].lower()) for name in names for _ in range(draw(st.integers(1, 3)))]
    sample = tuple(f"{number}.png" for number in range(len(rows)))
    manifest = Manifest(sample, sample, tuple(r[1] for r in rows), tuple(r[0] for r in rows), sample)
    if draw(st.booleans()):
        return SplitPlan.holdout(manifest, (60, 20, 20), 2, draw(st.integers(0, 9)))
    return SplitPlan.grouped(manifest, 2, 2, draw(st.integers(0, 9)))


@settings(max_examples=25, deadline=None)
@given(plan=plans(), seed=st.integers(0, 2))
def test_sizes_are_nested_and_every_class_is_there(plan: SplitPlan, seed: int) -> None:
    """Each size has whole groups of the training and validation part and all groups of every smaller one."""
    label, group = np.asarray(plan.manifest.label), np.asarray(plan.manifest.group)
    for growth in growths(plan, seed + 1)[seed]:
        whole, before = growth.fold, set[int]()
        for size in range(growth.least, len(growth) + 1):
            fold = growth.at(size, 7)
            learned = set(np.concatenate([fold.train, fold.validation]).tolist())
            assert before <= learned
            assert len(set(group[list(learned)])) == size
            assert set(fold.train.tolist()) <= set(whole.train.tolist())
            assert set(fold.validation.tolist()) <= set(whole.validation.tolist())
            assert not set(group[fold.train]) & set(group[np.setdiff1d(whole.train, fold.train)]), "groups stay whole"
            assert np.array_equal(fold.test, whole.test)
            assert (fold.repeat, fold.number) == (7, whole.number)
            for name in ("a", "b"):
                here = len(set(group[fold.train][label[fold.train] == name]))
                there = len(set(group[whole.train][label[whole.train] == name]))
                assert here >= min(LEAST_TRAINED, there)
            before = learned
        assert before == set(np.concatenate([whole.train, whole.validation]).tolist())


def test_classes_keep_their_shares(make_manifest: Make) -> None:
    """Thirty subjects of one class and ten of the other: beyond the least, three come for each one."""
    plan = SplitPlan.grouped(subjects(make_manifest, 40, 20), 2)
    (growth,) = (one for one in growths(plan, 1)[0] if one.fold.number == 0)
    kinds = [name[0] for name in growth.order]
    assert sorted(kinds[:4]) == ["A", "A", "B", "B"]
    for size in range(9, len(kinds)):
        assert abs(kinds[:size].count("A") - size * 2 / 3) <= 1.5


def test_seeds_and_folds_draw_other_subjects(make_manifest: Make) -> None:
    plan = SplitPlan.grouped(subjects(make_manifest, 12, 12), 2)
    one, two = growths(plan, 2)
    assert list(one[0].order) != list(two[0].order)
    assert list(growths(plan, 1)[0][0].order) == list(one[0].order)


def test_sizes_are_spaced_evenly_on_a_log_scale(make_manifest: Make) -> None:
    drawn = growths(SplitPlan.grouped(subjects(make_manifest, 40, 40), 2), 1)
    assert sizes_of(drawn, 4, "cells") == [4, 9, 19]
    assert sizes_of(drawn, 2, "cells") == [4]
    assert all(size < min(len(one) for one in drawn[0]) for size in sizes_of(drawn, 50, "cells"))


def test_what_cannot_grow_is_refused(make_manifest: Make) -> None:
    few = SplitPlan.grouped(subjects(make_manifest, 4, 4), 2)
    with pytest.raises(SplitError, match="too few subjects for a learning curve: the smallest training part has 4"):
        sizes_of(growths(few, 1), 5, "cells")
    with pytest.raises(SplitError, match=r"this split \(per-image\) keeps none whole"):
        growths(SplitPlan.per_image(subjects(make_manifest, 4, 4), 2), 1)
