"""A network as a folder that timm can read too.

``model.safetensors`` and ``config.json`` are the trunk alone, as ``timm.create_model("local-dir:FOLDER",
pretrained=True)`` reads them (not where the trunk is one of ours). Attention and classifier, where there are any, are
in ``added.safetensors``; what stands around the trunk is in its metadata. No tensor is stored twice.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leukfeat.backbones.architectures import ARCHITECTURES
from leukfeat.backbones.network_files import SavedNetwork, load_network, load_saved, save_network
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.sources import find_source
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.weights import NETWORK_FIELD, OURS, read_header
from leukfeat.textfiles import write_text

MODEL = "model.safetensors"
ADDED = "added.safetensors"
CONFIG = "config.json"

# What timm wants to know about weights that lie in a folder.
_FACTS = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode", "fixed_input_size", "first_conv")


def save_encoder(spec: BackboneSpec, folder: Path) -> None:
    """Write the network that a request means, with its weights; a classifier on it stays behind.

    Parameters
    ----------
    spec : BackboneSpec
        With nothing left to learn.
    folder : Path
        There, and empty.

    Raises
    ------
    WeightsError, UsageError, UnknownNameError
        As :func:`leukfeat.backbones.network_files.load_network`.
    """
    resolution = resolve(spec)
    network = load_network(spec, resolution).network
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        file = save_network(network, Path(beside) / MODEL, resolution=resolution, seen=resolution.seen)
        save_in_folder(file, folder)


def save_in_folder(file: Path, folder: Path) -> None:
    """Write a saved network into a folder, the trunk and the rest apart.

    Parameters
    ----------
    file : Path
        What :func:`leukfeat.backbones.network_files.save_network` wrote.
    folder : Path
        There, and empty.

    Raises
    ------
    WeightsError
        The file cannot be read.
    """
    from safetensors.torch import load_file, save_file

    header = read_header(file)
    if any(name.startswith(OURS) for name in header.shapes):
        tensors = load_file(file)
        ours = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OURS)}
        # by itself the trunk must not promise attention or a classifier that are not in its file
        alone = {**header.field(NETWORK_FIELD), "attention": None, "classifier": None, "classes": []}
        save_file(tensors, folder / MODEL, {**header.metadata, NETWORK_FIELD: json.dumps(alone)})
        save_file(ours, folder / ADDED, dict(header.metadata))
    else:
        shutil.copyfile(file, folder / MODEL)
    if header.architecture not in ARCHITECTURES:
        with write_text(folder / CONFIG) as stream:
            json.dump(_timm_config(folder / MODEL), stream, indent=1)


def load_from_folder(folder: Path, *, added: bool) -> SavedNetwork:
    """Read a network that is a folder.

    Parameters
    ----------
    folder : Path
        What :func:`save_in_folder` or :func:`save_encoder` wrote.
    added : bool
        Whether attention or a classifier belong to it.

    Raises
    ------
    WeightsError
        As :func:`leukfeat.backbones.network_files.load_saved`.
    """
    return load_saved(folder / MODEL, folder / ADDED if added else None)


def licence_of(spec: BackboneSpec) -> str | None:
    """Licence of the weights a request names, as timm states it for its own; None where nobody has told us.

    Examples
    --------
    >>> licence_of(BackboneSpec("resnet50.a1_in1k"))
    'apache-2.0'
    """
    import timm

    if spec.weights != "imagenet" or spec.name is None:
        return None
    try:
        config = timm.get_pretrained_cfg(spec.name)
    except RuntimeError:  # a tag that this timm does not have
        return None
    return None if config is None else config.license


def _timm_config(file: Path) -> Mapping[str, Any]:
    """What timm's ``config.json`` says about the trunk in a file."""
    source = find_source(BackboneSpec(weights=str(file)))
    shapes = read_header(file).shapes
    named = source.config.get("classifier") or ()
    classifier = named if isinstance(named, str) else next(iter(named), "")
    n_classes = shapes.get(f"{classifier}.weight", (0,))[0]
    facts = {name: source.config[name] for name in _FACTS if source.config.get(name) is not None}
    return {
        "architecture": source.architecture,
        "num_classes": n_classes,
        "model_args": dict(source.model_args),
        "pretrained_cfg": {**facts, "classifier": named, "num_classes": n_classes},
    }
