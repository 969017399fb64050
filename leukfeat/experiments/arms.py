"""Runs that a study needs besides a candidate's own: where they are kept, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from leukfeat.errors import RecipeError, RunError
from leukfeat.evaluation.runs import RECIPE_YAML, Run
from leukfeat.experiments.backends import Backend
from leukfeat.experiments.grid import each_alone
from leukfeat.experiments.recipe import Recipe, load_recipe
from leukfeat.experiments.run import run
from leukfeat.experiments.stages import Watcher


@dataclass(frozen=True)
class Runner:
    """How the runs of a study are made; a finished one is only read.

    Attributes
    ----------
    n_jobs, storage, overwrite, backend
        As in :func:`leukfeat.experiments.run.run`.
    watcher : Watcher
        What to tell on the way; what the runs of a study have in common is told once.
    """

    n_jobs: int | None = None
    storage: str | None = field(default=None, repr=False)  # it may name a password
    overwrite: bool = False
    watcher: Watcher = field(default_factory=Watcher)
    backend: Backend | None = None

    def __call__(self, recipe: Recipe) -> tuple[str, Run]:
        """Folder and run of a recipe's only candidate."""
        (folder,) = run(
            recipe,
            n_jobs=self.n_jobs,
            storage=self.storage,
            overwrite=self.overwrite,
            watcher=self.watcher,
            backend=self.backend,
        )
        return str(folder), Run.load(folder)

    def quieter(self) -> Runner:
        """The same, telling every line once."""
        told: set[str] = set()

        def tell(line: str) -> None:
            if line not in told:
                told.add(line)
                self.watcher.told(line)

        return replace(self, watcher=replace(self.watcher, told=tell))


def only_candidate(recipe: Recipe, study: str) -> Recipe:
    """The recipe, if it names one thing to evaluate.

    Raises
    ------
    RecipeError
        It names several.
    """
    several = list(each_alone(recipe))
    if len(several) > 1:
        raise RecipeError(
            f"a {study} is about one candidate, and this recipe names {len(several)}; run the recipe, then make a"
            f" {study} of one of its run folders"
        )
    return several[0].model_copy(update={"leakage_meter": False, "learning_curve": None})


def sibling(recipe: Recipe, folder: str, name: str, **sections: Any) -> Recipe:
    """The recipe of a run that a study needs besides a candidate's own.

    Parameters
    ----------
    recipe : Recipe
        Of the candidate.
    folder : str
        Where the new run is, beside the candidate's own. Its name begins with a point, so that it is out of sight of
        ``runs/*``: only the study compares them.
    name : str
        Is added to the recipe's name.
    sections
        What differs. The costly checks of an audit are not repeated.
    """
    level = "none" if recipe.audit.level == "none" else "basic"
    audit = recipe.audit.model_copy(update={"level": level})
    own = {"name": f"{recipe.name}-{name}", "out": recipe.out / folder, "audit": audit}
    return recipe.model_copy(update={**own, **sections})


def recipe_of_run(folder: Path, study: str) -> Recipe:
    """The recipe that a run folder was made from; new runs belong beside it.

    Raises
    ------
    RunError
        The folder has none.
    """
    if not (folder / RECIPE_YAML).is_file():
        raise RunError(
            f"{folder}: no {RECIPE_YAML} in it; a {study} fits the candidate again, and needs the run folder that"
            " leukfeat wrote"
        )
    return load_recipe(folder / RECIPE_YAML).model_copy(update={"out": folder.parent})
