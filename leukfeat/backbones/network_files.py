"""Networks and their files: one safetensors file holds trunk, attention, classifier, and what made them.

The trunk's tensors keep timm's names; ours stand beside them under ``leukfeat.``. The metadata says how images become
input, where attention is, which classes the classifier tells apart, and which images and groups trained the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.chance import own_chance
from leukfeat.backbones.classifier import Classifier
from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.meta import meta_forward
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.backbones.resolution import Resolution
from leukfeat.backbones.sources import Source, find_source
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.trunks import digest_of_tensors, random_trunk, trunk_from_file
from leukfeat.backbones.weights import NETWORK_FIELD, OURS, SEEN_FIELD, read_header
from leukfeat.data.exposure import Seen
from leukfeat.data.hashing import sha256_of
from leukfeat.errors import WeightsError
from leukfeat.textfiles import whole_file

_ATTENTION, _CLASSIFIER = f"{OURS}attention.", f"{OURS}classifier."


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to run, and the digest of the weights that are really in it."""

    network: Network
    weights_sha256: str


def load_network(spec: BackboneSpec, resolution: Resolution) -> LoadedNetwork:
    """Build the network of a request and put its weights in.

    Parameters
    ----------
    spec : BackboneSpec
        The request; its ``finetune`` is not looked at.
    resolution : Resolution
        What it came to.

    Raises
    ------
    WeightsError
        Weights that do not fit the architecture.
    UnknownNameError
        No such layer.
    UsageError
        The network cannot take images of this size, or attention has no map to stand on.
    """
    source = find_source(spec)
    if source.file is None:
        trunk = random_trunk(resolution.architecture, resolution.model_args, spec.seed)
        digest = digest_of_tensors(trunk)
    else:
        with own_chance():  # it is drawn before it is filled, and a thread beside may be drawing
            trunk = trunk_from_file(source, resolution.model_args)
        digest = sha256_of(source.file)
    with own_chance():
        torch.manual_seed(spec.seed)
        network = Network(trunk, resolution.pooling, resolution.layer, resolution.attention, resolution.views)
    new = bool(resolution.attention_init) or resolution.attention is None
    _put(network.attention, _ATTENTION, source, optional=new)
    embedding_dim(network, resolution.inputs.size, resolution.architecture)  # says so where images do not pass through
    return LoadedNetwork(network.eval().requires_grad_(False), digest)


def with_classifier(
    network: Network, size: tuple[int, int], n_classes: int, spec: ClassifierSpec, seed: int
) -> ClassifyingNetwork:
    """A network with a new classifier in place of the trunk's own.

    Parameters
    ----------
    network : Network
        Its trunk loses its own classifier.
    size : (int, int)
        Height and width of its input; an embedding by flattening depends on it.
    n_classes : int
        Logits wanted.
    spec : ClassifierSpec
        Hidden layers.
    seed : int
        Of the initial weights.
    """
    reset = getattr(network.trunk, "reset_classifier", None)
    if callable(reset):
        reset(0)
    dim = embedding_dim(network, size)
    with own_chance():
        torch.manual_seed(seed)
        classifier = Classifier(dim, n_classes, spec)
    return ClassifyingNetwork(network, classifier)


def embedding_dim(network: Network, size: tuple[int, int], name: str = "the network") -> int:
    """Length of the embedding of images of a size; nothing is computed.

    Raises
    ------
    UsageError
        Images of this size do not pass through the network.
    """
    return int(meta_forward(network, size, name)[0].shape[1])


def save_network(
    model: Network | ClassifyingNetwork,
    file: Path,
    *,
    resolution: Resolution,
    seen: Seen,
    classes: Sequence[str] = (),
    classifier: ClassifierSpec | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a network as one safetensors file, whole or not at all.

    Parameters
    ----------
    model : Network or ClassifyingNetwork
        What is kept.
    file : Path
        Ends in ``.safetensors``.
    resolution : Resolution
        Architecture and inputs.
    seen : Seen
        Images and groups that trained it.
    classes : sequence of str
        In the order of the logits.
    classifier : ClassifierSpec or None
        How the classifier is built.
    facts : mapping or None
        More that is worth knowing; JSON types.
    """
    from safetensors.torch import save

    network = model.network if isinstance(model, ClassifyingNetwork) else model
    parts: list[tuple[str, nn.Module]] = [("", network.trunk), (_ATTENTION, network.attention)]
    if isinstance(model, ClassifyingNetwork):
        parts.append((_CLASSIFIER, model.classifier))
    state = {
        f"{prefix}{name}": tensor.detach().cpu().contiguous().clone()
        for prefix, module in parts
        for name, tensor in module.state_dict().items()
    }
    about = {
        "attention": None if network.attention_spec is None else network.attention_spec.describe(),
        "pooling": network.pooling,
        "layer": network.layer,
        "views": network.views,
        "inputs": resolution.inputs.describe(),
        "classes": list(classes),
        "classifier": None if classifier is None else classifier.describe(),
        "facts": dict(facts or {}),
    }
    inputs = resolution.inputs
    metadata = {
        "architecture": resolution.architecture,
        "model_args": json.dumps(dict(resolution.model_args)),
        "input_size": json.dumps([3, *inputs.size]),
        "interpolation": inputs.interpolation,
        NETWORK_FIELD: json.dumps(about),
        SEEN_FIELD: json.dumps(seen.describe()),
    }
    if inputs.scale == "unit":
        metadata |= {"mean": json.dumps(inputs.mean), "std": json.dumps(inputs.std)}
    kind, _, mode = inputs.crop.partition("timm-")
    if not kind:
        metadata |= {"crop_mode": mode, "crop_pct": json.dumps(inputs.crop_amount)}
    with whole_file(file) as temporary:
        temporary.write_bytes(save(state, metadata))
    return file


@dataclass(frozen=True)
class SavedNetwork:
    """A network read from a file that :func:`save_network` wrote.

    Attributes
    ----------
    model : Network or ClassifyingNetwork
        In evaluation mode.
    inputs : Inputs
        How images become its input.
    classes : tuple of str
        In the order of the logits; empty for a network without a classifier.
    facts : mapping
        As they were given.
    seen : Seen
        What trained it.
    """

    model: Network | ClassifyingNetwork
    inputs: Inputs
    classes: tuple[str, ...]
    facts: Mapping[str, Any]
    seen: Seen


def load_saved(file: Path, added: Path | None = None) -> SavedNetwork:
    """Read a network with everything that was saved with it; nothing in the file is executed.

    Parameters
    ----------
    file : Path
        What :func:`save_network` wrote; or the trunk alone, where the rest is in a file of its own.
    added : Path or None
        That file: attention, classifier, and the metadata of the whole (:mod:`leukfeat.backbones.network_folders`).

    Raises
    ------
    WeightsError
        Missing, damaged, or not written by leukfeat.
    """
    header = read_header(added or file)
    about = header.field(NETWORK_FIELD)
    if not isinstance(about, dict):
        raise WeightsError(f"{file}: plain weights, not a network saved by leukfeat (no {NETWORK_FIELD})")
    source = find_source(BackboneSpec(weights=str(file)))
    rest = source if added is None else replace(source, file=added)
    try:
        inputs = Inputs.from_description(about["inputs"])
        attention = AttentionSpec.of(about["attention"])
        classes = tuple(str(name) for name in about["classes"])
        spec = None if about["classifier"] is None else ClassifierSpec(**about["classifier"])
        pooling, layer, views = about["pooling"], about["layer"], about["views"]
        facts = dict(about["facts"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file}: its metadata entry {NETWORK_FIELD} is damaged ({error}); get it again") from error
    network = Network(trunk_from_file(source, source.model_args), pooling, layer, attention, views)
    _put(network.attention, _ATTENTION, rest)
    model: Network | ClassifyingNetwork = network
    if spec is not None:
        model = with_classifier(network, inputs.size, len(classes), spec, seed=0)
        _put(model.classifier, _CLASSIFIER, rest)
    return SavedNetwork(model.eval().requires_grad_(False), inputs, classes, facts, header.seen)


def _put(module: nn.Module, prefix: str, source: Source, *, optional: bool = False) -> None:
    """Load a module's tensors from the entries of a file under a prefix; without any, an optional one stays new."""
    state = _ours(source, prefix)
    if not state:
        if module.state_dict() and not optional:
            raise WeightsError(f"{source.file}: has no weights of its {prefix.split('.')[1]}; get the whole file again")
        return
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{source.file}: its {prefix.split('.')[1]} does not fit: {reason[:300]}") from error


def _ours(source: Source, prefix: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    if source.file is None:
        return {}
    try:
        with safe_open(source.file, framework="pt") as stored:
            names = [name for name in stored.keys() if name.startswith(prefix)]  # noqa: SIM118 (no mapping)
            return {name.removeprefix(prefix): stored.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{source.file}: weights cannot be read: {error}") from error
