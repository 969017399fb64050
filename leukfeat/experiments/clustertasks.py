"""A joblib backend whose tasks are futures of a cluster.

joblib's own backends for clusters serve where nothing dies. That for Dask (1.6) waits for ever for a task that Dask has
given up; Ray's imitates a pool of processes, which hands tasks to the next worker in a circle, busy or not, gives no
result before all are there, and is of no use any more when one of its workers has died. Here a task that was lost is a
result like any other, and nothing else is disturbed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from joblib._parallel_backends import ParallelBackendBase, SequentialBackend

from leukfeat.experiments.backends import LOST


class ClusterFuture(Protocol):
    """What Dask and Ray have in common."""

    def add_done_callback(self, function: Callable[[Any], None], /) -> None:
        """Call a function of the future when it is done, however it ends."""
        ...

    def result(self) -> Any:
        """The result; raises what the task raised, or what became of it."""
        ...


class ClusterTasks(ParallelBackendBase):  # type: ignore[misc]  # joblib is untyped
    """See :class:`joblib.parallel.ParallelBackendBase`.

    Parameters
    ----------
    at_once : int
        Tasks at a time.
    submit : callable(work, name) -> ClusterFuture
        Sends a callable without arguments to a worker.
    cancel : callable(list of ClusterFuture)
        Calls tasks back that nobody waits for any more; where the cluster is gone, it does nothing.
    lost : tuple of exception types
        By which one learns that a task was lost with its worker.
    """

    supports_retrieve_callback = True
    uses_threads = False
    supports_sharedmem = False
    default_n_jobs = -1

    def __init__(
        self,
        at_once: int,
        submit: Callable[[Callable[[], Any], str], ClusterFuture],
        cancel: Callable[[list[Any]], None],
        lost: tuple[type[BaseException], ...],
    ) -> None:
        super().__init__()
        self._at_once, self._submit, self._cancel, self._lost = at_once, submit, cancel, lost
        self._running: set[ClusterFuture] = set()

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Never one, of which joblib would make a loop in this process; what is dispatched says how many are out."""
        return max(2, self._at_once)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **rest: Any) -> int:
        """Begin a call."""
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Any, callback: Callable[[Any], None]) -> ClusterFuture:
        """Send one task, which is all there is in a batch of joblib's here."""
        task = func.items[0][0]
        future = self._submit(func, task.name)
        self._running.add(future)

        def finished(done: ClusterFuture) -> None:
            self._running.discard(done)
            callback((task.number, done))

        future.add_done_callback(finished)
        return future

    def retrieve_result_callback(self, out: tuple[int, ClusterFuture]) -> list[tuple[int, Any]]:
        """The results of a batch."""
        number, future = out
        try:
            return list(future.result())
        except self._lost:
            return [(number, LOST)]

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Call back what is out."""
        running, self._running = self._running, set()
        self._cancel(list(running))

    def get_nested_backend(self) -> tuple[ParallelBackendBase, int]:
        """Loops inside a task stay there."""
        return SequentialBackend(nesting_level=1), 1
