"""A recipe made small: the same networks, heads and kinds of split, on a few generated cells, in seconds.

It tells whether a recipe runs from one end to the other on this machine; no figure of it means anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import CLASSES, synthesize
from leukfeat.evaluation.rules import RULES
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.sections import (
    CopiesSection,
    DataSection,
    EnsembleSection,
    ExtractionSection,
    HeadSection,
    MemberSection,
    SplitSection,
)

SMOKE = "smoke"

_SUBJECTS, _CELLS, _SIDE = 12, 2, 64
_SIDES = (32, 48, 64, 96, 128, 160, 192, 224)  # in pixels, of what a network takes in: the first that it can take
_COPIES = 18  # images of each class, where a recipe makes copies before splitting: 12 originals and 6 copies
_FOLDS, _RESERVED_FOLDS = 2, 3
_TRIALS, _INNER_FOLDS = 2, 2
_LEARNING_MEMBERS = 2
_BATCH = 8


def smoke_of(recipe: Recipe, out: Path) -> Recipe:
    """The same recipe, small: every network of it on generated cells, from random weights, for an epoch.

    Architectures, attention, heads, ensembles and the kind of split stay as they are. Small become the images (the
    smallest that pass through a network), the number of subjects, folds, epochs, trials and copies, and of an
    ensemble whose rule learns the number of members.

    Parameters
    ----------
    recipe : Recipe
        What is meant for real images.
    out : Path
        Receives the cells, the feature store, the runs and the report.

    Returns
    -------
    Recipe
        Its name ends in ``-smoke``.
    """
    copies = None if recipe.data is None else recipe.data.copies
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-{SMOKE}",
            "data": DataSection(path=_cells(out, recipe.split), copies=copies and _few(copies, out)),
            "sites": (),
            "split": _small_split(recipe.split),
            "backbone": tuple(tuple(_small(spec) for spec in entry) for entry in recipe.backbone),
            "features": None,
            "head": tuple(_short(head) for head in recipe.head),
            "network": tuple(_small(spec) for spec in recipe.network),
            "ensemble": tuple(_small_ensemble(entry) for entry in recipe.ensemble),
            "extraction": ExtractionSection(device=recipe.extraction.device, batch_size=_BATCH),
            "cache": out / "cache",
            "out": out / "runs",
            "report": out / "report",
        }
    )


def _cells(out: Path, split: SplitSection) -> Path:
    """Generated cells with official parts: two folds, and the part that the split tests on."""
    cells = synthesize(out / "cells", n_subjects=_SUBJECTS, n_cells=_CELLS, size=_SIDE)
    parts = ("fold_0", "fold_1", split.test_part)
    met: Counter[str] = Counter()
    part_of: dict[str, str] = {}
    for label, subject in zip(cells.label, cells.subject, strict=True):
        if subject not in part_of:
            part_of[subject] = parts[met[label] % len(parts)]
            met[label] += 1
    named: Manifest = replace(cells, official=tuple(part_of[subject] for subject in cells.subject))
    return named.save(out / "cells-with-parts.csv")


def _few(copies: CopiesSection, out: Path) -> CopiesSection:
    return copies.model_copy(update={"per_class": _COPIES, "folder": out / "copies"})


def _small_split(split: SplitSection) -> SplitSection:
    folds = _RESERVED_FOLDS if split.kind == "reserved" and split.train == "rest" else _FOLDS
    if split.kind == "file":
        return SplitSection(folds=folds)
    validation = (
        None if split.validation is None else max(split.validation, 0.5)
    )  # of few subjects, enough of each class
    return split.model_copy(update={"folds": folds, "repeats": 1, "validation": validation})


def _small(spec: BackboneSpec) -> BackboneSpec:
    """A backbone with random weights for the smallest images that it takes, trained for an epoch if at all."""
    if spec.name is None:  # only its weights say what it is
        return spec if spec.finetune is None else spec.replace(finetune=_brief(spec.finetune))
    return spec.replace(
        weights="random",
        preprocess=_uncropped(spec.preprocess).replace(input_size=_side_of(spec.replace(finetune=None))),
        finetune=None if spec.finetune is None else _brief(spec.finetune),
    )


@cache
def _side_of(spec: BackboneSpec) -> int | None:
    """Of the smallest images that a backbone takes; a recipe names the same one more than once."""
    from leukfeat.backbones.sizes import smallest_size

    return smallest_size(spec, _SIDES)


def _uncropped(preprocess: Preprocess) -> Preprocess:
    """The crop follows the small images; what is done to pixel values stays."""
    return preprocess.replace(crop="none" if preprocess.crop == "center" else preprocess.crop, crop_size=None)


def _brief(finetune: FineTune) -> FineTune:
    """One epoch, or two where the trunk is frozen first; batches that a few cells fill."""
    frozen = min(finetune.frozen_epochs, 1)
    return finetune.replace(
        epochs=1 + frozen,
        frozen_epochs=frozen,
        batch_size=_BATCH,
        multiply={name: times for name, times in finetune.multiply if name in CLASSES},
        unseen_share=0.5,
    )


def _short(head: HeadSection) -> HeadSection:
    return head.model_copy(update={"trials": _TRIALS, "timeout": None, "inner_folds": _INNER_FOLDS})


def _small_ensemble(section: EnsembleSection) -> EnsembleSection:
    """All members, but two where the rule learns: for it every member is trained again in each inner fold."""
    members = section.members[:_LEARNING_MEMBERS] if RULES[section.rule.name].learn else section.members
    return section.model_copy(update={"members": tuple(map(_small_member, members)), "inner_folds": _INNER_FOLDS})


def _small_member(member: MemberSection) -> MemberSection:
    return member.model_copy(
        update={
            "backbone": member.backbone and tuple(map(_small, member.backbone)),
            "head": member.head and _short(member.head),
            "network": member.network and _small(member.network),
        }
    )
