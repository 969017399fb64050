"""Who and what was tested."""

from __future__ import annotations

import numpy as np

from leukfeat.data.words import protection_in_words
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run
from leukfeat.reports.contents import cohort_facts
from leukfeat.reports.figures.flow import Stage, flow_drawing
from leukfeat.reports.page.material import Material
from leukfeat.reports.sections import Section


def cohort(material: Material) -> Section:
    """The flow from the data set to the tested images, the facts of the split, and the classes."""
    recorded = next((run for run in material.runs if run.split), material.runs[0])
    return Section(
        "cohort",
        "Cohort and split",
        facts=tuple(cohort_facts(material.runs)),
        tables=(material.tables["cohort"],),
        drawings=(flow_drawing(flow(recorded), folds_of(recorded.predictions), material.notes),),
    )


def flow(run: Run) -> tuple[Stage, ...]:
    """The stages that a run has counted."""
    predictions, data = run.predictions, run.data
    tested = len(np.unique(predictions.sample))
    stages = []
    if "images" in data:
        images, missing = int(data["images"]), int(data.get("missing", 0))
        lines = [f"{images:,} labelled images of the split"]
        if data.get("identical_groups"):
            lines.append(f"{data['identical_groups']:,} groups of identical images among them")
        if data.get("links"):
            lines.append(f"{data['links']:,} pairs of subject ids linked by identical images")
        gone = (f"{missing:,} image{'s' * (missing != 1)} unreadable",) if missing else ()
        stages.append(Stage(str(data.get("dataset") or "Data set"), tuple(lines), gone))
        only_trained = images - missing - tested
        if only_trained > 0:
            kept = (f"{only_trained:,} images for training only",)
            stages.append(Stage("Usable", (f"{images - missing:,} images",), kept))
    stages.append(Stage("Tested", tuple(_counts(predictions))))
    if predictions.subjects_known and len(np.unique(predictions.group)) < len(np.unique(predictions.subject)):
        stages.append(Stage("Linked", (f"{len(np.unique(predictions.group)):,} groups of linked subjects",)))
    stages.append(Stage("Split", tuple(_split(run))))
    return tuple(stages)


def _counts(predictions: Predictions) -> list[str]:
    _, first = np.unique(predictions.sample, return_index=True)
    cells = predictions.take(first)
    known = cells.subjects_known
    people = f" of {len(np.unique(cells.subject)):,} subjects" if known else ", subjects unknown"
    lines = [f"{len(cells):,} images{people}"]
    for name in cells.classes:
        mine = cells.y_true == name
        lines.append(f"{name}: {mine.sum():,} images" + _of_subjects(cells.subject[mine], known))
    return lines


def _of_subjects(subject: np.ndarray, known: bool) -> str:
    n = len(np.unique(subject))
    return f" of {n:,} subject{'s' * (n != 1)}" if known else ""


def _split(run: Run) -> list[str]:
    predictions = run.predictions
    repeats = np.unique(predictions.repeat)
    folds = len(set(zip(predictions.repeat.tolist(), predictions.fold.tolist(), strict=True)))
    many = f"{folds // len(repeats)} fold(s)" + (f" × {len(repeats)} repeats" if len(repeats) > 1 else "")
    known = predictions.subjects_known
    kind = run.split.get("kind", "not recorded")
    lines = [f"{kind}: {many}, every image tested once" + (" a repeat" if len(repeats) > 1 else "")]
    if "protection" in run.split:
        lines.append(protection_in_words(run.split["protection"], subjects_known=known))
    return lines


def folds_of(predictions: Predictions) -> tuple[Stage, ...]:
    """The test part of every fold; of several repeats those of the first."""
    first = predictions.take(predictions.repeat == predictions.repeat.min())
    stages = []
    for fold in np.unique(first.fold).tolist():
        mine = first.take(first.fold == fold)
        lines = [f"{len(mine):,} images"]
        if first.subjects_known:
            n = len(np.unique(mine.subject))
            lines.append(f"{n:,} subject{'s' * (n != 1)}")
        lines += [f"{name}: {(mine.y_true == name).sum():,}" for name in mine.classes]
        stages.append(Stage(f"Test {fold}", tuple(lines)))
    return tuple(stages)
