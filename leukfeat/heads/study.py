"""The Optuna study: trials in series, pruned between inner folds, and the same whether or not it was interrupted."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leukfeat.errors import HeadError
from leukfeat.heads.spec import Dimension
from leukfeat.heads.storage import opened

_RANDOM_TRIALS = 8  # before the sampler starts to learn
_UNPRUNED_TRIALS = 3  # completed ones there must be before any is pruned
_RECORD = "leukfeat"  # attribute of a trial: what Optuna itself does not keep
_DIGEST = "leukfeat_digest"  # attribute of a study: for which rows and settings it is

Judge = Callable[[Mapping[str, Any]], Iterator[tuple[float, int | None]]]


@dataclass(frozen=True)
class StudyPlan:
    """How to search.

    Parameters
    ----------
    name : str
        Name of the study in its storage.
    digest : str
        Of everything that decides what trials find; a stored study with another digest is refused.
    n_folds : int
        Inner folds; nothing is pruned after the last.
    n_trials : int
        Finished (completed or pruned) trials there shall be in all.
    timeout : float or None
        Begin no further trial after so many seconds.
    seed : int
        Seeds the sampler, together with the number of finished trials.
    greater_is_better : bool
        Which way the metric goes.
    storage : str or None
        None (memory), a file (Optuna journal), or a database URL.
    """

    name: str
    digest: str
    n_folds: int
    n_trials: int
    timeout: float | None
    seed: int
    greater_is_better: bool
    storage: str | None


def search(judge: Judge, space: Sequence[Dimension], fixed: Mapping[str, Any], plan: StudyPlan) -> list[dict[str, Any]]:
    """Run the trials that a study still lacks.

    The first trial has the default of every dimension. Each later one is drawn by a new TPE sampler, seeded by the
    number of finished trials, which sees finished trials only. So a study stopped anywhere, even by a kill that leaves
    a trial running for ever, goes on exactly as if it had never been stopped.

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
        The storage cannot be used, or holds a study of this name for other rows or settings.
    """
    import optuna

    with _silent(optuna), opened(plan.storage) as storage:
        study = optuna.create_study(
            storage=storage,
            study_name=plan.name,
            direction="maximize" if plan.greater_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=0),
            load_if_exists=True,
        )
        _check_digest(study, plan)
        started = time.monotonic()
        while (done := len(_finished(optuna, study))) < plan.n_trials:
            if plan.timeout is not None and done and time.monotonic() - started >= plan.timeout:
                break
            study.sampler = optuna.samplers.TPESampler(
                seed=int(np.random.SeedSequence([plan.seed, done]).generate_state(1)[0]),
                n_startup_trials=_RANDOM_TRIALS,
                multivariate=False,
                constant_liar=False,  # a trial that a kill left running must not count
            )
            if done == 0 and not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
                study.enqueue_trial({dimension.name: dimension.default for dimension in space})
            _run_trial(optuna, study, judge, space, fixed, plan)
        return [_as_record(n, t, fixed) for n, t in enumerate(_finished(optuna, study)[: plan.n_trials])]


def best_of(records: Sequence[Mapping[str, Any]], *, greater_is_better: bool) -> Mapping[str, Any]:
    """The best completed trial; the earliest among equals."""
    completed = [record for record in records if record["state"] == "complete"]
    return (max if greater_is_better else min)(completed, key=lambda record: record["value"])


def _run_trial(
    optuna: Any, study: Any, judge: Judge, space: Sequence[Dimension], fixed: Mapping[str, Any], plan: StudyPlan
) -> None:
    """Ask for parameters, judge them fold by fold, tell what came out."""
    trial = study.ask()
    state = optuna.trial.TrialState
    started = time.perf_counter()
    found: list[float] = []
    rounds: list[int] = []
    pruned = False
    try:
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
    except BaseException:
        study.tell(trial, state=state.FAIL)
        raise
    if pruned:
        study.tell(trial, state=state.PRUNED)
    else:
        study.tell(trial, float(np.mean(found)))


def _finished(optuna: Any, study: Any) -> list[Any]:
    """Completed and pruned trials, in order."""
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return sorted(study.get_trials(deepcopy=False, states=states), key=lambda trial: trial.number)


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


def _check_digest(study: Any, plan: StudyPlan) -> None:
    known = study.user_attrs.get(_DIGEST)
    if known is None:
        study.set_user_attr(_DIGEST, plan.digest)
    elif known != plan.digest:
        raise HeadError(
            f"study {plan.name!r} in the storage is for other rows or settings; give another study_name or storage,"
            f" or none to have one derived from both"
        )


@contextlib.contextmanager
def _silent(optuna: Any) -> Iterator[None]:
    """Keep Optuna's log quiet for a while; its level is global, so it is put back."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
