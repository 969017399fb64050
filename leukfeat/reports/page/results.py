"""The main numbers: every metric with its interval, differences, and curves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from leukfeat.evaluation.bands import Band, Kind, bands
from leukfeat.evaluation.metrics import confusion as confusion_of
from leukfeat.reports.figures.confusion import confusion_drawing
from leukfeat.reports.figures.curves import BANDS_SHOWN, precision_recall_drawing, roc_drawing
from leukfeat.reports.figures.differences import forest_drawing
from leukfeat.reports.page.material import Material
from leukfeat.reports.processes import of_each
from leukfeat.reports.sections import Drawing, Section

_MOST_PAIRS = 10  # of more, the table is folded away: the forest plot shows them


def by_cell(material: Material) -> Section:
    """Runs × metrics over cells."""
    table = material.tables["by-cell"]
    return Section("by-cell", table.title, tables=(table,))


def by_subject(material: Material) -> Section:
    """Runs × metrics over subjects, or why there are none."""
    table = material.tables["by-subject"]
    if material.no_subjects:
        return Section("by-subject", "By subject", (f"None: {material.no_subjects}.",))
    return Section("by-subject", table.title, ("A subject's probability is the mean over its cells.",), tables=(table,))


def folds(material: Material) -> Section:
    """How far results depend on who was tested, and on seeds."""
    told = (
        "Folds hold different subjects, so the spread says how much a result depends on who was tested. It is no"
        " confidence interval.",
    )
    tables = tuple(material.tables[name] for name in ("folds", "spread") if name in material.tables)
    return Section("folds", tables[0].title, told, tables=tables)


def differences(material: Material) -> Section | None:
    """Tested pairs: sentences, a forest plot, the table, and other tests folded away."""
    pairs = material.pairs
    if not pairs.pairs:
        return None
    table = material.tables["pairs"]
    title = material.main_title
    about = f"{pairs.test}; {pairs.family}. Coloured where the adjusted p is below 0.05."
    defined = any(pair.difference.estimate.defined for pair in pairs.pairs)
    drawing = (forest_drawing(pairs.pairs, title, table, about, material.notes),) if defined else ()
    names = (("other-tests", "Other tests of the same pairs"), ("equivalence", "Practical equivalence"))
    many = len(pairs.pairs) > _MOST_PAIRS
    every = (Section("pairs", "Every pair", tables=(table,), folded=True),) if many else ()
    parts = tuple(
        Section(name, heading, tables=(material.tables[name],), folded=True)
        for name, heading in names
        if name in material.tables and material.tables[name].rows
    )
    shown = () if many else (table,)
    return Section("differences", table.title, pairs.sentences, tables=shown, drawings=drawing, parts=(*every, *parts))


def curves(material: Material) -> Section:
    """ROC and precision-recall curves with bands."""
    drawings: list[Drawing] = []
    of_runs = _bands(material)
    kinds: tuple[tuple[Kind, str, Callable[..., Drawing]], ...] = (
        ("roc", "auroc", roc_drawing),
        ("precision-recall", "auprc", precision_recall_drawing),
    )
    for kind, metric, draw in kinds:
        found = {name: of_run[kind] for name, of_run in of_runs.items()}
        labels = {name: str(material.by_cell.estimate(name, metric).score) for name in found}
        defined = {name: one for name, one in found.items() if not one.reason}
        if defined or kind == "roc":
            drawings.append(draw(found, labels, _about(material, found), _curve_class(material), material.notes))
    return Section("curves", "ROC and precision-recall curves", drawings=tuple(drawings))


def _bands(material: Material) -> dict[str, dict[Kind, Band]]:
    runs, cells = [run.predictions for run in material.runs], material.by_cell
    found = of_each(partial(bands, draws=cells.draws, level=cells.how.level), runs, rows=sum(map(len, runs)))
    return {run.name: one for run, one in zip(material.runs, found, strict=True)}


def _about(material: Material, bands: dict[str, Band]) -> str:
    told = "Out-of-fold predictions of all folds together."
    if not any(len(one.low) for one in bands.values()):
        return told
    whose = f" of the best {BANDS_SHOWN}" if len(bands) > BANDS_SHOWN else ""
    return f"{told} Bands{whose}: pointwise {material.by_cell.how.percent} of the resamples of {material.units}."


def _curve_class(material: Material) -> str | None:
    """The class that a curve of two classes is for."""
    classes = material.predictions.classes
    return material.positive or (classes[1] if len(classes) == 2 else None)


def confusion(material: Material) -> Section:
    """What was taken for what."""
    counts = {run.name: confusion_of(run.predictions) for run in material.runs}
    table = material.tables["confusion"]
    drawing = confusion_drawing(counts, material.predictions.classes, table, material.notes)
    counted = Section("confusion-counts", "The counts", tables=(table,), folded=True)
    return Section("confusion", drawing.title, drawings=(drawing,), parts=(counted,))
