"""A network that takes pixels as they are decoded: normalisation is its first layer, so every engine has the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from leukfeat.backbones.inputs import Inputs

if TYPE_CHECKING:
    from leukfeat.backbones.engines.protocol import Model


class FromPixels(nn.Module):
    """Normalisation, then the network.

    Parameters
    ----------
    network : Network or ClassifyingNetwork
        What follows; it is put into evaluation mode.
    inputs : Inputs
        Scale, mean and standard deviation.

    Raises
    ------
    ValueError
        Mean and standard deviation are still to be learned.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Model, inputs: Inputs) -> None:
        super().__init__()
        if inputs.mean is None or inputs.std is None:
            raise ValueError("mean and std of the training images have not been learned")
        self.network = network
        self.white = 255.0 if inputs.scale == "unit" else 1.0
        self.register_buffer("mean", torch.tensor(inputs.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(inputs.std).view(1, 3, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Embed arranged images: (B, H, W, 3) uint8 -> (B, d) float32."""
        x = images.permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> (B, 3, H, W), the bytes stay channels last
        return self.network((x / self.white - self.mean) / self.std).float()  # type: ignore[no-any-return]
