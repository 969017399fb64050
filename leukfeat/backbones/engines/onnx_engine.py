"""ONNX Runtime: the exported network, one core an image, several images at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.engines.exported import CHUNK, exported
from leukfeat.backbones.engines.failures import gave_up, reason_of
from leukfeat.backbones.engines.lanes import Lanes, processors
from leukfeat.backbones.inputs import Inputs
from leukfeat.errors import EngineError

if TYPE_CHECKING:
    from leukfeat.backbones.engines.protocol import Kept, Model


class ONNXRuntimeEngine:
    """ONNX Runtime on the CPU, in 32-bit floats.

    Parameters
    ----------
    network : Network or ClassifyingNetwork
        The network, on the CPU.
    inputs : Inputs
        Its preprocessing.
    kept : Kept
        Where the exported network is kept.

    Raises
    ------
    EngineError
        The network cannot be exported, or ONNX Runtime cannot run it.
    """

    name = "onnxruntime"

    def __init__(self, network: Model, inputs: Inputs, kept: Kept) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self._failures = (
            state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented,
            state.RuntimeException,
        )  # fmt: skip
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the calling thread's own
        options.log_severity_level = 3  # errors
        content = exported(network, inputs, kept.folder, kept.identity)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except self._failures as error:
            raise EngineError(f"ONNX Runtime cannot run this network: {reason_of(error)}") from error
        self._lanes = Lanes(self._infer, chunk=CHUNK, threads=processors())
        self.batch_size: int | None = self._lanes.batch_size
        self.in_flight = self._lanes.in_flight
        self.details = f"{self.name} {onnxruntime.__version__}, cpu"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of arranged images: (B, H, W, 3) -> (B, d)."""
        return next(self._lanes.stream([images]))

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Embed batches (B, H, W, 3), in order: one (B, d) for each."""
        return self._lanes.stream(batches)

    def _infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return self._session.run(None, {"images": images})[0]  # type: ignore[no-any-return]
        except self._failures as error:
            raise EngineError(gave_up("ONNX Runtime", error)) from error
