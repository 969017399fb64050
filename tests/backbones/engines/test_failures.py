"""An engine that fails at work says so in one line, and lets go of the memory that it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leukfeat.backbones.engines import Engine
from leukfeat.backbones.engines.failures import reason_of
from leukfeat.errors import EngineError

ONE_LINE = r"^{} gave up: no memory left; use --engine eager \(finished rows are kept\)$"


def test_the_reason_is_one_short_line() -> None:
    assert reason_of(ValueError("two\n  lines")) == "two lines"
    assert reason_of(ValueError()) == "ValueError"
    assert len(reason_of(ValueError("word " * 1000))) == 200


class _Request:
    """A request of OpenVINO that runs until it is waited for."""

    def __init__(self, fails: bool) -> None:
        self._fails, self.running = fails, False

    def start_async(self, images: list[NDArray[np.uint8]], share_inputs: bool) -> None:
        self.running = True

    def wait(self) -> None:
        self.running = False
        if self._fails:
            raise RuntimeError("no memory\nleft")


def test_openvino_lets_go_of_all_images_when_one_fails(
    opened: Callable[..., Engine], images: NDArray[np.uint8]
) -> None:
    engine: Any = opened("openvino")
    requests = [_Request(fails=False), _Request(fails=False), _Request(fails=True)]
    engine._idle = list(requests)
    with pytest.raises(EngineError, match=ONE_LINE.format("OpenVINO")):
        list(engine.stream([images[:3]]))
    assert not any(request.running for request in requests)
    assert requests[2] not in engine._idle


def test_what_fails_on_the_way_to_openvino_is_not_laid_on_it(opened: Callable[..., Engine]) -> None:
    def broken() -> Any:
        raise RuntimeError("a decoder's own")
        yield

    with pytest.raises(RuntimeError, match=r"^a decoder's own$"):
        list(opened("openvino").stream(broken()))


def test_onnx_runtime_fails_in_one_line(opened: Callable[..., Engine], images: NDArray[np.uint8]) -> None:
    engine: Any = opened("onnxruntime")
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeException("no memory\nleft")

    engine._session = Session()
    with pytest.raises(EngineError, match=ONE_LINE.format("ONNX Runtime")):
        engine.embed(images)
