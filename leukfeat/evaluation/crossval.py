"""The one loop: fit on a fold's training part, refuse what has seen the test part, predict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.crossing import shared_with_test, validation_gives_test_away
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold, SplitPlan
from leukfeat.errors import LeakageError, PredictionsError, SplitError
from leukfeat.evaluation.inner import InnerPredictions
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import Run

MapFolds = Callable[[Callable[[Fold], "FoldResult"], Iterable[Fold]], Iterable["FoldResult"]]


class FittedCandidate(Protocol):
    """A candidate after training on one fold.

    It may have one more property, ``inner``: None, or rows of the manifest that belong to the fold's training and
    validation part (an array of shape (m,), int64, each once) with the probabilities, of shape (m, len(classes)), that
    models which had not seen these rows give them. Temperatures, thresholds and verdict rules are learned from them.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Order of the probability columns."""
        ...

    @property
    def seen(self) -> Seen:
        """What trained the encoder, beyond what the split itself gave to the head."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is worth keeping about this fit (chosen parameters, trials, what ran); JSON types."""
        ...

    def predict_proba(self, manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities of shape (len(rows), len(classes))."""
        ...


class Candidate(Protocol):
    """Anything that can be trained on rows of a manifest and asked about others."""

    @property
    def name(self) -> str:
        """Short name for tables."""
        ...

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Which rows it can use, of shape (n,); a row is missing when its image could not be read."""
        ...

    def fit(self, manifest: Manifest, fold: Fold) -> FittedCandidate:
        """Train on ``fold.train``, choosing on ``fold.validation`` where there is one, never touching ``fold.test``."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Everything that makes it what it is; JSON types."""
        ...


@dataclass(frozen=True)
class FoldResult:
    """Predictions of one fold with what is worth knowing about its fit."""

    predictions: Predictions
    facts: Mapping[str, Any]
    seen_unknown: bool
    seconds: Mapping[str, float] = field(default_factory=dict)
    inner: InnerPredictions | None = None


def cross_validate(
    candidate: Candidate,
    manifest: Manifest,
    plan: SplitPlan,
    *,
    map_folds: MapFolds = map,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Fit and test a candidate on every fold of a plan.

    Parameters
    ----------
    candidate : Candidate
        What to evaluate.
    manifest : Manifest
        The data; the one the plan was made for.
    plan : SplitPlan
        The folds.
    map_folds : callable
        Applies a function to folds, in order, perhaps in parallel; the built-in ``map`` by default.
    progress : callable(done, total) or None
        Called after every fold.

    Returns
    -------
    Run
        Out-of-fold predictions with their provenance, and the inner predictions of the folds that have any.

    Raises
    ------
    LeakageError
        A test image or test group took part in training the encoder, or inner predictions are for other rows than
        those of the training part.
    SplitError
        The plan is for another manifest, or missing images leave a training part without a class.
    """
    if plan.manifest.digest != manifest.digest:
        raise SplitError(f"the split was made for another manifest than {manifest.dataset}; make it anew")
    usable = candidate.available(manifest)
    folds = [_usable(fold, usable, manifest) for fold in plan.folds]
    results: list[FoldResult] = []
    started = time.perf_counter()
    for result in map_folds(_FoldWork(candidate, manifest), folds):
        results.append(result)
        if progress is not None:
            progress(len(results), len(folds))
    used = np.unique(np.concatenate([np.concatenate([f.train, f.validation, f.test]) for f in plan.folds]))
    missing = int((~usable[used]).sum())
    inner = [result.inner for result in results if result.inner is not None]
    notes = [*plan.notes]
    if any(result.seen_unknown for result in results):
        notes.append("what these weights were trained on is unknown")
    if missing:
        notes.append(f"{missing} of {len(used)} images are missing (unreadable)")
    return Run(
        name=candidate.name,
        predictions=Predictions.concatenate([result.predictions for result in results]),
        inner=InnerPredictions.concatenate(inner) if inner else None,
        candidate=dict(candidate.describe()),
        data={
            "dataset": manifest.dataset,
            "digest": manifest.digest,
            "images": len(used),
            "missing": missing,
            "identical_groups": len(manifest.repeated),
            "links": len(manifest.links),
        },
        split={"kind": plan.kind, "protection": plan.protection, "digest": plan.digest, "folds": len(plan.folds)},
        notes=tuple(notes),
        folds=tuple(
            {**result.facts, "repeat": fold.repeat, "fold": fold.number, "seconds": dict(result.seconds)}
            for fold, result in zip(folds, results, strict=True)
        ),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class _FoldWork:
    """Fit one fold; a class, so that it can be sent to another process."""

    candidate: Candidate
    manifest: Manifest

    def __call__(self, fold: Fold) -> FoldResult:
        started = time.perf_counter()
        fitted = self.candidate.fit(self.manifest, fold)
        given = Seen.of_rows(self.manifest, np.concatenate([fold.train, fold.validation]))
        fitted.seen.beyond(given).refuse(self.manifest, fold.test)
        ready = time.perf_counter()
        proba = np.asarray(fitted.predict_proba(self.manifest, fold.test), dtype=np.float64)
        self._check(proba, fold.test, fitted.classes)
        foreign = sorted(set(fitted.classes) - set(self.manifest.classes))
        if foreign:
            raise PredictionsError(
                f"{self.candidate.name}: predicts class {foreign[0]!r}, which {self.manifest.dataset} does not have;"
                f" its classes: {', '.join(self.manifest.classes)}"
            )
        predicted = time.perf_counter() - ready
        return FoldResult(
            predictions=Predictions(**_columns(self.manifest, fold, fold.test, proba, fitted.classes)),
            facts=fitted.facts,
            seen_unknown=fitted.seen.unknown,
            seconds={"fit": ready - started, "predict": predicted},
            inner=self._inner(fitted, fold),
        )

    def _inner(self, fitted: FittedCandidate, fold: Fold) -> InnerPredictions | None:
        """Inner predictions, where the candidate has any; nothing may be learned from anybody who is tested."""
        given = getattr(fitted, "inner", None)
        if given is None or not len(given[0]):
            return None
        rows, proba = np.asarray(given[0], dtype=np.int64), np.asarray(given[1], dtype=np.float64)
        self._check(proba, rows, fitted.classes)
        foreign = np.setdiff1d(rows, np.concatenate([fold.train, fold.validation]))
        tested = self._of_test_subjects(fold, rows)
        wrong, why = (foreign, "not of its training part") if len(foreign) else (tested, "of test subjects")
        if len(wrong):
            raise LeakageError(
                f"{self.candidate.name}: {len(wrong)} inner prediction(s) of fold {fold.number} are {why}, e.g."
                f" {self.manifest.sample[wrong[0]]}; thresholds and temperatures may be learned from training rows only"
            )
        return InnerPredictions(**_columns(self.manifest, fold, rows, proba, fitted.classes))

    def _of_test_subjects(self, fold: Fold, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that speak of subjects which are tested and which training keeps away from.

        A split by image trains on test subjects and says so; there is nothing to keep away from.
        """
        group = np.asarray(self.manifest.group)
        learned, _ = shared_with_test(fold, self.manifest.group)
        if learned and not validation_gives_test_away(fold, self.manifest.group):
            return rows[:0]
        tested = np.setdiff1d(group[fold.test], sorted(learned))
        return rows[np.isin(group[rows], tested)]

    def _check(self, proba: NDArray[np.float64], rows: NDArray[np.int64], classes: tuple[str, ...]) -> None:
        if proba.shape != (len(rows), len(classes)):
            raise PredictionsError(
                f"{self.candidate.name}: probabilities of shape {proba.shape} for {len(rows)} rows and"
                f" {len(classes)} classes"
            )


def _columns(
    manifest: Manifest, fold: Fold, rows: NDArray[np.int64], proba: NDArray[np.float64], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Predictions of rows, column by column, with the manifest's classes; one unknown to the fit has probability 0."""
    columns = np.zeros((len(rows), len(manifest.classes)))
    for k, name in enumerate(classes):
        columns[:, manifest.classes.index(name)] = proba[:, k]

    def of(column: tuple[str, ...]) -> NDArray[np.str_]:
        return np.array([column[row] for row in rows], dtype=np.str_)

    return {
        "sample": of(manifest.sample),
        "subject": of(manifest.subject),
        "group": of(manifest.group),
        "repeat": np.full(len(rows), fold.repeat),
        "fold": np.full(len(rows), fold.number),
        "y_true": of(manifest.label),
        "proba": columns,
        "classes": manifest.classes,
        "positive": manifest.positive,
    }


def _usable(fold: Fold, usable: NDArray[np.bool_], manifest: Manifest) -> Fold:
    """The fold without missing rows."""
    kept = fold.among(usable)
    if not len(kept.test):
        raise SplitError(f"fold {fold.number}: every test image of {manifest.dataset} is missing; run extract")
    lacking = {manifest.label[row] for row in fold.train} - {manifest.label[row] for row in kept.train}
    if lacking:
        raise SplitError(f"fold {fold.number}: class {sorted(lacking)[0]!r} has no readable training image left")
    return kept
