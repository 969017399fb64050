"""Where in an image a score comes from: Grad-CAM for networks, and maps routed through a head on features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.errors import UnknownNameError, UsageError

Scored = Callable[[Tensor], Tensor]
"""From what a network gives, (B, d) or (B, K), to one score an image, (B,)."""


@dataclass(frozen=True)
class Activation:
    """A map, and how a score changes with it.

    Attributes
    ----------
    values, gradient : tensor of shape (B, C, h, w)
        The map, and the derivative of each image's score by it.
    """

    values: Tensor
    gradient: Tensor


def activation(model: Network | ClassifyingNetwork, x: Tensor, scored: Scored, layer: str | None = None) -> Activation:
    """Run images through a network and differentiate a score by a map on the way.

    Images are taken as they stand: where a network averages over views, the first view is looked at.

    Parameters
    ----------
    model : Network or ClassifyingNetwork
        In evaluation mode.
    x : tensor of shape (B, 3, H, W)
        Normalised images.
    scored : callable
        What is differentiated.
    layer : str or None
        A module of the trunk that gives a map; None for the last map, after attention where that gives a map.

    Raises
    ------
    UnknownNameError
        The trunk has no such module.
    UsageError
        It gives no map of pixels, takes no part in the forward pass, or the score does not depend on it.
    """
    network = model.network if isinstance(model, ClassifyingNetwork) else model
    classify: Callable[[Tensor], Tensor] = model.classifier if isinstance(model, ClassifyingNetwork) else nn.Identity()
    if layer is None:
        with torch.no_grad():
            values = network.spatial_map(x)
        values = values.detach().requires_grad_()
        with torch.enable_grad():
            score = scored(classify(network.pool_map(values)))
    else:
        values, score = _through(network, x, layer, lambda embedding: scored(classify(embedding)))
    (gradient,) = torch.autograd.grad(score.sum(), values, allow_unused=True)
    if gradient is None:
        raise UsageError(f"layer {layer!r}: the score does not depend on it; choose another")
    if layer is not None and getattr(network.trunk, "output_fmt", "NCHW") == "NHWC":  # Swin and its kin
        values, gradient = (each.permute(0, 3, 1, 2) for each in (values, gradient))  # (B, h, w, C) -> (B, C, h, w)
    return Activation(values.detach(), gradient)


def _through(network: Network, x: Tensor, layer: str, scored: Scored) -> tuple[Tensor, Tensor]:
    """The output of a module, made the start of a new graph, and the score that comes of it."""
    modules = dict(network.trunk.named_modules())
    if not layer or layer not in modules:
        raise UnknownNameError("layer", layer, [name for name in modules if name])
    caught: list[Tensor] = []

    def begin(_module: nn.Module, _args: object, output: object) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UsageError(f"layer {layer!r} gives {shape}, no map of pixels; choose a convolutional one")
        caught.append(output.detach().requires_grad_())
        return caught[-1].clone()  # what follows may change it in place

    hook = modules[layer].register_forward_hook(begin)
    try:
        with torch.enable_grad():
            score = scored(network.embed(x))
    finally:
        hook.remove()
    if not caught:
        raise UsageError(f"layer {layer!r} takes no part in the network's forward pass; choose another")
    return caught[-1], score


def grad_cam(
    model: ClassifyingNetwork, x: Tensor, k: NDArray[np.int64], layer: str | None = None
) -> NDArray[np.float32]:
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2): the part of a map that speaks for a class.

    Parameters
    ----------
    model : ClassifyingNetwork
        Its logit of the class is explained.
    x : tensor of shape (B, 3, H, W)
        Normalised images.
    k : ndarray of shape (B,), int64
        The class of each image.
    layer : str or None
        As in :func:`activation`.

    Returns
    -------
    ndarray of shape (B, h, w), float32
        0 or more; of the size of the map.
    """
    places = torch.from_numpy(np.asarray(k, dtype=np.int64)).to(x.device)
    found = activation(model, x, lambda logits: logits.gather(1, places[:, None])[:, 0], layer)
    weights = found.gradient.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
    return _spoken_for((weights * found.values).sum(dim=1))


def routed(
    network: Network, x: Tensor, contributions: NDArray[np.float64], layer: str | None = None
) -> NDArray[np.float32]:
    """Route what each feature contributed to a head's score back to the places it came from.

    The features e_d, weighted by what they contributed, are differentiated by the map, the weights c_d held fixed;
    a place gets gradient times activation, summed over channels. With mean pooling that is the sum over features of
    c_d A_d(place) / (h w): a class activation map with contributions in the place of a classifier's weights.

    Not divided by the feature, which would make a map add up to the contributions: a feature whose positive and
    negative places nearly cancel (SiLU, GELU) would then outweigh all others (docs/design/0011-explanations.md).

    Parameters
    ----------
    network : Network
        Gives the features.
    x : tensor of shape (B, 3, H, W)
        Normalised images.
    contributions : ndarray of shape (B, d), float64
        Of each feature of these images (:func:`leukfeat.heads.contributions.contributions`).
    layer : str or None
        As in :func:`activation`.

    Returns
    -------
    ndarray of shape (B, h, w), float32
        0 or more; of the size of the map.
    """
    return _spoken_for(routed_shares(network, x, contributions, layer))


def routed_shares(network: Network, x: Tensor, contributions: NDArray[np.float64], layer: str | None = None) -> Tensor:
    """The map of :func:`routed` before what speaks against the class is cut off: (B, h, w)."""
    weights = torch.from_numpy(contributions).to(x.device, torch.float32)
    found = activation(network, x, lambda embedding: (weights * embedding).sum(dim=1), layer)
    return (found.gradient * found.values).sum(dim=1)


def _spoken_for(signed: Tensor) -> NDArray[np.float32]:
    return np.asarray(signed.clamp(min=0).detach().cpu().numpy(), dtype=np.float32)


def enlarged(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Maps (B, h, w) at the size of the images, by bilinear interpolation."""
    small = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    large = nn.functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
    return np.asarray(large[:, 0].numpy(), dtype=np.float32)
