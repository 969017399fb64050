"""PyTorch as it comes: the engine that runs every network, and that the others have to agree with."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leukfeat.backbones.engines.cuda import Queue
from leukfeat.backbones.engines.lanes import Lanes, processors
from leukfeat.backbones.engines.pixels import FromPixels
from leukfeat.backbones.inputs import Inputs

if TYPE_CHECKING:
    from leukfeat.backbones.engines.protocol import Model

AMP_DTYPES = {"fp32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}

_CHUNK = 4  # images a core takes at once; 4 and 16 are equally fast, fewer need less memory


class EagerEngine:
    """PyTorch as it comes: channels last, evaluation mode, no gradients.

    On a CPU every core computes a few images at a time by itself; on a GPU the next batch is copied while the last one
    is computed.

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

    def __init__(self, network: Model, inputs: Inputs, device: torch.device, precision: str = "fp32") -> None:
        self._module = FromPixels(network, inputs).to(device).to(memory_format=torch.channels_last)
        self._device, self._precision = device, precision
        on_gpu = device.type == "cuda"
        self._runner = (
            Queue(self._forward, device)
            if on_gpu
            else Lanes(self._on_one_core, chunk=_CHUNK, threads=processors(), torch_alone=True)
        )
        self.batch_size: int | None = self._runner.batch_size
        self.in_flight = self._runner.in_flight
        where = torch.cuda.get_device_name(device) if on_gpu else platform.machine()
        self.details = f"{self.name}, torch {torch.__version__}, {device.type} {where}"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of arranged images: (B, H, W, 3) -> (B, d).

        Raises
        ------
        UsageError
            The batch does not fit into the device's memory.
        """
        return next(self._runner.stream([images]))

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Embed batches (B, H, W, 3), in order: one (B, d) for each."""
        return self._runner.stream(batches)

    def _forward(self, images: Tensor) -> Tensor:
        with evaluation(self._device, self._precision):
            return self._module(images)  # type: ignore[no-any-return]

    def _on_one_core(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._forward(torch.from_numpy(images)).numpy()


@contextlib.contextmanager
def evaluation(device: torch.device, precision: str) -> Iterator[None]:
    """No gradients, the precision asked for, and on a GPU the same result every time."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        amp_dtype = AMP_DTYPES[precision]
        if amp_dtype is not None:
            stack.enter_context(torch.autocast(device.type, dtype=amp_dtype))
        if device.type == "cuda":
            # TF32 keeps 10 bits of a factor; rows called fp32 have to agree with those of a CPU
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
        yield
