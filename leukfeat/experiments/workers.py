"""The processes that fit folds, and how many there are."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold
from leukfeat.evaluation.crossval import FoldResult
from leukfeat.experiments.grid import Candidate
from leukfeat.experiments.kept import Kept

_COPIES = 500_000_000  # bytes of features that all processes may take copies of together


@dataclass(frozen=True)
class Share:
    """How processors are shared out.

    Attributes
    ----------
    processes : int
        Folds fitted at once.
    threads : int
        Threads of each.
    """

    processes: int
    threads: int

    @classmethod
    def of(cls, n_processors: int, n_fits: int, n_bytes: int) -> Share:
        """Processes first, because folds need nothing of each other; threads where processes would need much memory.

        Every process gathers the rows it trains on, so the number of copies grows with that of processes, while threads
        work on the same rows.

        Parameters
        ----------
        n_processors : int
            To be used.
        n_fits : int
            Folds, and the model to keep.
        n_bytes : int
            Features that a process copies.

        Examples
        --------
        >>> Share.of(2, 6, 17_000_000), Share.of(2, 6, 512_000_000), Share.of(16, 3, 17_000_000)
        (Share(processes=2, threads=1), Share(processes=1, threads=2), Share(processes=3, threads=5))
        """
        processes = max(1, min(n_processors, n_fits, _COPIES // max(1, n_bytes)))
        return cls(processes, max(1, n_processors // processes))


class Workers:
    """Fits folds in order, in several processes, and beside them the model to keep.

    Parameters
    ----------
    candidate, manifest
        What is fitted, on what.
    n_jobs : int
        Processes; 1 stays in this one.

    Attributes
    ----------
    kept : Kept
        The model to keep, when every fold has been fitted.
    """

    def __init__(self, candidate: Candidate, manifest: Manifest, n_jobs: int) -> None:
        self.candidate, self.manifest, self.n_jobs = candidate, manifest, n_jobs
        self.kept: Kept

    def __call__(self, work: Callable[[Fold], FoldResult], folds: Iterable[Fold]) -> Iterator[FoldResult]:
        """Results in the order of the folds (see :data:`leukfeat.evaluation.crossval.MapFolds`)."""
        from joblib import Parallel, delayed

        tasks = [delayed(work)(fold) for fold in folds]
        with warnings.catch_warnings():
            # joblib replaces a worker that has grown; its task is done elsewhere, and nobody has to act on it
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
            results = Parallel(n_jobs=self.n_jobs, return_as="generator")(
                [*tasks, delayed(_fit_kept)(self.candidate, self.manifest)]
            )
            for _ in tasks:
                yield next(results)
            self.kept = next(results)


def _fit_kept(candidate: Candidate, manifest: Manifest) -> Kept:
    """What a bundle needs of the fit on every labelled row; features stay behind."""
    return candidate.fit_all(manifest).kept
