"""The report as one page that needs nothing but itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.uncertainty import Estimate
from leukfeat.reports.contents import Note
from leukfeat.reports.sections import Section
from leukfeat.reports.table import Cell, Column
from leukfeat.textfiles import printable

if TYPE_CHECKING:
    from jinja2 import Template

_POINTS_TO_PIXELS = 96 / 72


@dataclass(frozen=True)
class Head:
    """What stands above all sections.

    Attributes
    ----------
    title : str
        Of the page.
    lead : tuple of str
        Paragraphs.
    notes : tuple of Note
        What must be known before any number.
    """

    title: str
    lead: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def render(head: Head, sections: Sequence[Section]) -> str:
    """The page, as text.

    Every name is escaped; figures are embedded as images, so nothing in them can act on the page.

    Parameters
    ----------
    head : Head
        Above all sections.
    sections : sequence of Section
        In the order of the page.
    """
    return _template().render(head=head, sections=sections)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("leukfeat", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "sort_key": _sort_key,
        "value": _value,
        "svg_uri": lambda svg: _data_uri(svg.encode(), "svg+xml"),
        "png_uri": lambda png: _data_uri(png, "png"),
        "pixels": _pixels,
        "anchor_words": _anchor_words,
        "printable": printable,
    }
    return environment.get_template("report.html.j2")


def _sort_key(cell: Cell) -> str:
    """What a column is sorted by: the number to its last digit, or the name; empty sorts last."""
    if isinstance(cell, Estimate):
        return _sort_key(cell.score)
    if isinstance(cell, Score):
        return repr(cell.value) if cell.defined else ""
    return "" if cell is None else str(cell)


def _value(cell: Cell, column: Column) -> str:
    """A cell without its interval, which stands below it."""
    return column.text(cell.score if isinstance(cell, Estimate) else cell)


def _anchor_words(place: str) -> str:
    """A place of the page in words."""
    return place.removeprefix("#").removeprefix("figure-").replace("-", " ")


def _pixels(svg: str) -> int:
    """The width that a drawing was made for, in CSS pixels."""
    found = re.search(r'<svg[^>]*?\swidth="([\d.]+)pt"', svg)
    return round(float(found[1]) * _POINTS_TO_PIXELS) if found else 640


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
