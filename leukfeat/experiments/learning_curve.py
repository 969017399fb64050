"""A candidate trained on growing numbers of subjects, tested on the same images at every size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leukfeat.audit.leakage import declared_by
from leukfeat.data.growth import Growth, growths, sizes_of
from leukfeat.data.splitfiles import write_folds
from leukfeat.data.splits import Fold, SplitPlan
from leukfeat.errors import UsageError
from leukfeat.evaluation.learning_curve import LearningCurve, SizedRun
from leukfeat.evaluation.uncertainty import Uncertainty
from leukfeat.experiments.arms import Runner, only_candidate, recipe_of_run, sibling
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.sections import SplitSection
from leukfeat.experiments.stages import Watcher, make_split, open_data

N_SIZES, N_SEEDS = 5, 3
"""Sizes of the training part, all subjects included, and draws of each."""

_FOLDER = ".learning-curve"


def learning_curve_of(
    run_folder: Path,
    watcher: Watcher | None = None,
    *,
    sizes: int = N_SIZES,
    seeds: int = N_SEEDS,
    metric: str = "auroc",
    resampling: Uncertainty | None = None,
    runner: Runner | None = None,
) -> LearningCurve:
    """The learning curve of the candidate of a finished run.

    Parameters
    ----------
    run_folder : Path
        As leukfeat wrote it. The curve is kept in it, and the runs that it needs in ``.learning-curve`` beside it.
    watcher : Watcher or None
        What to tell on the way; of a ``runner`` its own is told.
    sizes, seeds, metric, resampling, runner
        As in :func:`measure_learning_curve`.

    Raises
    ------
    RunError
        The folder has no recipe.
    SplitError, UsageError
        As :func:`measure_learning_curve`.
    """
    recipe = recipe_of_run(run_folder, LearningCurve.kind)
    runner = runner or Runner(watcher=watcher or Watcher())
    curve = measure_learning_curve(
        recipe, sizes=sizes, seeds=seeds, metric=metric, resampling=resampling, runner=runner
    )
    curve.save(run_folder / LearningCurve.file_name)
    return curve


def measure_learning_curve(
    recipe: Recipe,
    *,
    sizes: int = N_SIZES,
    seeds: int = N_SEEDS,
    metric: str = "auroc",
    resampling: Uncertainty | None = None,
    runner: Runner | None = None,
) -> LearningCurve:
    """Run a recipe's candidate on growing parts of every fold's training subjects.

    The sizes are evenly spaced on a log scale, and the subjects of a size are among those of every larger one. Classes
    keep their shares, and each has two subjects at least. The last size is the run itself, with all subjects.

    Parameters
    ----------
    recipe : Recipe
        With one candidate, and a split that keeps subjects whole.
    sizes : int
        How many, that of all subjects included.
    seeds : int
        How often the subjects of a size are drawn; results are means.
    metric : str
        What is measured.
    resampling : Uncertainty or None
        How intervals are made.
    runner : Runner or None
        How runs are made.

    Raises
    ------
    RecipeError
        The recipe names several candidates.
    SplitError
        Subjects are unknown or divided, or there are too few of them.
    UsageError
        Fewer than two sizes, or no seed.
    """
    if sizes < 2 or seeds < 1:
        raise UsageError(f"a learning curve of {sizes} sizes and {seeds} seeds: give at least 2 sizes and 1 seed")
    recipe = only_candidate(recipe, LearningCurve.kind)
    runner = (runner or Runner()).quieter()
    plan = make_split(open_data(recipe, runner.watcher), recipe.split)
    drawn = growths(plan, seeds)
    numbers = sizes_of(drawn, sizes, plan.manifest.dataset)
    runs = []
    for size in numbers:
        runner.watcher.told(f"learning curve: {size} subjects to learn from")
        folds = [growth.at(size, growth.fold.repeat * seeds + seed) for seed, own in enumerate(drawn) for growth in own]
        folder, done = runner(_sized(recipe, plan, size, seeds, folds))
        runs.append(SizedRun(float(size), _images(folds), seeds, folder, done))
    runner.watcher.told("learning curve: all subjects")
    folder, done = runner(recipe)
    runs.append(SizedRun(_groups(drawn[0]), _images(plan.folds), 1, folder, done))
    notes = ["of a learning curve, the interval at a size is about the subjects tested, not about those trained on"]
    if any(len(fold.validation) for fold in plan.folds):
        notes.append("subjects of validation parts are counted among those learned from")
    return LearningCurve.of(runs, metric=metric, resampling=resampling, notes=notes)


def _sized(recipe: Recipe, plan: SplitPlan, size: int, seeds: int, folds: Sequence[Fold]) -> Recipe:
    """The recipe on folds of one size, which stand in a file so that the run can be repeated."""
    ordered = sorted(folds, key=lambda fold: (fold.repeat, fold.number))
    file = recipe.out / _FOLDER / "splits" / f"{recipe.name}-{plan.digest[:8]}-{size}-subjects-{seeds}-seeds.csv"
    write_folds(file, plan.manifest.sample, ordered)
    one = sibling(recipe, _FOLDER, f"{size}-subjects", split=SplitSection(kind="file", file=file))
    # parts of folds leak no more than the folds that announce it
    allowed = sorted({*one.audit.allow, *declared_by(plan.kind, plan.protection)})
    return one.model_copy(update={"audit": one.audit.model_copy(update={"allow": tuple(allowed)})})


def _images(folds: Sequence[Fold]) -> float:
    return float(np.mean([len(fold.train) + len(fold.validation) for fold in folds]))


def _groups(drawn: Sequence[Growth]) -> float:
    return float(np.mean([len(growth) for growth in drawn]))
