"""One subject a row: how well its cells were told, and what is said of it."""

from __future__ import annotations

from leukfeat.reports.contents import subject_rows
from leukfeat.reports.figures.subjects import subjects_drawing
from leukfeat.reports.page.material import Material
from leukfeat.reports.sections import Section


def subjects(material: Material) -> Section | None:
    """The dot plot, and its numbers folded away."""
    everyone = subject_rows(material.runs)
    if not everyone:
        return None
    table = material.tables["per-subject"]
    drawing = subjects_drawing([run.name for run in material.runs], everyone, table, material.notes)
    numbers = Section("per-subject", "The numbers of every subject", tables=(table,), folded=True)
    return Section("subjects", drawing.title, drawings=(drawing,), parts=(numbers,))


def verdicts(material: Material) -> Section | None:
    """One decision a subject by a rule that was tuned inside."""
    table = material.tables.get("verdicts")
    if table is None:
        return None
    every = material.tables.get("verdict-per-subject")
    parts = (Section("verdict-per-subject", every.title, tables=(every,), folded=True),) if every else ()
    return Section("verdicts", table.title, tables=(table,), parts=parts)
