"""From a recipe to run folders: every candidate evaluated, and a model of each kept."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold, SplitPlan
from leukfeat.errors import RunError, UsageError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.evaluation.runs import RECIPE_YAML, RUN_JSON, Run
from leukfeat.experiments.auditing import Audit, audit_as_told
from leukfeat.experiments.backends import Backend
from leukfeat.experiments.bundle import save_bundle
from leukfeat.experiments.candidates import everything
from leukfeat.experiments.cost import cost_per_cell
from leukfeat.experiments.environment import environment
from leukfeat.experiments.fits import Fits
from leukfeat.experiments.grid import Candidate, candidate_of, each_alone
from leukfeat.experiments.histories import save_histories
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.stages import Watcher, forwarding_of, make_split, open_data, open_store, workers_of
from leukfeat.experiments.trials import tuning_line, write_trials
from leukfeat.experiments.workers import Workers
from leukfeat.heads.storage import Storage, checked


def run(
    recipe: Recipe,
    *,
    n_jobs: int | None = None,
    storage: str | None = None,
    overwrite: bool = False,
    watcher: Watcher | None = None,
    backend: Backend | None = None,
) -> list[Path]:
    """Run every candidate of a recipe and keep each in a folder of its own.

    A finished run is not repeated; a stopped one goes on where it was.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    n_jobs : int or None
        Processors to use: folds are fitted at once, each in a process of its own, and where features are many, which
        every process copies, in fewer processes with more threads. None takes all. Results do not depend on it.
    storage : str or None
        Optuna storage shared by all studies: a journal file or a database URL. Processes that do the same run with it
        share its trials, and one of them writes the run folder. None keeps a journal in each run folder.
    overwrite : bool
        Run again what is finished.
    watcher : Watcher or None
        What to tell on the way.
    backend : Backend or None
        What computes missing features in shards, and fits folds. None computes features in this process, and fits
        folds in processes of this machine. Results do not depend on it.

    Returns
    -------
    list of Path
        The run folders, in the recipe's order.

    Raises
    ------
    UsageError
        Processors of this machine are counted for work on others.
    WorkerError
        Workers cannot be reached, lack what they need, or were lost too often.
    HeadError
        The storage cannot be opened; nothing was computed.
    LeakageError
        The audit finds a leak that the split does not declare, and the recipe does not allow; nothing was computed.
    """
    watcher = watcher or Watcher()
    recipes = list(each_alone(recipe))  # a misspelt head is reported before any work
    if backend is not None and backend.elsewhere and n_jobs is not None:
        raise UsageError(f"--jobs counts processors of this machine; with --backend {backend.name} give --workers")
    place = None if storage is None else checked(storage)
    with workers_of(recipe, backend, watcher.told) as workers:
        return _run(recipe, recipes, workers, n_jobs=n_jobs, storage=place, overwrite=overwrite, watcher=watcher)


def _run(
    recipe: Recipe,
    recipes: Sequence[Recipe],
    workers: Workers,
    *,
    n_jobs: int | None,
    storage: Storage | None,
    overwrite: bool,
    watcher: Watcher,
) -> list[Path]:
    manifest = open_data(recipe, watcher)
    plan = make_split(manifest, recipe.split)
    for line in plan.describe():
        watcher.told(line)
    audit = audit_as_told(manifest, plan, recipe.audit.level, recipe.audit.allow, watcher.auditing)
    store, forwarding = open_store(recipe), forwarding_of(recipe, watcher.forwarding, workers)
    workers.insist_on(manifest, store.root, recipe.out, *(storage.folders if storage is not None else ()))
    folders = []
    for alone in recipes:
        job = _Job(alone, manifest, plan, candidate_of(alone, store, forwarding), audit)
        try:
            with job.alone():
                if overwrite:
                    job.set_aside()
                job.finish(workers, n_jobs=n_jobs, storage=storage, watcher=watcher)
        except _TakenError:
            if storage is None:
                raise
            watcher.told(f"{job.folder}: another process writes it; this one shares its trials")
            if job.candidate.folds_at_once:  # what trains networks has no trials
                job.evaluate(workers, n_jobs=n_jobs, storage=storage, watcher=watcher)
                watcher.told(f"{job.folder}: every trial is done; waiting for the process that writes it")
            with job.alone(waiting=True):  # in whose place this one steps should it die
                job.finish(workers, n_jobs=n_jobs, storage=storage, watcher=watcher)
        folders.append(job.folder)
    return folders


class _TakenError(RunError):
    """Another process works on the same run."""


@dataclass(frozen=True)
class _Job:
    """One candidate of a recipe on its split."""

    recipe: Recipe
    manifest: Manifest
    plan: SplitPlan
    candidate: Candidate
    audit: Audit

    @cached_property
    def digest(self) -> str:
        """sha256 of everything the predictions depend on."""
        kind = f"{self.plan.kind} {self.plan.protection}"
        parts = (self.manifest.digest, kind, self.plan.digest, self.candidate.identity(self.manifest))
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()

    @cached_property
    def folder(self) -> Path:
        """``<out>/<recipe>-<backbone>-<head>-<digest8>``."""
        words = f"{self.recipe.name}-{self.candidate.name}" if self.recipe.name != "run" else self.candidate.name
        slug = re.sub(r"[^\w.]+", "-", words).strip("-").lower()
        return self.recipe.out / f"{slug[:100]}-{self.digest[:8]}"

    @contextlib.contextmanager
    def alone(self, *, waiting: bool = False) -> Iterator[None]:
        """Hold the run folder, perhaps when another lets go of it; the lock falls with the process, however it ends.

        Raises
        ------
        _TakenError
            Another process works on the same run.
        """
        self._backstage.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._backstage / f"{self.folder.name}.lock")
        try:
            with lock.acquire(timeout=-1 if waiting else 0):
                yield
        except Timeout:
            raise _TakenError(
                f"{self.folder}: another process is working on this very run; wait for it, then compare, or share its"
                " trials by giving every process the same --storage"
            ) from None

    @property
    def aside(self) -> Path:
        """Where the run that is being replaced waits until the new one is finished."""
        return self._backstage / f"{self.folder.name}.replaced"

    @property
    def _backstage(self) -> Path:
        """Where locks and replaced runs are, out of sight of ``runs/*``."""
        return self.recipe.out / ".leukfeat"

    def set_aside(self) -> None:
        """Make room for a new run; a finished one is kept until then."""
        if (self.folder / RUN_JSON).is_file():
            shutil.rmtree(self.aside, ignore_errors=True)
            self.folder.replace(self.aside)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, workers: Workers, *, n_jobs: int | None, storage: Storage | None, watcher: Watcher) -> None:
        """Do the run, if it was not done."""
        if (self.folder / RUN_JSON).is_file():
            watcher.told(f"{self.folder}: already finished (--overwrite runs it again)")
        else:
            self.execute(workers, n_jobs=n_jobs, storage=storage, watcher=watcher)
            watcher.told(f"wrote {self.folder}")

    def evaluate(
        self, workers: Workers, *, n_jobs: int | None, storage: Storage | None, watcher: Watcher
    ) -> tuple[Run, Fits, list[Fold]]:
        """Fit and test on every fold, and fit the model to keep; trials are kept in the storage."""
        candidate = self.candidate.in_folder(self.folder, self.digest[:16], storage)
        usable = candidate.available(self.manifest)
        folds = [fold.among(usable) for fold in self.plan.folds]
        if not workers.elsewhere:  # there, each fold is prepared where it is fitted
            candidate.prepare(self.manifest, [*folds, everything(candidate, self.manifest)])
        share = workers.share(
            n_jobs, len(folds) + 1, candidate.copied_bytes(self.manifest), at_once=candidate.folds_at_once
        )
        candidate = candidate.on_threads(share.threads)
        fits = Fits(candidate, self.manifest, workers, share.processes)
        result = cross_validate(
            candidate,
            self.manifest,
            self.plan,
            map_folds=fits,
            progress=lambda done, total: watcher.folds(candidate.name, done, total),
        )
        return result, fits, folds

    def execute(self, workers: Workers, *, n_jobs: int | None, storage: Storage | None, watcher: Watcher) -> None:
        """Evaluate, and write everything; the run file comes last."""
        self.plan.save(self.folder / "split.csv")
        self.recipe.save(self.folder / RECIPE_YAML)
        if self.audit.level == "full":
            self.audit.save(self.folder, self.manifest)
        result, fits, folds = self.evaluate(workers, n_jobs=n_jobs, storage=storage, watcher=watcher)
        kept = {"repeat": "", "fold": "kept", **fits.kept.facts}
        model = save_bundle(self.folder / "model", fits.kept, fits.candidate.describe(), self.manifest, result)
        write_trials(self.folder / "trials.csv", [*result.folds, kept])
        if line := tuning_line([*result.folds, kept]):
            watcher.told(line)
        save_histories(self.folder / "training", [*result.folds, kept])
        command = f"leukfeat run {self.folder / RECIPE_YAML}"
        about = {**environment(), "command": command, "workers": workers.describe()}
        cost = fits.measured(partial(cost_per_cell, model, self.manifest, folds[0].test, self.candidate.forwarding))
        replace(
            result,
            folds=tuple(map(_summary, result.folds)),
            environment=about,
            cost=cost,
            audit=self.audit.record(),
            notes=tuple(dict.fromkeys((*result.notes, *self.audit.notes))),
        ).save(self.folder)
        shutil.rmtree(self.aside, ignore_errors=True)


def _summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A fold's facts without what has a file of its own: trials and histories."""
    kept = {name: value for name, value in facts.items() if name != "trials"}
    if "trained" in kept:
        kept["trained"] = [{name: v for name, v in each.items() if name != "history"} for each in kept["trained"]]
    if "members" in kept:
        kept["members"] = [_summary(member) for member in kept["members"]]
    return kept
