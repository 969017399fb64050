"""The studies that a recipe asks for besides its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leukfeat.evaluation.studies import Study
from leukfeat.experiments.arms import Runner
from leukfeat.experiments.crosssite import cross_sites
from leukfeat.experiments.grid import each_alone
from leukfeat.experiments.leakage_meter import leakage_meter_of
from leukfeat.experiments.learning_curve import learning_curve_of
from leukfeat.experiments.recipe import Recipe


def make_studies(recipe: Recipe, folders: Sequence[Path] = (), *, runner: Runner | None = None) -> list[Study]:
    """Make what the keys ``leakage_meter``, ``learning_curve`` and ``sites`` of a recipe ask for.

    Parameters
    ----------
    recipe : Recipe
        With any number of candidates; each gets studies of its own.
    folders : sequence of Path
        Its finished runs; a recipe of sites has none.
    runner : Runner or None
        How further runs are made.

    Returns
    -------
    list of Study
        Those of one candidate stand together.
    """
    runner = runner or Runner()
    if recipe.sites:
        return [cross_sites(alone, runner=runner) for alone in each_alone(recipe)]
    made: list[Study] = []
    for folder in folders:
        if recipe.leakage_meter:
            made.append(leakage_meter_of(folder, runner=runner))
        if recipe.learning_curve is not None:
            wanted = recipe.learning_curve
            made.append(learning_curve_of(folder, sizes=wanted.sizes, seeds=wanted.seeds, runner=runner))
    return made
