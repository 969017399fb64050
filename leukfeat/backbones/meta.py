"""Forward passes without arithmetic: on torch's meta device tensors have shapes, and no values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from leukfeat.errors import UsageError


class FeaturePass(nn.Module):
    """A trunk whose forward pass ends at its last feature map.

    Parameters
    ----------
    trunk : nn.Module
        With timm's method ``forward_features``.
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> the trunk's features."""
        return self.trunk.forward_features(x)  # type: ignore[operator, no-any-return]


def meta_forward(
    module: nn.Module, size: tuple[int, int], name: str = "the network"
) -> tuple[Tensor, dict[str, Tensor]]:
    """Pass one image without values through a network in evaluation mode; its own tensors are left alone.

    Parameters
    ----------
    module : nn.Module
        Takes images (B, 3, H, W) and gives a tensor.
    size : (int, int)
        Height and width of the image, in pixels.
    name : str
        What errors call the network.

    Returns
    -------
    output : tensor on the meta device
    parameters : dict
        The meta tensors that stood for the parameters, by name; ``output`` depends on those that took part.

    Raises
    ------
    UsageError
        The network cannot take images of this size.
    """
    parameters = {
        key: torch.empty_like(value, device="meta", requires_grad=value.is_floating_point())
        for key, value in module.named_parameters()
    }
    buffers = {key: torch.empty_like(value, device="meta") for key, value in module.named_buffers()}
    image = torch.empty((1, 3, *size), device="meta", dtype=next((p.dtype for p in parameters.values()), None))
    try:
        with _evaluating(module), torch.enable_grad():
            output = functional_call(module, {**parameters, **buffers}, (image,))
    except UsageError:
        raise
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].strip().rstrip(".")
        raise UsageError(
            f"{name} cannot take images of {size[0]} × {size[1]} pixels: {reason}; leave out input_size, or give the"
            " size that the network was made for"
        ) from error
    return output, parameters


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode for a while; afterwards every part of it is in its own mode again."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
