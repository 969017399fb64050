"""Attention that turns a map into a map of the same shape: ECA, CBAM, and Saeed's modification of CBAM.

timm's layers are used where they are the paper's. Every module has ``weights(x)``, which gives the weights it lays on
the channels and places of a map, for explanations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from timm.layers.cbam import ChannelAttn, SpatialAttn
from timm.layers.eca import EcaModule
from torch import Tensor, nn

from leukfeat.backbones.attention_spec import ADAPTIVE, AttentionSpec


def eca_kernel_size(channels: int) -> int:
    """Channels that interact in ECA: |log2(C) / 2 + 1 / 2|, made odd as the authors' code does.

    Examples
    --------
    >>> [eca_kernel_size(channels) for channels in (64, 128, 256, 512, 512)]
    [3, 5, 5, 5, 5]
    """
    size = int(abs((math.log2(channels) + 1) / 2))
    return size if size % 2 else size + 1


class ECA(nn.Module):
    """Efficient channel attention: a convolution over the channels' means gives the channels' weights.

    ω = σ(Conv1d_k(mean_hw x)), out = ω ⊗ x.

    Parameters
    ----------
    channels : int
        C.
    kernel_size : int or "adaptive"
        k; adaptive by :func:`eca_kernel_size`.

    References
    ----------
    Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", CVPR 2020,
    doi:10.1109/CVPR42600.2020.01155.
    """

    def __init__(self, channels: int, kernel_size: int | str = ADAPTIVE) -> None:
        super().__init__()
        size = eca_kernel_size(channels) if kernel_size == ADAPTIVE else kernel_size
        self.eca = EcaModule(kernel_size=size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.eca(x)  # type: ignore[no-any-return]

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """Weights on channels, (B, C)."""
        means = x.mean(dim=(2, 3)).unsqueeze(1)  # (B, C, H, W) -> (B, 1, C)
        return {"channel": self.eca.conv(means).squeeze(1).sigmoid()}


class CBAM(nn.Module):
    """Convolutional block attention: weights on channels, then weights on places.

    Mc = σ(W1 δ(W0 mean_hw x) + W1 δ(W0 max_hw x)), x' = Mc ⊗ x; Ms = σ(f([mean_c x'; max_c x'])), out = Ms ⊗ x'.

    Parameters
    ----------
    channels : int
        C.
    spec : AttentionSpec
        Of the name ``cbam``.

    References
    ----------
    Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, doi:10.1007/978-3-030-01234-2_1.

    Differs from the paper: the batch normalisation after f is not in its equations, but in the authors' code and in
    timm; ``spatial_bn=False`` leaves it out. The hidden layer has max(1, ⌊C / r⌋) units, as in the authors' code.
    """

    def __init__(self, channels: int, spec: AttentionSpec) -> None:
        super().__init__()
        self.channel = ChannelAttn(channels, rd_channels=_hidden(channels, spec), mlp_bias=bool(spec.mlp_bias))
        self.spatial = _spatial(spec)
        self.channel_first = spec.order == "channel-spatial"
        self.residual = nn.Conv2d(channels, channels, 1) if spec.residual == "conv1x1" else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        first, second = (self.channel, self.spatial) if self.channel_first else (self.spatial, self.channel)
        attended: Tensor = second(first(x))
        return attended if self.residual is None else x + self.residual(attended)

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """Weights on channels, (B, C), and on places, (B, H, W)."""
        into_channel, into_spatial = (x, self.channel(x)) if self.channel_first else (self.spatial(x), x)
        return {
            "channel": _channel_weights(self.channel, into_channel),
            "spatial": _place_weights(self.spatial, into_spatial),
        }


class SaeedCBAM(nn.Module):
    """The modified CBAM of Saeed et al.: one shared W0 for channels, a 3×3 window for places.

    Mc = σ(W0 mean_hw x + W0 max_hw x), x' = Mc ⊗ x; Ms = σ(f^{3×3}([mean_c x'; max_c x'])), out = Ms ⊗ x'.

    Parameters
    ----------
    channels : int
        C.
    spec : AttentionSpec
        Of the name ``saeed-cbam``, ``gwap`` or ``saeed``.

    References
    ----------
    Saeed et al., "A Deep Learning-Based Approach for the Diagnosis of Acute Lymphoblastic Leukemia", Electronics 2022,
    doi:10.3390/electronics11193168, equations 7 and 8.

    Differs from the paper: its text calls W0 the weight of an MLP with one hidden layer, which equation 7 has not.
    ``mlp="linear"`` is the equation (W0 of shape C × C), ``mlp="bottleneck"`` the text (C → C / r → C with ReLU).
    """

    def __init__(self, channels: int, spec: AttentionSpec) -> None:
        super().__init__()
        self.channel = _CHANNEL[str(spec.mlp)](channels, spec)
        self.spatial = _spatial(spec)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.spatial(self.channel(x))  # type: ignore[no-any-return]

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """Weights on channels, (B, C), and on places, (B, H, W)."""
        return {
            "channel": _channel_weights(self.channel, x),
            "spatial": self.place_weights(self.channel(x)),
        }

    def place_weights(self, refined: Tensor) -> Tensor:
        """Ms, the weights on places, from the map x' that channel attention has refined: (B, C, H, W) -> (B, H, W)."""
        return _place_weights(self.spatial, refined)


class LinearChannelAttn(nn.Module):
    """Channel attention with one linear layer that means and maxima share.

    Parameters
    ----------
    channels : int
        C.
    bias : bool
        Of the layer.
    """

    def __init__(self, channels: int, bias: bool = False) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1, bias=bias)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * _channel_weights(self, x)[:, :, None, None]


def _hidden(channels: int, spec: AttentionSpec) -> int:
    """Units of the hidden layer of channel attention."""
    return max(1, channels // int(spec.reduction or 1))


def _spatial(spec: AttentionSpec) -> SpatialAttn:
    """timm's spatial attention, which has a batch normalisation unless it is taken out."""
    size = int(spec.spatial_kernel or 0)
    spatial = SpatialAttn(size)
    if not spec.spatial_bn:
        spatial.conv = nn.Conv2d(2, 1, size, padding=size // 2, bias=False)
    return spatial


def _channel_weights(channel: nn.Module, x: Tensor) -> Tensor:
    """σ(MLP(mean_hw x) + MLP(max_hw x)): (B, C, H, W) -> (B, C)."""
    pooled = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    weights: Tensor = channel.gate(_mlp(channel, pooled[0]) + _mlp(channel, pooled[1]))  # type: ignore[operator]
    return weights.flatten(1)


def _mlp(channel: nn.Module, values: Tensor) -> Tensor:
    """The layers that means and maxima share: one, or two with an activation between, as in timm."""
    if isinstance(channel, ChannelAttn):
        return channel.fc2(channel.act(channel.fc1(values)))  # type: ignore[no-any-return]
    return channel.fc(values)  # type: ignore[operator, no-any-return]


def _place_weights(spatial: SpatialAttn, x: Tensor) -> Tensor:
    """σ(f([mean_c x; max_c x])): (B, C, H, W) -> (B, H, W)."""
    pooled = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
    return spatial.gate(spatial.conv(pooled)).squeeze(1)  # type: ignore[no-any-return]


_CHANNEL: Mapping[str, Callable[[int, AttentionSpec], nn.Module]] = {
    "linear": lambda channels, spec: LinearChannelAttn(channels, bias=bool(spec.mlp_bias)),
    "bottleneck": lambda channels, spec: ChannelAttn(
        channels, rd_channels=_hidden(channels, spec), mlp_bias=bool(spec.mlp_bias)
    ),
}
