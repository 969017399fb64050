"""The order of a report: a table of sections; one that has nothing to show is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leukfeat.reports.html import Head
from leukfeat.reports.page import cohort, probabilities, record, results, robustness, subjects
from leukfeat.reports.page.material import Material
from leukfeat.reports.sections import Section

SECTIONS: Sequence[Callable[[Material], Section | None]] = (
    cohort.cohort,
    results.by_cell,
    results.by_subject,
    results.differences,
    results.folds,
    results.curves,
    probabilities.calibration,
    probabilities.decisions,
    probabilities.operating,
    subjects.subjects,
    subjects.verdicts,
    robustness.area,
    robustness.learning_curve,
    results.confusion,
    record.cost,
    robustness.audit,
    robustness.explanations,
    robustness.leakage,
    robustness.sites,
    record.papers,
    record.cards,
    record.runs,
    record.versions,
    record.reproduce,
)
"""Every section, in its order; the checklists, which look at all others, stand before the model cards."""

_CHECKLISTS_BEFORE = "model-card", "runs"


def sections_of(material: Material) -> tuple[Section, ...]:
    """The sections of a report."""
    found = [section for make in SECTIONS if (section := make(material)) is not None]
    place = next(k for k, section in enumerate(found) if section.name in _CHECKLISTS_BEFORE)
    return (*found[:place], record.answered(material, found), *found[place:])


def head_of(material: Material) -> Head:
    """What stands above the sections."""
    n = len(material.runs)
    how = "Computed from out-of-fold predictions, pooled over the folds of a repeat and averaged over repeats."
    order = (
        f" All runs were tested on the same samples in the same folds, and are ordered by {material.main_title} over"
        " cells."
    )
    lead = f"{how}{order if n > 1 else ''} Research use only; not for diagnosis."
    title = material.runs[0].name if n == 1 else f"Comparison of {n} runs"
    return Head(title, (lead,), material.first)
