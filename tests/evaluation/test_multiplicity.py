"""Holm's adjustment: statsmodels' numbers, the family that was declared, and what is undefined left out of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from leukfeat.errors import UsageError
from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.multiplicity import holm

UNHURRIED = settings(max_examples=50, deadline=None)  # the first example pays for lazy imports

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_a_calculation_by_hand() -> None:
    """3 × .01 = .03, 2 × .02 = .04, and .03 may not fall below what a smaller p value got."""
    family = holm({"a": Score(0.03), "b": Score(0.01), "c": Score(0.02)})
    assert {key: p.value for key, p in family.adjusted.items()} == pytest.approx({"a": 0.04, "b": 0.03, "c": 0.04})
    assert family.method == "Holm's adjustment (1979) over 3 comparisons"


@settings(max_examples=10, deadline=None)  # multipletests collects all garbage, which takes a while
@given(probabilities)
def test_every_comparison_gets_its_own_value_of_statsmodels(p: list[float]) -> None:
    family = holm(dict(enumerate(map(Score, p))))
    assert [family.adjusted[k].value for k in range(len(p))] == pytest.approx(
        multipletests(p, method="holm")[1].tolist()
    )


@UNHURRIED
@given(probabilities)
def test_the_family_errs_no_more_than_one_test(p: list[float]) -> None:
    """Adjusting never lowers a p value, keeps their order, and stays at or below Bonferroni's."""
    adjusted = [score.value for score in holm(dict(enumerate(map(Score, p)))).adjusted.values()]
    for raw, value in zip(p, adjusted, strict=True):
        assert raw <= value <= min(1.0, len(p) * raw) + 1e-15
    assert sorted(range(len(p)), key=p.__getitem__) == sorted(range(len(p)), key=lambda k: (adjusted[k], p[k]))


def test_what_is_undefined_is_not_counted_and_keeps_its_reason() -> None:
    with_it = holm({"a": Score(0.02), "b": Score.undefined("one class only"), "c": Score(0.04)})
    without = holm({"a": Score(0.02), "c": Score(0.04)})
    assert list(with_it.adjusted) == ["a", "b", "c"]
    assert with_it.adjusted["b"].reason == "one class only"
    assert (with_it.size, with_it.adjusted["a"]) == (without.size, without.adjusted["a"])


def test_a_family_of_one_or_none_is_not_adjusted() -> None:
    alone = holm({"a": Score(0.02)})
    assert (alone.adjusted["a"].value, alone.method) == (0.02, "no adjustment (1 comparison)")
    assert holm({}).method == "no comparison"
    nothing = holm({"a": Score.undefined("no rows")})
    assert (nothing.size, nothing.adjusted["a"].reason, nothing.method) == (0, "no rows", "no comparison")


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.1])
def test_no_number_passes_for_a_p_value(p: float) -> None:
    """NaN without a reason would be sorted somewhere and change the others."""
    with pytest.raises(UsageError, match="the p value of a is"):
        holm({"a": Score(p), "b": Score(0.2)})
