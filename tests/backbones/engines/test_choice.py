"""The same request gets the same engine; what cannot be had falls back, and says so, or fails if it was named."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from leukfeat.backbones.engines import ENGINES, Engine, lanes, table
from leukfeat.backbones.engines import agreement as agreement_module
from leukfeat.backbones.engines import exported as exported_module
from leukfeat.backbones.network import Network
from leukfeat.errors import EngineError, UnknownNameError, UsageError


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "find_spec", lambda name: None)


needs_openvino = pytest.mark.skipif(
    not ENGINES["openvino"].available(), reason=f"not installed: {', '.join(ENGINES['openvino'].missing)}"
)


@needs_openvino
def test_many_images_pay_for_an_export_and_few_do_not(
    opened: Callable[..., Engine], exported_once: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened("openvino")
    content = next(exported_once.iterdir()).read_bytes()
    monkeypatch.setattr(exported_module, "_export", lambda network, inputs: content)
    monkeypatch.setattr(lanes, "processors", lambda: 2)
    options = {"identity": "a", "models": tmp_path, "told": said.append}
    assert opened("auto", images=900, **options).name == "eager"
    assert "900 images do not pay for exporting" in said[-1]
    assert opened("auto", images=5000, **options).name == "openvino"
    assert "agrees with PyTorch" in said[-1]
    # now that it has been exported
    assert opened("auto", images=900, **options).name == "openvino"
    assert opened("auto", images=20, **options).name == "eager"
    assert "20 images do not pay for opening" in said[-1]
    assert len(said) == 4


def test_without_the_libraries_pytorch_runs_and_says_what_would_help(
    opened: Callable[..., Engine], said: list[str], no_libraries: None
) -> None:
    assert opened("auto", told=said.append).name == "eager"
    assert "pip install 'leukfeat[fast]'" in said[0]


def test_an_engine_that_is_not_installed_cannot_be_named(opened: Callable[..., Engine], network: Network) -> None:
    import torch

    from leukfeat.backbones.engines import open_engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "find_spec", lambda name: None)
        with pytest.raises(UsageError, match=r"needs openvino, .*pip install 'leukfeat\[fast\]'"):
            open_engine("openvino", network, None, torch.device("cpu"))  # type: ignore[arg-type]


def test_half_precision_is_pytorchs(opened: Callable[..., Engine], said: list[str]) -> None:
    assert opened("auto", "bfloat16", told=said.append).name == "eager"
    with pytest.raises(UsageError, match="--engine openvino with --amp-dtype bfloat16"):
        opened("openvino", "bfloat16")


def test_an_engine_for_the_cpu_says_so_where_there_is_a_gpu() -> None:
    # which is where --device auto leads, though nobody wrote it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "find_spec", lambda name: name)
        with pytest.raises(UsageError, match=r"with --device cuda: it knows cpu; use --engine eager, or --device cpu$"):
            ENGINES["openvino"].check("cuda", "fp32")


def test_an_engine_there_is_not_suggests(opened: Callable[..., Engine]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openvino'"):
        opened("openvinno")


@needs_openvino
def test_a_network_that_cannot_be_exported_runs_in_pytorch(
    opened: Callable[..., Engine], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise EngineError("the network cannot be exported to ONNX: no graph")

    monkeypatch.setattr(exported_module, "_export", refuse)
    assert opened("auto", identity="", told=said.append).name == "eager"
    assert "no graph" in said[0]
    with pytest.raises(EngineError, match=r"--engine openvino: .*no graph; use --engine eager"):
        opened("openvino", identity="")


@needs_openvino
def test_an_engine_that_does_not_agree_is_not_used(
    opened: Callable[..., Engine], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # as if a converter had changed the network
    from leukfeat.backbones.engines.openvino_engine import OpenVINOEngine

    real = OpenVINOEngine.stream

    def wrong(self: OpenVINOEngine, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        return real(self, [255 - images for images in batches])

    monkeypatch.setattr(OpenVINOEngine, "stream", wrong)
    assert opened("auto", told=said.append).name == "eager"
    assert "does not agree with PyTorch" in said[0]
    with pytest.raises(EngineError, match="does not agree"):
        opened("openvino")
    monkeypatch.setattr(agreement_module, "COSINES", {"fp32": -1.0})
    with pytest.raises(EngineError, match="off by"):
        opened("openvino")


@needs_openvino
def test_an_engine_that_cannot_be_imported_is_as_good_as_none(
    opened: Callable[..., Engine], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # built for another NumPy, or a library of the system is missing
    from leukfeat.backbones.engines import openvino_engine

    def broken() -> None:
        raise ImportError("libtbb.so.12: cannot open shared object file\nno such file")

    monkeypatch.setattr(openvino_engine, "quiet_openvino", broken)
    assert opened("auto", told=said.append).name == "eager"
    assert "openvino is installed, but cannot be imported: libtbb.so.12" in said[0]
    with pytest.raises(EngineError, match=r"^--engine openvino: [^\n]*libtbb[^\n]*; use --engine eager$"):
        opened("openvino")
