"""What a finished run was really trained on and tested for, checked against a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from leukfeat.audit.findings import Finding
from leukfeat.audit.leakage import as_tested, folds_of_predictions, inner_findings, split_findings
from leukfeat.data.manifest import Manifest
from leukfeat.data.splitfiles import read_folds
from leukfeat.data.splits import Fold
from leukfeat.evaluation.runs import Run

if TYPE_CHECKING:
    from leukfeat.audit.duplicates import Duplicates

SPLIT_CSV = "split.csv"


def run_findings(manifest: Manifest, path: Path | str, duplicates: Duplicates | None = None) -> tuple[Finding, ...]:
    """Leaks of a run folder, or of a bare predictions file of any tool.

    Of a run folder the training parts of its ``split.csv`` are compared with what its predictions are for, and its
    inner predictions with both. Predictions alone give away their test parts; each fold is taken to have been trained
    on the others of its repeat.

    Parameters
    ----------
    manifest : Manifest
        The data that the run was made with.
    path : path
        Run folder or predictions file.
    duplicates : Duplicates or None
        Nearly identical images of the manifest, which must not stand on two sides either.

    Raises
    ------
    RunError, PredictionsError, SplitError
        It cannot be read.
    UsageError
        Its samples are not those of the manifest.
    """
    run, folds = folds_of_run(manifest, path)
    kind, protection = run.split.get("kind", "file"), run.split.get("protection", "none")
    found = split_findings(manifest, folds, kind=kind, protection=protection, duplicates=duplicates)
    if not any(len(fold.train) for fold in folds):
        found += (Finding.of("training-unknown", "one fold and no split file: its training part cannot be checked"),)
    if run.inner is not None:
        found += inner_findings(manifest, folds, run.inner, kind=kind, protection=protection)
    return tuple(replace(one, words=f"{run.name}: {one.words}") for one in found)


def folds_of_run(manifest: Manifest, path: Path | str) -> tuple[Run, tuple[Fold, ...]]:
    """A run, and the folds it was really made on.

    Raises
    ------
    RunError, PredictionsError, SplitError, UsageError
        As in :func:`run_findings`.
    """
    run, split = Run.load(path), Path(path) / SPLIT_CSV
    if not split.is_file():
        return run, folds_of_predictions(manifest, run.predictions)
    folds = read_folds(split, manifest.sample, manifest.dataset)
    return run, as_tested(manifest, folds, run.predictions)
