"""The Optuna study: trials pruned between inner folds, shared by any number of processes, the same after any kill."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from leukfeat.errors import HeadError
from leukfeat.heads.database import PatientStorage
from leukfeat.heads.lease import LOOK_SECONDS, Renewal
from leukfeat.heads.plan import StudyPlan, differences
from leukfeat.heads.slots import Slots
from leukfeat.heads.space import Dimension
from leukfeat.heads.storage import opened

_RANDOM_TRIALS = 8  # that the sampler learns nothing for; those behind them, while there are not so many
_UNPRUNED_TRIALS = 3  # completed ones there must be before any is pruned
_RECORD = "leukfeat"  # attribute of a trial: what Optuna itself does not keep
_IDENTITY = "leukfeat_identity"  # attribute of a study: for which rows and settings it is

Judge = Callable[[Mapping[str, Any]], Iterator[tuple[float, int | None]]]


def search(judge: Judge, space: Sequence[Dimension], fixed: Mapping[str, Any], plan: StudyPlan) -> list[dict[str, Any]]:
    """Run the trials that a study still lacks, together with whoever else works on it.

    The first trial has the default of every dimension. Each other one is drawn by a new TPE sampler, seeded by the
    trial's slot (see :mod:`leukfeat.heads.slots`), which sees finished trials only. So a study that one process works
    on, stopped anywhere, even by a kill that leaves a trial running for ever, goes on exactly as if it had never been
    stopped. Of several processes each waits for the last trial and returns the same; what they find depends on who was
    quicker, because a sampler sees what is finished.

    Parameters
    ----------
    judge : callable(params) -> iterator of (score, rounds)
        One inner fold after the other.
    space : sequence of Number or Choice
        What to search.
    fixed : mapping
        Parameters that are not searched; passed to ``judge`` with the others.
    plan : StudyPlan
        How to search.

    Returns
    -------
    list of dict
        One a finished trial, JSON types: ``number, state, value, params, seconds, inner_scores, rounds``.

    Raises
    ------
    HeadError
        The storage cannot be used, or holds a study of this name for other rows or settings; or another process has
        begun the study that this one had to itself.
    """
    import optuna

    defaults = {dimension.name: dimension.default for dimension in space}
    with _silent(optuna), opened(plan.storage) as storage:
        study_id = _study_in(optuna, storage, plan)
        slots = Slots(storage, study_id, plan.n_trials, alone=plan.alone)
        started = time.monotonic()
        while (done := len(slots.finished())) < plan.n_trials:
            if plan.timeout is not None and done and time.monotonic() - started >= plan.timeout:
                break
            claimed = slots.claim(defaults)
            if claimed is None:
                time.sleep(LOOK_SECONDS)  # others work on what is left
                continue
            slot, trial_id = claimed
            study = optuna.load_study(  # a new one: what a sampler sees is kept in the old
                study_name=plan.study_name,
                storage=storage,
                sampler=_sampler(optuna, plan, slot),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=0),
            )
            with contextlib.nullcontext() if slots.alone else Renewal(storage, trial_id):
                _run_trial(optuna, storage, study, trial_id, judge, space, fixed, plan)
        return [_as_record(n, t, fixed) for n, t in enumerate(slots.finished())]


def best_of(records: Sequence[Mapping[str, Any]], *, greater_is_better: bool) -> Mapping[str, Any]:
    """The best completed trial; the earliest among equals; one that was pruned only where no other is left."""
    completed = [record for record in records if record["state"] == "complete"] or records
    return (max if greater_is_better else min)(completed, key=lambda record: record["value"])


def _study_in(optuna: Any, storage: Any, plan: StudyPlan) -> int:
    """The number of the study in its storage; it is made where there is none."""
    direction = "maximize" if plan.greater_is_better else "minimize"
    optuna.create_study(storage=storage, study_name=plan.study_name, direction=direction, load_if_exists=True)
    study_id = int(storage.get_study_id_from_name(plan.study_name))
    same_way = [found.name.lower() for found in storage.get_study_directions(study_id)] == [direction]
    if same_way and _IDENTITY not in storage.get_study_user_attrs(study_id) and not storage.get_all_trials(study_id):
        storage.set_study_user_attr(study_id, _IDENTITY, dict(plan.identity))
    _check_identity(storage, plan)
    return study_id


def _check_identity(storage: Any, plan: StudyPlan) -> None:
    study_id = storage.get_study_id_from_name(plan.study_name)
    known = storage.get_study_user_attrs(study_id).get(_IDENTITY)
    if known != dict(plan.identity):
        why = differences(known, plan.identity) if known else "it was made by another program or version"
        raise HeadError(
            f"study {plan.study_name!r} in the storage is for other rows or settings ({why}); give another study_name"
            f" or storage, or none to have one derived from both"
        )


def _sampler(optuna: Any, plan: StudyPlan, slot: int) -> Any:
    """What draws the parameters of the trial in a slot: of the first ones the same whenever it is done."""
    return optuna.samplers.TPESampler(
        seed=int(np.random.SeedSequence([plan.seed, slot]).generate_state(1)[0]),
        n_startup_trials=_RANDOM_TRIALS if slot >= _RANDOM_TRIALS else sys.maxsize,
        multivariate=False,
        constant_liar=False,  # a trial that a kill left running must not count
    )


def _run_trial(
    optuna: Any,
    storage: Any,
    study: Any,
    trial_id: int,
    judge: Judge,
    space: Sequence[Dimension],
    fixed: Mapping[str, Any],
    plan: StudyPlan,
) -> None:
    """Draw parameters, judge them fold by fold, tell what came out; of a trial that others have given up, nobody."""
    state = optuna.trial.TrialState
    started = time.perf_counter()
    found: list[float] = []
    rounds: list[int] = []
    pruned = False
    try:
        _check_identity(storage, plan)  # two commands may have made the study at the same time
        trial = optuna.trial.Trial(study, trial_id)
        params = {dimension.name: dimension.suggest(trial) for dimension in space}
        for step, (score, used) in enumerate(judge({**params, **fixed})):
            if not math.isfinite(score):
                raise HeadError(f"inner fold {step}: the metric is {score} for {params}; it cannot guide the tuning")
            found.append(score)
            rounds += [] if used is None else [used]
            trial.report(float(np.mean(found)), step)
            if step + 1 < plan.n_folds and trial.should_prune():
                pruned = True
                break
        record = {"seconds": time.perf_counter() - started, "inner_scores": found, "rounds": rounds}
        trial.set_user_attr(_RECORD, record)
        storage.set_trial_state_values(trial_id, state.PRUNED if pruned else state.COMPLETE, [float(np.mean(found))])
    except optuna.exceptions.UpdateFinishedTrialError:
        return  # given up by others, or told before to a database whose answer was lost
    except BaseException:
        if isinstance(storage, PatientStorage):
            storage.stop_waiting()
        with contextlib.suppress(HeadError, optuna.exceptions.UpdateFinishedTrialError):
            storage.set_trial_state_values(trial_id, state.FAIL)
        raise


def _as_record(number: int, trial: Any, fixed: Mapping[str, Any]) -> dict[str, Any]:
    kept = trial.user_attrs[_RECORD]
    return {
        "number": number,  # among the finished ones: a trial lost in a kill leaves no gap
        "state": trial.state.name.lower(),
        "value": float(np.mean(kept["inner_scores"])),
        "params": {**trial.params, **fixed},
        "seconds": kept["seconds"],
        "inner_scores": list(kept["inner_scores"]),
        "rounds": list(kept["rounds"]),
    }


@contextlib.contextmanager
def _silent(optuna: Any) -> Iterator[None]:
    """Keep Optuna's log quiet for a while; its level is global, so it is put back."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
