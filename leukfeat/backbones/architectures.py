"""Trunks of our own, for the papers' networks that timm has not; they have the interface of timm's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

_PIXELS_AS_THEY_ARE: Mapping[str, Any] = MappingProxyType(
    {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "interpolation": "bilinear", "crop_pct": 1.0}
)


class OwnTrunk(nn.Module):
    """A trunk that is a sequence of layers, without a classifier.

    Attributes
    ----------
    pretrained_cfg : mapping
        Facts about its input, under timm's names.
    num_features : int
        Channels of its last map.
    feature_info : list of dict
        The module that ends each block, with its channels and the reduction of the resolution, as in timm.
    features : nn.Sequential
        The layers.
    """

    pretrained_cfg: ClassVar[Mapping[str, Any]]
    num_features: int
    feature_info: list[dict[str, Any]]
    features: nn.Sequential

    num_classes: ClassVar[int] = 0

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map: (B, 3, H, W) -> (B, C, H', W')."""
        return self.features(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """The mean of the last map: (B, 3, H, W) -> (B, C)."""
        return self.forward_features(x).mean(dim=(2, 3))


class SajonCNN(OwnTrunk):
    """The custom CNN of Sajon et al., without its attention: four blocks of convolution, ReLU and max pooling.

    Attention belongs after every convolution: ``attention: {name: cbam, after: blocks, pre_pool: true}``.

    Parameters
    ----------
    widths : sequence of int
        Channels of the convolutions.

    References
    ----------
    Sajon et al., "Attention Mechanism-Enhanced Deep CNN Architecture for Precise Multi-class Leukemia Classification".

    Stated in the paper: four convolutional blocks ("con1-conv4") with CBAM after each convolution, 32 feature maps
    from the first convolution, two fully connected layers ("fc5, fc6") and softmax behind them, images of 224 × 224
    pixels in [0, 1].

    Guessed, because the paper does not say: widths 64, 128 and 256 of the other convolutions, windows of 3 × 3, ReLU,
    2 × 2 max pooling at the end of each block, and no batch normalisation.
    """

    pretrained_cfg = MappingProxyType({"input_size": (3, 224, 224), **_PIXELS_AS_THEY_ARE})

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 256)) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.feature_info = []
        channels = 3
        for number, width in enumerate(widths, start=1):
            self.features.add_module(f"conv{number}", nn.Conv2d(channels, width, 3, padding=1))
            self.features.add_module(f"act{number}", nn.ReLU(inplace=True))
            self.features.add_module(f"pool{number}", nn.MaxPool2d(2))
            self.feature_info.append(_block(f"features.act{number}", width, 2 ** (number - 1)))
            channels = width
        self.num_features = channels


class StainDeconvolution(nn.Module):
    """Stain quantities from optical densities, by a 3 × 3 matrix that is learned: 9 parameters.

    D = -log10(I), q = tanh(M D), I in [0, 1]. A channel that is 0, as all are where the background has been cut away,
    counts as clear: D = 0. Values below one grey level of 255 count as one level, so that no logarithm is infinite.

    References
    ----------
    Duggal et al., "SD-Layer: Stain Deconvolutional Layer for CNNs in Medical Microscopic Imaging", MICCAI 2017,
    doi:10.1007/978-3-319-66179-7_50.

    Differs from the paper: M starts as the identity; theirs starts as the inverse of the stain vectors of one image,
    which is not given.
    """

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, H, W) in (-1, 1)."""
        light = torch.where(x > 0, x.clamp(min=1 / 255), 1.0)
        return torch.einsum("sc,bchw->bshw", self.matrix, -light.log10()).tanh()


class LogDCT(nn.Module):
    """Two-dimensional discrete cosine transform of each channel (type II, orthonormal), its logarithm with sign.

    X = C_H x C_W', y = sign(X) log10(1 + |X|).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        spectrum = cosines(height, x) @ x @ cosines(width, x).T
        return spectrum.sign() * spectrum.abs().log1p() / math.log(10)


def cosines(n: int, like: Tensor) -> Tensor:
    """The matrix (n, n) of the orthonormal DCT-II, of the type and on the device of a tensor."""
    steps = torch.arange(n, dtype=torch.float64, device=like.device)
    matrix = torch.cos(math.pi / n * steps[:, None] * (steps + 0.5)) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.to(like.dtype)


class SDCTAuxNet(OwnTrunk):
    """The main network of SDCT-AuxNet: stain deconvolution, DCT, and a compact CNN, meant for ``pooling: bilinear``.

    References
    ----------
    Gehlot et al., "SDCT-AuxNet^θ: DCT augmented stain deconvolutional CNN with auxiliary classifier for cancer
    diagnosis", Medical Image Analysis 2020, doi:10.1016/j.media.2020.101661.

    Known from the abstract and from the code that the authors published: optical densities with a learned stain
    matrix, tanh, DCT and logarithm; convolutions of 16, 16, 32, 48, 64 and 64 channels (the first 5 × 5 with stride
    2, the others 3 × 3), each with batch normalisation and ReLU, max pooling after all but the first and the last;
    bilinear pooling (64² numbers), signed square root, L2 normalisation, one linear layer; the middle 350 × 350
    pixels of an image, in [0, 1], so that the last map has 10 × 10 places. The auxiliary classifier, an SVM on the
    means over channels at these 100 places, answers where the network is less sure than 0.9.

    Not known, or different: their initial stain matrix (see :class:`StainDeconvolution`).
    """

    pretrained_cfg = MappingProxyType({"input_size": (3, 350, 350), **_PIXELS_AS_THEY_ARE})

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("stain", StainDeconvolution())
        self.features.add_module("dct", LogDCT())
        self.feature_info = []
        channels, reduction = 3, 2
        for number, width in enumerate((16, 16, 32, 48, 64, 64), start=1):
            conv = (
                nn.Conv2d(channels, width, 5, stride=2, padding=1)
                if number == 1
                else nn.Conv2d(channels, width, 3, padding=1)
            )
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            self.features.add_module(f"conv{number}", conv)
            self.features.add_module(f"norm{number}", nn.BatchNorm2d(width))
            self.features.add_module(f"act{number}", nn.ReLU(inplace=True))
            if number > 1:  # the first block has the resolution of the second
                self.feature_info.append(_block(f"features.act{number}", width, reduction))
            if 1 < number < 6:
                self.features.add_module(f"pool{number}", nn.MaxPool2d(2))
                reduction *= 2
            channels = width
        self.num_features = channels


def _block(module: str, channels: int, reduction: int) -> dict[str, Any]:
    return {"module": module, "num_chs": channels, "reduction": reduction}


ARCHITECTURES: Mapping[str, type[OwnTrunk]] = MappingProxyType({"sajon_cnn": SajonCNN, "sdct_auxnet": SDCTAuxNet})
