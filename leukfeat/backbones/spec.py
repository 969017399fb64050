"""What a user asks for: a network, its weights, where to cut it, and how images become its input."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.finetune import FineTune
from leukfeat.errors import UnknownNameError, UsageError, WeightsError

POOLING_NAMES = ("avg", "avgmax", "bilinear", "cls", "flatten", "max")
VIEW_NAMES = ("none", "flips", "d4", "rotations-8")
CROP_NAMES = ("cell", "center", "none", "weights")
SCALE_NAMES = ("raw", "unit")
INTERPOLATION_NAMES = ("bicubic", "bilinear", "box", "hamming", "lanczos", "nearest")
NAMED_WEIGHTS = ("imagenet", "random")
HUB = "hf-hub:"
TRAIN = "train"

_PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes a network's input; whatever is None follows the weights.

    Attributes
    ----------
    input_size : int, (int, int) or None
        Height and width the network sees, in pixels.
    crop : str
        ``"weights"`` (resize and crop as the weights were evaluated), ``"none"`` (the whole image is resized, its
        aspect ratio given up), ``"center"`` (``crop_size`` pixels are cut from the middle, then resized) or ``"cell"``
        (the square around whatever is not black, then resized).
    crop_size : int or None
        Side of the ``"center"`` crop, in pixels of the original image.
    cell_margin : float or None
        Margin of the ``"cell"`` crop on every side, as a fraction of the cell's longer side; 0.1 where None.
    interpolation : str or None
        Name of a resampling filter.
    scale : str
        ``"unit"``: pixels in [0, 1]; ``"raw"``: pixels in 0-255.
    mean, std : three floats, ``"train"`` or None
        Subtracted from, and divided by, per channel and in the units of ``scale``. ``"train"`` stands for the mean
        and the standard deviation of the training images; it is learned inside the fold.

    Raises
    ------
    UsageError
        A value that means nothing, or that contradicts another.
    """

    input_size: int | tuple[int, int] | None = None
    crop: str = "weights"
    crop_size: int | None = None
    cell_margin: float | None = None
    interpolation: str | None = None
    scale: str = "unit"
    mean: Channels | Literal["train"] | None = None
    std: Channels | Literal["train"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_size", _size(self.input_size))
        object.__setattr__(self, "mean", _channels("mean", self.mean))
        object.__setattr__(self, "std", _channels("std", self.std))
        _known("crop", self.crop, CROP_NAMES)
        _known("scale", self.scale, SCALE_NAMES)
        if self.interpolation is not None:
            _known("interpolation", self.interpolation, INTERPOLATION_NAMES)
        if (self.crop == "center") != (self.crop_size is not None):
            raise UsageError(
                f"preprocess: crop {self.crop!r} with crop_size {self.crop_size}; crop_size is the side of the crop"
                " 'center', e.g. crop: center, crop_size: 448"
            )
        if self.crop_size is not None and self.crop_size < 1:
            raise UsageError(f"preprocess: crop_size is {self.crop_size}; it counts pixels, at least 1")
        if self.cell_margin is not None and (self.crop != "cell" or not 0 <= self.cell_margin <= 10):
            raise UsageError(
                f"preprocess: cell_margin {self.cell_margin} with crop {self.crop!r}; it belongs to crop 'cell' and is"
                " a fraction of the cell's side, 0 or more"
            )
        if self.scale == "raw" and (self.mean is None or self.std is None):
            raise UsageError(
                "preprocess: scale 'raw' needs mean and std in 0-255 units, e.g. mean: [0, 0, 0], std: [1, 1, 1]"
            )
        if isinstance(self.std, tuple) and min(self.std) <= 0:
            raise UsageError(f"preprocess: std is {list(self.std)}; it divides, so it must be above 0")

    @property
    def unfitted(self) -> bool:
        """Whether mean or SD of the training images are still to be learned."""
        return TRAIN in (self.mean, self.std)

    def replace(self, **changes: Any) -> Preprocess:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in dataclasses.fields(self)
        }


@dataclass(frozen=True)
class BackboneSpec:
    """A network that gives features, named completely; with ``finetune``, one that is trained inside each fold.

    Attributes
    ----------
    name : str or None
        A timm model, with its pretrained tag if one is meant (``efficientnet_b0.ra_in1k``). None where the weights
        name their own architecture. A name ``hf-hub:org/model`` is taken as ``weights``.
    weights : str
        ``"imagenet"`` (timm's own download), ``"random"``, a ``.safetensors`` file, or ``hf-hub:org/model``.
    pooling : str
        How the feature map becomes a vector: ``avg``, ``max``, ``avgmax`` (their mean), ``cls`` (the class token of
        a transformer), ``bilinear`` (products of channels) or ``flatten``.
    layer : str or None
        A module of the network to take the output of; None for the last feature map.
    preprocess : Preprocess
        How images become inputs.
    seed : int
        Of random weights, those of untrained attention among them.
    attention : AttentionSpec or None
        Attention on the feature map, or after every stage. Its weights are random until they are trained.
    finetune : FineTune or None
        How the network is trained on the training part of each fold; None leaves its weights as they are.
    views : str
        Over which views of an image outputs are averaged: ``none``, ``flips`` (4), ``d4`` (8: flips and right angles)
        or ``rotations-8`` (steps of 45°).

    Raises
    ------
    UnknownNameError
        A pooling there is not, or weights that are none of the four kinds.
    UsageError
        Neither the name nor the weights say which architecture.
    WeightsError
        A pickled weights file.
    """

    name: str | None = None
    weights: str = "imagenet"
    pooling: str = "avg"
    layer: str | None = None
    preprocess: Preprocess = dataclasses.field(default_factory=Preprocess)
    seed: int = 0
    attention: AttentionSpec | None = None
    finetune: FineTune | None = None
    views: str = "none"

    def __post_init__(self) -> None:
        if self.name is not None and self.name.startswith(HUB):
            if self.weights not in ("imagenet", self.name):
                raise UsageError(f"backbone {self.name} comes with its own weights; leave out weights {self.weights!r}")
            object.__setattr__(self, "weights", self.name)
            object.__setattr__(self, "name", None)
        object.__setattr__(self, "weights", str(self.weights))
        if self.name == "":
            object.__setattr__(self, "name", None)
        object.__setattr__(self, "attention", AttentionSpec.of(self.attention))
        object.__setattr__(self, "finetune", FineTune.of(self.finetune))
        _known("pooling", self.pooling, POOLING_NAMES)
        _known("views", self.views, VIEW_NAMES)
        _check_weights(self.weights)
        if self.name is None and self.weights in NAMED_WEIGHTS:
            raise UsageError(
                f"no backbone named for weights {self.weights!r}; name one, e.g. --backbone efficientnet_b0, or give"
                " --weights FILE.safetensors that names its architecture"
            )
        if self.seed and self.weights != "random" and self.attention is None:
            raise UsageError(
                f"seed {self.seed} with weights {self.weights!r}; only random weights and new attention have a seed"
            )

    @property
    def file(self) -> Path | None:
        """The weights file, where the weights are one."""
        return Path(self.weights) if self.weights.endswith(".safetensors") and not self.from_hub else None

    @property
    def from_hub(self) -> bool:
        """Whether the weights are a repository of the Hugging Face hub."""
        return self.weights.startswith(HUB)

    @property
    def label(self) -> str:
        """Short name for tables: the network, then whatever is unusual about it."""
        unusual = []
        if self.weights == "random":
            unusual.append("random" if self.seed == 0 else f"random {self.seed}")
        elif self.file is not None and self.name is not None:
            unusual.append(self.file.stem)
        elif self.from_hub and self.name is not None:
            unusual.append(self.weights.removeprefix(HUB))
        if self.attention is not None:
            unusual.append(self.attention.label)
        if self.pooling != "avg":
            unusual.append(self.pooling)
        if self.layer is not None:
            unusual.append(self.layer)
        if self.views != "none":
            unusual.append(self.views)
        if self.finetune is not None:
            unusual.append(self.finetune.label)
        usual = Preprocess().describe()
        unusual += [f"{key} {_told(value)}" for key, value in self.preprocess.describe().items() if value != usual[key]]
        name = self.name or (self.file.stem if self.file is not None else self.weights.removeprefix(HUB))
        return f"{name} ({', '.join(unusual)})" if unusual else name

    def replace(self, **changes: Any) -> BackboneSpec:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types; ``BackboneSpec.from_description`` reads them again."""
        return {
            "name": self.name,
            "weights": self.weights,
            "pooling": self.pooling,
            "layer": self.layer,
            "preprocess": self.preprocess.describe(),
            "attention": None if self.attention is None else self.attention.describe(),
            "finetune": None if self.finetune is None else self.finetune.describe(),
            "views": self.views,
            "seed": self.seed,
        }

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> BackboneSpec:
        """The spec that :meth:`describe` described."""
        return cls(**{**description, "preprocess": Preprocess(**description.get("preprocess", {}))})

    @property
    def digest(self) -> str:
        """sha256 over :meth:`describe`. The weights count by name here; features are keyed by their content."""
        return hashlib.sha256(canonical_json(self.describe()).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII, numbers as Python repeats them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _known(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UnknownNameError(kind, str(name), known)


def _check_weights(weights: str) -> None:
    if weights.startswith(HUB):
        if weights.removeprefix(HUB).partition("@")[0].count("/") != 1:
            raise UsageError(f"weights {weights!r}: a hub model is written {HUB}organisation/model")
    elif weights.lower().endswith(_PICKLED):
        raise WeightsError(
            f"{weights}: pickled weights can run any code and are never loaded; convert them with"
            " safetensors.torch.save_file"
        )
    elif weights not in NAMED_WEIGHTS and not weights.endswith(".safetensors"):
        raise UnknownNameError("weights", weights, (*NAMED_WEIGHTS, "FILE.safetensors", f"{HUB}org/model"))


def _size(value: Any) -> int | tuple[int, int] | None:
    if value is None:
        return None
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise UsageError(f"preprocess: input_size is {value!r}; give one side in pixels, or height and width")
    return sides[0] if sides[0] == sides[1] else cast(tuple[int, int], sides)


def _channels(name: str, value: Any) -> Channels | Literal["train"] | None:
    if value is None or value == TRAIN:
        return cast(Literal["train"] | None, value)
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 3:
        raise UsageError(f"preprocess: {name} is {value!r}; give three numbers (R, G, B), or 'train'")
    if not all(isinstance(number, int | float) for number in value):
        raise UsageError(f"preprocess: {name} is {value!r}; its three entries must be numbers")
    return cast(Channels, tuple(float(number) for number in value))


def _told(value: Any) -> str:
    return "/".join(f"{number:g}" for number in value) if isinstance(value, list) else str(value)
