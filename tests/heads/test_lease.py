"""Whether a process is dead: known at once on its own machine, believed after a lease elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from leukfeat.heads import lease
from leukfeat.heads.lease import RENEWALS, Owner, Renewal, Watch


@dataclass
class _Trial:
    _trial_id: int
    user_attrs: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a watch believes the time to be."""
    now = [1000.0]
    monkeypatch.setattr(lease.time, "monotonic", lambda: now[0])
    return now


def test_a_process_that_runs_is_not_gone() -> None:
    assert not Owner.here().is_gone()
    assert Owner.of(Owner.here().as_stored()) == Owner.here()


def test_a_process_that_ended_is_gone_counted_or_not() -> None:
    """One that nobody has waited for still has its number."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = replace(Owner.here(), process=child.pid, began=lease._began(child.pid) or "")
    assert not owner.is_gone()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_gone()
    child.wait()
    assert owner.is_gone()


def test_a_number_that_another_process_has_got_since_is_gone() -> None:
    if not lease._began(os.getpid()):
        pytest.skip("this system does not tell when a process began")
    assert replace(Owner.here(), began="1").is_gone()


def test_nothing_is_known_of_another_machine() -> None:
    assert not replace(Owner.here(), machine="elsewhere", process=2**22 + 1).is_gone()


def test_a_trial_is_given_up_when_it_was_not_renewed_during_a_lease_of_watching(clock: list[float]) -> None:
    watch, dead, living = Watch(), _Trial(1), _Trial(2)
    seconds = 0.0
    while not (over := watch.given_up([dead, living])):
        clock[0] += 1
        seconds += 1
        living.user_attrs[RENEWALS] = seconds // lease.RENEWAL_SECONDS
    assert over == [dead]
    assert lease.LEASE_SECONDS < seconds <= lease.LEASE_SECONDS + 2


def test_time_in_which_nobody_could_look_does_not_count(clock: list[float]) -> None:
    """After an hour without its database every trial would look dead, though its process waits as we do."""
    watch, trial = Watch(), _Trial(1)
    watch.given_up([trial])
    for _ in range(5):
        clock[0] += 3600
        assert watch.given_up([trial]) == []


def test_a_renewal_begins_the_lease_anew(clock: list[float]) -> None:
    watch, trial = Watch(), _Trial(1)
    for number in range(10):
        for _ in range(int(lease.LEASE_SECONDS) - 1):
            assert watch.given_up([trial]) == []
            clock[0] += 1
        trial.user_attrs[RENEWALS] = number + 1


def test_a_lease_is_renewed_while_it_is_held_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.01)
    renewed: list[int] = []
    enough = lease.threading.Event()

    class _Storage:
        def set_trial_user_attr(self, trial_id: int, name: str, value: int) -> None:
            assert (trial_id, name) == (7, RENEWALS)
            renewed.append(value)
            if len(renewed) == 3:
                enough.set()

    with Renewal(_Storage(), 7) as renewal:
        assert enough.wait(30)
    count = len(renewed)
    assert not renewal._thread.is_alive()
    assert renewed == list(range(1, count + 1))


def test_the_lease_is_long_against_its_renewals() -> None:
    """A few of them may be late, on a machine with more work than processors."""
    assert lease.LEASE_SECONDS >= 5 * lease.RENEWAL_SECONDS
