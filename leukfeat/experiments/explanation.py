"""``leukfeat explain``: images chosen by chance and by error, what a model looks at in them, and figures about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.gathering import Images, gather_images
from leukfeat.data.manifest import Manifest
from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.experiments.environment import environment
from leukfeat.experiments.explained import Looked, Part, parts_of
from leukfeat.experiments.model import Model
from leukfeat.experiments.predicted import PredictedTable
from leukfeat.experiments.sheets import Story, mean_of
from leukfeat.textfiles import write_csv, write_text

EXPLANATIONS_JSON = "explanations.json"
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
        Receives ``random.png``, ``worst.png``, ``images/*.png``, ``maps/*.png``, ``explanations.csv`` and
        ``explanations.json``; new, empty, or written by this function before.
    wish : Wish or None
        How many, which layer, which class, what else.
    against : Model or None
        Another model whose maps are drawn beside, for the same class.
    dataset : str or None
        The data set whose layout a folder has.
    predicting, explaining : callable(done, total) or None
        Progress.

    Raises
    ------
    UsageError
        The folder holds something else, or a network has no map of pixels.
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
    parts = [*parts_of(model), *(parts_of(against, "against ") if against is not None else ())]
    _make_room(folder)
    manifest, odd = gather_images(images, dataset=dataset)
    told = model.predict(manifest, ignore_labels=wish.ignore_labels, progress=predicting, **wish.how)
    row_of = {sample: row for row, sample in enumerate(manifest.sample)}
    chosen = choose(told, wish.count, wish.seed)
    places = sorted({place for some in chosen.values() for place in some})
    rows = [row_of[str(told.sample[place])] for place in places]
    classes = [wish.class_name or str(told.y_pred[place]) for place in places]
    looked = []
    for number, part in enumerate(parts):
        looked.append(part.look(manifest, rows, classes, wish.layer, wish.how))
        if explaining is not None:
            explaining(number + 1, len(parts))
    story = Story(told, places, classes, chosen, looked, wish.seed, wish.count, wish.layer, wish.class_name)
    written = [*story.draw(folder)]
    if wish.maps:
        written += _draw_maps(parts, looked, story, folder, wish)
    sanity = _sanity(parts, manifest, rows, classes, looked, wish) if wish.sanity else {}
    table = write_csv(folder / "explanations.csv", [*story.table()])
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
        "files": [file.relative_to(folder).as_posix() for file in (*written, table)],
    }
    with write_text(folder / EXPLANATIONS_JSON) as stream:
        json.dump(facts, stream, indent=1, ensure_ascii=False)
    lines = (*story.lines(), *(_sanity_line(name, steps) for name, steps in sanity.items()))
    return Explanation((*written, table, folder / EXPLANATIONS_JSON), lines, facts, (*told.failed, *odd))


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


def _make_room(folder: Path) -> None:
    """Take away what an earlier call wrote; refuse a folder of somebody else's."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder with -o")
    record = folder / EXPLANATIONS_JSON
    if not record.is_file():
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is there and holds something else; name another folder with -o")
        return
    try:
        files = [str(name) for name in json.loads(record.read_text(encoding="utf-8"))["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{record}: cannot be read; name another folder with -o") from None
    for name in files:
        file = folder / name
        if ".." not in Path(name).parts and not Path(name).is_absolute():
            file.unlink(missing_ok=True)
    record.unlink()


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


def _sanity(
    parts: Sequence[Part],
    manifest: Manifest,
    rows: Sequence[int],
    classes: Sequence[str],
    looked: Sequence[Looked],
    wish: Wish,
) -> dict[str, dict[str, float | None]]:
    """Mean rank correlation of the maps with those of more and more randomised networks, by network and step."""
    from leukfeat.explain.sanity import randomised, rank_correlation

    found: dict[str, dict[str, float | None]] = {}
    for part, each in zip(parts, looked, strict=True):
        given = part.contributions(manifest, rows, classes, wish.how)
        steps: dict[str, float | None] = {}
        for step, network in randomised(part.network, wish.seed):
            maps = part.maps(network, each.images, classes, given, wish.layer, wish.how)
            pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = list(zip(each.maps, maps, strict=True))
            values = [r for one, other in pairs if (r := rank_correlation(one, other)) is not None]
            steps[step] = mean_of(values)
        found[each.name] = steps
    return found


def _sanity_line(name: str, steps: Mapping[str, float | None]) -> str:
    told = ", ".join(f"{step} {'flat' if value is None else format(value, '.2f')}" for step, value in steps.items())
    return f"{name}: rank correlation with maps of random weights (1 would mean that learning changed nothing): {told}"
