"""What a request comes to: architecture, content of the weights, inputs. Known before any forward pass.

Resolving needs timm, hence torch, which take seconds to import. The answer is therefore remembered in a small JSON
file that also holds the question in full, with the weights' own digest and the versions the answer depends on: an
answer to any other question is never used, and a file that cannot be read is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.sources import find_source
from leukfeat.backbones.spec import BackboneSpec, Preprocess, canonical_json
from leukfeat.backbones.weights import NETWORK_FIELD, read_header
from leukfeat.data.exposure import Seen
from leukfeat.data.hashing import HashMemo
from leukfeat.errors import UsageError, WeightsError
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import write_text

_MEMORY_FORMAT = 2


@dataclass(frozen=True)
class Resolution:
    """A backbone with nothing left open.

    Attributes
    ----------
    architecture : str
        timm model, without a tag.
    model_args : mapping
        Further arguments of ``timm.create_model``.
    weights_sha256 : str
        Digest of the weights file, or of the tensors themselves where the weights are random.
    origin : str
        Where the weights came from, in words.
    pooling : str
        How the feature map becomes a vector.
    layer : str or None
        Module whose output is taken; None for the last feature map.
    inputs : Inputs
        Preprocessing.
    attention : AttentionSpec or None
        Attention in the network.
    attention_init : mapping
        Where attention's weights are not in the file but new: seed, and the version of the library that draws them.
    views : str
        Views that outputs are averaged over.
    seen : Seen
        What the weights were trained on.
    versions : mapping of str to str
        Of the libraries that gave this answer.
    """

    architecture: str
    model_args: Mapping[str, Any]
    weights_sha256: str
    origin: str
    pooling: str
    layer: str | None
    inputs: Inputs
    attention: AttentionSpec | None = None
    attention_init: Mapping[str, Any] = field(default_factory=dict)
    views: str = "none"
    seen: Seen = field(default_factory=Seen)
    versions: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return {
            **self.identity(),
            "origin": self.origin,
            "seen": self.seen.describe(),
            "versions": dict(self.versions),
        }

    def identity(self) -> dict[str, Any]:
        """What the vectors depend on, as JSON types: the inputs of a feature key."""
        return {
            "architecture": self.architecture,
            "model_args": dict(self.model_args),
            "weights_sha256": self.weights_sha256,
            "pooling": self.pooling,
            "layer": self.layer,
            "inputs": self.inputs.describe(),
            "attention": None if self.attention is None else self.attention.describe(),
            "attention_init": dict(self.attention_init),
            "views": self.views,
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Resolution:
        """The resolution that :meth:`describe` described."""
        return cls(
            **{
                **description,
                "inputs": Inputs.from_description(description["inputs"]),
                "attention": AttentionSpec.of(description["attention"]),
                "seen": Seen.from_description(description["seen"]),
            }
        )


def resolve(spec: BackboneSpec, folder: Path | None = None, *, memo: HashMemo | None = None) -> Resolution:
    """Find out what a backbone is, from memory where possible.

    Parameters
    ----------
    spec : BackboneSpec
        The request.
    folder : Path or None
        Where answers are remembered; None remembers nothing.
    memo : HashMemo or None
        Remembers the digests of weights files.

    Returns
    -------
    Resolution
        Its inputs have no mean or SD where those are still to be learned from training images.

    Raises
    ------
    UnknownNameError
        No such timm model or tag.
    WeightsError
        Weights that cannot be found, downloaded or read, or whose architecture nobody names.
    """
    memo = memo or HashMemo()
    question = _question(spec, memo)
    remembered = _recall(folder, question) if folder is not None else None
    if remembered is not None:
        return remembered
    answer = _resolve(spec, memo)
    if folder is not None:
        _keep(folder, question, answer)
    return answer


def remember(answer: Resolution, spec: BackboneSpec, folder: Path, *, memo: HashMemo) -> None:
    """Keep an answer for :func:`resolve`."""
    _keep(folder, _question(spec, memo), answer)


def _question(spec: BackboneSpec, memo: HashMemo) -> dict[str, Any]:
    """The request with everything the answer depends on."""
    question: dict[str, Any] = {
        "format": _MEMORY_FORMAT,
        "spec": spec.replace(finetune=None).describe(),
        "timm": importlib.metadata.version("timm"),
    }
    if spec.file is not None:
        question["spec"]["weights"] = {"name": spec.file.name, "sha256": _digest_of(spec.file, memo)}
    if spec.weights == "random" or spec.attention is not None:
        question |= {"torch": importlib.metadata.version("torch"), "machine": platform.machine()}
    return question


def _place(folder: Path, question: Mapping[str, Any]) -> Path:
    return folder / f"{hashlib.sha256(canonical_json(question).encode()).hexdigest()[:24]}.json"


def _recall(folder: Path, question: Mapping[str, Any]) -> Resolution | None:
    try:
        kept = parse_json(_place(folder, question).read_text(encoding="utf-8"))
        return Resolution.from_description(kept["answer"]) if kept["question"] == question else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it only ever saves work


def _keep(folder: Path, question: Mapping[str, Any], answer: Resolution) -> None:
    with contextlib.suppress(OSError), write_text(_place(folder, question)) as stream:
        json.dump({"question": question, "answer": answer.describe()}, stream, indent=1, sort_keys=True)
        stream.write("\n")


def _resolve(spec: BackboneSpec, memo: HashMemo) -> Resolution:
    from timm.data import resolve_data_config

    source = find_source(spec)
    saved = _saved_with(spec)
    attention = AttentionSpec.of(_agreed("attention", spec.attention, None, AttentionSpec.of(saved.get("attention"))))
    if "inputs" in saved and spec.preprocess == Preprocess():
        inputs = Inputs.from_description(saved["inputs"])
    else:
        inputs = Inputs.of(spec.preprocess, resolve_data_config(pretrained_cfg=dict(source.config)))
    model_args = dict(source.model_args)
    own_size = tuple(source.config.get("input_size") or ())[-2:]
    if source.config.get("fixed_input_size") and inputs.size != own_size:
        model_args["img_size"] = list(inputs.size)
    if source.file is not None:
        digest = _digest_of(source.file, memo)
    else:
        from leukfeat.backbones.trunks import digest_of_tensors, random_trunk

        digest = digest_of_tensors(random_trunk(source.architecture, model_args, spec.seed))
    return Resolution(
        architecture=source.architecture,
        model_args=model_args,
        weights_sha256=digest,
        origin=source.origin,
        pooling=_agreed("pooling", spec.pooling, "avg", saved.get("pooling", "avg")),
        layer=_agreed("layer", spec.layer, None, saved.get("layer")),
        inputs=inputs,
        attention=attention,
        attention_init={"seed": spec.seed, "torch": importlib.metadata.version("torch")}
        if attention is not None and saved.get("attention") is None
        else {},
        views=spec.views if spec.views != "none" else saved.get("views", "none"),
        seen=_seen(spec),
        versions={name: importlib.metadata.version(name) for name in ("timm", "torch")},
    )


def _saved_with(spec: BackboneSpec) -> Mapping[str, Any]:
    """What stands around the trunk in a file that leukfeat wrote; empty for any other weights."""
    about = read_header(spec.file).field(NETWORK_FIELD) if spec.file is not None else None
    return about if isinstance(about, dict) else {}


def _agreed(what: str, asked: Any, usual: Any, saved: Any) -> Any:
    """What a request and a saved network agree on; the request counts as silent where it asks for the usual."""
    if asked in (usual, saved):
        return saved
    if saved == usual:
        return asked
    raise UsageError(f"{what} {asked!r}: the weights were trained with {saved!r}; leave it out")


def _seen(spec: BackboneSpec) -> Seen:
    """Public ImageNet weights and random ones saw none of our images; of others only their own record can tell."""
    if spec.weights in ("imagenet", "random"):
        return Seen()
    return read_header(spec.file).seen if spec.file is not None else Seen(unknown=True)


def _digest_of(file: Path, memo: HashMemo) -> str:
    digest = memo.hash_files([file])[file]
    if isinstance(digest, OSError):
        read_header(file)  # says it better, where the file is missing or unreadable
        raise WeightsError(f"{file}: weights cannot be read: {digest.strerror or digest}")
    return digest
