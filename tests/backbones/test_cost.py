"""Parameters and operations are those that the papers of the architectures give, and those that take part."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import pytest
import timm
import torch
from torch import Tensor, nn

from leukfeat.backbones.architectures import ARCHITECTURES
from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.classifier import Classifier
from leukfeat.backbones.cost import Cost, check_size, cost_of
from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.meta import FeaturePass
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.errors import UsageError


@cache
def trunk(name: str) -> nn.Module:
    """A large network without memory for its weights, with the classifier it was made with."""
    return fresh(name)


def fresh(name: str) -> nn.Module:
    with torch.device("meta"):
        return ARCHITECTURES[name]() if name in ARCHITECTURES else timm.create_model(name)


def test_a_convolution_and_a_linear_layer_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 4 * 5, 2, bias=False))
    assert cost_of(network, (4, 5)) == Cost(
        parameters=(3 * 9 * 8 + 8) + 8 * 4 * 5 * 2, macs=3 * 9 * 8 * 4 * 5 + 8 * 4 * 5 * 2
    )


# --- parameters of the papers' trunks, derived from the tables of their architectures --------------------------------


def conv(n_in: int, n_out: int, window: int = 1) -> int:
    """A convolution without bias, and the batch normalisation behind it."""
    return n_in * n_out * window**2 + 2 * n_out


def vgg16() -> int:
    widths = [3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    return sum(9 * n_in * n_out + n_out for n_in, n_out in pairwise(widths))


def resnet50() -> int:
    total, n_in = conv(3, 64, 7), 64
    for depth, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        total += conv(n_in, 4 * width)  # the shortcut of the first block
        for _ in range(depth):
            total += conv(n_in, width) + conv(width, width, 3) + conv(width, 4 * width)
            n_in = 4 * width
    return total


def densenet201() -> int:
    total, n_in = conv(3, 64, 7), 64
    for depth in (6, 12, 48, 32):
        for _ in range(depth):
            total += 2 * n_in + conv(n_in, 128) + 128 * 32 * 9
            n_in += 32
        if depth != 32:
            total += 2 * n_in + n_in * n_in // 2
            n_in //= 2
    return total + 2 * n_in


def xception() -> int:
    def separable(n_in: int, n_out: int) -> int:
        return 9 * n_in + conv(n_in, n_out)

    total = conv(3, 32, 3) + conv(32, 64, 3)
    for n_in, n_mid, n_out in ((64, 128, 128), (128, 256, 256), (256, 728, 728), (728, 728, 1024)):
        total += separable(n_in, n_mid) + separable(n_mid, n_out) + conv(n_in, n_out)
    return total + 8 * 3 * separable(728, 728) + separable(1024, 1536) + separable(1536, 2048)


def inverted(n_in: int, n_out: int, expansion: int, window: int, *, squeeze: bool) -> int:
    wide, reduced = n_in * expansion, n_in // 4
    total = conv(n_in, wide) if expansion > 1 else 0
    total += wide * window**2 + 2 * wide
    total += 2 * wide * reduced + reduced + wide if squeeze else 0
    return total + conv(wide, n_out)


def mobilenet_v2() -> int:
    total, n_in = conv(3, 32, 3), 32
    rows = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    for expansion, n_out, depth in rows:
        for _ in range(depth):
            total += inverted(n_in, n_out, expansion, 3, squeeze=False)
            n_in = n_out
    return total + conv(320, 1280)


def efficientnet(width: float = 1.0, depth: float = 1.0) -> int:
    def scaled(channels: int) -> int:
        rounded = max(8, int(channels * width + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * channels * width else rounded

    n_in = scaled(32)
    total = conv(3, n_in, 3)
    rows = ((1, 3, 16, 1), (6, 3, 24, 2), (6, 5, 40, 2), (6, 3, 80, 3), (6, 5, 112, 3), (6, 5, 192, 4), (6, 3, 320, 1))
    for expansion, window, n_out, repeats in rows:
        for _ in range(math.ceil(repeats * depth)):
            total += inverted(n_in, scaled(n_out), expansion, window, squeeze=True)
            n_in = scaled(n_out)
    return total + conv(n_in, scaled(1280))


def efficientnet_v2_s() -> int:
    total, n_in = conv(3, 24, 3), 24
    for expansion, n_out, depth in ((1, 24, 2), (4, 48, 4), (4, 64, 4)):  # fused
        for _ in range(depth):
            wide = n_in * expansion
            total += conv(n_in, n_out, 3) if expansion == 1 else conv(n_in, wide, 3) + conv(wide, n_out)
            n_in = n_out
    for expansion, n_out, depth in ((4, 128, 6), (6, 160, 9), (6, 256, 15)):
        for _ in range(depth):
            total += inverted(n_in, n_out, expansion, 3, squeeze=True)
            n_in = n_out
    return total + conv(256, 1280)


@pytest.mark.parametrize(
    ("name", "side", "parameters", "giga"),
    [
        ("resnet50", 224, resnet50(), 4.09),
        ("efficientnet_b0", 224, efficientnet(), 0.39),
        ("vgg16", 224, vgg16(), 15.35),
        ("densenet201", 224, densenet201(), 4.29),
        ("mobilenetv2_100", 224, mobilenet_v2(), 0.30),
        ("legacy_xception", 299, xception(), 8.36),
    ],
)
def test_trunks_cost_what_their_architectures_say(name: str, side: int, parameters: int, giga: float) -> None:
    """Without their classifiers, which a trunk that is cut at its last map does not use."""
    cost = cost_of(FeaturePass(trunk(name)), (side, side))
    assert cost.parameters == parameters
    assert cost.macs / 1e9 == pytest.approx(giga, abs=0.006)


def test_inception_v3_costs_what_is_published() -> None:
    cost = cost_of(FeaturePass(trunk("inception_v3")), (299, 299))
    assert cost.parameters / 1e6 == pytest.approx(21.79, abs=0.006)
    assert cost.macs / 1e9 == pytest.approx(5.71, abs=0.006)


@pytest.mark.parametrize(("name", "millions"), [("resnet50", 25.557), ("vgg16", 138.358)])
def test_with_their_own_classifier_they_have_the_published_total(name: str, millions: float) -> None:
    assert cost_of(trunk(name), (224, 224)).parameters / 1e6 == pytest.approx(millions, abs=0.001)


# --- the papers' networks: trunk, attention, classifier --------------------------------------------------------------


def saeed(channels: int) -> int:
    """Attention (W0, window, Felbo), then BN, 256, 2 on twice the channels."""
    d = 2 * channels
    return (channels**2 + 18 + channels) + (2 * d + d * 256 + 256 + 256 * 2 + 2)


def sajon(channels: int, side: int) -> int:
    """CBAM with r = 16 and no batch norm, then BN, 512, 128, 4 on the flattened map."""
    d = channels * side**2
    return (2 * channels * (channels // 16) + 98) + (2 * d + d * 512 + 512 + 512 * 128 + 128 + 128 * 4 + 4)


ECA, ECA_9 = (AttentionSpec(name="eca", after="blocks", kernel_size=size) for size in ("adaptive", 9))
SAEED = AttentionSpec(name="saeed")
SAEED_HEAD = ClassifierSpec((256,), "elu", batch_norm=True)
CBAM = AttentionSpec(name="cbam", spatial_bn=False)
SAJON_HEAD = ClassifierSpec((512, 128), "relu", batch_norm=True, dropout=0.25)
VGG_HEAD = ClassifierSpec((4096, 4096))
VGG_LAYERS = 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 2 + 2


@pytest.mark.parametrize(
    ("name", "side", "pooling", "attention", "dim", "head", "n_classes", "parameters"),
    [
        ("tf_efficientnetv2_s", 300, "avg", SAEED, 2560, SAEED_HEAD, 2, efficientnet_v2_s() + saeed(1280)),
        ("efficientnet_b3", 300, "avg", SAEED, 3072, SAEED_HEAD, 2, efficientnet(1.2, 1.4) + saeed(1536)),
        ("densenet201", 224, "flatten", CBAM, 1920 * 49, SAJON_HEAD, 4, densenet201() + sajon(1920, 7)),
        ("resnet50", 224, "flatten", CBAM, 2048 * 49, SAJON_HEAD, 4, resnet50() + sajon(2048, 7)),
        ("legacy_xception", 224, "flatten", CBAM, 2048 * 49, SAJON_HEAD, 4, xception() + sajon(2048, 7)),
        ("tf_efficientnet_b6", 224, "flatten", CBAM, 2304 * 49, SAJON_HEAD, 4, efficientnet(1.8, 2.6) + sajon(2304, 7)),
        ("vgg16", 224, "flatten", ECA_9, 512 * 49, VGG_HEAD, 2, vgg16() + 45 + VGG_LAYERS),
        ("vgg16", 224, "flatten", ECA, 512 * 49, VGG_HEAD, 2, vgg16() + 23 + VGG_LAYERS),
        ("vgg16", 224, "flatten", None, 512 * 49, VGG_HEAD, 2, vgg16() + VGG_LAYERS),
        ("sdct_auxnet", 350, "bilinear", None, 64**2, ClassifierSpec(), 2, 87_177 + 64**2 * 2 + 2),
    ],
)
def test_the_papers_networks_have_the_parameters_of_their_parts(
    name: str,
    side: int,
    pooling: str,
    attention: AttentionSpec | None,
    dim: int,
    head: ClassifierSpec,
    n_classes: int,
    parameters: int,
) -> None:
    with torch.device("meta"):
        network = Network(fresh(name), pooling, attention=attention)
        model = ClassifyingNetwork(network, Classifier(dim, n_classes, head))
    assert cost_of(model, (side, side)).parameters == parameters


@pytest.mark.parametrize("name", ["legacy_xception", "mobilenetv2_100"])
def test_attention_between_stages_takes_part_and_can_be_trained(name: str) -> None:
    """Many activations write over their input: a gradient through attention must still be had."""
    with torch.device("meta"):
        plain = cost_of(Network(fresh(name)), (96, 96)).parameters
        network = Network(fresh(name), attention=AttentionSpec(name="cbam", after="blocks"))
    added = sum(parameter.numel() for parameter in network.attention.parameters())
    assert len(network.attention) == 5
    assert cost_of(network, (96, 96)).parameters == plain + added


def test_only_what_comes_before_a_layer_is_counted() -> None:
    network = Network(fresh("resnet50"), layer="layer1")
    stem = 3 * 64 * 49 + 2 * 64
    first = 64 * 64 + 64 * 64 * 9 + 64 * 256 + 64 * 256 + 2 * (64 + 64 + 256 + 256)
    others = 256 * 64 + 64 * 64 * 9 + 64 * 256 + 2 * (64 + 64 + 256)
    assert cost_of(network, (64, 64)).parameters == stem + first + 2 * others


def test_frozen_parameters_count_as_well() -> None:
    model = timm.create_model("test_resnet", num_classes=0)
    thawed = cost_of(model, (64, 64))
    assert cost_of(model.requires_grad_(False), (64, 64)) == thawed
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_network_without_parameters_costs_none() -> None:
    assert cost_of(nn.Flatten(), (4, 4)) == Cost(0, 0)


def test_views_count_each() -> None:
    """Eight rotations are eight forward passes, and the cost of an image is what it takes to embed it."""
    model = timm.create_model("test_resnet", num_classes=0)
    once, often = (cost_of(Network(model, views=views), (64, 64)) for views in ("none", "flips"))
    assert (often.parameters, often.macs) == (once.parameters, 4 * once.macs)


@pytest.mark.parametrize(
    ("name", "side"), [("inception_v3", 32), ("vit_small_patch16_224", 64), ("vgg16", 16), ("sajon_cnn", 8)]
)
def test_a_size_that_a_trunk_cannot_take_is_refused_in_one_line(name: str, side: int) -> None:
    with pytest.raises(UsageError) as caught:
        check_size(trunk(name), (side, side), name)
    told = str(caught.value)
    assert told.startswith(f"{name} cannot take images of {side} × {side} pixels: ")
    assert "leave out input_size" in told
    assert "\n" not in told


@pytest.mark.parametrize(("name", "side"), [("inception_v3", 96), ("vit_small_patch16_224", 224), ("vgg16", 32)])
def test_a_size_that_a_trunk_can_take_passes(name: str, side: int) -> None:
    check_size(trunk(name), (side, side), name)


def test_an_error_of_ours_on_the_way_keeps_its_words() -> None:
    class Refusing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise UsageError("no")

    with pytest.raises(UsageError, match=r"^no$"):
        cost_of(Refusing(), (8, 8))
