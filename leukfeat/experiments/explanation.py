"""``leukfeat explain``: images chosen by chance and by error, what a model looks at in them, and figures about it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leukfeat.data.gathering import Images, gather_images
from leukfeat.data.manifest import Manifest
from leukfeat.errors import RunError, UnknownNameError, UsageError
from leukfeat.experiments.environment import environment
from leukfeat.experiments.explained import Looked, Part, parts_of
from leukfeat.experiments.explanation_folder import EXPLANATIONS_JSON, earlier_files, replaced
from leukfeat.experiments.model import Model
from leukfeat.experiments.predicted import PredictedTable
from leukfeat.experiments.sanity import compared, in_words
from leukfeat.experiments.sheets import Story
from leukfeat.textfiles import write_csv, write_text

_SCHEMA = 1
_FIRST_MAPS, _CHANNELS = 32, 16


@dataclass(frozen=True)
class Wish:
    """What is to be explained, and how.

    Attributes
    ----------
    count : int
        Images on each sheet, at most.
    seed : int
        Draws the random ones.
    layer : str or None
        A module whose map is looked at; None for the last map.
    class_name : str or None
        The class to explain; None for the predicted one of each image.
    maps, sanity : bool
        Whether feature maps are drawn, and maps of randomised networks compared.
    ignore_labels : bool
        Go on where labels are not the model's classes; then there are no worst images.
    how : mapping
        ``device``, ``batch_size``, ``num_workers``, as in :meth:`leukfeat.experiments.model.Model.predict`.
    """

    count: int = 16
    seed: int = 0
    layer: str | None = None
    class_name: str | None = None
    maps: bool = False
    sanity: bool = False
    ignore_labels: bool = False
    how: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 1 or self.seed < 0:
            raise UsageError(f"--count {self.count}, --seed {self.seed}: at least 1 image and a seed of 0 or more")


@dataclass(frozen=True)
class Explanation:
    """What was written, and what it comes to.

    Attributes
    ----------
    written : tuple of Path
        Sheets first.
    lines : tuple of str
        For people.
    facts : mapping
        What ``explanations.json`` holds.
    failed : tuple of (sample, reason)
        Images that could not be read.
    """

    written: tuple[Path, ...]
    lines: tuple[str, ...]
    facts: Mapping[str, Any]
    failed: tuple[tuple[str, str], ...]


def explain(
    model: Model,
    images: Images,
    folder: Path,
    wish: Wish | None = None,
    *,
    against: Model | None = None,
    dataset: str | None = None,
    follow_links: bool = False,
    predicting: Callable[[int, int], None] | None = None,
    explaining: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Draw what a model looks at.

    All images are predicted. Some are drawn by chance; of the labelled ones those with the largest loss are taken
    too. Nobody chooses.

    Parameters
    ----------
    model : Model
        Of :func:`leukfeat.experiments.prediction.load`.
    images : Manifest, path, or sequence of paths
        As for ``leukfeat predict``.
    folder : Path
        Receives ``random`` and ``worst`` as PNG and PDF, ``images/*.png``, ``maps/*.png``, ``explanations.csv`` and
        ``explanations.json``; new, empty, or written by this function before.
    wish : Wish or None
        How many, which layer, which class, what else.
    against : Model or None
        Another model whose maps are drawn beside, for the same class of each image, with what it predicts itself.
    dataset : str or None
        The data set whose layout a folder has.
    follow_links : bool
        Take symbolic links to folders, and those that lead out of a data folder.
    predicting, explaining : callable(done, total) or None
        Progress.

    Raises
    ------
    UsageError
        The folder holds something else, a network has no map of pixels, or two models have no class in common.
    UnknownNameError
        No such class or layer.
    HeadError
        A head that nothing can be routed through.
    MissingImagesError
        Not one image can be read.
    """
    wish = wish or Wish()
    if wish.class_name is not None and wish.class_name not in model.classes:
        raise UnknownNameError("class", wish.class_name, model.classes)
    if against is not None and not set(model.classes) & set(against.classes):
        raise UsageError(
            f"the two models have no class in common ({', '.join(model.classes)}; {', '.join(against.classes)}): there"
            " is nothing to compare; give one of the same classes with --against"
        )
    mine, others = [*parts_of(model)], [] if against is None else [*parts_of(against, "against ")]
    parts = [*mine, *others]
    earlier_files(folder)  # refused before the work, replaced after it
    _try_out(parts, wish)
    manifest, odd = gather_images(images, dataset=dataset, follow_links=follow_links)
    told = model.predict(manifest, ignore_labels=wish.ignore_labels, progress=predicting, **wish.how)
    row_of = {sample: row for row, sample in enumerate(manifest.sample)}
    chosen = choose(told, wish.count, wish.seed)
    places = sorted({place for some in chosen.values() for place in some})
    rows = [row_of[str(told.sample[place])] for place in places]
    classes = [wish.class_name or str(told.y_pred[place]) for place in places]
    said = [told.take(np.array(places))] * len(mine)
    if against is not None:
        said += [_said_by(against, manifest.take(rows), wish)] * len(others)
    steps = len(parts) * (2 if wish.sanity else 1) + 1
    done = itertools.count(1)

    def step() -> None:
        if explaining is not None:
            explaining(next(done), steps)

    looked, sanity = [], []
    for part in parts:
        looked.append(part.look(manifest, rows, classes, wish.layer, wish.how))
        step()
        if wish.sanity:
            sanity.append(compared(part, looked[-1], manifest, rows, classes, wish.layer, wish.seed, wish.how))
            step()
    story = Story(told, places, classes, chosen, looked, said, wish.seed, wish.count, wish.layer, wish.class_name)
    facts: dict[str, Any] = {
        "schema": _SCHEMA,
        "images": len(told),
        "failed": len(told.failed) + len(odd),
        "seed": wish.seed,
        "layer": wish.layer,
        "chosen": {kind: [str(told.sample[place]) for place in some] for kind, some in chosen.items()},
        "networks": story.figures(),
        "sanity": sanity,
        "environment": environment(),
    }
    with replaced(folder) as fresh:
        files = [*story.draw(fresh)]
        if wish.maps:
            files += _draw_maps(parts, looked, story, fresh, wish)
        files.append(write_csv(fresh / "explanations.csv", story.table()))
        names = [file.relative_to(fresh) for file in files]
        facts["files"] = [name.as_posix() for name in names]
        with write_text(fresh / EXPLANATIONS_JSON) as stream:
            json.dump(facts, stream, indent=1, ensure_ascii=False)
    step()
    written = tuple(folder / name for name in (*names, Path(EXPLANATIONS_JSON)))
    return Explanation(written, (*story.lines(), *map(in_words, sanity)), facts, (*told.failed, *odd))


def choose(told: PredictedTable, count: int, seed: int) -> dict[str, list[int]]:
    """Rows drawn by chance, and the labelled rows with the largest loss, worst first."""
    drawn = np.random.default_rng(seed).permutation(len(told))[:count]
    found = {"random": [int(place) for place in drawn]}
    labelled = np.flatnonzero(told.y_true != "")
    if len(labelled):
        column = {name: number for number, name in enumerate(told.classes)}
        p = told.proba[labelled, [column[str(told.y_true[place])] for place in labelled]]
        found["worst"] = [int(place) for place in labelled[np.argsort(p, kind="stable")[:count]]]
    return found


def _try_out(parts: Sequence[Part], wish: Wish) -> None:
    """Refuse what cannot be explained on a black image, before any other is predicted."""
    from leukfeat.backbones.engines import choose_device
    from leukfeat.explain.activation import activation
    from leukfeat.heads.contributions import require_method

    device = choose_device(str(wish.how.get("device") or "auto"))
    for part in parts:
        if part.model.head is not None:
            require_method(part.model.head)
        black = part.inputs.normalise(np.zeros((1, *part.inputs.size, 3), dtype=np.uint8), device)
        activation(part.network.to(device), black, lambda given: given.sum(dim=1), wish.layer)


def _said_by(model: Model, images: Manifest, wish: Wish) -> PredictedTable:
    """What another model predicts for all of these images."""
    told = model.predict(images, ignore_labels=True, **wish.how)
    if told.failed:
        sample, reason = told.failed[0]
        raise RunError(f"{sample}: {reason} for the model to compare with; leave the image out")
    return told


def _draw_maps(parts: Sequence[Part], looked: Sequence[Looked], story: Story, folder: Path, wish: Wish) -> list[Path]:
    """Feature maps of the first image that was drawn by chance, by every network."""
    from leukfeat.backbones.engines import choose_device
    from leukfeat.explain.drawing import channels
    from leukfeat.explain.featuremaps import feature_maps, strongest

    number = story.places.index(story.chosen["random"][0])
    sample = story.told.sample[story.places[number]]
    device = choose_device(str(wish.how.get("device") or "auto"))
    files = []
    for at, (part, each) in enumerate(zip(parts, looked, strict=True), start=1):
        x = part.inputs.normalise(each.images[number : number + 1], device)
        for kind, maps in feature_maps(part.network.to(device), x).items():
            best = strongest(maps, _FIRST_MAPS if kind == "first layer" else _CHANNELS)
            heading = f"{each.name}, {kind}: the {len(best)} strongest of {len(maps)} channels, {sample}"
            file = folder / "maps" / f"{at}-{re.sub(r'[^a-z0-9.]+', '-', kind.lower())}.png"
            files.append(channels(maps, best, heading, file))
    return files
