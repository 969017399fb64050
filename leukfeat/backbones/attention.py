"""Attention modules: ECA, CBAM, Saeed's modification of CBAM with GWAP, Felbo's weighted average, and their merge.

======================  ============================================  ==============================
name                    paper                                         parameters, C channels
======================  ============================================  ==============================
``eca``                 Wang et al., "ECA-Net", CVPR 2020             k
``cbam``                Woo et al., "CBAM", ECCV 2018                 2C²/r + 98 (+ 2 with batch norm)
``saeed-cbam``          Saeed et al., 2022, equations 7 and 8         C² + 18, or 2C²/r + 18
``gwap``                the same, equation 9                          as saeed-cbam
``felbo``               Felbo et al., "DeepMoji", EMNLP 2017          C
``saeed``               Saeed et al., 2022, figure 3                  gwap + felbo
======================  ============================================  ==============================

The first three turn a map into a map, (B, C, H, W) -> (B, C, H, W), the others into the embedding, (B, C, H, W) ->
(B, d). This is the table; the modules are in ``attention_maps`` and ``attention_pooling``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import nn

from leukfeat.backbones.attention_maps import CBAM, ECA, SaeedCBAM
from leukfeat.backbones.attention_pooling import GWAP, Felbo, Saeed
from leukfeat.backbones.attention_spec import ADAPTIVE, KINDS, AttentionSpec


@dataclass(frozen=True)
class Attention:
    """How a kind of attention is built, and what it gives.

    Attributes
    ----------
    build : callable
        (channels, spec) -> module.
    gives : {"map", "vector"}
        A map of the same shape, or the embedding.
    dim : callable
        (channels, spec) -> channels of the map, or length of the embedding.
    """

    build: Callable[[int, AttentionSpec], nn.Module]
    gives: Literal["map", "vector"]
    dim: Callable[[int, AttentionSpec], int]


def _same(channels: int, spec: AttentionSpec) -> int:
    return channels


ATTENTIONS: Mapping[str, Attention] = MappingProxyType(
    {
        "cbam": Attention(CBAM, KINDS["cbam"].gives, _same),
        "eca": Attention(lambda channels, spec: ECA(channels, spec.kernel_size or ADAPTIVE), KINDS["eca"].gives, _same),
        "felbo": Attention(lambda channels, spec: Felbo(channels), KINDS["felbo"].gives, _same),
        "gwap": Attention(GWAP, KINDS["gwap"].gives, _same),
        "saeed": Attention(
            Saeed, KINDS["saeed"].gives, lambda channels, spec: channels * (2 if spec.merge == "concat" else 1)
        ),
        "saeed-cbam": Attention(SaeedCBAM, KINDS["saeed-cbam"].gives, _same),
    }
)
