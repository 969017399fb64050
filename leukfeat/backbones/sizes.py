"""The smallest images that a network can take: for trying out whether everything fits together."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from leukfeat.backbones.cost import check_size
from leukfeat.backbones.sources import find_source
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.trunks import random_trunk
from leukfeat.errors import UsageError

_TRIED = (64, 96, 128, 160, 192, 224)  # sides in pixels


def smallest_size(spec: BackboneSpec, sides: Iterable[int] = _TRIED) -> int | None:
    """The first of some sides of which square images pass through a backbone; None if they all fail.

    Nothing is computed: the network is built without values.

    Parameters
    ----------
    spec : BackboneSpec
        Its weights and its own input size are not looked at.
    sides : iterable of int
        Sides in pixels, in the order they are tried.

    Raises
    ------
    UnknownNameError
        No such timm model or tag.
    """
    source = find_source(spec.replace(weights="random"))
    fixed = bool(source.config.get("fixed_input_size"))
    for side in sides:
        arguments = {**source.model_args, **({"img_size": [side, side]} if fixed else {})}
        try:
            with torch.device("meta"):
                trunk = random_trunk(source.architecture, arguments, seed=0)
            check_size(trunk, (side, side), source.architecture)
        except (UsageError, AssertionError):
            continue
        return side
    return None
