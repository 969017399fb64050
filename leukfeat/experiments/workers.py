"""Workers that do tasks, how many there are, and what happens when one of them dies."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from leukfeat.data.manifest import Manifest
from leukfeat.errors import LeukfeatError, WorkerError
from leukfeat.experiments.backends import LOST, Backend, Connection
from leukfeat.experiments.connections import open_connection
from leukfeat.experiments.surroundings import Surroundings, mark, needed_paths

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


@dataclass(frozen=True)
class Task:
    """One item of work, as it travels to a worker.

    Attributes
    ----------
    number : int
        Which item it is.
    work : callable
        What is done with it.
    item : object
        Its argument.
    surroundings : Surroundings or None
        What the worker needs to have, where it may lack something.
    """

    number: int
    work: Callable[[Any], Any]
    item: Any
    surroundings: Surroundings | None = None

    @property
    def name(self) -> str:
        """For the pages on which clusters show what they are at."""
        return f"leukfeat-{type(self.work).__name__.strip('_').lower()}-{self.number}"

    def __call__(self) -> tuple[int, Any]:
        """Its number, and the result or the error that leukfeat raised on purpose."""
        # an error goes back as a result: no backend then wraps it, prints it, or takes it for its own
        try:
            if self.surroundings is None:
                return self.number, self.work(self.item)
            from joblib import parallel_config

            # scikit-learn's own loops are not to be sent out again from where they are
            with self.surroundings.entered(), parallel_config(backend="threading", n_jobs=1):
                return self.number, self.work(self.item)
        except LeukfeatError as error:
            return self.number, error


class Workers:
    """Does tasks on the workers of a backend; those that were lost with their worker are submitted again.

    A context manager: workers are there inside its block.

    Parameters
    ----------
    backend : Backend or None
        Which; None is processes of this machine.
    told : callable(str) or None
        Takes a line for people: that somebody is waited for, or was lost.

    Attributes
    ----------
    asked_for : bool
        Whether somebody has named a backend.

    Raises
    ------
    WorkerError
        On entering: nobody answers at the address, or no worker comes.
    """

    def __init__(self, backend: Backend | None = None, told: Callable[[str], None] | None = None) -> None:
        self.backend, self.asked_for = backend or Backend(), backend is not None
        self.told = told or (lambda line: None)
        self._connection: Connection
        self._surroundings: Surroundings | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._connection = open_connection(self.backend, self.told)
        self._open.callback(self._connection.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def elsewhere(self) -> bool:
        """Whether workers may be on other machines, where they share nothing with this process but files."""
        return self.backend.elsewhere

    @property
    def at_once(self) -> int:
        """Tasks at a time."""
        return self._connection.at_once

    @property
    def shard_size(self) -> int | None:
        """Images a shard, where somebody has said so."""
        return self.backend.shard_size

    @property
    def decoders(self) -> int | None:
        """Threads that each worker decodes with, where they share this machine; None where they choose."""
        from joblib import cpu_count

        return None if self.elsewhere else max(1, cpu_count() // self.at_once)

    def describe(self) -> dict[str, Any]:
        """What a run keeps of it, as JSON types."""
        return {"backend": self.backend.name, "address": self.backend.address, "at_once": self.at_once}

    def share(self, n_jobs: int | None, n_fits: int, n_bytes: int, *, at_once: bool) -> Share:
        """Fits at a time, and threads of each.

        Parameters
        ----------
        n_jobs : int or None
            Processors of this machine to use; None for all.
        n_fits : int
            Folds, and the model to keep.
        n_bytes : int
            Features that a process copies.
        at_once : bool
            Whether fits may be done side by side where nobody has said how many workers there shall be: one training
            of a network takes a whole machine.
        """
        from joblib import cpu_count

        if self.elsewhere:
            return Share(min(self.at_once, n_fits), 1)
        n_processors = n_jobs or cpu_count()
        if self.backend.workers is not None:
            processes = min(self.backend.workers, n_fits)
            return Share(processes, max(1, n_processors // processes))
        return Share.of(n_processors, n_fits, n_bytes) if at_once else Share(1, 1)

    def insist_on(self, manifest: Manifest, *folders: Path) -> None:
        """See that every worker has what tasks on this data set need, now and whenever a task begins.

        Parameters
        ----------
        manifest : Manifest
            Its images have to be there.
        folders : Path
            Folders that workers write to, and that have to be the same for all.

        Raises
        ------
        WorkerError
            A worker has another leukfeat or Python, or does not see the images or the folders.
        """
        if not self.elsewhere:
            return
        marks = [self._open.enter_context(mark(folder)) for folder in folders]
        paths = [*needed_paths(manifest), *marks]
        self._surroundings = Surroundings.here(paths)
        self._surroundings.refuse_unlike(self._connection.survey(self._surroundings.probe()))

    def results(
        self, work: Callable[[Any], Any], items: Sequence[Any], at_once: int | None = None
    ) -> Iterator[tuple[int, Any]]:
        """Call a function of every item.

        A task that was lost with its worker is submitted again, a bounded number of times. Where nobody knows which of
        the tasks that were out has killed its worker, the last time is when nothing else is at work.

        Parameters
        ----------
        work : callable
            Of one item; it and they can be pickled.
        items : sequence
            Its arguments.
        at_once : int or None
            Tasks at a time; None for as many as there are workers.

        Yields
        ------
        (int, object)
            Number and result of each item, as soon as it is ready; the result is None where it was lost too often.

        Raises
        ------
        LeukfeatError
            The first that a task raises.
        WorkerError
            Nobody hands out tasks any more.
        """
        at_once, most = at_once or self.at_once, self._connection.resubmissions
        left, losses = dict.fromkeys(range(len(items))), Counter[int]()
        while left:
            suspects = [number for number in left if self._connection.broken and losses[number] == most]
            handed: set[int] = set()
            lost: list[int] = []
            tasks = [Task(number, work, items[number], self._surroundings) for number in suspects[:1] or left]
            try:
                for number, result in self._round(tasks, max(2, at_once) if suspects else at_once, handed):
                    if isinstance(result, LeukfeatError):
                        raise result
                    if result is LOST:
                        lost.append(number)
                        continue
                    del left[number]
                    yield number, result
            except self._connection.broken:
                lost = [number for number in left if number in handed] or [task.number for task in tasks]
            except self._connection.gone as error:
                raise WorkerError(
                    f"{self.backend.address}: the {self.backend.name} cluster is gone ({type(error).__name__}); what"
                    " is finished is kept: when it is back, run the command again"
                ) from error
            losses.update(lost)
            given_up = [number for number in lost if losses[number] > most]
            if lost:
                again = len(lost) - len(given_up)
                self.told(f"a worker was lost; {again} of {len(left)} task(s) that are left are submitted once more")
            for number in given_up:
                del left[number]
                yield number, None

    def _round(self, tasks: Sequence[Task], at_once: int, handed: set[int]) -> Iterator[tuple[int, Any]]:
        """Results of some tasks as they come; ``handed`` receives the numbers of those that a worker may have."""
        from joblib import Parallel, delayed, parallel_config

        def each() -> Iterator[Any]:
            for task in tasks:
                handed.add(task.number)
                yield delayed(task)()

        with parallel_config(**self._connection.settings):
            # one by one, and no more than there are workers: what is out of our hands is what may be lost
            parallel = Parallel(n_jobs=at_once, return_as="generator_unordered", batch_size=1, pre_dispatch=at_once)
        with warnings.catch_warnings():
            # joblib replaces a worker that has grown; its task is done elsewhere, and nobody has to act on it
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
            # who stops early, after an error or Ctrl-C, knows that something is left
            warnings.filterwarnings("ignore", message=".*tasks (have been|which were)", category=UserWarning)
            # a fold travels with what it is fitted on; there is no other way for it
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            yield from parallel(each())
