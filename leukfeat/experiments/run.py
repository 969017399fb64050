"""From a recipe to run folders: every candidate evaluated, and a model of each kept."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import RunError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.evaluation.runs import RECIPE_YAML, RUN_JSON
from leukfeat.experiments.auditing import Audit, audit_as_told
from leukfeat.experiments.bundle import save_bundle
from leukfeat.experiments.candidates import everything
from leukfeat.experiments.cost import cost_per_cell
from leukfeat.experiments.environment import environment
from leukfeat.experiments.grid import Candidate, candidate_of, each_alone
from leukfeat.experiments.histories import save_histories
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.stages import Watcher, forwarding_of, make_split, open_data, open_store
from leukfeat.experiments.trials import tuning_line, write_trials
from leukfeat.experiments.workers import Share, Workers


def run(
    recipe: Recipe,
    *,
    n_jobs: int | None = None,
    storage: str | None = None,
    overwrite: bool = False,
    watcher: Watcher | None = None,
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
        Optuna storage shared by all studies: a journal file or a database URL. None keeps a journal in each run folder.
    overwrite : bool
        Run again what is finished.
    watcher : Watcher or None
        What to tell on the way.

    Returns
    -------
    list of Path
        The run folders, in the recipe's order.

    Raises
    ------
    LeakageError
        The audit finds a leak that the split does not declare, and the recipe does not allow; nothing was computed.
    """
    watcher = watcher or Watcher()
    recipes = list(each_alone(recipe))  # a misspelt head is reported before any work
    manifest = open_data(recipe, watcher)
    plan = make_split(manifest, recipe.split)
    for line in plan.describe():
        watcher.told(line)
    audit = audit_as_told(manifest, plan, recipe.audit.level, recipe.audit.allow, watcher.auditing)
    store, forwarding = open_store(recipe), forwarding_of(recipe, watcher.forwarding)
    folders = []
    for alone in recipes:
        job = _Job(alone, manifest, plan, candidate_of(alone, store, forwarding), audit)
        with job.alone():
            if overwrite:
                job.set_aside()
            if (job.folder / RUN_JSON).is_file():
                watcher.told(f"{job.folder}: already finished (--overwrite runs it again)")
            else:
                job.execute(n_jobs=n_jobs, storage=storage, watcher=watcher)
                watcher.told(f"wrote {job.folder}")
        folders.append(job.folder)
    return folders


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
    def alone(self) -> Iterator[None]:
        """Hold the run folder; the lock falls with the process, however it ends.

        Raises
        ------
        RunError
            Another process works on the same run.
        """
        self._backstage.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._backstage / f"{self.folder.name}.lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout:
            raise RunError(
                f"{self.folder}: another process is working on this very run; wait for it, then compare"
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

    def execute(self, *, n_jobs: int | None, storage: str | None, watcher: Watcher) -> None:
        """Evaluate, fit the model to keep, and write everything; the run file comes last."""
        candidate = self.candidate.in_folder(self.folder, self.digest[:16], storage)
        self.plan.save(self.folder / "split.csv")
        self.recipe.save(self.folder / RECIPE_YAML)
        if self.audit.level == "full":
            self.audit.save(self.folder, self.manifest)
        usable = candidate.available(self.manifest)
        folds = [fold.among(usable) for fold in self.plan.folds]
        candidate.prepare(self.manifest, [*folds, everything(candidate, self.manifest)])
        from joblib import cpu_count

        share = Share(1, 1)
        if candidate.folds_at_once:
            share = Share.of(n_jobs or cpu_count(), len(folds) + 1, candidate.copied_bytes(self.manifest))
            candidate = candidate.on_threads(share.threads)
        workers = Workers(candidate, self.manifest, share.processes)
        result = cross_validate(
            candidate,
            self.manifest,
            self.plan,
            map_folds=workers,
            progress=lambda done, total: watcher.folds(candidate.name, done, total),
        )
        kept = {"repeat": "", "fold": "kept", **workers.kept.facts}
        model = save_bundle(self.folder / "model", workers.kept, candidate.describe(), self.manifest, result)
        write_trials(self.folder / "trials.csv", [*result.folds, kept])
        if line := tuning_line([*result.folds, kept]):
            watcher.told(line)
        save_histories(self.folder / "training", [*result.folds, kept])
        about = {**environment(), "command": f"leukfeat run {self.folder / RECIPE_YAML}"}
        cost = cost_per_cell(model, self.manifest, folds[0].test, candidate.forwarding)
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
