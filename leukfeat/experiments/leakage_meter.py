"""The same candidate under image-level, subject-level and linked-subject-level splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from leukfeat.data.manifest import Manifest
from leukfeat.errors import SplitError
from leukfeat.evaluation.leakage_meter import ArmName, LeakageMeter
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.uncertainty import Uncertainty
from leukfeat.experiments.arms import Runner, only_candidate, recipe_of_run, sibling
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.sections import SplitKind, SplitSection
from leukfeat.experiments.stages import Watcher, open_data

_FOLDER = ".leakage-meter"
_DRAWN: tuple[SplitKind, ...] = ("grouped", "subject", "per-image")


def leakage_meter_of(
    run_folder: Path,
    watcher: Watcher | None = None,
    *,
    metric: str = "auroc",
    resampling: Uncertainty | None = None,
    runner: Runner | None = None,
) -> LeakageMeter:
    """Measure what the candidate of a finished run gains when test subjects are let into training.

    Parameters
    ----------
    run_folder : Path
        As leukfeat wrote it. The meter is kept in it, and the runs that it needs in ``.leakage-meter`` beside it.
    watcher : Watcher or None
        What to tell on the way; of a ``runner`` its own is told.
    metric, resampling, runner
        As in :func:`measure_leakage`.

    Raises
    ------
    RunError
        The folder has no recipe.
    SplitError
        As :func:`measure_leakage`.
    """
    recipe = recipe_of_run(run_folder, LeakageMeter.kind)
    runner = runner or Runner(watcher=watcher or Watcher())
    meter = measure_leakage(recipe, metric=metric, resampling=resampling, runner=runner)
    meter.save(run_folder / LeakageMeter.file_name)
    return meter


def measure_leakage(
    recipe: Recipe,
    *,
    metric: str = "auroc",
    resampling: Uncertainty | None = None,
    runner: Runner | None = None,
) -> LeakageMeter:
    """Run a recipe's candidate under splits that differ only in what they keep whole.

    Every arm is cross-validation with the folds, repeats and seed of the recipe's split, so that all train on as much
    and test the same images, and an ordinary run: a finished one is not repeated, and frozen features are computed
    once for all.

    Parameters
    ----------
    recipe : Recipe
        With one candidate.
    metric : str
        What is compared.
    resampling : Uncertainty or None
        How intervals are made.
    runner : Runner or None
        How runs are made.

    Raises
    ------
    RecipeError
        The recipe names several candidates.
    SplitError
        Nothing groups the images, or a class has fewer groups than folds.
    """
    recipe = only_candidate(recipe, LeakageMeter.kind)
    runner = (runner or Runner()).quieter()
    manifest = open_data(recipe, runner.watcher)
    notes: list[str] = []
    if recipe.split.kind not in _DRAWN:
        notes.append(
            f"the run's own split ({recipe.split.kind}) is no cross-validation; every arm here has"
            f" {recipe.split.folds} folds"
        )
    arms = arms_of(manifest)
    if "linked-subject-level" not in arms and manifest.subjects_known:
        notes.append("no two subject ids share an image or a declared group: subjects are their own linked groups")
    if not manifest.subjects_known:
        notes.append("subjects unknown: the strict arm keeps declared groups whole, and subjects may still be divided")
    runs: dict[ArmName, tuple[str, Run]] = {}
    for name, kind in arms.items():
        runner.watcher.told(f"leakage meter: {name}")
        runs[name] = runner(_arm(recipe, kind))
    return LeakageMeter.of(runs, metric=metric, resampling=resampling, notes=notes)


def arms_of(manifest: Manifest) -> Mapping[ArmName, SplitKind]:
    """The splits that can be told apart on these data, the loosest first.

    Raises
    ------
    SplitError
        Nothing groups the images.
    """
    if not manifest.groups_known:
        raise SplitError(
            f"{manifest.dataset}: a leakage meter has nothing to hold image-level splits against: subjects are unknown"
            " and no column group keeps images together; give one of them"
            " ('leukfeat audit --write-groups' finds images of one field)"
        )
    if not manifest.subjects_known:
        return {"image-level": "per-image", "group-level": "grouped"}
    rows = manifest.labelled
    subjects = {manifest.subject[row].casefold() for row in rows}
    if len({manifest.group[row] for row in rows}) == len(subjects):
        return {"image-level": "per-image", "subject-level": "grouped"}
    return {"image-level": "per-image", "subject-level": "subject", "linked-subject-level": "grouped"}


def _arm(recipe: Recipe, kind: SplitKind) -> Recipe:
    """The recipe under one split; where that is its own, its own run serves."""
    own = recipe.split
    if kind == own.kind:
        return recipe
    split = SplitSection(kind=kind, folds=own.folds, repeats=own.repeats, seed=own.seed)
    return sibling(recipe, _FOLDER, kind, split=split)
