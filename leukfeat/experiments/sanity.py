"""Maps of a kept model against maps of the same model with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leukfeat.data.manifest import Manifest
from leukfeat.experiments.explained import Looked, Part
from leukfeat.experiments.sheets import mean_of


def compared(
    part: Part,
    looked: Looked,
    manifest: Manifest,
    rows: Sequence[int],
    classes: Sequence[str],
    layer: str | None,
    seed: int,
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """Mean rank correlation of maps with those of a more and more randomised network.

    Parameters
    ----------
    part, looked : Part, Looked
        A network, and the maps it gave.
    manifest, rows, classes, layer, how
        As in :meth:`leukfeat.experiments.explained.Part.look`, which gave them.
    seed : int
        Draws the weights.

    Returns
    -------
    dict
        ``name``, ``images``, and ``steps``: what is ``random``, the mean ``rank_correlation``, and of how many images,
        ``n``: a map that is the same everywhere has no ranks. What features contributed to a head is kept as it was.
    """
    from leukfeat.explain.sanity import randomised, rank_correlation

    given = part.contributions(manifest, rows, classes, how)
    steps = []
    for step, network in randomised(part.network, seed):
        maps = part.maps(network, looked.images, classes, given, layer, how)
        found = [rank_correlation(one, other) for one, other in zip(looked.maps, maps, strict=True)]
        known = [value for value in found if value is not None]
        steps.append({"random": step, "rank_correlation": mean_of(known), "n": len(known)})
    return {"name": looked.name, "images": len(rows), "steps": steps}


def in_words(about: Mapping[str, Any]) -> str:
    """What :func:`compared` found, in a line.

    Examples
    --------
    >>> step = {"random": "classifier", "rank_correlation": 0.5, "n": 3}
    >>> in_words({"name": "resnet18", "images": 4, "steps": [step]}).rpartition(": ")[2]
    'classifier 0.50 (1 flat)'
    """
    told = []
    for step in about["steps"]:
        flat = about["images"] - step["n"]
        value = "flat" if not step["n"] else f"{step['rank_correlation']:.2f}" + (f" ({flat} flat)" if flat else "")
        told.append(f"{step['random']} {value}")
    return (
        f"{about['name']}: rank correlation with maps of random weights, from the end of the network (1: learning"
        f" changed nothing): {', '.join(told)}"
    )
