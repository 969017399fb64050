"""Can the numbers be trusted? Size, growth, leakage, other sites, audits, and what a model looks at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from leukfeat.audit.findings import Finding
from leukfeat.audit.matching import area_matched
from leukfeat.evaluation.uncertainty import Estimate
from leukfeat.reports.figures.area import PANELS, Sized, area_drawing
from leukfeat.reports.figures.studies import leakage_drawing, learning_curve_drawing, sites_drawing
from leukfeat.reports.page.material import Audited, Material
from leukfeat.reports.sections import Drawing, Picture, Section
from leukfeat.reports.studies import described, study_sentences
from leukfeat.reports.table import Cell, Column, Table

_CASES = 20  # cases of evidence that are listed; the audit's own files have them all
_LARGEST = 4_000_000  # bytes of a picture that is put into the page


def area(material: Material) -> Section | None:
    """Does the score follow the size of the cell?"""
    areas: dict[str, float] = {}
    for folder in material.folders.values():
        areas |= folder.areas
    sized = {run.name: Sized.of(run.predictions, areas) for run in material.runs} if areas else {}
    sized = {name: one for name, one in sized.items() if len(one.area)}
    if not sized:
        return None
    score = f"probability of {material.positive}" if material.positive else "probability of the true class"
    left_out = f" The best {PANELS} of {len(sized)} runs." if len(sized) > PANELS else ""
    about = f"A dot is a cell. Within a class size should not matter: rank correlations near 0.{left_out}"
    drawing = area_drawing(sized, score, about, material.notes)
    return Section("area", drawing.title, tables=(_matched(material, areas),), drawings=(drawing,))


def _matched(material: Material, areas: Mapping[str, float]) -> Table:
    """What is left of each run's AUROC among cells of equal area."""
    found = {run.name: area_matched(run.predictions, areas) for run in material.runs}
    tolerance = next(iter(found.values())).tolerance
    return Table(
        title="AUROC among cells of equal area",
        columns=(
            Column("run"),
            Column("among all pairs", form=".3f"),
            Column("among pairs of equal area", form=".3f"),
            Column("area itself among these", form=".3f"),
            Column("pairs", form=",d"),
            Column("cells without an area", form=",d"),
        ),
        rows=tuple(
            (name, one.plain, Estimate(one.auroc, one.interval), one.area, one.pairs, one.without_area)
            for name, one in found.items()
        ),
        words=(f"pairs of a positive and a negative cell whose areas differ by at most {tolerance:.0%}",),
    )


def learning_curve(material: Material) -> Section | None:
    """Would more subjects help?"""
    found = [folder.learning_curve for folder in material.folders.values() if folder.learning_curve]
    if not found:
        return None
    drawings = _numbered(learning_curve_drawing(one, material.notes) for one in found)
    words = tuple(sentence for one in found for sentence in study_sentences(one))
    tables = tuple(drawing.table for drawing in drawings)
    return Section("learning-curve", "Learning curve", words, tables=tables, drawings=drawings)


def leakage(material: Material) -> Section | None:
    """What the same candidate seems to gain under looser splits."""
    found = [folder.leakage_meter for folder in material.folders.values() if folder.leakage_meter]
    if not found:
        return None
    drawings = _numbered(leakage_drawing(one, material.notes) for one in found)
    words = tuple(sentence for one in found for sentence in study_sentences(one))
    tables = tuple(drawing.table for drawing in drawings)
    return Section("leakage-meter", "Leakage meter", words, tables=tables, drawings=drawings)


def sites(material: Material) -> Section | None:
    """Trained at one site, tested at another."""
    found = [folder.site_matrix for folder in material.folders.values() if folder.site_matrix]
    if not found:
        return None
    drawings = _numbered(sites_drawing(one, material.notes) for one in found)
    warnings = tuple(dict.fromkeys(words for one in found for words in one.warnings))
    words = tuple(sentence for one in found for sentence in study_sentences(one))
    tables = tuple(
        table for one, drawing in zip(found, drawings, strict=True) for table in (drawing.table, described(one))
    )
    return Section("sites", "Across sites", words, points=warnings, tables=tables, drawings=drawings)


def _numbered(drawings: Iterable[Drawing]) -> tuple[Drawing, ...]:
    """Drawings under names that differ."""
    return tuple(one if k == 0 else replace(one, name=f"{one.name}-{k + 1}") for k, one in enumerate(drawings))


def audit(material: Material) -> Section | None:
    """Every finding with its evidence; runs of equal findings together."""
    together: dict[str, tuple[Audited, list[str]]] = {}
    for name, audited in material.audits.items():
        key = json.dumps([audited.level, audited.allowed, [one.to_dict() for one in audited.findings]], default=str)
        together.setdefault(key, (audited, []))[1].append(name)
    if not together:
        return None
    words: list[str] = []
    tables: list[Table] = []
    parts: list[Section] = []
    for audited, names in together.values():
        whose = "" if len(names) == len(material.runs) else f" ({', '.join(names)})"
        allowed = f"; leaks allowed by the user: {', '.join(audited.allowed)}" if audited.allowed else ""
        nothing = "" if audited.findings else "; nothing was found"
        words.append(f"Checks of level {audited.level}{allowed}{nothing}{whose}.")
        if audited.findings:
            tables.append(_findings(audited, f"Findings{whose}"))
        evident = [pair for pair in zip(audited.findings, audited.cases, strict=True) if pair[0].evidence]
        parts += [_evidence(one, cases, len(parts) + k) for k, (one, cases) in enumerate(evident, start=1)]
    without = [run.name for run in material.runs if run.name not in material.audits]
    if without:
        words.append(f"Without an audit: {', '.join(without)}.")
    return Section("audit", "Audit", tuple(words), tables=tuple(tables), parts=tuple(parts))


def _findings(audited: Audited, title: str) -> Table:
    heads = (Column("severity"), Column("code"), Column("what was found"), Column("what to do"))
    rows: list[tuple[Cell, ...]] = [
        (one.severity + (", declared" if one.declared else ""), one.code, one.words, one.action)
        for one in audited.findings
    ]
    return Table(title, heads, tuple(rows))


def _evidence(finding: Finding, cases: int, number: int) -> Section:
    """The cases of a finding as a table."""
    names = list(dict.fromkeys(name for case in finding.evidence for name in case))
    shown = finding.evidence[:_CASES]
    rows = tuple(tuple(_told(case.get(name)) for name in names) for case in shown)
    words = (f"the first {len(shown)} of {cases:,} cases",) if cases > len(shown) else ()
    title = f"Evidence: {finding.code} ({cases:,})"
    table = Table(title, tuple(Column(name.replace("_", " ")) for name in names), rows, words)
    return Section(f"evidence-{number}", title, tables=(table,), folded=True)


def _told(value: object) -> str | None:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        first = ", ".join(str(_told(one)) for one in value[:6])
        return first + (f" and {len(value) - 6} more" if len(value) > 6 else "")
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    return None if value is None else str(value)


def explanations(material: Material) -> Section | None:
    """Sheets of images drawn by chance, and of the worst errors."""
    parts: list[Section] = []
    for name, folder in material.folders.items():
        pictures, words = [], _inside_cells(folder.explanations)
        for kind, title in (("random", "Drawn by chance"), ("worst", "The largest losses")):
            png = folder.picture(kind)
            file = f"{folder.path.name}/explanations/{kind}.png"
            if len(png) > _LARGEST:
                words.append(f"{title}: see {file}, which is too large for this page.")
            elif png:
                pictures.append(Picture(f"explanations-{len(parts) + 1}-{kind}", title, f"{name}; from {file}.", png))
        if pictures or words:
            parts.append(Section(f"explanations-{len(parts) + 1}", name, tuple(words), pictures=tuple(pictures)))
    if not parts:
        return None
    told = ("Images are drawn by chance or by loss; nobody chose them. A map shows where a score comes from, not why.",)
    return Section("explanations", "Explanations", told, parts=tuple(parts))


def _inside_cells(facts: Mapping[str, Any]) -> list[str]:
    """How much of the maps lies inside cells, where it was measured."""
    return [
        f"{one['name']}, {one['method']}: {one['mean_share_inside']:.0%} of the map lies inside the cell, which is"
        f" {one['mean_cell_share']:.0%} of the image ({one['n']} images drawn by chance)."
        for one in facts.get("networks", ())
        if one.get("n") and one.get("mean_share_inside") is not None
    ]
