"""What a report is made of: sections with words, tables, drawings and pictures, in an order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from leukfeat.reports.checklists import Checklist
from leukfeat.reports.processes import of_each
from leukfeat.reports.table import Table
from leukfeat.textfiles import whole_file, write_text

Form = Literal["svg", "pdf"]


@dataclass(frozen=True)
class Drawing:
    """A figure with the numbers it shows, written when it is asked for.

    Attributes
    ----------
    name : str
        Of its files: ``<name>.svg``, ``<name>.pdf`` and ``<name>-data.csv``; its anchor is ``figure-<name>``.
    title, caption : str
        Above and below it.
    table : Table
        Its numbers.
    write : callable
        Makes the figure in one form; may be called in another process.
    """

    name: str
    title: str
    caption: str
    table: Table
    write: Callable[[Form], bytes] = field(repr=False, compare=False)

    @cached_property
    def svg(self) -> str:
        """The figure as SVG, whose text stays text."""
        return self.write("svg").decode()

    @cached_property
    def pdf(self) -> bytes:
        """The figure for print."""
        return self.write("pdf")

    def save(self, folder: Path | str, notes: Mapping[str, str] | None = None) -> list[Path]:
        """Write the SVG, the PDF and the numbers, each row of a run with the notes of that run; returns the files."""
        svg, pdf = (Path(folder) / f"{self.name}.{kind}" for kind in ("svg", "pdf"))
        with write_text(svg) as stream:
            stream.write(self.svg)
        with whole_file(pdf) as temporary:
            temporary.write_bytes(self.pdf)
        return [svg, pdf, self.table.to_csv(Path(folder) / f"{self.name}-data.csv", beside(self.table, notes or {}))]


def write_drawings(drawings: Iterable[Drawing], *, rows: int) -> None:
    """Write both forms of drawings of which none is written yet; ``rows`` as :func:`of_each` takes them."""
    waiting = [drawing for drawing in drawings if not {"svg", "pdf"} & vars(drawing).keys()]
    forms = of_each(_forms, [drawing.write for drawing in waiting], rows=rows)
    for drawing, (svg, pdf) in zip(waiting, forms, strict=True):
        vars(drawing).update(svg=svg, pdf=pdf)  # where cached_property keeps them


def _forms(write: Callable[[Form], bytes]) -> tuple[str, bytes]:
    return write("svg").decode(), write("pdf")


def beside(table: Table, notes: Mapping[str, str]) -> list[str] | None:
    """What must be said beside each row of a table of runs; None where rows are of something else."""
    if table.columns[0].title != "run" or not notes:
        return None
    return [notes.get(str(row[0]), "") for row in table.rows]


@dataclass(frozen=True)
class Picture:
    """An image that was made elsewhere and is shown as it is.

    Attributes
    ----------
    name : str
        Of its file beside the page: ``<name>.png``.
    title, caption : str
        Above and below it; the title is what a reader hears who does not see it.
    png : bytes
        The file.
    """

    name: str
    title: str
    caption: str
    png: bytes

    def save(self, folder: Path | str) -> Path:
        """Write the file."""
        file = Path(folder) / f"{self.name}.png"
        with whole_file(file) as temporary:
            temporary.write_bytes(self.png)
        return file


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
    points : tuple of str
        A list below them.
    facts : tuple of (str, str)
        Names and values.
    commands : tuple of str
        To be typed.
    tables : tuple of Table
        Shown as they are.
    drawings : tuple of Drawing
        Shown after the tables.
    pictures : tuple of Picture
        After the drawings.
    checklists : tuple of Checklist
        After the pictures.
    parts : tuple of Section
        Parts of this one, at the end.
    folded : bool
        Of a part: only its title is seen until a reader opens it.
    """

    name: str
    title: str
    words: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    pictures: tuple[Picture, ...] = ()
    checklists: tuple[Checklist, ...] = ()
    parts: tuple[Section, ...] = ()
    folded: bool = False


def all_of(sections: Iterable[Section]) -> Iterator[Section]:
    """Sections and their parts, in the order of the page."""
    for section in sections:
        yield section
        yield from all_of(section.parts)


def drawings_of(sections: Iterable[Section]) -> tuple[Drawing, ...]:
    """Every drawing, in the order of the page."""
    return tuple(drawing for section in all_of(sections) for drawing in section.drawings)


def pictures_of(sections: Iterable[Section]) -> tuple[Picture, ...]:
    """Every picture, in the order of the page."""
    return tuple(picture for section in all_of(sections) for picture in section.pictures)


def anchors(sections: Iterable[Section]) -> frozenset[str]:
    """Every place of a page that a link can lead to, as ``"#name"``."""
    everything = tuple(all_of(sections))
    return frozenset(
        {f"#{section.name}" for section in everything}
        | {f"#figure-{drawing.name}" for section in everything for drawing in section.drawings}
    )
