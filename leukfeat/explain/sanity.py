"""Whether maps depend on what was learned: they must change when weights are replaced by random ones."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from leukfeat.backbones.network import ClassifyingNetwork, Network

SHARES = (0.25, 0.5, 1.0)  # of the trunk's layers, from the last one backwards


def randomised(model: Network | ClassifyingNetwork, seed: int) -> Iterator[tuple[str, Network | ClassifyingNetwork]]:
    """Copies of a network of which more and more layers, from the end backwards, have random weights.

    The cascading randomisation of Adebayo et al., "Sanity checks for saliency maps", 2018. The classifier is the first
    to go, then attention, wherever it stands, then the trunk. A head on features stays as it is.

    Parameters
    ----------
    model : Network or ClassifyingNetwork
        Left as it is.
    seed : int
        Draws the weights.

    Yields
    ------
    str
        What has been replaced with this step, all earlier steps included.
    Network or ClassifyingNetwork
        The same copy each time; use it before asking for the next.
    """
    broken = copy.deepcopy(model)
    network = broken.network if isinstance(broken, ClassifyingNetwork) else broken
    layers = [part for part in network.trunk.modules() if _own(part)][::-1]
    ends = [0, *(round(share * len(layers)) for share in SHARES)]
    steps: list[tuple[str, list[nn.Module]]] = [
        (f"last {share:.0%} of layers", layers[begin:end])
        for share, (begin, end) in zip(SHARES, itertools.pairwise(ends), strict=True)
    ]
    if len(network.attention):
        steps.insert(0, ("attention", [*network.attention.modules()]))
    if isinstance(broken, ClassifyingNetwork):
        steps.insert(0, ("classifier", [*broken.classifier.modules()]))
    for number, (name, parts) in enumerate(steps):
        with torch.random.fork_rng(devices=[]):  # not around the yield: the caller's chance is not ours
            torch.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
            for part in parts:
                _reset(part)
        yield name, broken


def _own(part: nn.Module) -> bool:
    return any(True for _ in part.parameters(recurse=False))


def _reset(part: nn.Module) -> None:
    """New weights, as a layer is initialised; of a layer that does not know how, normal ones of the same spread."""
    if not _own(part):
        return
    reset = getattr(part, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    with torch.no_grad():
        for parameter in part.parameters(recurse=False):
            parameter.normal_(0.0, float(parameter.std(unbiased=False)) or 1.0)


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Spearman's correlation of two maps; None where one of them is flat."""
    first, second = (_ranks(map_.ravel()) for map_ in (one, other))
    spread = float(first.std() * second.std())
    return float(((first - first.mean()) * (second - second.mean())).mean() / spread) if spread > 0 else None


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean ranks of ties."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)
