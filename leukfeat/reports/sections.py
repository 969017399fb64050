"""What a report is made of: sections with words, tables and drawings."""

from __future__ import annotations

from dataclasses import dataclass

from leukfeat.reports.table import Table


@dataclass(frozen=True)
class Drawing:
    """A figure with the numbers it shows.

    Attributes
    ----------
    name : str
        Of its files: ``<name>.svg``, ``<name>.pdf`` and ``<name>-data.csv``.
    title, caption : str
        Above and below it.
    svg : str
        Whose text stays text.
    pdf : bytes
        The same for print.
    table : Table
        Its numbers.
    """

    name: str
    title: str
    caption: str
    svg: str
    pdf: bytes
    table: Table


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes
    ----------
    name : str
        Its anchor.
    title : str
        Its heading.
    words : tuple of str
        Paragraphs before everything else.
    tables : tuple of Table
        Shown as they are.
    drawings : tuple of Drawing
        Shown after the tables.
    """

    name: str
    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
