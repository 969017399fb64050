"""What a report shows: the tables and facts of a comparison, made from aligned runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leukfeat.evaluation.metrics import METRICS, Score, confusion
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.subjects import subject_accuracy
from leukfeat.reports.table import Cell, Column, Table

_PROTECTION = {
    "linked-subject": "linked subjects are never divided",
    "subject": "subjects are never divided",
    "none": "nothing keeps subjects apart",
}


def score_table(
    level: str, predictions: Predictions, scores: Mapping[str, Mapping[str, Score]], metrics: Sequence[str]
) -> Table:
    """Runs × metrics at one level.

    Parameters
    ----------
    level : ``"cell"`` or ``"subject"``
        For the title.
    predictions : Predictions
        Of any run: its counts and positive class stand in the title.
    scores : mapping of str to mapping of str to Score
        By run and metric.
    metrics : sequence of str
        Which, in which order.
    """
    n_subjects = f"{len(np.unique(predictions.subject)):,}" if predictions.subjects_known else "unknown"
    counted = {"cell": f"{len(np.unique(predictions.sample)):,}", "subject": n_subjects}[level]
    told = f"; positive: {predictions.positive}" if predictions.positive and len(predictions.classes) == 2 else ""
    heads = (METRICS[name] for name in metrics)
    return Table(
        title=f"By {level} ({level}s: {counted}{told})",
        columns=(
            Column("run"),
            *(Column(head.title_for(len(predictions.classes)), head.short, ".3f") for head in heads),
        ),
        rows=tuple((run, *(found[name] for name in metrics)) for run, found in scores.items()),
    )


def subject_table(runs: Sequence[Run]) -> Table:
    """Cell accuracy of every subject under every run, the worst subject first."""
    per_run = [{one.subject: one for one in subject_accuracy(run.predictions)} for run in runs]
    mean = {subject: float(np.mean([found[subject].accuracy for found in per_run])) for subject in per_run[0]}
    return Table(
        title="Accuracy by subject",
        columns=(
            Column("subject"),
            Column("class"),
            Column("cells", form=",d"),
            Column("mean", form=".3f"),
            *(Column(run.name, form=".3f") for run in runs),
        ),
        rows=tuple(
            (
                subject,
                per_run[0][subject].true_class,
                per_run[0][subject].cells,
                mean[subject],
                *(found[subject].accuracy for found in per_run),
            )
            for subject in sorted(mean, key=lambda subject: mean[subject])
        ),
    )


def confusion_table(runs: Sequence[Run]) -> Table:
    """Counts of true and predicted classes, over all repeats."""
    classes = runs[0].predictions.classes
    return Table(
        title="Confusion of cells",
        columns=(Column("run"), Column("true class"), *(Column(f"predicted {name}", form=",d") for name in classes)),
        rows=tuple(
            (run.name, name, *counts)
            for run in runs
            for name, counts in zip(classes, confusion(run.predictions).tolist(), strict=True)
        ),
    )


def cohort_table(predictions: Predictions) -> Table:
    """Images and subjects of every class."""
    _, first = np.unique(predictions.sample, return_index=True)
    cells = predictions.take(first)
    rows: list[tuple[Cell, ...]] = []
    for name in cells.classes:
        here = cells.y_true == name
        counts = np.unique(cells.subject[here], return_counts=True)[1]
        spread: tuple[Cell, ...] = ()
        if cells.subjects_known:
            low, middle, high = np.percentile(counts, [25, 50, 75]) if len(counts) else (0, 0, 0)
            spread = (len(counts), f"{middle:g} ({low:g}–{high:g})")
        label = f"{name} (positive)" if name == cells.positive else name
        rows.append((label, int(here.sum()), float(here.mean()), *spread))
    heads = [Column("class"), Column("images", form=",d"), Column("share", form=".1%")]
    if cells.subjects_known:
        heads += [Column("subjects", form=",d"), Column("images per subject, median (quartiles)")]
    return Table("Cohort", tuple(heads), tuple(rows))


def cohort_facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """What was tested, and how it was split; only what is recorded."""
    recorded = next((run for run in runs if run.split), runs[0])
    predictions, data, split = recorded.predictions, recorded.data, recorded.split
    n_repeats = len(np.unique(predictions.repeat))
    n_folds = len(set(zip(predictions.repeat.tolist(), predictions.fold.tolist(), strict=True))) // n_repeats
    facts: list[tuple[str, Any]] = [
        ("data set", data.get("dataset")),
        ("images tested", f"{len(np.unique(predictions.sample)):,}"),
        ("images missing", data.get("missing")),
        ("subjects", f"{len(np.unique(predictions.subject)):,}" if predictions.subjects_known else "unknown"),
    ]
    if predictions.subjects_known:
        facts += [
            ("linked groups", f"{len(np.unique(predictions.group)):,}"),
            ("linked pairs of subject ids", data.get("links")),
        ]
    facts += [
        ("groups of identical images", data.get("identical_groups")),
        ("split", split.get("kind", "not recorded")),
        ("protection", _PROTECTION.get(split.get("protection", ""), split.get("protection"))),
        ("folds", f"{n_folds}" + (f" × {n_repeats} repeats" if n_repeats > 1 else "")),
        ("split digest", str(split["digest"])[:12] if "digest" in split else None),
        ("data digest", str(data["digest"])[:12] if "digest" in data else None),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def cost_table(runs: Sequence[Run]) -> Table:
    """Time and size of every run, as far as recorded."""
    columns = (
        Column("run"),
        Column("total (s)", form=",.1f"),
        Column("fit, mean of folds (s)", form=",.2f"),
        Column("predict (ms per image)", form=",.2f"),
        Column("features", form=",d"),
        Column("training images, mean of folds", form=",.0f"),
        Column("implementation"),
    )
    return Table("Time and size", columns, tuple(_costs(run) for run in runs))


def _costs(run: Run) -> tuple[Cell, ...]:
    fits = [fold["seconds"]["fit"] for fold in run.folds if "fit" in fold.get("seconds", {})]
    predicts = [fold["seconds"]["predict"] for fold in run.folds if "predict" in fold.get("seconds", {})]
    features = {fold["n_features"] for fold in run.folds if "n_features" in fold}
    trained = [fold["n_train"] for fold in run.folds if "n_train" in fold]
    made_by = dict.fromkeys(str(fold["implementation"]) for fold in run.folds if "implementation" in fold)
    return (
        run.name,
        run.seconds,
        float(np.mean(fits)) if fits else None,
        1000 * float(np.sum(predicts)) / len(run.predictions) if predicts else None,
        max(features) if features else None,
        float(np.mean(trained)) if trained else None,
        ", ".join(made_by) or None,
    )


def parameters(run: Run) -> Table:
    """What each fold chose: score on inner folds and every parameter."""
    chosen = [flat(fold.get("params", {})) for fold in run.folds]
    names = list(dict.fromkeys(name for params in chosen for name in params))
    scores = [fold.get("inner_score") for fold in run.folds]
    metric = next((str(fold["metric"]) for fold in run.folds if "metric" in fold), "score")
    return Table(
        title="Chosen in each fold",
        columns=(
            Column("repeat", form="d"),
            Column("fold", form="d"),
            Column(f"inner {metric}", form=".3f"),
            *(Column(name) for name in names),
        ),
        rows=tuple(
            (fold.get("repeat"), fold.get("fold"), inner, *(params.get(name, "–") for name in names))
            for fold, params, inner in zip(run.folds, chosen, scores, strict=True)
        )
        if names
        else (),
    )


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested JSON facts as ``a.b`` → text; what is not stated is left out.

    Examples
    --------
    >>> flat({"head": {"name": "svm", "C": 0.1000000001}, "layer": None})
    {'head.name': 'svm', 'head.C': '0.1'}
    """
    found: dict[str, str] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            found |= flat({str(k): item for k, item in enumerate(value)}, f"{prefix}{name}.")
        elif isinstance(value, float):
            found[prefix + name] = f"{value:.4g}"
        elif isinstance(value, list | tuple):
            found[prefix + name] = ", ".join(map(str, value))
        elif value is not None:
            found[prefix + name] = str(value)
    return found
