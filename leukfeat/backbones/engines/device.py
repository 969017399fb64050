"""Where an engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leukfeat.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def choose_device(device: str = "auto") -> torch.device:
    """The device to run on.

    Raises
    ------
    UnknownNameError
        A device there is not.
    UsageError
        CUDA is asked for and there is none.
    """
    import torch

    if device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no usable GPU; run leukfeat doctor, or use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
