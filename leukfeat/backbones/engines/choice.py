"""Opening an engine by name, or the one that is usually fastest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from leukfeat.backbones.engines.protocol import Kept
from leukfeat.backbones.engines.table import ENGINES, EngineSpec
from leukfeat.errors import EngineError, UnknownNameError

if TYPE_CHECKING:
    import torch

    from leukfeat.backbones.engines.protocol import Engine, Model
    from leukfeat.backbones.inputs import Inputs

AUTO = "auto"

_PLAIN = "eager"
_FAST = "openvino"  # as fast as any on a CPU, or nearly so, for every kind of network (docs/design/0016-engines.md)
_WORTH_OPENING = 50  # images a core from which an exported network's gain pays for reading and compiling it,
_WORTH_EXPORTING = 500  # and for exporting it first, which one core does alone


def open_engine(
    name: str,
    network: Model,
    inputs: Inputs,
    device: torch.device,
    precision: str = "fp32",
    *,
    images: int | None = None,
    identity: str = "",
    models: Path | None = None,
    told: Callable[[str], None] | None = None,
) -> Engine:
    """Open an engine for a network.

    Parameters
    ----------
    name : str
        A name in :data:`~leukfeat.backbones.engines.table.ENGINES`, or ``"auto"``: on a CPU the one that is usually
        fastest, if it is installed, if there are images enough to pay for exporting the network and if it agrees with
        PyTorch; PyTorch otherwise. Nothing is measured: the same request is answered with the same engine.
    network : Network or ClassifyingNetwork
        In 32-bit floats.
    inputs : Inputs
        Its preprocessing.
    device : torch.device
        Where to run.
    precision : str
        ``"fp32"``, ``"float16"`` or ``"bfloat16"``.
    images : int or None
        How many are to be computed; None for very many.
    identity : str
        Digest of everything the network's output depends on. Exported networks are kept under it.
    models : Path or None
        Folder for exported networks; None keeps none.
    told : callable(str) or None
        Takes one line: what ``"auto"`` chose, and why.

    Raises
    ------
    UnknownNameError
        No such engine.
    UsageError
        The engine named is not installed, or does not run on this device or in this precision.
    EngineError
        The engine named cannot run this network, or does not agree with PyTorch.
    """
    if name not in (AUTO, *ENGINES):
        raise UnknownNameError("engine", name, (AUTO, *ENGINES))
    kept = Kept(models, identity)
    if name != AUTO:
        ENGINES[name].check(device.type, precision)
        try:
            return _opened(ENGINES[name], network, inputs, device, precision, kept)
        except EngineError as error:
            raise EngineError(f"--engine {name}: {error}; use --engine {_PLAIN}") from error
    say = told or (lambda line: None)
    reason = _why_not(ENGINES[_FAST], inputs, device, precision, images, kept)
    if reason is None:
        try:
            engine = _opened(ENGINES[_FAST], network, inputs, device, precision, kept)
        except EngineError as error:
            reason = str(error)
        else:
            say(f"engine {engine.details}: agrees with PyTorch; for so many images the fastest on most CPUs")
            return engine
    engine = _opened(ENGINES[_PLAIN], network, inputs, device, precision, kept)
    say(f"engine {engine.details}: {reason}")
    return engine


def _why_not(
    spec: EngineSpec, inputs: Inputs, device: torch.device, precision: str, images: int | None, kept: Kept
) -> str | None:
    """Why an engine is not worth trying; None where it is."""
    if device.type not in spec.devices:
        return f"the engine for {device.type}"
    if precision not in spec.precisions:
        return f"the engine for {precision}"
    if spec.missing:
        return f"{', '.join(spec.missing)} not installed; pip install 'leukfeat[fast]' makes it faster"
    from leukfeat.backbones.engines.lanes import processors

    if images is None or images >= _WORTH_EXPORTING * processors():
        return None
    if images < _WORTH_OPENING * processors():
        return f"{images} images do not pay for opening {spec.name}"
    from leukfeat.backbones.engines.exported import is_exported

    if not is_exported(inputs, kept.folder, kept.identity):
        return f"{images} images do not pay for exporting the network to {spec.name}"
    return None


def _opened(
    spec: EngineSpec, network: Model, inputs: Inputs, device: torch.device, precision: str, kept: Kept
) -> Engine:
    """An engine that computes what PyTorch computes."""
    if spec.name == _PLAIN:
        return spec.build(network, inputs, device, precision, kept)
    from leukfeat.backbones.engines.agreement import check_agreement
    from leukfeat.backbones.engines.failures import reason_of

    try:
        engine = spec.build(network, inputs, device, precision, kept)
    except ImportError as error:
        raise EngineError(f"{spec.name} is installed, but cannot be imported: {reason_of(error)}") from error
    check_agreement(engine, ENGINES[_PLAIN].build(network, inputs, device, "fp32", kept), inputs.size, precision)
    return engine
