"""The fits of a candidate: of every fold, and beside them of the model to keep, on whatever workers there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold
from leukfeat.errors import WorkerError
from leukfeat.evaluation.crossval import FoldResult
from leukfeat.experiments.grid import Candidate
from leukfeat.experiments.kept import Kept
from leukfeat.experiments.workers import Workers


class Fits:
    """Fits folds, in order, and the model to keep (see :data:`leukfeat.evaluation.crossval.MapFolds`).

    Parameters
    ----------
    candidate, manifest
        What is fitted, on what.
    workers : Workers
        Who does it.
    at_once : int
        Fits at a time.

    Attributes
    ----------
    kept : Kept
        The model to keep, when every fold has been fitted.
    """

    def __init__(self, candidate: Candidate, manifest: Manifest, workers: Workers, at_once: int) -> None:
        self.candidate, self.manifest, self.workers, self.at_once = candidate, manifest, workers, at_once
        self.kept: Kept

    def __call__(self, work: Callable[[Fold], FoldResult], folds: Iterable[Fold]) -> Iterator[FoldResult]:
        """Results in the order of the folds.

        Raises
        ------
        WorkerError
            A fit was lost with its worker too often; others are finished first, and their trials are kept.
        """
        folds = list(folds)
        fits: list[Callable[[], Any]] = [*(partial(work, fold) for fold in folds)]
        fits.append(partial(_fit_kept, self.candidate, self.manifest))
        names = [*(f"repeat {fold.repeat} fold {fold.number}" for fold in folds), "the model to keep"]
        ready: dict[int, Any] = {}
        lost: list[str] = []
        following = 0
        for number, result in self.workers.results(_done, fits, self.at_once):
            if result is None:
                lost.append(names[number])
            ready[number] = result
            while not lost and following in ready and following < len(folds):
                yield ready.pop(following)
                following += 1
        if lost:
            raise WorkerError(
                f"{self.candidate.name}: the worker died each time that it fitted {', '.join(lost)} (too little"
                " memory?); trials that are finished are kept: give workers more memory, or fewer of them with"
                " --workers, and run the command again"
            )
        self.kept = ready[len(folds)]

    def measured(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measure something of the model where models are fitted: this machine may lack the device."""
        if not self.workers.elsewhere:
            return measure()
        return next((result or {} for _, result in self.workers.results(_done, [measure])), {})


def _done(fit: Callable[[], Any]) -> Any:
    return fit()


def _fit_kept(candidate: Candidate, manifest: Manifest) -> Kept:
    """What a bundle needs of the fit on every labelled row; features stay behind."""
    return candidate.fit_all(manifest).kept
