"""One study, several processes: the trials asked for and no more, the same for all, whoever is killed or away."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from leukfeat.errors import HeadError
from leukfeat.heads import slots
from leukfeat.heads.plan import StudyPlan
from leukfeat.heads.space import Choice, Number
from leukfeat.heads.storage import Storage, opened
from leukfeat.heads.study import search
from leukfeat.heads.tuning import TunedHead

SPACE = (Number("x", 0.0, 1.0, default=0.5), Choice("kind", ("a", "b"), "a"))

WORKER = """
    import json, os, sys, time
    from leukfeat.heads import lease
    from leukfeat.heads.plan import StudyPlan
    from leukfeat.heads.space import Choice, Number
    from leukfeat.heads.study import search

    told = json.load(sys.stdin)
    vars(lease).update(told["lease"])

    def judge(params):
        for fold in range(3):
            time.sleep(told["seconds"])
            yield params["x"] + (0.1 if params["kind"] == "b" else 0.0), None

    space = (Number("x", 0.0, 1.0, default=0.5), Choice("kind", ("a", "b"), "a"))
    plan = StudyPlan("study", {"head": "none"}, 3, told["trials"], None, 5, True, told["storage"])
    print(json.dumps(search(judge, space, {}, plan)))
"""


@contextmanager
def _workers(
    count: int, storage: object, *, trials: int = 12, seconds: float = 0.05, **leases: float
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that share a study; killed in the end, should they still be there."""
    told = json.dumps({"storage": str(storage), "trials": trials, "seconds": seconds, "lease": leases})
    started = []
    try:
        for _ in range(count):
            worker = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.append(worker)
            assert worker.stdin is not None
            worker.stdin.write(told)
            worker.stdin.close()
            worker.stdin = None  # communicate() must not touch it again
        yield started
    finally:
        for worker in started:
            if worker.poll() is None:
                worker.kill()
            worker.communicate()


def _result(worker: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, told = worker.communicate(timeout=600)
    assert worker.returncode == 0, told
    assert "s3cret" not in out + told
    found: list[dict[str, Any]] = json.loads(out)
    return found


def _judge(params: Any) -> Iterator[tuple[float, None]]:
    for _ in range(3):
        yield params["x"] + (0.1 if params["kind"] == "b" else 0.0), None


def _alone(trials: int = 12) -> list[dict[str, Any]]:
    """What one process finds."""
    return search(_judge, SPACE, {}, StudyPlan("study", {"head": "none"}, 3, trials, None, 5, True, None))


def _assert_sound(storage: object, found: list[list[dict[str, Any]]], trials: int) -> None:
    """Every process found the same, exactly as many as asked for, and each slot was filled once."""
    assert all(each == found[0] for each in found)
    assert len(found[0]) == trials
    with opened(str(storage)) as stored:
        known = stored.get_all_trials(stored.get_study_id_from_name("study"))
    finished = [trial for trial in known if trial.state.name in ("COMPLETE", "PRUNED")]
    assert sorted(slots._slot(trial) for trial in finished) == list(range(trials))
    assert {trial.state.name for trial in known} <= {"COMPLETE", "PRUNED", "FAIL"}
    # before the sampler has something to learn from, a slot means the same parameters whoever fills it
    for one, other in zip(found[0][:8], _alone(trials)[:8], strict=True):
        assert one["params"] == other["params"]


def _until_running(storage: object, count: int) -> list[Any]:
    """Wait until so many trials are being worked on."""
    ends = time.monotonic() + 600
    while time.monotonic() < ends:
        with opened(str(storage)) as stored:
            known = {study.study_name: study._study_id for study in stored.get_all_studies()}
            if "study" in known:
                running = [t for t in stored.get_all_trials(known["study"]) if t.state.name == "RUNNING"]
                if len(running) >= count:
                    return running
        time.sleep(0.05)
    raise AssertionError("nobody works")


def test_processes_share_a_journal(tmp_path: Path) -> None:
    storage = tmp_path / "trials.journal"
    with _workers(3, storage) as workers:
        found = [_result(worker) for worker in workers]
    _assert_sound(storage, found, 12)


def test_the_trial_of_a_killed_process_is_done_by_another_at_once(tmp_path: Path) -> None:
    """On its own machine nobody waits for a lease."""
    storage = tmp_path / "trials.journal"
    with _workers(2, storage, seconds=0.3, trials=6, LEASE_SECONDS=3600) as workers:
        _until_running(storage, 2)
        workers[0].kill()
        found = _result(workers[1])
    _assert_sound(storage, [found], 6)


def test_a_process_that_was_thought_dead_comes_back_to_the_same_study(tmp_path: Path) -> None:
    """As after a computer has slept: its trial is somebody else's now, and is not counted twice."""
    storage = tmp_path / "trials.journal"
    short = {"LEASE_SECONDS": 1.0, "RENEWAL_SECONDS": 0.1, "LOOK_SECONDS": 0.05}
    with _workers(2, storage, seconds=0.15, trials=5, **short) as workers:
        _until_running(storage, 2)
        os.kill(workers[0].pid, signal.SIGSTOP)
        found = _result(workers[1])
        os.kill(workers[0].pid, signal.SIGCONT)
        _assert_sound(storage, [found, _result(workers[0])], 5)


def test_a_process_killed_and_started_again_changes_nothing_when_it_is_the_only_one(tmp_path: Path) -> None:
    storage = tmp_path / "trials.journal"
    moments = random.Random(0)
    for _ in range(3):
        with _workers(1, storage, seconds=0.02) as workers:
            _until_running(storage, 1)
            time.sleep(moments.uniform(0, 0.3))
            workers[0].kill()
    with _workers(1, storage, seconds=0) as workers:
        found = _result(workers[0])
    assert [{**trial, "seconds": 0} for trial in found] == [{**trial, "seconds": 0} for trial in _alone()]


def test_who_is_alone_is_the_last_that_began_and_finds_what_it_would_have_found_undisturbed(tmp_path: Path) -> None:
    """A command is killed while its fit goes on elsewhere, and is run again; or a worker is cut off, and replaced.

    A trial that the earlier one finished would be seen by the sampler of the later one, which then draws others.
    """
    plan = StudyPlan("study", {"head": "none"}, 3, 14, None, 5, True, Storage(tmp_path / "t.journal", alone=True))
    paused, goes_on = threading.Event(), threading.Event()
    ended: list[HeadError] = []

    def earlier(params: Any, trials: Counter[str] = Counter()) -> Iterator[tuple[float, None]]:  # noqa: B006 (one use)
        trials["begun"] += 1
        if trials["begun"] == 10:
            paused.set()
            assert goes_on.wait(600)
        yield from _judge(params)

    def later(params: Any) -> Iterator[tuple[float, None]]:
        goes_on.set()
        cut_off.join(600)  # it has all the time there is to do harm
        yield from _judge(params)

    def work() -> None:
        try:
            search(earlier, SPACE, {}, plan)
        except HeadError as error:
            ended.append(error)

    cut_off = threading.Thread(target=work)
    cut_off.start()
    assert paused.wait(600)
    found = search(later, SPACE, {}, plan)
    assert [{**trial, "seconds": 0} for trial in found] == [{**trial, "seconds": 0} for trial in _alone(14)]
    assert [str(error).partition(";")[0] for error in ended] == [
        "study 'study': another process has begun it anew, so this one stops"
    ]


def test_processes_share_a_database_whose_server_goes_away_and_comes_back(postgres) -> None:
    """Stopped in good order once, crashed once; the processes wait."""
    url = postgres.url()
    with _workers(3, url, trials=16, seconds=0.15) as workers:
        for crash in (False, True):
            _until_running(url, 2)
            postgres.stop(crash=crash)
            time.sleep(1.5)
            assert [worker.poll() for worker in workers] == [None] * 3
            postgres.start()
        found = [_result(worker) for worker in workers]
    _assert_sound(url, found, 16)


def test_a_head_tuned_by_several_predicts_the_same_in_each(cells, tmp_path: Path) -> None:
    """Here in threads, as a scheduler may do it."""
    place = tmp_path / "trials.journal"
    heads = [TunedHead("knn", n_trials=10, storage=place) for _ in range(2)]
    fits = [threading.Thread(target=head.fit, args=(cells.X, cells.y, cells.groups)) for head in heads]
    for fit in fits:
        fit.start()
    for fit in fits:
        fit.join(600)
    assert heads[0].trials_ == heads[1].trials_
    assert heads[0].best_params_ == heads[1].best_params_
    assert np.array_equal(heads[0].predict_proba(cells.X), heads[1].predict_proba(cells.X))
