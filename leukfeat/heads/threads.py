"""One thread inside every fit, and fits side by side whose results come in order."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import sklearn
from threadpoolctl import threadpool_limits

from leukfeat.errors import UsageError
from leukfeat.processors import usable_processors

T = TypeVar("T")

TRUSTING = {"assume_finite": True, "skip_parameter_validation": True, "enable_metadata_routing": False}
"""Settings of scikit-learn inside a fit: rows are checked once, when they come, and parameters are our own."""

_LARGE = 64 * 2**20  # bytes of rows from which on memory is worth waiting for
_ALONE = threading.RLock()


def processors(n_jobs: int | None) -> int:
    """How many threads ``n_jobs`` means: None is 1, -1 one for each processor that this process may use.

    Raises
    ------
    UsageError
        It is neither.

    Examples
    --------
    >>> processors(None), processors(3)
    (1, 3)
    """
    if n_jobs is None:
        return 1
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or (n_jobs < 1 and n_jobs != -1):
        raise UsageError(f"n_jobs is {n_jobs!r}; give a number of threads, or -1 for one for each processor")
    if n_jobs > 0:
        return n_jobs
    return usable_processors()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for every numerical library, so that sums are added in one order whatever the machine."""
    with threadpool_limits(limits=1):
        yield


@contextmanager
def sparingly(n_bytes: int) -> Iterator[None]:
    """Work on many rows in one thread of the process at a time, and give the memory back that it took for a moment.

    The C library would keep what is freed for itself, once for each thread.

    Parameters
    ----------
    n_bytes : int
        Size of the rows; nobody waits for few.
    """
    if n_bytes < _LARGE:
        yield
        return
    with _ALONE:
        yield
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None  # glibc has one
        if trim is not None:
            trim(0)


@contextmanager
def side_by_side(n_jobs: int) -> Iterator[Executor | None]:
    """Threads that work one fit each, within :func:`one_thread`; None for one job, which then runs in the caller's.

    OpenMP counts threads for each thread that starts some, and scikit-learn has settings for each thread, so both are
    set in every one of them.
    """
    if n_jobs == 1:
        yield None
        return
    with ThreadPoolExecutor(n_jobs, thread_name_prefix="head", initializer=_settle) as pool:
        yield pool


def _settle() -> None:
    threadpool_limits(limits=1)
    sklearn.set_config(**TRUSTING)


def in_order(pool: Executor | None, works: Sequence[Callable[[], T]], n_jobs: int) -> Iterator[T]:
    """Results in the order of the works, of which at most ``n_jobs`` have begun before their result is asked for.

    Nothing is begun before it may be needed: the work after those in progress starts when the first of them has been
    taken and the next one is asked for. When the caller stops asking, the works in progress are waited for.
    """
    if pool is None:
        for work in works:
            yield work()
        return
    waiting = iter(works)
    running: deque[Future[T]] = deque(pool.submit(work) for work in islice(waiting, n_jobs))
    try:
        while running:
            result = running[0].result()
            running.popleft()
            yield result
            running.extend(pool.submit(work) for work in islice(waiting, 1))
    finally:
        for future in running:
            future.cancel()
        wait(running)
