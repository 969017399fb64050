"""What may be given in place of a search."""

from __future__ import annotations

import pytest

from leukfeat.errors import UsageError
from leukfeat.heads.catalog import HEADS, find_head
from leukfeat.heads.space import Number


@pytest.mark.parametrize("name", HEADS)
def test_numbers_that_mean_nothing_are_refused_before_any_work(name: str) -> None:
    """Libraries trust their parameters here: a C that is no number, a gamma of 0 or -1 rounds would pass for a head."""
    numbers = [d for d in HEADS[name].space if isinstance(d, Number)]
    for number in numbers:
        for meant in (number.low, number.high, number.default, 1):
            if not (number.whole and meant != int(meant)) and meant >= (number.least or 0):
                HEADS[name].check_params({number.name: meant})
        for nonsense in (-1, float("nan"), float("inf"), True):
            with pytest.raises(UsageError, match=f"head parameter {number.name} is .*; give a"):
                HEADS[name].check_params({number.name: nonsense})


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("svm", {"gamma_times_d": 0.0}, "gamma_times_d is 0.0; give a number above 0, e.g. 0.1"),
        ("xgboost", {"subsample": 1.5}, "subsample is 1.5; give a number above 0 and at most 1, e.g. 0.8"),
        ("xgboost", {"n_estimators": 0}, "n_estimators is 0; give a whole number above 0, e.g. 150"),
        ("lightgbm", {"num_leaves": 1}, "num_leaves is 1; give a whole number of at least 2, e.g. 15"),
        ("tree", {"ccp_alpha": -1e-9}, "ccp_alpha is -1e-09; give a number of at least 0, e.g. 0.001"),
    ],
)
def test_the_bounds_of_a_parameter_are_told(name: str, given: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=f"^head parameter {message}$"):
        find_head(name).check_params(given)
