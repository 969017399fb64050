"""A network cut open: trunk, feature map, pooling, embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from leukfeat.backbones.resolution import Resolution
from leukfeat.backbones.sources import find_source
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.trunks import digest_of_tensors, random_trunk, trunk_from_file
from leukfeat.data.hashing import sha256_of
from leukfeat.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class FeatureMap:
    """What a trunk gives out, whatever its kind.

    Attributes
    ----------
    positions : tensor of shape (B, C, N)
        A vector of length C at each of N places: pixels of a map or patches of a transformer.
    class_token : tensor of shape (B, C) or None
        A transformer's class token.
    """

    positions: Tensor
    class_token: Tensor | None = None


def _class_token(features: FeatureMap) -> Tensor:
    if features.class_token is None:
        raise UsageError("pooling 'cls': this network has no class token; use avg, max, avgmax or flatten")
    return features.class_token


POOLINGS: Mapping[str, Callable[[FeatureMap], Tensor]] = MappingProxyType(
    {
        "avg": lambda features: features.positions.mean(dim=2),  # (B, C, N) -> (B, C)
        "max": lambda features: features.positions.amax(dim=2),  # (B, C, N) -> (B, C)
        "avgmax": lambda features: (features.positions.mean(dim=2) + features.positions.amax(dim=2)) / 2,
        "cls": _class_token,  # (B, C)
        "flatten": lambda features: features.positions.flatten(1),  # (B, C, N) -> (B, C * N)
    }
)


class Network(nn.Module):
    """Trunk, then pooling.

    Parameters
    ----------
    trunk : nn.Module
        A timm model.
    pooling : str
        A name in :data:`POOLINGS`.
    layer : str or None
        Module whose output is pooled; None for ``forward_features``.

    Raises
    ------
    UnknownNameError
        The trunk has no module of that name.
    """

    def __init__(self, trunk: nn.Module, pooling: str = "avg", layer: str | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.pooling = pooling
        self.layer = layer
        self._caught: list[Any] = []
        if layer is not None:
            modules = dict(trunk.named_modules())
            if not layer or layer not in modules:
                raise UnknownNameError("layer", layer, [name for name in modules if name])
            modules[layer].register_forward_hook(lambda _module, _args, output: self._caught.append(output))

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised images: (B, 3, H, W) -> (B, d)."""
        return POOLINGS[self.pooling](self.feature_map(x))

    def feature_map(self, x: Tensor) -> FeatureMap:
        """The feature map of normalised images (B, 3, H, W), in 32-bit floats."""
        if self.layer is None:
            output = self.trunk.forward_features(x)  # type: ignore[operator]
        else:
            self._caught.clear()
            self.trunk(x)
            if not self._caught:
                raise UsageError(f"layer {self.layer!r} takes no part in the network's forward pass; choose another")
            output = self._caught.pop()
        if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4):
            kind = f"a tensor of {output.ndim} dimensions" if isinstance(output, Tensor) else type(output).__name__
            raise UsageError(
                f"layer {self.layer or 'forward_features'!r} gives {kind}, not a feature map; choose another"
            )
        return self._as_feature_map(output.float())

    def _as_feature_map(self, output: Tensor) -> FeatureMap:
        if output.ndim == 2:  # a vector already: one place
            return FeatureMap(output.unsqueeze(2))  # (B, C) -> (B, C, 1)
        if output.ndim == 4:
            if getattr(self.trunk, "output_fmt", "NCHW") == "NHWC":
                output = output.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)
            return FeatureMap(output.flatten(2))  # (B, C, H, W) -> (B, C, H * W)
        prefix = int(getattr(self.trunk, "num_prefix_tokens", 0))  # class and register tokens come first
        has_class_token = bool(getattr(self.trunk, "has_class_token", prefix > 0)) and prefix > 0
        return FeatureMap(
            positions=output[:, prefix:].transpose(1, 2),  # (B, prefix + N, C) -> (B, C, N)
            class_token=output[:, 0] if has_class_token else None,
        )


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
        The request.
    resolution : Resolution
        What it came to.

    Raises
    ------
    WeightsError
        Weights that do not fit the architecture.
    UnknownNameError
        No such layer.
    """
    source = find_source(spec)
    if source.file is None:
        trunk = random_trunk(resolution.architecture, resolution.model_args, spec.seed)
        digest = digest_of_tensors(trunk)
    else:
        trunk = trunk_from_file(source, resolution.model_args)
        digest = sha256_of(source.file)
    network = Network(trunk, resolution.pooling, resolution.layer)
    return LoadedNetwork(network.eval().requires_grad_(False), digest)
