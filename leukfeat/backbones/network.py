"""A network cut open: trunk, feature map, attention, pooling, embedding, and a classifier where one is trained."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from leukfeat.backbones.attention import ATTENTIONS
from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.places import places
from leukfeat.backbones.views import averaged
from leukfeat.errors import UnknownNameError, UsageError

LAST = "last"  # the place of attention on the feature map itself


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


def _bilinear(features: FeatureMap) -> Tensor:
    """Mean outer product of the vectors, its signed square root, normalised (Lin et al., "Bilinear CNNs", 2015)."""
    x = features.positions
    products = torch.bmm(x, x.transpose(1, 2)).flatten(1) / x.shape[2]  # (B, C, N) -> (B, C * C)
    return nn.functional.normalize(products.sign() * (products.abs() + 1e-12).sqrt(), dim=1)


POOLINGS: Mapping[str, Callable[[FeatureMap], Tensor]] = MappingProxyType(
    {
        "avg": lambda features: features.positions.mean(dim=2),  # (B, C, N) -> (B, C)
        "max": lambda features: features.positions.amax(dim=2),  # (B, C, N) -> (B, C)
        "avgmax": lambda features: (features.positions.mean(dim=2) + features.positions.amax(dim=2)) / 2,
        "bilinear": _bilinear,  # (B, C * C)
        "cls": _class_token,  # (B, C)
        "flatten": lambda features: features.positions.flatten(1),  # (B, C, N) -> (B, C * N)
    }
)


class Network(nn.Module):
    """Trunk, attention, pooling.

    Parameters
    ----------
    trunk : nn.Module
        A timm model, or one of ours.
    pooling : str
        A name in :data:`POOLINGS`.
    layer : str or None
        Module whose output is pooled; None for ``forward_features``.
    attention : AttentionSpec or None
        Attention after every stage, or on the map that is pooled. New modules are initialised from torch's current
        random state.
    views : str
        Views over which the embedding is averaged in evaluation mode.

    Attributes
    ----------
    attention : nn.ModuleDict
        By place: the name of the module it follows with ``/`` for ``.``, or ``"last"``.

    Raises
    ------
    UnknownNameError
        The trunk has no module of that name.
    UsageError
        Attention on a trunk without a spatial map.
    """

    def __init__(
        self,
        trunk: nn.Module,
        pooling: str = "avg",
        layer: str | None = None,
        attention: AttentionSpec | None = None,
        views: str = "none",
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.pooling = pooling
        self.layer = layer
        self.views = views
        self.attention_spec = attention
        self.attention = nn.ModuleDict()
        self._caught: dict[int, Any] = {}  # by thread: engines run one network in several at a time
        modules = dict(trunk.named_modules())
        if layer is not None and (not layer or layer not in modules):
            raise UnknownNameError("layer", layer, [name for name in modules if name])
        if attention is not None:
            for place in places(trunk, attention, layer):
                key = LAST if place.module is None else place.module.replace(".", "/")
                self.attention[key] = ATTENTIONS[attention.name].build(place.channels, attention)
                if place.module is not None:  # no closure: a deep copy has its own
                    modules[place.module].register_forward_hook(functools.partial(_attend, self.attention[key]))
        if layer is not None:  # after attention's own hooks, so that what is caught has been attended to
            modules[layer].register_forward_hook(self._catch)

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised images: (B, 3, H, W) -> (B, d); the mean over views in evaluation mode."""
        return averaged(self.embed, x, "none" if self.training else self.views)

    def embed(self, x: Tensor) -> Tensor:
        """Embed normalised images as they stand: (B, 3, H, W) -> (B, d)."""
        return self.pool(self._output(x))

    def pool(self, output: Tensor) -> Tensor:
        """From the trunk's output (attention after stages included) to the embedding (B, d)."""
        if LAST in self.attention:
            return self.pool_map(self._attended(self._as_map(output)))
        return POOLINGS[self.pooling](self._as_feature_map(output))

    def pool_map(self, spatial_map: Tensor) -> Tensor:
        """From what :meth:`spatial_map` gives to the embedding: (B, C, H, W) -> (B, d)."""
        if self._last_gives("vector"):
            return self.attention[LAST](spatial_map)  # type: ignore[no-any-return]
        return POOLINGS[self.pooling](FeatureMap(spatial_map.flatten(2)))

    def feature_map(self, x: Tensor) -> FeatureMap:
        """What is pooled, where no attention stands before the pooling, in 32-bit floats."""
        return self._as_feature_map(self._output(x))

    def trunk_map(self, x: Tensor) -> Tensor:
        """The trunk's last map (B, C, H, W), before attention on it.

        Raises
        ------
        UsageError
            The trunk has no spatial map.
        """
        return self._as_map(self._output(x))

    def spatial_map(self, x: Tensor) -> Tensor:
        """The last map (B, C, H, W), after attention that gives a map.

        Raises
        ------
        UsageError
            The trunk has no spatial map.
        """
        return self._attended(self.trunk_map(x))

    def _attended(self, trunk_map: Tensor) -> Tensor:
        """The map after attention on it, where that gives a map."""
        return self.attention[LAST](trunk_map) if self._last_gives("map") else trunk_map

    def _last_gives(self, what: str) -> bool:
        spec = self.attention_spec
        return LAST in self.attention and spec is not None and ATTENTIONS[spec.name].gives == what

    def _output(self, x: Tensor) -> Tensor:
        """What the trunk, or the layer, gives out, in 32-bit floats."""
        if self.layer is None:
            output = self.trunk.forward_features(x)  # type: ignore[operator]
        else:
            self._caught.pop(_thread(), None)
            self.trunk(x)
            if _thread() not in self._caught:
                raise UsageError(f"layer {self.layer!r} takes no part in the network's forward pass; choose another")
            output = self._caught.pop(_thread())
        if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4):
            kind = f"a tensor of {output.ndim} dimensions" if isinstance(output, Tensor) else type(output).__name__
            raise UsageError(
                f"layer {self.layer or 'forward_features'!r} gives {kind}, not a feature map; choose another"
            )
        return output.float()

    def _catch(self, _module: nn.Module, _args: object, output: Any) -> None:
        self._caught[_thread()] = output

    def _as_map(self, output: Tensor) -> Tensor:
        if output.ndim != 4:
            raise UsageError(
                f"{type(self.trunk).__name__}: {self.layer or 'the trunk'} gives {output.ndim} dimensions, no map of"
                " pixels; attention and Grad-CAM need a convolutional backbone, or a layer with a map"
            )
        nhwc = getattr(self.trunk, "output_fmt", "NCHW") == "NHWC"
        return output.permute(0, 3, 1, 2) if nhwc else output  # (B, H, W, C) -> (B, C, H, W)

    def _as_feature_map(self, output: Tensor) -> FeatureMap:
        if output.ndim == 2:  # a vector already: one place
            return FeatureMap(output.unsqueeze(2))  # (B, C) -> (B, C, 1)
        if output.ndim == 4:
            return FeatureMap(self._as_map(output).flatten(2))  # (B, C, H, W) -> (B, C, H * W)
        prefix = int(getattr(self.trunk, "num_prefix_tokens", 0))  # class and register tokens come first
        has_class_token = bool(getattr(self.trunk, "has_class_token", prefix > 0)) and prefix > 0
        return FeatureMap(
            positions=output[:, prefix:].transpose(1, 2),  # (B, prefix + N, C) -> (B, C, N)
            class_token=output[:, 0] if has_class_token else None,
        )


def _attend(attention: nn.Module, _module: nn.Module, _args: object, output: Tensor) -> Tensor:
    return attention(output)  # type: ignore[no-any-return]


def _thread() -> int:
    """The thread that computes; one that only traces the graph is any."""
    return 0 if torch.compiler.is_compiling() else threading.get_ident()


class ClassifyingNetwork(nn.Module):
    """A network with a classifier on its embedding.

    Parameters
    ----------
    network : Network
        Gives the embedding.
    classifier : nn.Module
        (B, d) -> (B, K).
    """

    def __init__(self, network: Network, classifier: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalised images: (B, 3, H, W) -> (B, K); the mean over views in evaluation mode."""
        return averaged(self.logits, x, "none" if self.training else self.network.views)

    def logits(self, x: Tensor) -> Tensor:
        """Logits of normalised images as they stand: (B, 3, H, W) -> (B, K)."""
        return self.classifier(self.network.embed(x))  # type: ignore[no-any-return]
