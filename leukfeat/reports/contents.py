"""What a report shows: the tables and facts of a comparison, made from aligned runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leukfeat.data.words import protection_in_words
from leukfeat.evaluation.metrics import METRICS, confusion, score_by_fold
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.subjects import subject_accuracy
from leukfeat.reports.table import Cell, Column, Table


@dataclass(frozen=True)
class Note:
    """Words that must stand beside the numbers, and the runs they are about (empty: every one)."""

    words: str
    runs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.words} ({', '.join(self.runs)})" if self.runs else self.words


def fold_table(runs: Sequence[Run], metric: str) -> Table:
    """How far a metric over cells differs between folds, which hold different subjects.

    A fold in which the metric is undefined (one class only) is left out, and the number of those that are not is told.
    """
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        scores = [found[metric] for found in score_by_fold(run.predictions, [metric]).values()]
        defined = sorted((one for one in scores if one.defined), key=lambda one: one.value) or scores[:1]
        n_defined = sum(one.defined for one in scores)
        rows.append((run.name, n_defined, defined[0], defined[-1]))
    title = METRICS[metric].title_for(len(runs[0].predictions.classes))
    return Table(
        title=f"{title} over cells in single folds",
        columns=(
            Column("run"),
            Column("folds", form="d"),
            Column("lowest", form=".3f"),
            Column("highest", form=".3f"),
        ),
        rows=tuple(rows),
    )


@dataclass(frozen=True)
class SubjectRow:
    """One subject under every run.

    Attributes
    ----------
    subject, true_class : str
        Its id and its class.
    cells : int
        Distinct samples.
    accuracies : tuple of float
        Share of correct predictions, one a run.
    """

    subject: str
    true_class: str
    cells: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the runs."""
        return float(np.mean(self.accuracies))


def subject_rows(runs: Sequence[Run]) -> tuple[SubjectRow, ...]:
    """Every subject under every one of aligned runs, the worst on average first; empty where subjects are unknown."""
    subjects = subject_accuracy(runs[0].predictions)
    if not subjects:
        return ()
    number = {one.subject: row for row, one in enumerate(subjects)}
    owner = np.array([number[who] for who in runs[0].predictions.subject.tolist()])
    right = (run.predictions.y_true == run.predictions.y_pred for run in runs)
    shares = np.stack([np.bincount(owner, weights=each) for each in right], axis=1) / np.bincount(owner)[:, None]
    rows = (
        SubjectRow(one.subject, one.true_class, one.cells, tuple(of_runs))
        for one, of_runs in zip(subjects, shares.tolist(), strict=True)
    )
    return tuple(sorted(rows, key=lambda row: row.mean))


def subject_table(runs: Sequence[Run]) -> Table:
    """Cell accuracy of every subject under every run, the worst subject first."""
    return Table(
        title="Accuracy by subject",
        columns=(
            Column("subject"),
            Column("class"),
            Column("cells", form=",d"),
            Column("mean", form=".3f"),
            *(Column(run.name, form=".3f") for run in runs),
        ),
        rows=tuple((row.subject, row.true_class, row.cells, row.mean, *row.accuracies) for row in subject_rows(runs)),
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
    known = predictions.subjects_known
    protection = protection_in_words(split["protection"], subjects_known=known) if "protection" in split else None
    facts: list[tuple[str, Any]] = [
        ("data set", data.get("dataset")),
        ("images tested", f"{len(np.unique(predictions.sample)):,}"),
        ("images missing", data.get("missing")),
        ("subjects", f"{len(np.unique(predictions.subject)):,}" if known else "unknown"),
    ]
    if known:
        facts += [
            ("linked groups", f"{len(np.unique(predictions.group)):,}"),
            ("linked pairs of subject ids", data.get("links")),
        ]
    facts += [
        ("groups of identical images", data.get("identical_groups")),
        ("split", split.get("kind", "not recorded")),
        ("protection", protection),
        ("folds", f"{n_folds}" + (f" × {n_repeats} repeats" if n_repeats > 1 else "")),
        ("split digest", str(split["digest"])[:12] if "digest" in split else None),
        ("data digest", str(data["digest"])[:12] if "digest" in data else None),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def cost_table(runs: Sequence[Run]) -> Table:
    """Time and size of every run, as far as recorded."""
    columns = (
        Column("run"),
        Column("parameters", form=",d"),
        Column("MACs per image", form=",d"),
        Column("file to answer (ms per cell)", form=",.1f"),
        Column("total (s)", form=",.1f"),
        Column("training of networks, sum of folds (s)", form=",.0f"),
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
    trainings = [float(each["seconds"]) for fold in run.folds for each in _trainings(fold) if "seconds" in each]
    made_by = dict.fromkeys(str(fold["implementation"]) for fold in run.folds if "implementation" in fold)
    return (
        run.name,
        run.cost.get("parameters"),
        run.cost.get("macs"),
        run.cost.get("ms_per_cell"),
        run.seconds,
        sum(trainings) if trainings else None,
        float(np.mean(fits)) if fits else None,
        1000 * float(np.sum(predicts)) / len(run.predictions) if predicts else None,
        max(features) if features else None,
        float(np.mean(trained)) if trained else None,
        ", ".join(made_by) or None,
    )


def _trainings(fold: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Facts of every network trained in a fold, those of an ensemble's members too."""
    yield from fold.get("trained", ())
    for member in fold.get("members", ()):
        yield from _trainings(member)


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
