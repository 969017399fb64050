"""Attention that turns a map into the embedding, in place of pooling: GWAP, Felbo's average, and their merge."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leukfeat.backbones.attention_maps import SaeedCBAM
from leukfeat.backbones.attention_spec import AttentionSpec

EPSILON = 1e-8  # in the denominator of GWAP, as in the paper: weights of nothing but zeros give zeros


def weighted_average(x: Tensor, weights: Tensor) -> Tensor:
    """Average of the places of a map, each with its weight: Σ A F / (Σ A + 1e-8).

    Parameters
    ----------
    x : tensor of shape (B, C, H, W)
        The map.
    weights : tensor of shape (B, H, W)
        Not negative.

    Returns
    -------
    tensor of shape (B, C)
    """
    total = weights.sum(dim=(1, 2)) + EPSILON
    return (x * weights.unsqueeze(1)).sum(dim=(2, 3)) / total.unsqueeze(1)


class GWAP(nn.Module):
    """Global weighted average pooling: the weights of spatial attention choose what is averaged.

    g_d = Σ_xy A(x, y) F(x, y, d) / (Σ_xy A(x, y) + 1e-8), where A = Ms and F = x' of :class:`SaeedCBAM`: the map after
    channel attention and *before* it is multiplied by Ms, as A would otherwise be applied twice.

    Parameters
    ----------
    channels : int
        C.
    spec : AttentionSpec
        Of the name ``gwap`` or ``saeed``.

    References
    ----------
    Saeed et al., 2022 (see :class:`SaeedCBAM`), equation 9.
    """

    def __init__(self, channels: int, spec: AttentionSpec) -> None:
        super().__init__()
        self.cbam = SaeedCBAM(channels, spec)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C)."""
        refined = self.cbam.channel(x)
        return weighted_average(refined, self.cbam.place_weights(refined))

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """Weights on channels, (B, C), and on places, (B, H, W)."""
        return self.cbam.weights(x)


class Felbo(nn.Module):
    """Weighted attention average: a softmax over places says how much each counts.

    e_t = h_t · w, a = softmax_t(e), v = Σ_t a_t h_t, where h_t are the vectors of the H · W places.

    Parameters
    ----------
    channels : int
        C.

    References
    ----------
    Felbo et al., "Using millions of emoji occurrences to learn any-domain representations for detecting sentiment,
    emotion and sarcasm", EMNLP 2017, doi:10.18653/v1/D17-1169; used by Saeed et al., 2022, equations 10 to 12.

    Differs from the paper: its places are words in time, ours are pixels of the map. w starts at zero, so that an
    untrained module is average pooling.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C)."""
        return torch.einsum("bchw,bhw->bc", x, self.weights(x)["spatial"])

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """Weights on places, (B, H, W); they sum to 1."""
        importance = torch.einsum("bchw,c->bhw", x, self.weight)
        return {"spatial": importance.flatten(1).softmax(dim=1).view_as(importance)}


class Saeed(nn.Module):
    """The multi-attention block of Saeed et al.: GWAP and Felbo's average side by side, then merged.

    Parameters
    ----------
    channels : int
        C.
    spec : AttentionSpec
        Of the name ``saeed``.

    References
    ----------
    Saeed et al., 2022 (see :class:`SaeedCBAM`), figure 3. How the two vectors are merged is not stated:
    ``merge="concat"`` gives (B, 2 C), ``merge="add"`` gives (B, C).
    """

    def __init__(self, channels: int, spec: AttentionSpec) -> None:
        super().__init__()
        self.gwap = GWAP(channels, spec)
        self.felbo = Felbo(channels)
        self.concat = spec.merge == "concat"

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2 C) or (B, C)."""
        weighted, averaged = self.gwap(x), self.felbo(x)
        return torch.cat([weighted, averaged], dim=1) if self.concat else weighted + averaged

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """GWAP's weights on channels, (B, C), and places, (B, H, W), and those of Felbo's average, (B, H, W)."""
        return {**self.gwap.weights(x), "felbo": self.felbo.weights(x)["spatial"]}
