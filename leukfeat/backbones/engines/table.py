"""The engines there are; nothing heavy is imported before one is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING

from leukfeat.backbones.engines.protocol import EXPORTERS
from leukfeat.errors import UsageError

if TYPE_CHECKING:
    import torch

    from leukfeat.backbones.engines.protocol import Engine, Kept, Model
    from leukfeat.backbones.inputs import Inputs


Build = Callable[["Model", "Inputs", "torch.device", str, "Kept"], "Engine"]


@dataclass(frozen=True)
class EngineSpec:
    """An engine, before it is built.

    Attributes
    ----------
    name : str
        As users write it.
    summary : str
        One line.
    libraries : tuple of str
        What it needs beyond PyTorch; ``leukfeat[fast]`` brings them.
    devices, precisions : tuple of str
        Where it runs, and in which precision.
    build : callable
        (network, inputs, device, precision, kept) -> Engine.
    """

    name: str
    summary: str
    libraries: tuple[str, ...]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    build: Build

    @property
    def missing(self) -> tuple[str, ...]:
        """Libraries that are not installed."""
        return tuple(library for library in self.libraries if find_spec(library) is None)

    def available(self) -> bool:
        """Whether everything it needs is installed."""
        return not self.missing

    @property
    def described(self) -> str:
        """The summary, and what is missing here."""
        return f"{self.summary} (not installed: pip install 'leukfeat[fast]')" if self.missing else self.summary

    def check(self, device: str, precision: str) -> None:
        """Say in time why this engine cannot run.

        Raises
        ------
        UsageError
            A library is missing, or it does not run on this device or in this precision.
        """
        if self.missing:
            raise UsageError(
                f"--engine {self.name} needs {', '.join(self.missing)}, which is not installed;"
                " pip install 'leukfeat[fast]', or use --engine eager"
            )
        if device not in self.devices:
            raise UsageError(
                f"--engine {self.name} with --device {device}: it knows {', '.join(self.devices)}; use --engine eager,"
                f" or --device {self.devices[0]}"
            )
        if precision not in self.precisions:
            raise UsageError(
                f"--engine {self.name} with --amp-dtype {precision}: it knows {', '.join(self.precisions)}; use"
                " --engine eager"
            )


def _eager(network: Model, inputs: Inputs, device: torch.device, precision: str, kept: Kept) -> Engine:
    from leukfeat.backbones.engines.eager import EagerEngine

    return EagerEngine(network, inputs, device, precision)


def _compile(network: Model, inputs: Inputs, device: torch.device, precision: str, kept: Kept) -> Engine:
    from leukfeat.backbones.engines.compiled import CompiledEngine

    return CompiledEngine(network, inputs, device, precision)


def _onnxruntime(network: Model, inputs: Inputs, device: torch.device, precision: str, kept: Kept) -> Engine:
    from leukfeat.backbones.engines.onnx_engine import ONNXRuntimeEngine

    return ONNXRuntimeEngine(network, inputs, kept)


def _openvino(network: Model, inputs: Inputs, device: torch.device, precision: str, kept: Kept) -> Engine:
    from leukfeat.backbones.engines.openvino_engine import OpenVINOEngine

    return OpenVINOEngine(network, inputs, kept)


_ANY = (("cpu", "cuda"), ("fp32", "float16", "bfloat16"))
_CPU_ONLY = (("cpu",), ("fp32",))

ENGINES: Mapping[str, EngineSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            EngineSpec("eager", "PyTorch as it comes", (), *_ANY, _eager),
            EngineSpec("compile", "PyTorch's compiler; takes minutes to start", (), *_ANY, _compile),
            EngineSpec("onnxruntime", "ONNX Runtime on the CPU", ("onnxruntime", *EXPORTERS), *_CPU_ONLY, _onnxruntime),
            EngineSpec("openvino", "OpenVINO on the CPU", ("openvino", *EXPORTERS), *_CPU_ONLY, _openvino),
        )
    }
)
