"""What a network costs: the parameters that take part in a forward pass, and its multiplications. Can it run at all?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from leukfeat.backbones.meta import FeaturePass, meta_forward


@dataclass(frozen=True)
class Cost:
    """What one image costs.

    Attributes
    ----------
    parameters : int
        Learned numbers that the output depends on. What a network holds and does not use, such as the classifier of
        a trunk that is cut at its feature map, is not among them.
    macs : int
        Multiply-accumulate operations of convolutions and matrix products, for one image; views count each.
    """

    parameters: int
    macs: int


def cost_of(network: nn.Module, size: tuple[int, int], name: str = "the network") -> Cost:
    """Count parameters and operations of a network in evaluation mode, without computing anything.

    Parameters
    ----------
    network : nn.Module
        Takes images (B, 3, H, W) and gives a tensor: a Network, or one with a classifier.
    size : (int, int)
        Height and width of its input, in pixels.
    name : str
        What errors call the network.

    Raises
    ------
    UsageError
        The network cannot take images of this size.
    """
    with FlopCounterMode(display=False) as counter:
        output, parameters = meta_forward(network, size, name)
    learned = [value for value in parameters.values() if value.requires_grad]
    if not output.requires_grad:  # nothing learned takes part
        return Cost(0, counter.get_total_flops() // 2)
    gradients = torch.autograd.grad(output.sum(), learned, allow_unused=True)
    taking_part = [value for value, gradient in zip(learned, gradients, strict=True) if gradient is not None]
    return Cost(
        parameters=sum(value.numel() for value in taking_part),
        macs=counter.get_total_flops() // 2,  # torch counts a multiplication and an addition as two
    )


def check_size(trunk: nn.Module, size: tuple[int, int], architecture: str) -> None:
    """Refuse images of a size that a trunk cannot take, before anything is computed.

    Parameters
    ----------
    trunk : nn.Module
        A timm model, or one of ours.
    size : (int, int)
        Height and width of its input, in pixels.
    architecture : str
        What the error calls it.

    Raises
    ------
    UsageError
        The trunk cannot take them.
    """
    meta_forward(FeaturePass(trunk), size, architecture)
