"""An exported network is used again only if it is whole, and the answer to the same question."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from leukfeat.backbones.engines import exported as module
from leukfeat.backbones.engines.exported import exported, is_exported
from leukfeat.backbones.engines.protocol import EXPORTERS
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import Network
from leukfeat.errors import EngineError

for library in EXPORTERS:
    pytest.importorskip(library, reason="exporting needs it")


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each export; what is exported is a stand-in, which takes no time."""
    made: list[int] = []

    def export(network: Network, inputs: Inputs) -> bytes:
        made.append(len(made))
        return b"network %d" % len(made)

    monkeypatch.setattr(module, "_export", export)
    return made


def test_a_network_is_exported_once(network: Network, inputs: Inputs, tmp_path: Path, exports: list[int]) -> None:
    assert not is_exported(inputs, tmp_path, "a")
    first = exported(network, inputs, tmp_path, "a")
    assert is_exported(inputs, tmp_path, "a")
    assert exported(network, inputs, tmp_path, "a") == first
    assert len(exports) == 1


def test_other_weights_and_inputs_are_other_files(
    network: Network, inputs: Inputs, tmp_path: Path, exports: list[int]
) -> None:
    exported(network, inputs, tmp_path, "a")
    exported(network, inputs, tmp_path, "b")
    bright = Inputs.from_description({**inputs.describe(), "mean": [0.9, 0.9, 0.9]})
    exported(network, bright, tmp_path, "a")
    assert len(exports) == 3


@pytest.mark.parametrize("library", ["leukfeat", "torch", "timm", *EXPORTERS])
def test_another_version_of_what_writes_a_file_is_another_file(
    network: Network,
    inputs: Inputs,
    tmp_path: Path,
    exports: list[int],
    monkeypatch: pytest.MonkeyPatch,
    library: str,
) -> None:
    exported(network, inputs, tmp_path, "a")
    real = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0" if name == library else real(name))
    exported(network, inputs, tmp_path, "a")
    assert len(exports) == 2


def test_a_checkout_that_is_not_installed_exports(
    network: Network, inputs: Inputs, tmp_path: Path, exports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    exported(network, inputs, tmp_path, "a")
    assert is_exported(inputs, tmp_path, "a")


def test_the_age_of_a_file_tells_when_it_was_last_needed(
    network: Network, inputs: Inputs, tmp_path: Path, exports: list[int]
) -> None:
    exported(network, inputs, tmp_path, "a")
    (file,) = tmp_path.iterdir()
    os.utime(file, (1e9, 1e9))
    exported(network, inputs, tmp_path, "a")
    assert file.stat().st_mtime > 1.1e9


@pytest.mark.parametrize("content", [b"", b"network", b"network 7"])
def test_a_damaged_file_is_exported_again(
    network: Network, inputs: Inputs, tmp_path: Path, exports: list[int], content: bytes
) -> None:
    # a bit that has changed would give other vectors, and no error
    exported(network, inputs, tmp_path, "a")
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert exported(network, inputs, tmp_path, "a") == b"network 2"
    assert not file.exists()
    assert exported(network, inputs, tmp_path, "a") == b"network 2"


def test_nothing_is_kept_without_a_folder_or_an_identity(
    network: Network, inputs: Inputs, tmp_path: Path, exports: list[int]
) -> None:
    exported(network, inputs, None, "a")
    exported(network, inputs, tmp_path, "")
    assert not list(tmp_path.iterdir())
    assert not is_exported(inputs, None, "a")
    assert not is_exported(inputs, tmp_path, "")


def test_a_folder_that_cannot_be_written_is_no_failure(
    network: Network, inputs: Inputs, tmp_path: Path, exports: list[int]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert exported(network, inputs, tmp_path / "file" / "engines", "a") == b"network 1"


class _Choosing(nn.Module):
    """Its path through the code depends on what it sees: no one graph can tell."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)) if float(x.sum()) > 0 else x.amax(dim=(2, 3))


def test_a_network_that_is_no_graph_is_refused(inputs: Inputs) -> None:
    with pytest.raises(EngineError, match="cannot be exported"):
        exported(_Choosing(), inputs, None, "")  # type: ignore[arg-type]


def test_a_network_too_large_for_one_file_is_refused(
    network: Network, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST", 1000)
    with pytest.raises(EngineError, match="more than one ONNX file"):
        exported(network, inputs, None, "")


def test_exporting_leaves_the_network_as_it_was(network: Network, inputs: Inputs) -> None:
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        before = network(x)
        content = exported(network, inputs, None, "")
        assert torch.equal(network(x), before)
    assert len(content) > 10_000
