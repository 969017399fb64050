"""Everything a recipe evaluates, one by one: backbones with heads, networks, ensembles."""

from __future__ import annotations

from collections.abc import Iterator

from leukfeat.errors import RecipeError, UnknownNameError
from leukfeat.evaluation.ensembles import EnsembleRule
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.ensembles import Ensemble
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.networks import EndToEnd
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.sections import EnsembleSection, HeadSection
from leukfeat.experiments.stages import NO_BACKBONE
from leukfeat.features.exchange import read_features
from leukfeat.features.store import FeatureStore
from leukfeat.heads.catalog import find_head
from leukfeat.heads.scoring import METRICS
from leukfeat.heads.tuning import TunedHead

Candidate = HeadOnFeatures | EndToEnd | Ensemble


def each_alone(recipe: Recipe) -> Iterator[Recipe]:
    """A recipe of its own for every backbone entry with every head, every network and every ensemble.

    Raises
    ------
    RecipeError
        Nothing to evaluate is named, or a head without a source of features.
    UnknownNameError
        A head, a metric or a head's parameter that does not exist, reported before any work is done.
    """
    has_features = bool(recipe.backbone) or recipe.features is not None
    if not recipe.head and (has_features or not (recipe.network or recipe.ensemble)):
        raise RecipeError("no head given; name one with --head xgboost, or under head: in the recipe")
    if recipe.head and not has_features:
        raise RecipeError(NO_BACKBONE)
    for head in (*recipe.head, *(member.head for entry in recipe.ensemble for member in entry.members if member.head)):
        _check(head)
    nothing = {"backbone": (), "head": (), "network": (), "ensemble": (), "features": None}
    for backbones in recipe.backbone or ((),):
        for head in recipe.head:
            alone = {"backbone": (backbones,) if backbones else (), "features": recipe.features, "head": (head,)}
            yield recipe.model_copy(update={**nothing, **alone})
    for network in recipe.network:
        yield recipe.model_copy(update={**nothing, "network": (network,)})
    for ensemble in recipe.ensemble:
        yield recipe.model_copy(update={**nothing, "ensemble": (ensemble,)})


def _check(head: HeadSection) -> None:
    find_head(head.name).check_params(head.params)
    if head.metric is not None and head.metric not in METRICS:
        raise UnknownNameError("metric", head.metric, METRICS)


def candidate_of(recipe: Recipe, store: FeatureStore, forwarding: Forwarding) -> Candidate:
    """The candidate that a recipe with one thing to evaluate means."""
    if recipe.network:
        return EndToEnd(recipe.network[0], store, forwarding)
    if recipe.ensemble:
        return _ensemble(recipe.ensemble[0], recipe.seed, store, forwarding)
    tuned = _tuned(recipe.head[0], recipe.seed)
    if recipe.features is not None:
        return HeadOnFeatures((), tuned, features=read_features(recipe.features), forwarding=forwarding)
    return HeadOnFeatures(recipe.backbone[0], tuned, store, forwarding=forwarding)


def _tuned(head: HeadSection, seed: int) -> TunedHead:
    return TunedHead(
        head.name,
        n_trials=head.trials,
        metric=head.metric,
        inner_folds=head.inner_folds,
        timeout=head.timeout,
        params=head.params or None,
        random_state=seed,
    )


def _ensemble(section: EnsembleSection, seed: int, store: FeatureStore, forwarding: Forwarding) -> Ensemble:
    members: list[HeadOnFeatures | EndToEnd] = []
    for member in section.members:
        if member.network is not None:
            members.append(EndToEnd(member.network, store, forwarding))
        elif member.backbone is not None and member.head is not None:
            members.append(HeadOnFeatures(member.backbone, _tuned(member.head, seed), store, forwarding=forwarding))
    rule = EnsembleRule(**section.rule.model_dump(exclude_none=True))
    return Ensemble(tuple(members), rule, inner_folds=section.inner_folds, seed=seed)
