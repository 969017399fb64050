"""OpenVINO: the exported network, one core an image, two batches of images queued."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.engines.exported import CHUNK, exported
from leukfeat.backbones.engines.failures import gave_up, reason_of
from leukfeat.backbones.engines.lanes import processors
from leukfeat.backbones.inputs import Inputs
from leukfeat.errors import EngineError

if TYPE_CHECKING:
    from leukfeat.backbones.engines.protocol import Kept, Model

_TELEMETRY = "openvino_telemetry"
_IMAGES_A_CORE = 16  # in a batch: a core never waits while the caller writes rows

# OpenVINO 2026.4 makes its table of number types at the first inference, and two threads that come first together wait
# for each other for ever: one holds the table's lock and wants the interpreter's, the other the reverse.
_FIRST = threading.Lock()


class OpenVINOEngine:
    """OpenVINO on the CPU, in throughput mode and 32-bit floats.

    Its own threads take images from a queue and never need Python's lock, so decoding threads do not hold them up.

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
        The network cannot be exported, or OpenVINO cannot run it.
    """

    name = "openvino"
    in_flight = 2

    def __init__(self, network: Model, inputs: Inputs, kept: Kept) -> None:
        openvino = quiet_openvino()
        content = exported(network, inputs, kept.folder, kept.identity)
        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "f32",  # processors with bfloat16 would use it without a word
            "INFERENCE_NUM_THREADS": processors(),
            "ENABLE_CPU_PINNING": False,  # two processes would pin their threads to the same cores
        }
        self.batch_size: int | None = _IMAGES_A_CORE * processors()
        self.details = f"{self.name} {openvino.__version__.partition('-')[0]}, cpu"
        self._idle: list[Any] = []  # requests
        try:
            core = openvino.Core()
            self._model = core.compile_model(core.read_model(content), "CPU", settings)
            with _FIRST:
                request = self._model.create_infer_request()
                first = request.infer([np.zeros((CHUNK, *inputs.size, 3), dtype=np.uint8)])[0]  # (1, d)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot run this network: {reason_of(error)}") from error
        self._dim = int(first.shape[1])
        self._idle.append(request)

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of arranged images: (B, H, W, 3) -> (B, d)."""
        return next(self.stream([images]))

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Embed batches (B, H, W, 3), in order: one (B, d) for each."""
        pending: deque[NDArray[np.float32]] = deque()
        running: deque[tuple[Any, NDArray[np.float32]]] = deque()  # requests, and the rows they are to fill
        try:
            for images in batches:
                X = np.full((len(images), self._dim), np.nan, dtype=np.float32)  # a row that is not filled shows
                pending.append(X)
                with _one_line():
                    for at in range(0, len(images), CHUNK):
                        request = self._idle.pop() if self._idle else self._model.create_infer_request()
                        request.start_async([images[at : at + CHUNK]], share_inputs=True)
                        running.append((request, X[at : at + CHUNK]))
                if len(pending) == self.in_flight:
                    oldest = pending.popleft()
                    # batches differ in size: what may stay are the requests of the younger ones, however many
                    self._finish(running, sum(-(-len(younger) // CHUNK) for younger in pending))
                    yield oldest
            self._finish(running, 0)
            yield from pending
        finally:
            for request, _ in running:  # they read memory that is the caller's
                with contextlib.suppress(RuntimeError):  # one that failed has been told of, and is not used again
                    request.wait()
                    self._idle.append(request)

    def _finish(self, running: deque[tuple[Any, NDArray[np.float32]]], left: int) -> None:
        """Wait for the oldest requests, until so many are left."""
        while len(running) > left:
            request, rows = running[0]
            with _one_line():
                request.wait()
                rows[:] = request.get_output_tensor(0).data
            running.popleft()
            self._idle.append(request)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise EngineError(gave_up("OpenVINO", error)) from error


def quiet_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which would otherwise start with the import and write to the home folder.

    OpenVINO has a stand-in for the case that its telemetry package is missing; for the time of the import it is.
    """
    with _missing(_TELEMETRY):
        import openvino

        return openvino  # type: ignore[no-any-return]


@contextlib.contextmanager
def _missing(package: str) -> Iterator[None]:
    """Let a package not be there for a while, unless it has been imported before."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
