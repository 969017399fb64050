"""The report as Markdown: the sections of the page, with figures as links to the files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from leukfeat.reports.html import Head
from leukfeat.reports.sections import Drawing, Picture, Section
from leukfeat.reports.table import markdown_safe

_DEEPEST = 6  # levels of headings that Markdown has


def render_markdown(head: Head, sections: Sequence[Section]) -> str:
    """Everything that the page says, whatever it folds away.

    Parameters
    ----------
    head : Head
        Above all sections.
    sections : sequence of Section
        In the order of the page.

    Returns
    -------
    str
        Every name is escaped; figures are ``<name>.svg`` and ``<name>-data.csv``, pictures ``<name>.png``.
    """
    blocks = [f"# {markdown_safe(head.title)}", *map(markdown_safe, head.lead)]
    blocks += [f"> **{markdown_safe(str(note))}**" for note in head.notes]
    blocks += [block for section in sections for block in _blocks(section, 2)]
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def _blocks(section: Section, level: int) -> Iterator[str]:
    """A section and its parts, a block a paragraph, list, table or figure."""
    yield _heading(section.title, level)
    yield from map(markdown_safe, section.words)
    lists = section.points, [f"{name}: {value}" for name, value in section.facts]
    yield from ("\n".join(f"- {markdown_safe(item)}" for item in items) for items in lists if items)
    yield from ("\n".join(f"    {line}" for line in command.splitlines()) for command in section.commands)
    tables = (*section.tables, *(one.table() for one in section.checklists))
    for table in tables:
        if not section.title.startswith(table.title):
            yield _heading(table.title, level + 1)
        yield table.to_markdown()
    told = {section.title, *(table.title for table in tables)}
    for drawing in section.drawings:
        if drawing.title not in told:
            yield _heading(drawing.title, level + 1)
        yield from _figure(drawing)
    for picture in section.pictures:
        yield from _picture(picture, level + 1)
    for part in section.parts:
        yield from _blocks(part, level + 1)


def _figure(drawing: Drawing) -> Iterator[str]:
    yield f"![{markdown_safe(drawing.title)}]({drawing.name}.svg)"
    yield f"{markdown_safe(drawing.caption)} Numbers: [{drawing.name}-data.csv]({drawing.name}-data.csv)"


def _picture(picture: Picture, level: int) -> Iterator[str]:
    yield _heading(picture.title, level)
    yield f"![{markdown_safe(picture.title)}]({picture.name}.png)"
    yield markdown_safe(picture.caption)


def _heading(title: str, level: int) -> str:
    return f"{'#' * min(level, _DEEPEST)} {markdown_safe(title)}"
