"""Slots: each of them filled once, whoever comes first, whoever dies."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from leukfeat.errors import HeadError
from leukfeat.heads import lease
from leukfeat.heads.lease import RENEWALS, Owner
from leukfeat.heads.slots import Slots
from leukfeat.heads.storage import opened

ELSEWHERE = {"machine": "elsewhere", "process": 1, "began": "1"}


@pytest.fixture(autouse=True)
def silence() -> Any:
    """Optuna tells of every study it makes."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def _study(storage: Any) -> int:
    optuna.create_study(storage=storage, study_name="s", direction="maximize", load_if_exists=True)
    return int(storage.get_study_id_from_name("s"))


def _slots(storage: Any, n_trials: int = 5, *, alone: bool = False) -> Slots:
    return Slots(storage, _study(storage), n_trials, alone=alone)


def _finish(storage: Any, trial_id: int) -> None:
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])


def test_one_process_fills_slots_in_order_and_then_there_are_none() -> None:
    storage = InMemoryStorage()
    slots = _slots(storage, 3)
    for expected in range(3):
        claimed = slots.claim({"x": 1})
        assert claimed is not None
        assert claimed[0] == expected
        assert (storage.get_trial(claimed[1]).system_attrs.get("fixed_params") == {"x": 1}) == (expected == 0)
        _finish(storage, claimed[1])
    assert slots.claim({}) is None
    assert [trial.number for trial in slots.finished()] == [0, 1, 2]


def test_a_slot_that_is_worked_on_is_not_free_and_a_failed_one_is() -> None:
    storage = InMemoryStorage()
    slots = _slots(storage, 2)
    first, second = slots.claim({}), slots.claim({})
    assert first is not None
    assert second is not None
    assert slots.claim({}) is None
    storage.set_trial_state_values(first[1], TrialState.FAIL)
    again = slots.claim({})
    assert again is not None
    assert again[0] == first[0] == 0


def test_more_trials_than_asked_for_are_never_finished(tmp_path: Path) -> None:
    """Whoever is quicker, and however many give up in the middle: every slot is filled once."""
    file = tmp_path / "trials.journal"
    with opened(file) as storage:
        _study(storage)
    worked: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        with opened(file) as storage:
            slots = _slots(storage, 12)
            while len(slots.finished()) < 12:
                claimed = slots.claim({})
                if claimed is None:
                    continue
                if rng.random() < 0.3:
                    storage.set_trial_state_values(claimed[1], TrialState.FAIL)
                else:
                    _finish(storage, claimed[1])
                    worked.append(claimed[0])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(worked) == list(range(12))
    with opened(file) as storage:
        done = storage.get_all_trials(_study(storage), states=(TrialState.COMPLETE,))
        assert len(done) == len(_slots(storage, 12).finished()) == 12


class _AtTheSameTime:
    """A storage in which others claim the same slot just before us."""

    def __init__(self, storage: Any, others: int) -> None:
        self.storage, self.others = storage, others

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def create_new_trial(self, study_id: int, template: Any) -> int:
        if self.others:
            others, self.others = self.others, 0
            for number in range(others):
                claim = {**template.user_attrs["leukfeat_claim"], "token": str(number), "owner": ELSEWHERE}
                other = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={"leukfeat_claim": claim})
                self.storage.create_new_trial(study_id, other)
        return int(self.storage.create_new_trial(study_id, template))


@pytest.mark.parametrize(("others", "expected"), [(1, 1), (3, 3)])
def test_of_those_who_claim_one_slot_the_first_holds_it_and_the_rest_spread(others: int, expected: int) -> None:
    """A hundred processes that begin together would otherwise take a hundred rounds."""
    storage = InMemoryStorage()
    claimed = _slots(_AtTheSameTime(storage, others)).claim({})
    assert claimed is not None
    assert claimed[0] == expected
    states = Counter(trial.state for trial in storage.get_all_trials(0))
    assert states == {TrialState.RUNNING: others + 1, TrialState.FAIL: 1}


class _Forgetful:
    """A storage whose answer is lost, so that its caller asks again."""

    def __init__(self, storage: Any) -> None:
        self.storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def create_new_trial(self, study_id: int, template: Any) -> int:
        self.storage.create_new_trial(study_id, template)
        return int(self.storage.create_new_trial(study_id, template))


def test_a_trial_made_twice_counts_once() -> None:
    storage = InMemoryStorage()
    claimed = _slots(_Forgetful(storage)).claim({})
    assert claimed is not None
    first, second = storage.get_all_trials(0)
    assert (claimed[1], first.state, second.state) == (first._trial_id, TrialState.RUNNING, TrialState.FAIL)


def _left(storage: Any, owner: dict[str, Any]) -> int:
    """A running trial in the first slot."""
    claim = {"slot": 0, "token": "t", "owner": owner}
    trial = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={"leukfeat_claim": claim})
    return int(storage.create_new_trial(_study(storage), trial))


def test_the_trial_of_a_process_that_is_gone_is_given_up_at_once() -> None:
    storage = InMemoryStorage()
    dead = _left(storage, {**Owner.here().as_stored(), "process": 2**22 + 1})
    claimed = _slots(storage).claim({})
    assert claimed is not None
    assert claimed[0] == 0
    assert storage.get_trial(dead).state == TrialState.FAIL


def test_the_trial_of_another_machine_is_given_up_after_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(lease.time, "monotonic", lambda: now[0])
    storage = InMemoryStorage()
    dead = _left(storage, ELSEWHERE)
    slots = _slots(storage, 1)
    waited = 0
    while (claimed := slots.claim({})) is None:
        now[0] += 1
        waited += 1
        if waited == 30:
            storage.set_trial_user_attr(dead, RENEWALS, 1)
    assert claimed[0] == 0
    assert lease.LEASE_SECONDS + 30 <= waited <= lease.LEASE_SECONDS + 33
    with pytest.raises(UpdateFinishedTrialError):  # who comes back from the dead is told
        _finish(storage, dead)


class _Ruthless:
    """A storage in which another, who believes to be alone, gives up our first trial before we look."""

    def __init__(self, storage: Any) -> None:
        self.storage, self.given_up = storage, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def create_new_trial(self, study_id: int, template: Any) -> int:
        trial_id = int(self.storage.create_new_trial(study_id, template))
        if not self.given_up:
            self.given_up += 1
            self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
        return trial_id


def test_who_loses_a_trial_at_once_takes_another() -> None:
    claimed = _slots(_Ruthless(InMemoryStorage())).claim({})
    assert claimed is not None
    assert claimed[0] == 0


class _Late:
    """A storage in which another begins the study anew between our look and our trial, or just after it."""

    def __init__(self, storage: Any, *, after: bool) -> None:
        self.storage, self.after, self.other = storage, after, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def create_new_trial(self, study_id: int, template: Any) -> int:
        made = int(self.storage.create_new_trial(study_id, template)) if self.after else None
        self.other = self.other or Slots(self.storage, study_id, 5, alone=True)
        return int(self.storage.create_new_trial(study_id, template)) if made is None else made


@pytest.mark.parametrize("after", [False, True])
def test_who_is_no_longer_alone_leaves_nothing_running_and_stops(after: bool) -> None:
    storage = _Late(InMemoryStorage(), after=after)
    with pytest.raises(HeadError, match="study 's': another process has begun it anew, so this one stops"):
        _slots(storage, alone=True).claim({})
    assert [trial.state for trial in storage.get_all_trials(0)] == [TrialState.FAIL]
    assert storage.other is not None
    assert storage.other.claim({}) is not None


@pytest.mark.parametrize("others", [1, 3])
def test_who_is_alone_fills_the_lowest_slot_though_another_was_quicker(others: int) -> None:
    """What the earlier one claims while it does not know yet is not waited for; slots are filled in order."""
    claimed = _slots(_AtTheSameTime(InMemoryStorage(), others), alone=True).claim({})
    assert claimed is not None
    assert claimed[0] == 0


def test_who_is_alone_waits_for_nobody() -> None:
    storage = InMemoryStorage()
    dead = _left(storage, ELSEWHERE)
    claimed = _slots(storage, 1, alone=True).claim({})
    assert claimed is not None
    assert storage.get_trial(dead).state == TrialState.FAIL


def test_trials_without_a_slot_do_not_count() -> None:
    """Somebody may have added trials of their own with Optuna's command line."""
    storage = InMemoryStorage()
    slots = _slots(storage, 1)
    storage.create_new_trial(slots.study_id)
    assert slots.finished() == []
    claimed = slots.claim({})
    assert claimed is not None
    assert claimed[0] == 0
