"""A training that can be taken up again: after every epoch, one safetensors file that is whole or not there.

It holds the weights, the optimiser's tensors, the best weights so far where they are others, and, as JSON in its
metadata, the epochs and the digest of everything that training depends on. No state of a random generator is needed:
every draw is a function of the seed, the epoch and the step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.history import EpochRecord
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.spec import canonical_json
from leukfeat.backbones.trunks import digest_of_tensors
from leukfeat.data.manifest import Manifest
from leukfeat.textfiles import whole_file

CHECKPOINT = "training.safetensors"
SCHEMA = 1  # raised when an older checkpoint would not go on to the same weights

_FIELD = "leukfeat.training"
_MODEL, _OPTIMIZER, _BEST = "model/", "optimizer/", "best/"


@dataclass(frozen=True)
class Reached:
    """How far a training has come.

    Attributes
    ----------
    epochs : tuple of EpochRecord
        Those that are done.
    best : mapping of str to tensor
        Weights of the best epoch, where that is not the last one; else empty.
    scaler : mapping
        State of the gradient scaler of 16-bit floats.
    """

    epochs: tuple[EpochRecord, ...]
    best: Mapping[str, Tensor]
    scaler: Mapping[str, Any]


def training_digest(
    model: nn.Module,
    inputs: Inputs,
    manifest: Manifest,
    fit: NDArray[Any],
    validation: NDArray[Any],
    finetune: FineTune,
    classes: Sequence[str],
    amp_dtype: str | None,
) -> str:
    """sha256 over everything the result of a training depends on, the weights it starts from among it."""

    def rows(part: NDArray[Any]) -> list[list[str]]:
        return [[manifest.sha256[row], manifest.label[row], manifest.group[row]] for row in part]

    about = {
        "schema": SCHEMA,
        "start": digest_of_tensors(model),
        "inputs": inputs.describe(),
        "fit": rows(fit),
        "validation": rows(validation),
        "finetune": finetune.describe(),
        "classes": list(classes),
        "positive": manifest.positive,
        "amp_dtype": amp_dtype,
    }
    return hashlib.sha256(canonical_json(about).encode()).hexdigest()


def save_checkpoint(
    folder: Path, digest: str, model: nn.Module, optimizer: torch.optim.Optimizer | None, reached: Reached
) -> None:
    """Put the state after an epoch in the place of the one before; the optimiser is None where no step follows."""
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    states = {} if optimizer is None else optimizer.state
    for name, parameter in model.named_parameters():
        for key, value in states.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{name}/{key}"] = value
    tensors |= {f"{_BEST}{name}": tensor for name, tensor in reached.best.items()}
    about = {
        "digest": digest,
        "epochs": [record.describe() for record in reached.epochs],
        "scaler": dict(reached.scaler),
    }
    apart = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with whole_file(folder / CHECKPOINT) as temporary:
        save_file(apart, temporary, {_FIELD: json.dumps(about)})


def load_checkpoint(
    folder: Path, digest: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Reached | None, str]:
    """Put a state back, if there is one that belongs to this training.

    Returns
    -------
    Reached or None
        None where training has to start anew; model and optimiser are then as they were.
    str
        Why a file that is there is not used; empty where there is none, or it is used.
    """
    file = folder / CHECKPOINT
    if not file.is_file():
        return None, ""
    try:
        with safe_open(file, framework="pt") as stored:
            about = json.loads((stored.metadata() or {})[_FIELD])
            if about["digest"] != digest:
                return None, f"{file}: belongs to another training; starting anew"
            epochs = tuple(EpochRecord.from_description(record) for record in about["epochs"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
            scaler = dict(about["scaler"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        return None, f"{file}: cannot be read ({' '.join(str(error).split())[:200]}); starting anew"
    model.load_state_dict({name: tensors[f"{_MODEL}{name}"] for name in model.state_dict()})
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMIZER):
            of, _, key = name.removeprefix(_OPTIMIZER).rpartition("/")
            optimizer.state[parameters[of]][key] = _placed(tensor, parameters[of])
    best = {name.removeprefix(_BEST): tensor for name, tensor in tensors.items() if name.startswith(_BEST)}
    return Reached(epochs, best, scaler), ""


def _placed(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A tensor of the optimiser where it was: like its parameter in memory, or (counts of steps) on the CPU."""
    return torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
