"""Averaging over views of an image: flips, right angles, and rotations by 45°."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional


def _itself(x: Tensor) -> Iterator[Tensor]:
    yield x


def _flips(x: Tensor) -> Iterator[Tensor]:
    for axes in ((), (3,), (2,), (2, 3)):
        yield x.flip(axes) if axes else x


def _d4(x: Tensor) -> Iterator[Tensor]:
    for turned in (x, x.flip((3,))):
        for quarter in range(4):
            yield torch.rot90(turned, quarter, (2, 3))


def _rotations_8(x: Tensor) -> Iterator[Tensor]:
    for step in range(8):
        yield torch.rot90(x if step % 2 == 0 else _turned(x, math.pi / 4), step // 2, (2, 3))


def _turned(x: Tensor, angle: float) -> Tensor:
    """Rotate about the middle; what lies outside repeats the border, whose value need not be 0 once normalised."""
    height, width = x.shape[2:]
    cos, sin = math.cos(angle), math.sin(angle)
    theta = torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]], device=x.device)
    grid = functional.affine_grid(theta.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid.to(x.dtype), padding_mode="border", align_corners=False)


VIEWS: Mapping[str, Callable[[Tensor], Iterator[Tensor]]] = MappingProxyType(
    {"none": _itself, "flips": _flips, "d4": _d4, "rotations-8": _rotations_8}
)


def averaged(function: Callable[[Tensor], Tensor], x: Tensor, views: str) -> Tensor:
    """The mean of a function over views of its input.

    Parameters
    ----------
    function : callable
        Takes (B, 3, H, W), gives (B, d): an embedding, or logits.
    x : tensor of shape (B, 3, H, W)
        Normalised images. Views that turn by right angles need ``H == W`` where the network does.
    views : str
        A name in :data:`VIEWS`.

    References
    ----------
    Prellberg & Kramer, "Acute lymphoblastic leukemia classification from microscopic images using convolutional
    neural networks", 2019: the mean logit over eight rotations by 45°.
    """
    if views == "none":
        return function(x)
    total, n = None, 0
    for view in VIEWS[views](x):
        output = function(view)
        total, n = output if total is None else total + output, n + 1
    if total is None:
        raise ValueError(f"no views: {views}")
    return total / n
