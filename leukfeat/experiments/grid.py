"""Every backbone of a recipe with every head: one recipe, and one candidate, each."""

from __future__ import annotations

from collections.abc import Iterator

from leukfeat.errors import RecipeError, UnknownNameError
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.stages import NO_BACKBONE
from leukfeat.features.exchange import read_features
from leukfeat.features.store import FeatureStore
from leukfeat.heads.catalog import find_head
from leukfeat.heads.scoring import METRICS
from leukfeat.heads.tuning import TunedHead


def each_alone(recipe: Recipe) -> Iterator[Recipe]:
    """A recipe of its own for every backbone entry with every head.

    Raises
    ------
    RecipeError
        No head, or no source of features, is named.
    UnknownNameError
        A head, a metric or a head's parameter that does not exist, reported before any work is done.
    """
    if not recipe.head:
        raise RecipeError("no head given; name one with --head xgboost, or under head: in the recipe")
    if not recipe.backbone and recipe.features is None:
        raise RecipeError(NO_BACKBONE)
    for head in recipe.head:
        find_head(head.name).check_params(head.params)
        if head.metric is not None and head.metric not in METRICS:
            raise UnknownNameError("metric", head.metric, METRICS)
    for backbones in recipe.backbone or ((),):
        for head in recipe.head:
            yield recipe.model_copy(update={"backbone": (backbones,) if backbones else (), "head": (head,)})


def candidate_of(recipe: Recipe, store: FeatureStore, forwarding: Forwarding) -> HeadOnFeatures:
    """The candidate that a recipe with one backbone entry and one head means."""
    head = recipe.head[0]
    tuned = TunedHead(
        head.name,
        n_trials=head.trials,
        metric=head.metric,
        inner_folds=head.inner_folds,
        timeout=head.timeout,
        params=head.params or None,
        random_state=recipe.seed,
    )
    if recipe.features is not None:
        return HeadOnFeatures((), tuned, features=read_features(recipe.features), forwarding=forwarding)
    return HeadOnFeatures(recipe.backbone[0], tuned, store, forwarding=forwarding)
