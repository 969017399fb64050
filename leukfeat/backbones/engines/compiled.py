"""torch.compile: kernels written for this network and this processor, or CUDA graphs on a GPU.

Compiling takes from half a minute to several minutes. PyTorch keeps what it compiled in a folder of its own
(``TORCHINDUCTOR_CACHE_DIR``), by the digest of graph, code and versions, so a second run is quicker.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leukfeat.backbones.engines.cuda import BATCH, Queue
from leukfeat.backbones.engines.eager import evaluation
from leukfeat.backbones.engines.failures import EXPORT_FAILURES, reason_of
from leukfeat.backbones.engines.lanes import Lanes
from leukfeat.backbones.engines.pixels import FromPixels
from leukfeat.backbones.inputs import Inputs
from leukfeat.errors import EngineError

if TYPE_CHECKING:
    from leukfeat.backbones.engines.protocol import Model

_CHUNK = {"cpu": 16, "cuda": BATCH}  # images a pass: kernels are written for one shape, and a smaller pass is filled up


class CompiledEngine:
    """PyTorch's compiler; on a GPU with CUDA graphs.

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

    Raises
    ------
    EngineError
        The network cannot be compiled, for example where there is no C++ compiler.
    """

    name = "compile"

    def __init__(self, network: Model, inputs: Inputs, device: torch.device, precision: str = "fp32") -> None:
        module = FromPixels(network, inputs).to(device).to(memory_format=torch.channels_last)
        self._device, self._precision, self._chunk = device, precision, _CHUNK[device.type]
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        self._compiled = torch.compile(module, dynamic=False, mode=mode)
        try:
            self._forward(torch.zeros((1, *inputs.size, 3), dtype=torch.uint8, device=device))
        except EXPORT_FAILURES as error:
            raise EngineError(f"the network cannot be compiled: {reason_of(error)}") from error
        self._runner = (
            Queue(self._forward, device)
            if device.type == "cuda"
            else Lanes(self._on_all_cores, chunk=self._chunk, threads=1)
        )
        self.batch_size: int | None = self._runner.batch_size
        self.in_flight = self._runner.in_flight
        self.details = f"{self.name}, torch {torch.__version__}, {device.type}"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of arranged images: (B, H, W, 3) -> (B, d)."""
        return next(self._runner.stream([images]))

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Embed batches (B, H, W, 3), in order: one (B, d) for each."""
        return self._runner.stream(batches)

    def _on_all_cores(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._forward(torch.from_numpy(images)).numpy()

    def _forward(self, images: Tensor) -> Tensor:
        parts = []
        with evaluation(self._device, self._precision):
            for part in torch.split(images, self._chunk):
                filled = torch.cat([part, part.new_zeros((self._chunk - len(part), *part.shape[1:]))])
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
                parts.append(self._compiled(filled)[: len(part)].clone())  # a graph's output is overwritten by the next
            return torch.cat(parts)
