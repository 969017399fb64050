"""timm models with weights in them: drawn at random under a seed, or from a safetensors file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn

from leukfeat.backbones.architectures import ARCHITECTURES
from leukfeat.backbones.chance import own_chance
from leukfeat.backbones.sources import Source
from leukfeat.backbones.weights import OURS, read_header
from leukfeat.errors import WeightsError

# What timm and torch raise where arguments, or tensors, do not make the network they should.
_MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, ValueError)
_NOT_THE_TRUNK = ("AuxLogits.", OURS)  # InceptionV3's second classifier is for training only; ours are put in later


def random_trunk(architecture: str, model_args: Mapping[str, Any], seed: int) -> nn.Module:
    """A timm model as it is initialised under a seed; the caller's random state is left alone."""
    with own_chance():
        torch.manual_seed(seed)
        return _create(architecture, model_args, architecture)


def digest_of_tensors(module: nn.Module) -> str:
    """sha256 over names, shapes and values of all parameters and buffers."""
    seal = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        seal.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        seal.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return seal.hexdigest()


def trunk_from_file(source: Source, model_args: Mapping[str, Any]) -> nn.Module:
    """A timm model with the weights of a safetensors file, every tensor of it in its place.

    Raises
    ------
    WeightsError
        Weights that do not fit the architecture; the first tensors are named.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if source.file is None:
        raise ValueError("random weights come from no file")
    header = read_header(source.file)
    classifiers = source.config.get("classifier") or ()
    first = classifiers if isinstance(classifiers, str) else next(iter(classifiers), "")
    n_classes = header.shapes.get(f"{first}.weight", (0,))[0]  # no classifier in the file, none in the network
    try:
        state = load_file(source.file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{source.file}: weights cannot be read: {error}") from error
    state = {name: tensor for name, tensor in state.items() if not name.startswith(_NOT_THE_TRUNK)}
    if not state:  # timm would take that for none at all, and fetch others
        raise WeightsError(
            f"{source.file}: holds no weights of {source.architecture} itself; give the file that has them"
            " (of a leukfeat model: model.safetensors)"
        )
    # timm's own loader converts older layouts of an architecture; with the file's number of classes it is strict.
    arguments = {**model_args, "num_classes": n_classes}
    overlay = {"state_dict": state, "num_classes": n_classes, "label_offset": 0, "custom_load": False, "source": ""}
    try:
        trunk = _create(
            source.architecture, arguments, str(source.file), pretrained=True, pretrained_cfg_overlay=overlay
        )
    except WeightsError:
        raise
    except _MISFITS as error:
        try:
            plain = _create(source.architecture, arguments, str(source.file))
        except _MISFITS:  # the arguments that came with the weights are no network at all
            raise WeightsError(f"{source.file}: no {source.architecture} can be made with its model_args") from error
        raise WeightsError(_misfit(source, plain, state, error)) from error
    trunk.__dict__["pretrained_cfg"] = {}  # timm keeps the overlay there, and with it a second copy of all weights
    return trunk


def _create(architecture: str, model_args: Mapping[str, Any], where: str, **how: Any) -> nn.Module:
    if architecture in ARCHITECTURES:
        return _create_own(architecture, model_args, how.get("pretrained_cfg_overlay"))
    try:
        return timm.create_model(architecture, **model_args, **how)  # type: ignore[no-any-return]
    except TypeError as error:
        raise WeightsError(f"{where}: its model_args do not suit {architecture}: {error}") from error


def _create_own(architecture: str, model_args: Mapping[str, Any], overlay: Mapping[str, Any] | None) -> nn.Module:
    """A trunk of ours; it has no classifier, and takes weights as timm's do."""
    trunk = ARCHITECTURES[architecture](**{name: value for name, value in model_args.items() if name != "num_classes"})
    if overlay is not None:
        trunk.load_state_dict(overlay["state_dict"])
    return trunk


def _misfit(source: Source, plain: nn.Module, state: Mapping[str, Tensor], error: Exception) -> str:
    """Say in one line how a file's tensors differ from the architecture's."""
    wanted = plain.state_dict()
    missing = [name for name in wanted if name not in state]
    surplus = [name for name in state if name not in wanted]
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    told = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in (("missing", missing), ("unknown", surplus), ("of another shape", reshaped))
        if names
    ] or [str(error).splitlines()[0]]
    return (
        f"{source.file}: weights do not fit {source.architecture}: {'; '.join(told)};"
        " name the architecture they were made for with --backbone"
    )
