"""What the sections of a recipe mean: a manifest, a split, a store, features."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.spec import BackboneSpec
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import RecipeError
from leukfeat.experiments.backends import Backend
from leukfeat.experiments.encoders import Encoders, encode_folds
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.sections import CopiesSection, DataSection, SplitSection, SyntheticData
from leukfeat.experiments.workers import Workers
from leukfeat.features.exchange import write_features
from leukfeat.features.extraction import ExtractionReport, load_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.table import Features

NO_BACKBONE = "no backbone given; name one with --backbone efficientnet_b0, or under backbone: in the recipe"


@dataclass(frozen=True)
class Watcher:
    """What a caller wants to be told while a recipe runs; every part may be left out.

    Attributes
    ----------
    told : callable(str)
        A line for people.
    hashing, rendering : callable(done, total)
        Progress of reading checksums and of drawing cells.
    forwarding : Forwarding
        Progress and reports of extraction.
    folds : callable(name, done, total)
        Progress over the folds of a candidate.
    auditing : callable(what, done, total)
        Progress of a full audit.
    """

    told: Callable[[str], None] = lambda line: None
    hashing: Callable[[int, int], None] | None = None
    rendering: Callable[[int, int], None] | None = None
    forwarding: Forwarding = field(default_factory=Forwarding)
    folds: Callable[[str, int, int], None] = lambda name, done, total: None
    auditing: Callable[[str, int, int], None] | None = None


def open_data(recipe: Recipe, watcher: Watcher, *, rehash: bool = False) -> Manifest:
    """The manifest a recipe's data section means; generated cells are drawn where they are not there yet."""
    data = recipe.data
    if data is None:
        raise RecipeError("the recipe names sites, which are run as a matrix, and this needs one data set under data:")
    manifest = _drawn(data.synthetic, watcher) if data.synthetic else _read(data, watcher, rehash)
    if data.copies is not None:
        manifest = _copied(manifest, data.copies, watcher)
    for line in manifest.describe():
        watcher.told(line)
    return manifest


def _drawn(wanted: SyntheticData, watcher: Watcher) -> Manifest:
    from leukfeat.data.synthetic import synthesize

    return synthesize(
        wanted.folder,
        n_subjects=wanted.subjects,
        n_cells=wanted.cells,
        seed=wanted.seed,
        size=wanted.size,
        size_confound=wanted.size_confound,
        progress=watcher.rendering,
    )


def _read(data: DataSection, watcher: Watcher, rehash: bool) -> Manifest:
    if data.path is None:
        raise RecipeError("data: give either path or synthetic")
    return Manifest.open(
        data.path,
        dataset=data.dataset,
        subjects=data.subjects,
        subjects_from=data.subjects_from,
        positive=data.positive,
        follow_links=data.follow_links,
        memo=HashMemo(rehash=rehash),
        progress=watcher.hashing,
    )


def _copied(manifest: Manifest, wanted: CopiesSection, watcher: Watcher) -> Manifest:
    """The manifest with augmented copies, made before any split: what some papers did."""
    from leukfeat.backbones.augmentation import augmented
    from leukfeat.data.copies import copies_of

    def make(image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        return augmented(image, wanted.augment, wanted.seed, number)

    return copies_of(manifest, wanted.per_class, wanted.folder, make, seed=wanted.seed, progress=watcher.rendering)


def make_split(manifest: Manifest, split: SplitSection) -> SplitPlan:
    """The plan a recipe's split section means."""
    if split.kind == "file":
        if split.file is None:
            raise RecipeError("split: kind: file needs file: PATH")
        return SplitPlan.from_file(manifest, split.file)
    makers: dict[str, Callable[[], SplitPlan]] = {
        "grouped": lambda: SplitPlan.grouped(manifest, split.folds, split.repeats, split.seed),
        "subject": lambda: SplitPlan.by_subject(manifest, split.folds, split.repeats, split.seed),
        "per-image": lambda: SplitPlan.per_image(manifest, split.folds, split.repeats, split.seed),
        "holdout": lambda: SplitPlan.holdout(manifest, split.fractions, split.repeats, split.seed),
        "per-image-holdout": lambda: SplitPlan.holdout(
            manifest, split.fractions, split.repeats, split.seed, per_image=True
        ),
        "official": lambda: SplitPlan.official(manifest),
        "fixed-test": lambda: SplitPlan.fixed_test(
            manifest,
            split.test_part,
            validation=split.validation or 0.0,
            validation_by=split.validation_by,
            seed=split.seed,
        ),
        "reserved": lambda: SplitPlan.reserved(
            manifest,
            split.folds,
            split.seed,
            train=split.train,
            validation=0.2 if split.validation is None else split.validation,
        ),
    }
    return makers[split.kind]()


def default_cache() -> Path:
    """Where features are kept when nobody says: ``LEUKFEAT_CACHE``, else ``cache``."""
    return Path(os.environ.get("LEUKFEAT_CACHE") or "cache")


def open_store(recipe: Recipe) -> FeatureStore:
    """The feature store a recipe means."""
    return FeatureStore(recipe.cache or default_cache())


def workers_of(recipe: Recipe, backend: Backend | None, told: Callable[[str], None]) -> Workers:
    """The workers that somebody asks for; processes of this machine where nobody does."""
    return Workers(backend and replace(backend, gpu=recipe.extraction.device == "cuda"), told)


def forwarding_of(recipe: Recipe, watched: Forwarding, workers: Workers) -> Forwarding:
    """The recipe's extraction section with a caller's progress.

    Workers compute features only where they were asked for: in one process a network is loaded once, and takes all
    processors.
    """
    return replace(watched, **recipe.extraction.model_dump(), workers=workers if workers.asked_for else None)


def extract_recipe(
    recipe: Recipe,
    *,
    watcher: Watcher | None = None,
    rehash: bool = False,
    backend: Backend | None = None,
) -> list[ExtractionReport]:
    """Compute the missing features of every backbone a recipe names, each once.

    A backbone that is fine-tuned, or whose input statistics are learned, is trained on the training part of each fold
    of the recipe's split, and gives the features of that fold.

    Parameters
    ----------
    recipe : Recipe
        Data, split, backbones, store.
    watcher : Watcher or None
        What to tell on the way.
    rehash : bool
        Read every file anew instead of trusting size and times.
    backend : Backend or None
        What computes shards of the missing images; None computes all in this process.

    Raises
    ------
    RecipeError
        The recipe names no backbone.
    WorkerError
        Workers cannot be reached, lack what they need, or were lost too often.
    """
    watcher = watcher or Watcher()
    specs = _all_backbones(recipe)
    with workers_of(recipe, backend, watcher.told) as workers:
        manifest = open_data(recipe, watcher, rehash=rehash)
        store = open_store(recipe)
        workers.insist_on(manifest, store.root)
        reports: list[ExtractionReport] = []
        how = replace(
            forwarding_of(recipe, watcher.forwarding, workers),
            memo=HashMemo(rehash=rehash),
            reported=_both(watcher.forwarding.reported, reports.append),
        )
        _extract_all(recipe, specs, manifest, store, how, watcher)
    return reports


def _extract_all(
    recipe: Recipe,
    specs: Sequence[BackboneSpec],
    manifest: Manifest,
    store: FeatureStore,
    how: Forwarding,
    watcher: Watcher,
) -> None:
    """Compute what is missing; networks that are trained first are trained fold by fold, elsewhere at once."""
    encoders = [Encoders((spec,), store, how) for spec in specs]
    if any(each.learned for each in encoders):
        plan = make_split(manifest, recipe.split)
        for line in plan.describe():
            watcher.told(line)
    for spec, each in zip(specs, encoders, strict=True):
        if not each.learned:
            how.extract(spec, manifest, store)
            continue
        usable = each.available(manifest)
        encode_folds(each, manifest, [fold.among(usable) for fold in plan.folds])


def _both(first: Callable[..., None] | None, second: Callable[..., None]) -> Callable[..., None]:
    def tell(report: ExtractionReport) -> None:
        if first is not None:
            first(report)
        second(report)

    return tell


def _all_backbones(recipe: Recipe) -> list[BackboneSpec]:
    """Every backbone a recipe names, once."""
    specs = list(dict.fromkeys(spec for entry in recipe.backbone for spec in entry))
    if not specs:
        raise RecipeError(NO_BACKBONE)
    return specs


def export_recipe(recipe: Recipe, file: Path, watcher: Watcher, *, form: str | None = None) -> tuple[Features, int]:
    """Write the stored features of a recipe's backbones, side by side, with paths, labels and subjects.

    Returns
    -------
    (Features, int)
        What was written, and how many samples have no stored features.
    """
    manifest, store = open_data(recipe, watcher), open_store(recipe)
    specs = _all_backbones(recipe)
    features = Features.concatenate(
        [load_features(spec, manifest, store, amp_dtype=recipe.extraction.amp_dtype) for spec in specs]
    )
    write_features(features, file, manifest, form=form)
    return features, len(manifest) - len(features)
