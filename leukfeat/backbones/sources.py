"""Where the weights of a backbone come from, and what timm and the weights themselves say about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukfeat.backbones.spec import HUB, BackboneSpec
from leukfeat.backbones.weights import WeightsHeader, fetch, read_header
from leukfeat.errors import UnknownNameError, WeightsError
from leukfeat.jsonfiles import parse_json

# What a weights file's metadata, or a hub model's configuration, states in place of timm's own facts.
_STATED = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")

# Arguments of timm.create_model that would make it load or fetch something else than the weights at hand.
_REFUSED_ARGS = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "exportable",
        "feature_cfg",
        "features_only",
        "kwargs_filter",
        "model_cfg",
        "model_name",
        "no_jit",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_custom_load",
        "pretrained_filter_fn",
        "pretrained_strict",
        "scriptable",
    }
)


# timm's VGG always holds the two large layers in front of its classifier, 119 million numbers that a feature map does
# not need. Of random ones there is one unit; files that were downloaded have them all.
_ONE_UNIT = 1 / 4096


@dataclass(frozen=True)
class Source:
    """Where weights lie and what is known about them before they are loaded.

    Attributes
    ----------
    architecture : str
        timm model, without a tag.
    file : Path or None
        The safetensors file; None for random weights.
    config : mapping
        timm's facts about the weights, with what the file itself states.
    model_args : mapping
        Further arguments of ``timm.create_model``.
    origin : str
        In words.
    """

    architecture: str
    file: Path | None
    config: Mapping[str, Any]
    model_args: Mapping[str, Any]
    origin: str


def find_source(spec: BackboneSpec) -> Source:
    """Find the weights of a request and what is known about them. A download happens here.

    Raises
    ------
    UnknownNameError, WeightsError
        As in :func:`resolve`.
    """
    if spec.weights == "random":
        architecture, config = _timm_facts(spec.name or "")
        slim = {"mlp_ratio": _ONE_UNIT} if spec.layer is None and architecture.startswith("vgg") else {}
        return Source(architecture, None, config, slim, f"random weights, seed {spec.seed}")
    if spec.weights == "imagenet":
        return _source_of_timm(spec.name or "")
    if spec.from_hub:
        return _source_of_hub(spec)
    return _source_of_file(spec, read_header(Path(spec.weights)))


def _source_of_timm(name: str) -> Source:
    architecture, config = _timm_facts(name)
    repository = config.get("hf_hub_id")
    if not repository:
        raise WeightsError(
            f"{name}: timm has no downloadable weights for it; choose a tagged name (leukfeat models), pass --weights"
            " FILE.safetensors, or --weights random"
        )
    tag = config.get("tag")
    full = f"{architecture}.{tag}" if tag else architecture
    repository = f"{repository}{full}" if repository.endswith("/") else repository
    file = fetch(
        repository,
        f"download model.safetensors of {repository} elsewhere and pass it with --weights FILE.safetensors,"
        " or use --weights random",
    )
    return Source(architecture, file, config, {}, f"timm {full}")


def _source_of_hub(spec: BackboneSpec) -> Source:
    repository = spec.weights.removeprefix(HUB)
    instead = "pass its weights with --weights FILE.safetensors"
    place = fetch(repository, instead, "config.json")
    try:
        stated = parse_json(place.read_text(encoding="utf-8"))
        named = str(stated["architecture"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{spec.weights}: its config.json names no timm architecture; {instead}") from error
    architecture, config = _timm_facts(_agreed(spec, named, spec.weights))
    model_args = _safe_args(stated.get("model_args") or {}, spec.weights)
    config |= _stated(stated.get("pretrained_cfg") or stated)
    return Source(architecture, fetch(repository, instead), config, model_args, spec.weights)


def _source_of_file(spec: BackboneSpec, header: WeightsHeader) -> Source:
    architecture, config = _timm_facts(_agreed(spec, header.architecture, str(header.file)))
    stated = {name: header.metadata[name] for name in ("interpolation", "crop_mode") if name in header.metadata}
    stated |= {name: header.field(name) for name in _STATED if name not in stated and name in header.metadata}
    model_args = _safe_args(header.field("model_args") or {}, str(header.file))
    return Source(architecture, header.file, {**config, **_stated(stated)}, model_args, f"file {header.file.name}")


def _agreed(spec: BackboneSpec, stated: str | None, where: str) -> str:
    """The architecture, from the request and from the weights."""
    if spec.name is None and not stated:
        raise WeightsError(f"{where}: does not name its architecture; say which with --backbone NAME")
    if spec.name is not None and stated and spec.name.partition(".")[0] != stated.partition(".")[0]:
        raise WeightsError(
            f"{where}: weights are for {stated}, not for {spec.name}; leave out --backbone or correct it"
        )
    return spec.name or str(stated)


def _timm_facts(name: str) -> tuple[str, dict[str, Any]]:
    """Architecture and pretrained configuration of a timm name with or without a tag."""
    import timm

    from leukfeat.backbones.architectures import ARCHITECTURES

    architecture = name.partition(".")[0]
    if name in ARCHITECTURES:
        return name, dict(ARCHITECTURES[name].pretrained_cfg)
    if not timm.is_model(architecture):
        raise UnknownNameError("backbone", name, [*timm.list_models(), *ARCHITECTURES], shown=5)
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError:
        raise UnknownNameError("backbone", name, timm.list_models(f"{architecture}.*", pretrained=True)) from None
    return architecture, {} if config is None else config.to_dict()


def _safe_args(stated: Any, where: str) -> dict[str, Any]:
    """Model arguments from a file: plain values for the network itself, nothing that makes timm load something."""
    if not isinstance(stated, dict):
        raise WeightsError(f"{where}: its model_args are {type(stated).__name__}, not a mapping of names to values")
    refused = sorted(_REFUSED_ARGS & set(stated))
    if refused:
        raise WeightsError(f"{where}: its model_args set {', '.join(refused)}, which a weights file may not; remove it")
    return {name: value for name, value in stated.items() if name != "num_classes"}


def _stated(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in _STATED if facts.get(name) is not None}
