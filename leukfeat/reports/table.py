"""One table, four ways out: plain text, Markdown, CSV and (by the page's template) HTML."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leukfeat.evaluation.metrics import Score
from leukfeat.textfiles import write_csv

Cell = str | int | float | Score | None

_NOTHING = "–"
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


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
        return format(cell, self.form)


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
        Cells: names, numbers, scores, or None where nothing is known.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def texts(self) -> list[list[str]]:
        """Every cell as people read it."""
        return [[column.text(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows]

    @property
    def footnotes(self) -> list[str]:
        """Why some cells are empty, a line for every reason."""
        affected: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for column, cell in zip(self.columns, row, strict=True):
                if isinstance(cell, Score) and not cell.defined:
                    affected.setdefault(cell.reason, {})[column.title] = None
        everything = sum(column.numeric for column in self.columns)
        return [
            f"{_NOTHING} {reason}" + ("" if len(titles) == everything else f" ({', '.join(titles)})")
            for reason, titles in affected.items()
        ]

    def to_markdown(self) -> str:
        """A Markdown table with its footnotes, without the title."""
        lines = [
            "| " + " | ".join(markdown_safe(column.title) for column in self.columns) + " |",
            "|" + "|".join(" ---: " if column.numeric else " --- " for column in self.columns) + "|",
            *("| " + " | ".join(map(markdown_safe, row)) + " |" for row in self.texts),
        ]
        lines += [f"\n{markdown_safe(note)}" for note in self.footnotes]
        return "\n".join(lines) + "\n"

    def to_lines(self, width: int = 100) -> list[str]:
        """Plain text; names are cut so that a line stays within ``width`` where it can."""
        heads = [column.short or column.title for column in self.columns]
        texts = self.texts
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
        """Write CSV with numbers to the last digit.

        Parameters
        ----------
        file : path
            Is replaced.
        notes : sequence of str or None
            What must be said beside each row; becomes the last column, ``notes``. Where there are scores, a column
            ``undefined`` before it says why some are missing.
        """
        scored = any(isinstance(cell, Score) for row in self.rows for cell in row)
        heads = [column.title for column in self.columns]
        lines = [[*map(spreadsheet_safe, heads), *["undefined"] * scored, *["notes"] * (notes is not None)]]
        for number, row in enumerate(self.rows):
            reasons = {cell.reason: None for cell in row if isinstance(cell, Score) and not cell.defined}
            words = (["; ".join(reasons)] if scored else []) + ([notes[number]] if notes is not None else [])
            lines.append([*map(_exact, row), *map(spreadsheet_safe, words)])
        return write_csv(file, lines)


def spreadsheet_safe(name: str) -> str:
    """A name that a spreadsheet takes as text, never as a formula, and that ends no row.

    Examples
    --------
    >>> spreadsheet_safe("=cmd()"), spreadsheet_safe("H3")
    ("'=cmd()", 'H3')
    """
    return printable(f"'{name}" if name.startswith(_FORMULA_SIGNS) else name)


def printable(name: str) -> str:
    """A name without control characters, which could move a terminal's cursor or colour."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf") else c for c in name)


def markdown_safe(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _exact(cell: Cell) -> str:
    if isinstance(cell, Score):
        return repr(cell.value) if cell.defined else ""
    if isinstance(cell, str):
        return spreadsheet_safe(cell)
    return "" if cell is None else repr(cell)


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
