"""Can a claim be true? A judgement of every row, of rows together, of splits, means and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["attainable", "only if", "impossible", "undetermined"]
Kind = Literal["row", "together", "split", "summary", "sum"]


@dataclass(frozen=True)
class Judgement:
    """What can be said of one part of a claim.

    Attributes
    ----------
    kind : str
        What was judged: a ``"row"``, rows ``"together"``, a ``"split"``, a ``"summary"`` or a ``"sum"``.
    name : str
        Its name.
    status : str
        ``"attainable"`` as labelled and within the tolerance; ``"only if"`` something else is meant than is labelled;
        ``"impossible"``; ``"undetermined"`` where the paper says too little.
    words : str
        Why, in a sentence.
    allowed : float or None
        The largest difference between a true and a printed value that was allowed: half a unit of the last digit, or
        the tolerance where that is larger.
    needs : float or None
        The smallest tolerance at which it becomes attainable as labelled; 0 where rounding alone explains it.
    facts : mapping
        JSON values: counts, matrices, readings.
    """

    kind: Kind
    name: str
    status: Status
    words: str
    allowed: float | None = None
    needs: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def possible(self) -> bool:
        """Whether it may be true under some reading."""
        return self.status != "impossible"

    def describe(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "status": self.status,
            "allowed": self.allowed,
            "needs": self.needs,
            "words": self.words,
            **self.facts,
        }
