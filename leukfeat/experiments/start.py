"""The first step in a new folder: a manifest, and a recipe with every common choice explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from leukfeat.data.manifest import SUBJECTS_UNKNOWN, Manifest
from leukfeat.data.reading import CELLS_CSV
from leukfeat.errors import UsageError
from leukfeat.experiments.recipe import RECIPE_FILE
from leukfeat.textfiles import write_text

_TEMPLATE = """\
# What leukfeat does in this folder when its commands are called without DATA:
#   leukfeat extract · leukfeat fit-head --head xgboost · leukfeat compare
# or everything at once: leukfeat run {recipe}
# Flags override what stands here. Unknown keys are refused.

name: {name}

data:
  path: {cells}            # the manifest: sample, path, label, subject, sha256
{links}
split:
{split}
backbone:
  - name: efficientnet_b0      # any timm model; 'leukfeat models' lists them
    weights: imagenet          # imagenet (downloaded once), random, or a .safetensors file
  # - name: densenet201        # another entry: every backbone is evaluated with every head
  # - concatenate: [efficientnet_b0, inception_v3]   # features side by side

head:
  - name: xgboost              # xgboost, lightgbm, svm, random-forest, logistic, knn, tree
    trials: 30                 # Optuna trials a fold
  # - name: svm

# extraction:
#   device: auto               # auto, cpu, cuda
#   engine: auto               # how forward passes run; see leukfeat models
# seed: 0
"""

_LINKS = """\
  follow_links: true         # images may be symbolic links that lead out of the folder
"""
_GROUPED = """\
  kind: grouped                # no patient on both sides; ids that share an identical image count as one patient
  folds: {folds}
  repeats: 1
  seed: 0
"""
_PER_IMAGE = """\
  kind: per-image              # {warning}; every output says "image-level: optimistic"
  folds: 5
  seed: 0
"""


def start(
    folder: Path | str,
    *,
    into: Path | str | None = None,
    dataset: str | None = None,
    subjects: str | None = None,
    subjects_from: str | None = None,
    positive: str | None = None,
    follow_links: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Manifest, list[Path]]:
    """Write ``cells.csv`` and ``leukfeat.yaml`` for a folder of cells.

    Parameters
    ----------
    folder : path
        The data.
    into : path or None
        Where to write; the data folder itself by default.
    dataset, subjects, subjects_from, positive, follow_links, progress
        As in :meth:`leukfeat.data.manifest.Manifest.open`.
    overwrite : bool
        Replace a recipe and a manifest that are there; without it a manifest that says the same stays as it is.

    Returns
    -------
    (Manifest, list of Path)
        The manifest and the files written.

    Raises
    ------
    UsageError
        There is a recipe already, or a manifest that says something else.
    """
    target = Path(into if into is not None else folder)
    recipe = target / RECIPE_FILE
    if recipe.exists() and not overwrite:
        raise UsageError(f"{recipe} is there already; --overwrite replaces it")
    manifest = Manifest.open(
        folder,
        dataset=dataset,
        subjects=subjects,
        subjects_from=subjects_from,
        positive=positive,
        follow_links=follow_links,
        progress=progress,
    )
    cells = target / CELLS_CSV
    written = [recipe]
    if overwrite or not cells.exists():
        written.insert(0, manifest.save(cells))
    elif Manifest.open(cells, follow_links=follow_links).digest != manifest.digest:
        raise UsageError(f"{cells} is there already and says otherwise; --overwrite replaces it")
    with write_text(recipe) as stream:
        stream.write(
            _TEMPLATE.format(
                recipe=RECIPE_FILE,
                name=json.dumps(_name_of(target)),
                cells=CELLS_CSV,
                links=_LINKS * follow_links,
                split=_GROUPED.format(folds=_possible_folds(manifest))
                if manifest.groups_known
                else _PER_IMAGE.format(warning=SUBJECTS_UNKNOWN),
            )
        )
    return manifest, written


def _possible_folds(manifest: Manifest) -> int:
    """Five folds, or as many as the class with the fewest groups allows."""
    groups = [
        len({manifest.group[row] for row in manifest.labelled if manifest.label[row] == name})
        for name in manifest.classes
    ]
    return max(2, min(5, *groups)) if groups else 5


def _name_of(folder: Path) -> str:
    """A recipe name from a folder's."""
    kept = "".join(letter if letter.isalnum() or letter in "._+-" else "-" for letter in folder.resolve().name)
    return kept or "cells"
