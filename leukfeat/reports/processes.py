"""Numbers and figures of many runs, made in several processes: runs do not depend on one another."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORTHWHILE = 50_000
"""Rows, of all runs together, from which other processes gain more than they cost to start."""

A_RUN = 1_000  # rows that take as long as what a run costs whatever its rows


def of_each(function: Callable[[Item], Result], items: Sequence[Item], *, rows: int) -> list[Result]:
    """What a function makes of every item, in their order.

    Parameters
    ----------
    function : callable
        Of one item, without side effects: it may be called in another process.
    items : sequence
        Runs, or what is made of them.
    rows : int
        How many rows of predictions they hold together; of few, this process computes them all.
    """
    if len(items) < 2 or rows + A_RUN * len(items) < WORTHWHILE:
        return [function(item) for item in items]
    from joblib import Parallel, cpu_count, delayed

    # Small arrays go through pipes, as each is read once; large ones, which many items share, lie in a file meanwhile.
    # Items are handed out one by one, or some would wait at the end for a process that has several left.
    work = Parallel(n_jobs=min(len(items), cpu_count()), backend="loky", max_nbytes="8M", batch_size=1)
    results = []
    for result, heard in work(delayed(_heard)(function, item) for item in items):
        for message, category in heard:
            warnings.warn(message, category, stacklevel=2)
        results.append(result)
    return results


def _heard(function: Callable[[Item], Result], item: Item) -> tuple[Result, list[tuple[str, type[Warning]]]]:
    """A result with the warnings on the way, which nobody would hear in another process."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        result = function(item)
    return result, [(str(each.message), each.category) for each in heard]
