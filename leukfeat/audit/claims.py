"""What a paper claims, as data: a test part, rows of figures about it, and sums, means and shares beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from leukfeat.audit.measures import Counts
from leukfeat.audit.printed import Printed
from leukfeat.errors import UsageError

MOST_PAIRS = 2_000_000  # of numbers of positives and negatives


@dataclass(frozen=True)
class Count:
    """A number of images, or the range it lies in.

    Examples
    --------
    >>> str(Count(1990, 2000)), str(Count(223, 223))
    ('1,990–2,000', '223')
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low < 0:
            raise UsageError(f"{self.low} is no number of images")
        if self.low > self.high:
            raise UsageError(f"{self.low}-{self.high} runs backwards; write the smaller number first")

    def __str__(self) -> str:
        return f"{self.low:,}" if self.known else f"{self.low:,}–{self.high:,}"

    @property
    def known(self) -> bool:
        """Whether it is one number."""
        return self.low == self.high

    def meets(self, other: Count) -> bool:
        """Whether the same number may be meant."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class TestPart:
    """The images that figures were computed on.

    Attributes
    ----------
    classes : tuple of str
        Names; of two, the first is the positive class.
    counts : tuple of (Count or None)
        Images of each class, where something is known of them.
    n : Count or None
        Images in all; where it is None and all classes are known it is their sum.
    either : bool
        Of two classes, which is the positive one is not said.

    Raises
    ------
    UsageError
        The classes cannot sum to ``n``.
    """

    __test__ = False  # no test of pytest

    classes: tuple[str, ...] = ("positive", "negative")
    counts: tuple[Count | None, ...] = (None, None)
    n: Count | None = None
    either: bool = False

    def __post_init__(self) -> None:
        if self.n is None:
            return
        least = sum(count.low for count in self.counts if count is not None)
        most = None if None in self.counts else sum(count.high for count in self.counts if count is not None)
        if least > self.n.high or (most is not None and most < self.n.low):
            summed = f"{least:,}" if least == most or most is None else f"{least:,}–{most:,}"
            raise UsageError(f"the classes of the test part sum to {summed}, but n is {self.n}")

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def size(self) -> Count | None:
        """Images in all."""
        if self.n is not None or None in self.counts:
            return self.n
        known = [count for count in self.counts if count is not None]
        return Count(sum(count.low for count in known), sum(count.high for count in known))

    def describe(self) -> str:
        """Its size in a few words."""
        known = [f"{count} {name}" for name, count in zip(self.classes, self.counts, strict=True) if count is not None]
        if len(known) == len(self.classes):
            return " + ".join(known)
        told = "n not stated" if self.size is None else f"{self.size} images"
        return ", ".join([told, *known])

    def pairs(self) -> tuple[Counts, Counts] | None:
        """Every possible number of positives and of negatives, arrays of shape (g,); None where too little is known.

        Raises
        ------
        UsageError
            There are too many.
        """
        first, second = self.counts
        if self.size is None:
            return None
        sizes = np.arange(self.size.low, self.size.high + 1)
        low, high = (0, self.size.high) if first is None else (first.low, min(first.high, self.size.high))
        if len(sizes) * (high - low + 1) > MOST_PAIRS:
            raise UsageError(f"a test part of {self.size} images leaves too many possibilities; say n more closely")
        positives, total = (grid.ravel() for grid in np.meshgrid(np.arange(low, high + 1), sizes))
        negatives = total - positives
        lowest, highest = (0, self.size.high) if second is None else (second.low, second.high)
        kept = (negatives >= lowest) & (negatives <= highest)
        return positives[kept], negatives[kept]


@dataclass(frozen=True)
class Figure:
    """One cell of a table of results.

    Attributes
    ----------
    column : str
        What stands above it.
    printed : Printed
        What stands in it.
    of : str
        The class it is about; empty where it is about the positive class, or all.
    """

    column: str
    printed: Printed
    of: str = ""

    @property
    def title(self) -> str:
        """The column, and the class if one is named."""
        return f"{self.column} of {self.of}" if self.of else self.column


@dataclass(frozen=True)
class Row:
    """One row of a table of results.

    Attributes
    ----------
    name : str
        Its name.
    figures : tuple of Figure
        Its cells.
    answers : mapping of (true class, predicted class) to Count
        Known cells of the confusion matrix.
    errors : mapping of class to Count
        Misclassified images of a class; under ``""`` those of all classes.
    """

    name: str
    figures: tuple[Figure, ...] = ()
    answers: Mapping[tuple[str, str], Count] = field(default_factory=dict)
    errors: Mapping[str, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """A stated share of a stated total.

    Attributes
    ----------
    share : float
        The share that the test part should be.
    of : tuple of int
        Images in all, or of each class in the order of the test part.
    augmented : int or None
        Images in all after augmentation.
    """

    share: float
    of: tuple[int, ...]
    augmented: int | None = None


@dataclass(frozen=True)
class Summary:
    """A mean and standard deviation over rows.

    Attributes
    ----------
    name : str
        Its name.
    column : str
        Which figure was summarised.
    values : tuple of Printed
        The values as printed.
    mean, sd : Printed or None
        What is printed for them.
    ddof : int or None
        1 for the sample's standard deviation, 0 for the population's; None where it is not said.
    """

    name: str
    column: str
    values: tuple[Printed, ...]
    mean: Printed | None = None
    sd: Printed | None = None
    ddof: int | None = None


@dataclass(frozen=True)
class Sum:
    """Parts and the total printed for them."""

    name: str
    parts: tuple[Printed, ...]
    total: Printed


@dataclass(frozen=True)
class Claim:
    """Everything a paper says about one test part.

    Attributes
    ----------
    name : str
        Where it stands, e.g. ``"Table 5"``.
    test : TestPart
        The images.
    rows : tuple of Row
        Results on these images.
    columns : mapping of str to tuple of str
        What columns mean, where their names do not say it; of several meanings each is tried.
    split : Split or None
        What the test part is said to be a share of.
    summaries, sums : tuple
        Means with standard deviations; totals.
    tolerance : float
        How far a value may be from a printed one where it would be printed otherwise; 0 for rounding alone.
    """

    name: str
    test: TestPart
    rows: tuple[Row, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: Split | None = None
    summaries: tuple[Summary, ...] = ()
    sums: tuple[Sum, ...] = ()
    tolerance: float = 0.0
