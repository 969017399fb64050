"""Normalisation as a layer is the normalisation of the inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from leukfeat.backbones.engines.pixels import FromPixels
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import Network

RAW = {"scale": "raw", "mean": [120.0, 110.0, 100.0], "std": [60.0, 50.0, 40.0]}


@pytest.mark.parametrize("changes", [{}, RAW], ids=["unit", "raw"])
def test_the_network_sees_what_the_inputs_say(
    network: Network, inputs: Inputs, images: NDArray[np.uint8], changes: dict[str, object]
) -> None:
    inputs = Inputs.from_description({**inputs.describe(), **changes})
    module = FromPixels(torch.nn.Identity(), inputs)  # type: ignore[arg-type]
    expected = inputs.normalise(images, torch.device("cpu"))
    torch.testing.assert_close(module(torch.from_numpy(images)), expected)


def test_what_is_still_to_be_learned_is_refused(network: Network, inputs: Inputs) -> None:
    with pytest.raises(ValueError, match="have not been learned"):
        FromPixels(network, Inputs.from_description({**inputs.describe(), "mean": None}))


def test_a_network_is_put_into_evaluation_mode(network: Network, inputs: Inputs) -> None:
    # dropout and batch statistics would make a row depend on chance and on the other images
    network.train()
    assert not FromPixels(network, inputs).network.training
