"""Fits side by side, and what must not depend on how many."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import sklearn
from threadpoolctl import threadpool_info

from leukfeat.errors import UsageError
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.threads import in_order, one_thread, processors, side_by_side
from leukfeat.heads.tuning import TunedHead

FEW_TREES = {"random-forest": {"n_estimators": 8}}


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize("name", HEADS)
def test_the_number_of_threads_changes_nothing(cells_of, name: str) -> None:
    """Trials, their pruning, the head and its inner predictions: equal to the last bit."""
    cells = cells_of(signal=0.5, subjects=24, features=80)
    one, three = (
        TunedHead(name, n_trials=6, params=FEW_TREES.get(name), n_jobs=n).fit(cells.X, cells.y, cells.groups)
        for n in (1, 3)
    )
    for ours, theirs in zip(one.trials_, three.trials_, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    assert np.array_equal(one.predict_proba(cells.X), three.predict_proba(cells.X))
    assert np.array_equal(one.inner_proba_, three.inner_proba_)


def test_results_come_in_order_and_no_more_is_begun_than_threads() -> None:
    """A trial that is pruned after its first fold has wasted at most what ran beside it."""
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.01 * (5 - number))
        return number

    with side_by_side(2) as pool:
        results = in_order(pool, [partial(work, n) for n in range(5)], 2)
        assert next(results) == 0
        assert sorted(begun) == [0, 1]
        assert list(results) == [1, 2, 3, 4]


def test_what_runs_is_waited_for_when_nobody_asks_any_more() -> None:
    """The next trial changes the weights of the same binned rows."""
    running = threading.Event()
    done: list[int] = []

    def work(number: int) -> int:
        if number == 1:
            running.set()
            time.sleep(0.1)
        else:
            running.wait(5)
        done.append(number)
        return number

    with side_by_side(2) as pool:
        results = in_order(pool, [partial(work, n) for n in range(4)], 2)
        next(results)
        results.close()
        assert sorted(done) == [0, 1]


def test_an_error_in_a_thread_comes_out() -> None:
    def work() -> Iterator[int]:
        raise ValueError("of the fit")

    with side_by_side(2) as pool, pytest.raises(ValueError, match="of the fit"):
        list(in_order(pool, [work, work], 2))


def test_numerical_libraries_have_one_thread_in_every_thread() -> None:
    """OpenMP counts for each thread by itself, and scikit-learn keeps its settings for each thread."""
    with one_thread(), side_by_side(2) as pool:
        found = list(in_order(pool, [threadpool_info, sklearn.get_config], 2))
    assert found[0]
    assert {library["num_threads"] for library in found[0]} == {1}
    assert found[1]["assume_finite"]


@pytest.mark.parametrize("n_jobs", [0, -2, 1.5, True, "all"])
def test_wrong_numbers_are_refused(cells, n_jobs: object) -> None:
    with pytest.raises(UsageError, match="n_jobs is"):
        TunedHead("tree", n_trials=1, n_jobs=n_jobs).fit(cells.X, cells.y, cells.groups)


def test_all_processors_are_at_least_one() -> None:
    assert processors(-1) >= 1
