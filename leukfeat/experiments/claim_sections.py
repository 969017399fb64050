"""The claims of a paper as a recipe or a claim file writes them, and the data that the audit judges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from leukfeat.audit.claims import Claim, Count, Figure, Row, Split, Sum, Summary, TestPart
from leukfeat.audit.classwise import CLASSWISE
from leukfeat.audit.measures import BEYOND_COUNTS, MEASURES, OTHER_NAMES
from leukfeat.audit.printed import Printed
from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.experiments.sections import Paper, Section

_RANGE = re.compile(r"\s*([\d,]+)\s*(?:[-–]\s*([\d,]+)\s*)?")
_SIGNED = frozenset({"mcc", "kappa"})
_OF_TWO = frozenset({*MEASURES, *OTHER_NAMES, *BEYOND_COUNTS})
_OF_SEVERAL = frozenset({*CLASSWISE, "recall", "ppv", "balanced_accuracy", "macro_recall", "weighted_recall"})


def count_of(value: object) -> Count:
    """A number of images as a recipe writes it: ``223`` or ``1990-2000``.

    Raises
    ------
    UsageError
        It is neither.
    """
    if isinstance(value, Count):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Count(value, value)
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UsageError(f"{value!r} is no number of images such as 223 or '1990-2000'")
    low, high = (int((part or found[1]).replace(",", "")) for part in found.groups())
    return Count(low, high)


def _written(count: Count) -> int | str:
    return count.low if count.known else f"{count.low}-{count.high}"


Amount = Annotated[Count, BeforeValidator(count_of), PlainSerializer(_written)]
Number = int | float | str


class TestSection(Section):
    """The images that figures were computed on, and the share of a data set that they are said to be."""

    __test__ = False  # no test of pytest

    n: Amount | None = None
    counts: dict[str, Amount | None] = Field(default_factory=dict)
    positive: str | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    of: int | dict[str, int] | None = None
    augmented: Annotated[int, Field(strict=True, ge=1)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> TestSection:
        if (self.share is None) != (self.of is None):
            raise ValueError("share and of belong together: share 0.1 of 10661")
        if len(self.counts) == 1:
            raise ValueError("counts names one class; name all of them, with nothing behind those that are unknown")
        if len(self.counts) == 2 and self.positive not in (*self.counts, "either"):
            raise ValueError(f"say which class is positive: {', '.join(self.counts)}, or either")
        if isinstance(self.of, dict) and set(self.of) != set(self.counts):
            raise ValueError("of has other classes than counts")
        return self

    def part(self) -> TestPart:
        """As the audit has it; of two classes the positive one comes first."""
        if not self.counts:
            return TestPart(n=self.n)
        names = sorted(self.counts, key=lambda name: name != self.positive) if len(self.counts) == 2 else [*self.counts]
        return TestPart(
            tuple(names), tuple(self.counts[name] for name in names), self.n, either=self.positive == "either"
        )

    def split(self, classes: tuple[str, ...]) -> Split | None:
        """The stated share, if any."""
        if self.share is None or self.of is None:
            return None
        of = tuple(self.of[name] for name in classes) if isinstance(self.of, dict) else (self.of,)
        return Split(self.share, of, self.augmented)


class SummarySection(Section):
    """A mean and a standard deviation over rows or over values given here."""

    of: str = "accuracy"
    over: tuple[str, ...] = ()
    values: tuple[Number, ...] = ()
    mean: Number | None = None
    sd: Number | None = None
    ddof: Literal[0, 1] | None = None


class SumSection(Section):
    """Parts and their total."""

    parts: Annotated[tuple[Number, ...], Field(min_length=1)]
    total: Number


class ClaimSection(Section):
    """What a paper says about one test part; see ``docs/claims.md``."""

    name: str
    test: TestSection = TestSection()
    unit: Literal["share", "percent"] = "share"
    decimals: Annotated[int, Field(strict=True, ge=0, le=6)] | None = None
    printed: Literal["rounded", "truncated", "either"] = "rounded"
    tolerance: Annotated[float, Field(ge=0, lt=0.25)] = 0.0
    columns: dict[str, str | Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = Field(default_factory=dict)
    summaries: dict[str, SummarySection] = Field(default_factory=dict)
    sums: dict[str, SumSection] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> ClaimSection:
        self.claim()
        return self

    def claim(self) -> Claim:
        """As the audit has it.

        Raises
        ------
        UsageError
            A figure, a class or a count that cannot be.
        """
        part = self.test.part()
        columns = {name: (means,) if isinstance(means, str) else means for name, means in self.columns.items()}
        for meaning in (meaning for means in columns.values() for meaning in means):
            self._known(meaning, part, {})
        return Claim(
            name=self.name,
            test=part,
            rows=tuple(self._row(name, cells, part, columns) for name, cells in self.rows.items()),
            columns=columns,
            split=self.test.split(part.classes),
            summaries=tuple(self._summary(name, section) for name, section in self.summaries.items()),
            sums=tuple(
                Sum(name, tuple(_plain(number) for number in section.parts), _plain(section.total))
                for name, section in self.sums.items()
            ),
            tolerance=self.tolerance,
        )

    def _printed(self, number: Number) -> Printed:
        return Printed.of(number, decimals=self.decimals, percent=self.unit == "percent", rounding=self.printed)

    def _row(self, name: str, cells: Mapping[str, Any], part: TestPart, columns: Mapping[str, tuple[str, ...]]) -> Row:
        figures: list[Figure] = []
        for column, value in cells.items():
            if column in ("errors", "confusion"):
                continue
            self._known(column, part, columns)
            for of, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                figures.append(Figure(column, self._figure(name, column, number), _class(of, part) if of != "" else ""))
        given = cells.get("errors", {})
        by_class = given if isinstance(given, Mapping) else {"": given}
        errors = {_class(of, part) if of != "" else "": count_of(value) for of, value in by_class.items()}
        answers = {
            (_class(true, part), _class(answer, part)): count_of(value)
            for true, answered in _mapping(name, cells.get("confusion", {})).items()
            for answer, value in _mapping(name, answered).items()
        }
        if answers and not part.binary:
            raise UsageError(f"row {name!r}: a confusion matrix is read for two classes; give errors of each class")
        row = Row(name, tuple(figures), answers, errors)
        _countable(row, part)
        return row

    def _figure(self, row: str, column: str, number: Any) -> Printed:
        if isinstance(number, bool) or not isinstance(number, int | float | str):
            raise UsageError(f"row {row!r}: {column} is {number!r}, which is no number")
        printed = self._printed(number)
        lowest = -1 if column in _SIGNED else 0
        if not lowest <= printed.value <= 1 and column not in BEYOND_COUNTS:
            hint = "; say unit: percent" if self.unit == "share" and 1 < printed.value <= 100 else ""
            raise UsageError(f"row {row!r}: {column} {number} is no share from {lowest} to 1{hint}")
        return printed

    def _known(self, column: str, part: TestPart, columns: Mapping[str, tuple[str, ...]]) -> None:
        known = _OF_TWO if part.binary else _OF_SEVERAL | BEYOND_COUNTS
        if column not in known and column not in columns:
            raise UnknownNameError("figure", column, {*known, "errors", "confusion"}, shown=30)

    def _summary(self, name: str, section: SummarySection) -> Summary:
        values: list[Number] = list(section.values)
        for row in section.over or (() if values else self.rows):
            if row not in self.rows:
                raise UnknownNameError("row", row, self.rows)
            if section.of not in self.rows[row]:
                raise UsageError(f"summary {name!r}: row {row!r} has no {section.of}")
            values.append(self.rows[row][section.of])
        if len(values) < 2:
            raise UsageError(f"summary {name!r}: a mean needs two values or more")
        mean, sd = (None if number is None else self._printed(number) for number in (section.mean, section.sd))
        return Summary(name, section.of, tuple(self._printed(number) for number in values), mean, sd, section.ddof)


class ClaimFile(Section):
    """A claim file of its own."""

    paper: Paper | None = None
    claims: Annotated[tuple[ClaimSection, ...], Field(min_length=1)]


def _plain(number: Number) -> Printed:
    """A number of a sum: whole, or quoted with its digits."""
    return Printed.of(number, decimals=0) if isinstance(number, int) else Printed.of(number)


def _class(name: object, part: TestPart) -> str:
    if str(name) not in part.classes:
        raise UnknownNameError("class", str(name), part.classes)
    return str(name)


def _mapping(row: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"row {row!r}: confusion is {{true class: {{answer: images}}}}; found {value!r}")
    return value


def _countable(row: Row, part: TestPart) -> None:
    """Refuse more errors or answers than there are images."""
    limits = dict(zip(part.classes, part.counts, strict=True))
    for name, count in row.errors.items():
        limit = limits[name] if name else part.size
        if limit is not None and count.low > limit.high:
            raise UsageError(
                f"row {row.name!r}: {count} errors, but {limit} images of {name or 'all classes'} were tested"
            )
    for name, limit in limits.items():
        told = [count for (true, _), count in row.answers.items() if true == name]
        least, most = sum(count.low for count in told), sum(count.high for count in told)
        short = len(told) == len(part.classes) and limit is not None and most < limit.low
        if limit is not None and (least > limit.high or short):
            raise UsageError(
                f"row {row.name!r}: the confusion matrix has {least:,} images of {name}, but {limit} were tested"
            )
