"""Networks as ONNX, for engines that are not PyTorch, kept between runs.

A file's name holds the digest of the question (network, weights, inputs, versions of whatever wrote it) and of its own
content: a file is complete, and the answer to this question, or it is exported again. Files are written whole and
never changed, so any number of processes can share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leukfeat.backbones.engines.failures import EXPORT_FAILURES, reason_of
from leukfeat.backbones.engines.pixels import FromPixels
from leukfeat.backbones.engines.protocol import EXPORTERS
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.spec import canonical_json
from leukfeat.errors import EngineError
from leukfeat.textfiles import whole_file

if TYPE_CHECKING:
    from leukfeat.backbones.engines.protocol import Model

CHUNK = 1  # images an exported network takes: a core's cache holds the maps of one, and no image depends on others

_FORMAT = 1
_SUFFIX = ".onnx"
_LARGEST = 1_800_000_000  # bytes; a protobuf message ends at 2 GiB
_WRITERS = ("leukfeat", "torch", "timm", *EXPORTERS)  # another version of one of them may write another graph


def exported(network: Model, inputs: Inputs, folder: Path | None, identity: str) -> bytes:
    """A network as the content of an ONNX file, from a folder where it is there already.

    Parameters
    ----------
    network : Network or ClassifyingNetwork
        On the CPU, in 32-bit floats.
    inputs : Inputs
        Its preprocessing; normalisation becomes part of the graph.
    folder : Path or None
        Where exported networks are kept; None keeps nothing.
    identity : str
        Digest of everything the network's output depends on; empty keeps nothing.

    Returns
    -------
    bytes
        A graph with one input ``images`` (1, H, W, 3) uint8 and one output ``embedding`` (1, d) float32.

    Raises
    ------
    EngineError
        The network cannot be exported.
    """
    if folder is None or not identity:
        return _export(network, inputs)
    key = _key(identity, inputs)
    content = _kept(folder, key)
    if content is None:
        content = _export(network, inputs)
        # a folder that cannot be written costs the next run an export, and this one nothing
        with contextlib.suppress(OSError), whole_file(folder / f"{key}-{_digest(content)}{_SUFFIX}") as temporary:
            temporary.write_bytes(content)
    return content


def is_exported(inputs: Inputs, folder: Path | None, identity: str) -> bool:
    """Whether a folder holds a network, as far as names of files tell."""
    return folder is not None and bool(identity) and any(folder.glob(f"{_key(identity, inputs)}-*{_SUFFIX}"))


def _kept(folder: Path, key: str) -> bytes | None:
    for file in sorted(folder.glob(f"{key}-*{_SUFFIX}")):
        with contextlib.suppress(OSError):
            content = file.read_bytes()
            if file.name == f"{key}-{_digest(content)}{_SUFFIX}":
                with contextlib.suppress(OSError):
                    os.utime(file)  # how old a file is tells how long nobody has needed it
                return content
            file.unlink()  # damaged
    return None


def _key(identity: str, inputs: Inputs) -> str:
    question = {
        "format": _FORMAT,
        "identity": identity,
        "inputs": inputs.describe(),
        "chunk": CHUNK,
        "versions": {name: _version(name) for name in _WRITERS},
    }
    return _digest(canonical_json(question).encode())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout, or built by hand
        return "source"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _export(network: Model, inputs: Inputs) -> bytes:
    module = FromPixels(network, inputs)
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    if size > _LARGEST:
        raise EngineError(f"the network's weights take {size / 1e9:.1f} GB, more than one ONNX file can hold")
    images = torch.zeros((CHUNK, *inputs.size, 3), dtype=torch.uint8)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own future
            program = torch.onnx.export(
                torch.export.export(module, (images,)),
                dynamo=True,
                external_data=False,
                input_names=["images"],
                output_names=["embedding"],
                verbose=False,
            )
            if program is None:
                raise EngineError("PyTorch exported nothing")
            content: bytes = program.model_proto.SerializeToString()
            return content
    except EXPORT_FAILURES as error:
        if isinstance(error, EngineError):
            raise
        raise EngineError(f"the network cannot be exported to ONNX: {reason_of(error)}") from error
