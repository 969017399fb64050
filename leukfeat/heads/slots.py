"""The slots of a study: as many as trials are asked for, each filled once, by whichever process is first.

A slot decides which random numbers a trial gets. A process writes its claim together with the new trial, then looks:
of several running or finished trials with one slot, the one with the smallest number holds it. Optuna numbers trials
in the order in which they can be seen, and no given-up trial comes to life again, so two can never both believe that
they hold it. A trial that was given up leaves its slot to the next comer, who draws what the first would have drawn.

A study that one process works on alone belongs to the last that began: an earlier one may still live, cut off from
whoever sent it, or left behind by a command that was killed. What it is at is given up, and it stops.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from leukfeat.errors import HeadError
from leukfeat.heads.lease import Owner, Watch

_CLAIM = "leukfeat_claim"  # attribute of a trial
_HOLDER = "leukfeat_holder"  # attribute of a study that one process works on alone: which one


class Slots:
    """The slots of one study.

    Parameters
    ----------
    storage : Optuna storage
        Where the study is.
    study_id : int
        Its number there.
    n_trials : int
        How many slots there are.
    alone : bool
        Whether this process has the study to itself: whatever else is running was left behind.
    """

    def __init__(self, storage: Any, study_id: int, n_trials: int, *, alone: bool) -> None:
        self.storage, self.study_id, self.n_trials, self.alone = storage, study_id, n_trials, alone
        self._watch = Watch()
        self._token = uuid.uuid4().hex
        if alone:
            storage.set_study_user_attr(study_id, _HOLDER, self._token)

    def finished(self) -> list[Any]:
        """Completed and pruned trials, in the order of their slots."""
        holders = _holders(self._trials())
        return [trial for slot, trial in sorted(holders.items()) if slot < self.n_trials and trial.state.is_finished()]

    def claim(self, first: Mapping[str, Any]) -> tuple[int, int] | None:
        """Begin a trial.

        Parameters
        ----------
        first : mapping
            Parameters of the trial in the first slot.

        Returns
        -------
        slot, trial_id : int
            The lowest free slot, and the new trial's number in the storage; None where every slot is filled or being
            worked on.

        Raises
        ------
        HeadError
            Another process has begun the study that this one had to itself.
        """
        self._insist_on_holding()
        self._give_up_dead()
        rank = 0
        while free := sorted(set(range(self.n_trials)) - set(_holders(self._trials()))):
            slot = free[min(max(rank - 1, 0), len(free) - 1)]
            trial_id, rank = self._written(slot, first)
            self._insist_on_holding(trial_id)
            if trial_id is None:
                continue  # another has given it up
            if rank == 0:
                return slot, trial_id
            self._fail(trial_id)  # and where several lost, each goes on to a slot of its own
            if self.alone:
                self._give_up_dead()
                rank = 0
        return None

    def _insist_on_holding(self, trial_id: int | None = None) -> None:
        """Stop where another has begun the study; a trial that was begun before that was seen is given up.

        Who begins sets its name first and gives up what is running then; who was there before looks again when its
        trial can be seen. So one of the two sees the other, and no trial of the earlier one is finished any more.
        """
        if self.alone and self.storage.get_study_user_attrs(self.study_id).get(_HOLDER) != self._token:
            if trial_id is not None:
                self._fail(trial_id)
            raise HeadError(
                f"study {self.storage.get_study_name_from_id(self.study_id)!r}: another process has begun it anew, so"
                " this one stops; processes that are to share trials need a storage (--storage)"
            )

    def _written(self, slot: int, first: Mapping[str, Any]) -> tuple[int | None, int]:
        """A new trial that claims a slot, if it was not given up at once, and how many claimed it earlier."""
        from optuna.trial import TrialState, create_trial

        token = uuid.uuid4().hex
        claim = {"slot": slot, "token": token, "owner": Owner.here().as_stored()}
        self.storage.create_new_trial(
            self.study_id,
            create_trial(
                state=TrialState.RUNNING,
                user_attrs={_CLAIM: claim},
                system_attrs={"fixed_params": dict(first)} if slot == 0 else {},
            ),
        )
        same = [trial for trial in self._trials() if _is_active(trial) and _slot(trial) == slot]
        mine = [trial for trial in same if trial.user_attrs[_CLAIM]["token"] == token]
        for trial in mine[1:]:  # a database whose answer was lost was asked twice
            self._fail(trial._trial_id)
        return (mine[0]._trial_id, same.index(mine[0])) if mine else (None, 0)

    def _give_up_dead(self) -> None:
        """Free the slots of trials whose process is dead."""
        running = [trial for trial in self._trials() if trial.state.name == "RUNNING"]
        over = running if self.alone else [*self._watch.given_up(running), *(t for t in running if _is_orphan(t))]
        for trial in over:
            self._fail(trial._trial_id)

    def _fail(self, trial_id: int) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return  # finished after all, or given up by another

    def _trials(self) -> list[Any]:
        return list(self.storage.get_all_trials(self.study_id, deepcopy=False))


def _holders(trials: Iterable[Any]) -> dict[int, Any]:
    """Which trial holds each slot."""
    holders: dict[int, Any] = {}
    for trial in trials:  # in the order of their numbers
        if _is_active(trial):
            holders.setdefault(_slot(trial), trial)
    return holders


def _is_active(trial: Any) -> bool:
    """Whether a trial counts: it is running, or something came out of it."""
    return _CLAIM in trial.user_attrs and trial.state.name in ("RUNNING", "COMPLETE", "PRUNED")


def _slot(trial: Any) -> int:
    return int(trial.user_attrs[_CLAIM]["slot"])


def _is_orphan(trial: Any) -> bool:
    """Whether the process that works on a trial is known to be gone."""
    return _CLAIM in trial.user_attrs and Owner.of(trial.user_attrs[_CLAIM]["owner"]).is_gone()
