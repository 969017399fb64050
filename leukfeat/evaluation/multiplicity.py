"""Several comparisons at once: p values adjusted over a family that is declared beforehand.

References
----------
Holm, S., A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6(2), 1979.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from leukfeat.errors import UsageError
from leukfeat.evaluation.metrics import Score

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Family(Generic[Key]):
    """A declared family of comparisons with Holm's p values.

    Attributes
    ----------
    adjusted : mapping of key to Score
        Adjusted p value of every comparison, in the order given; what was undefined stays so, with its reason.
    size : int
        How many comparisons have a p value: those that the adjustment counts.
    """

    adjusted: Mapping[Key, Score]
    size: int

    @property
    def method(self) -> str:
        """What was done, for a table."""
        if self.size < 2:
            return "no adjustment (1 comparison)" if self.size else "no comparison"
        return f"Holm's adjustment (1979) over {self.size} comparisons"


def holm(p_values: Mapping[Key, Score]) -> Family[Key]:
    """Adjust p values so that a family errs with the probability of one test.

    p̃₍ᵢ₎ = max over j ≤ i of min(1, (m - j + 1) p₍ⱼ₎), with p₍₁₎ ≤ … ≤ p₍ₘ₎.

    Parameters
    ----------
    p_values : mapping of key to Score
        The p value of every comparison of the family. One that is undefined keeps its reason and is not counted.

    Raises
    ------
    UsageError
        A p value that is not between 0 and 1.

    Examples
    --------
    >>> family = holm({"b": Score(0.03), "c": Score(0.01), "d": Score.undefined("one class only")})
    >>> [str(p) for p in family.adjusted.values()], family.method
    (['0.030', '0.020', '–'], "Holm's adjustment (1979) over 2 comparisons")
    """
    defined = {key: p.value for key, p in p_values.items() if p.defined}
    for key, p in defined.items():
        if not 0 <= p <= 1:
            raise UsageError(f"the p value of {key} is {p}; give a number between 0 and 1, or why it is undefined")
    adjusted, reached = dict(p_values), 0.0
    # written out: statsmodels' multipletests, which the tests compare with, collects all garbage at each call
    for place, (key, p) in enumerate(sorted(defined.items(), key=lambda one: one[1])):
        reached = max(reached, min(1.0, (len(defined) - place) * p))
        adjusted[key] = Score(reached)
    return Family(adjusted, len(defined))
