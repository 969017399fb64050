"""One table, four ways out: plain text, Markdown, CSV and (by the page's template) HTML."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.uncertainty import Estimate
from leukfeat.textfiles import printable, write_csv

Cell = str | int | float | Score | Estimate | None

_NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    title : str
        Its head.
    short : str
        Its head where space is short; the title by default.
    form : str
        Format specification of its numbers; empty for a column of names.
    """

    title: str
    short: str = ""
    form: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, which stand to the right."""
        return bool(self.form)

    def text(self, cell: Cell) -> str:
        """A cell as people read it."""
        if cell is None:
            return _NOTHING
        if isinstance(cell, str):
            return cell
        if isinstance(cell, Score):
            return format(cell.value, self.form) if cell.defined else _NOTHING
        if isinstance(cell, Estimate):
            return f"{self.text(cell.score)} ({self.span(cell)})" if cell.score.defined else _NOTHING
        return format(cell, self.form)

    def span(self, cell: Cell) -> str:
        """The interval of a cell as people read it; empty where it has none to show."""
        if not isinstance(cell, Estimate) or not cell.score.defined:
            return ""
        interval = cell.interval
        if not interval.defined:
            return _NOTHING
        low, high = f"{interval.low:{self.form}}", f"{interval.high:{self.form}}"
        return f"{low} to {high}" if "-" in low or "+" in low else f"{low}–{high}"  # a dash beside a sign is misread


@dataclass(frozen=True)
class Table:
    """Rows under columns.

    Attributes
    ----------
    title : str
        What it shows.
    columns : tuple of Column
        Heads.
    rows : tuple of tuple
        Cells: names, numbers, scores, estimates, or None where nothing is known.
    words : tuple of str
        What must be said below it.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[str, ...] = ()

    @property
    def texts(self) -> list[list[str]]:
        """Every cell as people read it."""
        return [[column.text(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows]

    @property
    def footnotes(self) -> list[str]:
        """What must be said, and why some cells are empty, a line for every reason."""
        affected: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for column, cell in zip(self.columns, row, strict=True):
                for reason in _reasons(cell):
                    affected.setdefault(reason, {})[column.title] = None
        everything = sum(column.numeric for column in self.columns)
        return [
            *self.words,
            *(
                f"{_NOTHING} {reason}" + ("" if len(titles) == everything else f" ({', '.join(titles)})")
                for reason, titles in affected.items()
            ),
        ]

    def to_markdown(self) -> str:
        """A Markdown table with its footnotes, without the title; of a table without rows the footnotes alone."""
        if not self.rows:
            return "\n".join(map(markdown_safe, self.footnotes)) + "\n"
        lines = [
            "| " + " | ".join(markdown_safe(column.title) for column in self.columns) + " |",
            "|" + "|".join(" ---: " if column.numeric else " --- " for column in self.columns) + "|",
            *("| " + " | ".join(map(markdown_safe, row)) + " |" for row in self.texts),
        ]
        lines += [f"\n{markdown_safe(note)}" for note in self.footnotes]
        return "\n".join(lines) + "\n"

    def to_lines(self, width: int = 100) -> list[str]:
        """Plain text; names are cut so that a line stays within ``width`` where it can.

        Intervals stand on a line of their own below their row.
        """
        heads = [column.short or column.title for column in self.columns]
        texts = [
            line
            for row in self.rows
            for line in (
                [column.text(_alone(cell)) for column, cell in zip(self.columns, row, strict=True)],
                [_shortened(column.span(cell)) for column, cell in zip(self.columns, row, strict=True)],
            )
            if any(line)
        ]
        widths = [max(map(_width, [head, *(row[k] for row in texts)])) for k, head in enumerate(heads)]
        spare = width - sum(widths) - 2 * (len(widths) - 1)
        names = [k for k, column in enumerate(self.columns) if not column.numeric]
        for k in sorted(names, key=lambda k: -widths[k]):
            cut = max(0, min(-spare, widths[k] - 12))
            widths[k] -= cut
            spare += cut

        def line(cells: Sequence[str]) -> str:
            put = (
                _padded(cell, wide, right=column.numeric)
                for cell, wide, column in zip(cells, widths, self.columns, strict=True)
            )
            return "  ".join(put).rstrip()

        lines = [line(heads), "  ".join("─" * wide for wide in widths), *(line(row) for row in texts)]
        notes = [textwrap.wrap(printable(note), width, subsequent_indent="  ") for note in self.footnotes]
        return [*lines, *(part for note in notes for part in note)]

    def to_csv(self, file: Path | str, notes: Sequence[str] | None = None) -> Path:
        """Write CSV with numbers to the last digit; no name in it is a formula to a spreadsheet, or ends a row.

        Parameters
        ----------
        file : path
            Is replaced.
        notes : sequence of str or None
            What must be said beside each row; becomes the last column, ``notes``. Where there are scores, a column
            ``undefined`` before it says why some are missing.
        """
        scored = any(isinstance(cell, Score | Estimate) for row in self.rows for cell in row)
        wide = [any(isinstance(row[k], Estimate) for row in self.rows) for k in range(len(self.columns))]
        heads = [
            head
            for column, has_interval in zip(self.columns, wide, strict=True)
            for head in (column.title, *(f"{column.title} {end}" for end in ("low", "high") if has_interval))
        ]
        lines = [[*map(printable, heads), *["undefined"] * scored, *["notes"] * (notes is not None)]]
        for number, row in enumerate(self.rows):
            reasons = dict.fromkeys(reason for cell in row for reason in _reasons(cell))
            words = (["; ".join(reasons)] if scored else []) + ([notes[number]] if notes is not None else [])
            exact = [text for cell, has_interval in zip(row, wide, strict=True) for text in _exact(cell, has_interval)]
            lines.append([*exact, *map(printable, words)])
        return write_csv(file, lines)


def nothing(title: str, reason: str) -> Table:
    """A table that is not there, and why."""
    return Table(title, (Column("run"),), (), (f"None: {reason}",))


def markdown_safe(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in "\\`*_[]<>|#&~":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _reasons(cell: Cell) -> list[str]:
    """Why a cell, or its interval, is empty."""
    if isinstance(cell, Estimate):
        return _reasons(cell.score) or [f"no interval: {cell.interval.reason}"] * (not cell.interval.defined)
    return [cell.reason] if isinstance(cell, Score) and not cell.defined else []


def _alone(cell: Cell) -> Cell:
    """A cell without its interval."""
    return cell.score if isinstance(cell, Estimate) else cell


def _shortened(span: str) -> str:
    """An interval of shares for a narrow column: the zeros before the points go.

    Examples
    --------
    >>> _shortened("0.912–1.000"), _shortened("-0.020 to 0.310")
    ('.912–1.000', '-.020–.310')
    """
    ends = span.replace(" to ", "–").split("–")
    return "–".join(end.replace("0.", ".", 1) if end.lstrip("+-").startswith("0.") else end for end in ends)


def _exact(cell: Cell, has_interval: bool) -> list[str]:
    """A cell for a CSV, to the last digit; with the ends of its interval where its column has them."""
    if isinstance(cell, Estimate):
        known = cell.score.defined and cell.interval.defined
        ends = [repr(end) if known else "" for end in (cell.interval.low, cell.interval.high)]
        return [*_exact(cell.score, False), *ends]
    if isinstance(cell, Score):
        text = repr(cell.value) if cell.defined else ""
    elif isinstance(cell, str):
        text = printable(cell)
    else:
        text = "" if cell is None else repr(cell)
    return [text, "", ""] if has_interval else [text]


def _width(text: str) -> int:
    """Columns a text takes in a terminal."""
    return sum((unicodedata.east_asian_width(c) in "WF") + (not unicodedata.combining(c)) for c in printable(text))


def _padded(text: str, width: int, *, right: bool) -> str:
    text = printable(text)
    if _width(text) > width:  # names of runs differ at both ends, so the middle goes
        head = tail = len(text) // 2
        while head + tail and _width(text[:head] + text[len(text) - tail :]) > width - 1:
            head, tail = (head - 1, tail) if head >= tail else (head, tail - 1)
        text = f"{text[:head]}…{text[len(text) - tail :]}"
    room = " " * (width - _width(text))
    return room + text if right else text + room
