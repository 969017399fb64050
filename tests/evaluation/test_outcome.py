"""What a test says: a number with its name, or the reason, and never a p value of 0 or 1 in print."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t

from leukfeat.errors import UsageError
from leukfeat.evaluation.outcome import Outcome, in_words

FOUND = Outcome("a test", "40 clusters", (0.9, 0.8), 0.1, 0.05, "z", 2.0, p=float(2 * norm.sf(2)))


@pytest.mark.parametrize(
    ("p", "words"),
    [(0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.001, "p = 0.001"), (0.5, "p = 0.500"), (1.0, "p > 0.999")],
)
def test_a_p_value_is_printed_as_a_paper_does(p: float, words: str) -> None:
    assert in_words(p) == words


@pytest.mark.parametrize(("symbol", "freedom", "quantile"), [("z", np.inf, norm.ppf(0.95)), ("t", 9, t.ppf(0.95, 9))])
def test_the_interval_is_that_of_the_tests_distribution(symbol: str, freedom: float, quantile: float) -> None:
    found = Outcome("a test", "10 folds", (0.9, 0.8), 0.1, 0.05, symbol, 2.0, freedom, p=0.05).interval(0.9)
    assert (found.low, found.high) == pytest.approx((0.1 - 0.05 * quantile, 0.1 + 0.05 * quantile))


def test_no_number_stands_beside_a_reason() -> None:
    nothing = Outcome.undefined("a test", "40 clusters", "one class only", (0.9, 0.8))
    assert nothing.difference == pytest.approx(0.1)  # what is compared may be known
    assert np.isnan([nothing.p, nothing.statistic, nothing.standard_error]).all()
    assert nothing.interval().reason == nothing.p_value.reason == "one class only"
    assert not nothing.p_value.defined
    assert FOUND.p_value.value == FOUND.p


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(UsageError, match=f"level {level}: give a number between"):
        FOUND.interval(level)
