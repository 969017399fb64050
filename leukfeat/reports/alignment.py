"""Runs brought to the same rows and columns, or refused with the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run

_SAME_SPLIT = "evaluate both on one split (the same --seed, or --split-file)"


def align(runs: Sequence[Run], positive: str | None = None) -> tuple[Run, ...]:
    """Bring runs to the rows, the class order and the positive class of the first one, under distinct names.

    A run that does not know its folds, its subjects or its positive class learns them from one that does.

    Parameters
    ----------
    runs : sequence of Run
        At least one; rows and probability columns may be in any order.
    positive : str or None
        States the positive class for all.

    Returns
    -------
    tuple of Run
        With equal ``sample``, ``repeat``, ``fold``, ``y_true``, ``subject``, ``classes`` and ``positive``.

    Raises
    ------
    ComparisonError
        The runs differ in samples, repeats, folds, true labels, subjects, classes or positive class.
    """
    if not runs:
        raise ComparisonError("no runs to compare; name run folders or predictions files")
    named = _with_folds(_distinguished(runs))
    first = named[0]
    ordered = [replace(run, predictions=_like(first, run)) for run in named]
    stated = positive or _agreed_positive(ordered)
    if stated is not None:
        ordered = [replace(run, predictions=run.predictions.with_positive(stated)) for run in ordered]
    return tuple(_with_subjects(ordered))


def manifest_differences(runs: Sequence[Run]) -> tuple[str, ...]:
    """Words about runs that were made from different manifests; none where all agree or do not record theirs.

    Samples of equal names may then be other images, or stand in other linked groups.
    """
    made_from: dict[str, list[str]] = {}
    for run in runs:
        if "digest" in run.data:
            made_from.setdefault(str(run.data["digest"]), []).append(run.name)
    if len(made_from) < 2:
        return ()
    told = "; ".join(f"{digest[:12]} of {', '.join(names)}" for digest, names in made_from.items())
    return (f"the manifests differ: {told}; images or groups of the same name may not be the same",)


def _distinguished(runs: Sequence[Run]) -> list[Run]:
    """The runs, those of equal name numbered."""
    times = Counter(run.name for run in runs)
    taken = {name for name, many in times.items() if many == 1}
    named = []
    for run in runs:
        name, number = run.name, 0
        while times[run.name] > 1 and (number == 0 or name in taken):
            number += 1
            name = f"{run.name} ({number})"
        taken.add(name)
        named.append(run if name == run.name else replace(run, name=name))
    return named


def _states_no_folds(run: Run) -> bool:
    """Whether a run tells nothing of folds: no record of a split, and one fold number for all rows."""
    return not run.split and len(np.unique(run.predictions.fold)) == 1


def _with_folds(runs: Sequence[Run]) -> list[Run]:
    """Every run with folds; one that states none and has no repeats takes them from the first that does.

    Where that is not possible (other samples, several repeats) the run stays as it is, and is refused later on.
    """
    stating = next((run for run in runs if not _states_no_folds(run)), None)
    if stating is None:
        return list(runs)
    known = stating.predictions
    row_of = {sample: row for row, sample in enumerate(known.sample.tolist())}
    told = []
    for run in runs:
        samples = run.predictions.sample.tolist()
        repeats = {*run.predictions.repeat.tolist()}, {*known.repeat.tolist()}
        alike = all(len(numbers) == 1 for numbers in repeats) and row_of.keys() == set(samples)
        if alike and _states_no_folds(run):
            rows = np.array([row_of[sample] for sample in samples])
            taken = replace(run.predictions, repeat=known.repeat[rows], fold=known.fold[rows])
            if taken.digest != run.predictions.digest:
                notes = (*run.notes, "folds not stated; taken from the other runs")
                run = replace(run, predictions=taken, notes=notes)
        told.append(run)
    return told


def _no_fold_column(runs: Sequence[Run]) -> str:
    """Words about the first run that states no folds; empty where all do."""
    return next(
        (f"; {run.name!r} has no fold column, so give it repeat and fold" for run in runs if _states_no_folds(run)), ""
    )


def _like(first: Run, run: Run) -> Predictions:
    """The predictions of a run in the row and column order of the first."""
    ours, theirs = first.predictions, run.predictions
    if set(ours.classes) != set(theirs.classes):
        raise ComparisonError(
            f"runs {first.name!r} and {run.name!r} have different classes: {', '.join(sorted(ours.classes))} against"
            f" {', '.join(sorted(theirs.classes))}; compare runs on one data set"
        )
    row_of = {key: row for row, key in enumerate(_keys(theirs))}
    keys = _keys(ours)
    if row_of.keys() != set(keys):
        raise ComparisonError(_other_rows(first, run))
    aligned = theirs.take(np.array([row_of[key] for key in keys])).with_classes(ours.classes)
    _refuse_difference(first, run, aligned, "y_true", "carry another true label", "compare runs on one set of labels")
    hint = _fold_hint(ours, aligned) + _no_fold_column((first, run))
    _refuse_difference(first, run, aligned, "fold", "were tested in another fold", hint)
    return aligned


def _keys(predictions: Predictions) -> list[tuple[int, str]]:
    return list(zip(predictions.repeat.tolist(), predictions.sample.tolist(), strict=True))


def _other_rows(first: Run, run: Run) -> str:
    """What to say of runs that do not hold the same (repeat, sample) rows."""
    ours, theirs = first.predictions, run.predictions
    here, there = set(ours.sample.tolist()), set(theirs.sample.tolist())
    told = [
        f"{len(only)} sample(s) only in {name!r}, e.g. {min(only)}"
        for name, only in ((first.name, here - there), (run.name, there - here))
        if only
    ]
    if told:
        common = len(here & there)
        return (
            f"runs {first.name!r} and {run.name!r} were not tested on the same samples: {'; '.join(told)}"
            f" ({common} in common); {_SAME_SPLIT}"
        )
    counts = [len(np.unique(one.repeat)) for one in (ours, theirs)]
    if counts[0] == counts[1]:
        return (
            f"runs {first.name!r} and {run.name!r} number their repeats differently or tested other samples in them;"
            f" {_SAME_SPLIT}"
        )
    return (
        f"runs {first.name!r} and {run.name!r} differ in repeats: {counts[0]} against {counts[1]}; {_SAME_SPLIT}"
        f" and the same --repeats{_no_fold_column((first, run))}"
    )


def _refuse_difference(first: Run, run: Run, aligned: Predictions, column: str, what: str, remedy: str) -> None:
    ours: NDArray[Any] = getattr(first.predictions, column)
    theirs: NDArray[Any] = getattr(aligned, column)
    unlike = np.flatnonzero(ours != theirs)
    if len(unlike):
        row = int(unlike[0])
        raise ComparisonError(
            f"runs {first.name!r} and {run.name!r}: {len(unlike)} of {len(ours)} rows {what}, e.g."
            f" {aligned.sample[row]} ({column} {ours[row]} against {theirs[row]}); {remedy}"
        )


def _fold_hint(ours: Predictions, theirs: Predictions) -> str:
    """What to do about other folds; sometimes they are the same ones under other numbers."""
    pairs = set(zip(ours.repeat.tolist(), ours.fold.tolist(), theirs.fold.tolist(), strict=True))
    if len(pairs) == len({pair[:2] for pair in pairs}) == len({(r, theirs_) for r, _, theirs_ in pairs}):
        return "the folds are the same under other numbers; number them alike"
    return _SAME_SPLIT


def _agreed_positive(runs: Sequence[Run]) -> str | None:
    stated = {run.predictions.positive: run.name for run in runs if run.predictions.positive is not None}
    if len(stated) > 1:
        told = " against ".join(f"{name} (run {run!r})" for name, run in stated.items())
        raise ComparisonError(f"runs with different positive classes: {told}; state one with --positive")
    return next(iter(stated), None)


def _with_subjects(runs: Sequence[Run]) -> list[Run]:
    """Every run with the subjects of the first that knows them, and the groups of the one that links most of them."""
    knowing = next((run for run in runs if run.predictions.subjects_known), None)
    if knowing is None:
        return list(runs)
    known = knowing.predictions
    aware = (run for run in runs if run.predictions.subjects_known)
    linking = min(aware, key=lambda run: len(np.unique(run.predictions.group)))
    group = linking.predictions.group
    told = []
    for run in runs:
        if run.predictions.subjects_known:
            _refuse_difference(
                knowing, run, run.predictions, "subject", "name another subject", "compare runs on one manifest"
            )
            if not np.array_equal(run.predictions.group, group):
                notes = (*run.notes, f"links between subjects taken from {linking.name}")
                run = replace(run, predictions=replace(run.predictions, group=group), notes=notes)
            told.append(run)
        else:
            predictions = replace(run.predictions, subject=known.subject, group=group)
            told.append(
                replace(run, predictions=predictions, notes=(*run.notes, f"subjects taken from {knowing.name}"))
            )
    return told
