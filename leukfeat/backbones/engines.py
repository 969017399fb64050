"""How a forward pass runs. Features of fp32 engines agree within a tested tolerance; one engine repeats itself."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.errors import UnknownNameError, UsageError

DEVICES = ("auto", "cpu", "cuda")


class Engine(Protocol):
    """Something that turns arranged images into embeddings.

    Attributes
    ----------
    name : str
        Name in :data:`ENGINES`.
    details : str
        Device and library versions, recorded with the rows it makes.
    """

    name: str
    details: str

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of arranged images: (B, H, W, 3) -> (B, d)."""
        ...


class EagerEngine:
    """PyTorch as it comes: channels last, evaluation mode, no gradients.

    Parameters
    ----------
    network : Network or ClassifyingNetwork
        The network; it is moved to the device.
    inputs : Inputs
        Its preprocessing.
    device : torch.device
        Where it runs.
    precision : str
        ``"fp32"``, ``"float16"`` or ``"bfloat16"`` (mixed precision).
    """

    name = "eager"

    def __init__(
        self, network: Network | ClassifyingNetwork, inputs: Inputs, device: torch.device, precision: str = "fp32"
    ) -> None:
        self._network = network.eval().to(device).to(memory_format=torch.channels_last)
        self._inputs = inputs
        self._device = device
        self._amp_dtype = {"fp32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]
        where = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        self.details = f"eager, torch {torch.__version__}, {device.type} {where}"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of arranged images: (B, H, W, 3) -> (B, d).

        Raises
        ------
        UsageError
            The batch does not fit into the device's memory.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self._amp_dtype is not None:
                stack.enter_context(torch.autocast(self._device.type, dtype=self._amp_dtype))
            if self._device.type == "cuda":
                # TF32 keeps 10 bits of a factor; rows called fp32 have to agree with those of a CPU
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
            try:
                embedding = self._network(self._inputs.normalise(images, self._device))
            except torch.OutOfMemoryError as error:
                raise UsageError(
                    f"a batch of {len(images)} images does not fit into the memory of {self._device.type}; choose a"
                    " smaller --batch-size (finished rows are kept)"
                ) from error
            return embedding.float().cpu().numpy()  # type: ignore[no-any-return]


MakeEngine = Callable[[Network | ClassifyingNetwork, Inputs, torch.device, str], Engine]

ENGINES: Mapping[str, MakeEngine] = MappingProxyType({"eager": EagerEngine})


def choose_device(device: str = "auto") -> torch.device:
    """The device to run on.

    Raises
    ------
    UnknownNameError
        A device there is not.
    UsageError
        CUDA is asked for and there is none.
    """
    if device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no usable GPU; run leukfeat doctor, or use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
