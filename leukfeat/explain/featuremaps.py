"""What a network computes on the way: maps of its first layer, and before and after attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from leukfeat.backbones.network import ClassifyingNetwork, Network

Maps = NDArray[np.float32]


def feature_maps(model: Network | ClassifyingNetwork, x: Tensor) -> Mapping[str, Maps]:
    """Maps of one image.

    Parameters
    ----------
    model : Network or ClassifyingNetwork
        In evaluation mode.
    x : tensor of shape (1, 3, H, W)
        The normalised image.

    Returns
    -------
    mapping of str to ndarray of shape (C, h, w), float32
        ``first layer`` (its first convolution); of every attention by place, ``before`` and ``after`` it where it gives
        a map, and ``weights``, one map, where it weighs places; ``last map``, what is pooled.
    """
    network = model.network if isinstance(model, ClassifyingNetwork) else model
    found: dict[str, Maps] = {}
    hooks = []

    def first(_module: nn.Module, _args: object, output: Tensor) -> None:
        found["first layer"] = _plain(output)

    convolution = next((part for part in network.trunk.modules() if isinstance(part, nn.Conv2d)), None)
    if convolution is not None:
        hooks.append(convolution.register_forward_hook(first))
    for key, attention in network.attention.items():
        place = "" if len(network.attention) == 1 else f" {key.replace('/', '.')}"

        def attended(module: nn.Module, args: tuple[Tensor, ...], output: Tensor, place: str = place) -> None:
            found[f"before attention{place}"] = _plain(args[0])
            if output.ndim == 4:
                found[f"after attention{place}"] = _plain(output)
            weights = module.weights(args[0])  # type: ignore[operator]
            if "spatial" in weights:
                found[f"attention weights{place}"] = _plain(weights["spatial"][:, None])

        hooks.append(attention.register_forward_hook(attended))
    try:
        with torch.no_grad():
            found["last map"] = _plain(network.spatial_map(x))
            network.pool_map(network.spatial_map(x))  # attention that gives a vector is heard here
    finally:
        for hook in hooks:
            hook.remove()
    return found


def strongest(maps: Maps, count: int) -> NDArray[np.int64]:
    """The channels with the largest mean absolute value, strongest first."""
    return np.argsort(-np.abs(maps).mean(axis=(1, 2)), kind="stable")[:count].astype(np.int64)


def _plain(map_: Tensor) -> Maps:
    return np.asarray(map_.detach()[0].float().cpu().numpy(), dtype=np.float32)
