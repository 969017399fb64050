"""The networks of the papers' recipes have as many parameters as their architectures say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import timm
import torch

from leukfeat.backbones.architectures import ARCHITECTURES
from leukfeat.backbones.cost import cost_of
from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.network import Network
from leukfeat.backbones.network_files import with_classifier
from leukfeat.backbones.sources import find_source
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.trunks import random_trunk
from leukfeat.experiments.grid import each_alone
from leukfeat.experiments.recipe import Recipe, load_recipe

PAPERS = sorted((Path(__file__).resolve().parents[1] / "configs" / "papers").glob("*.yaml"))


# ---------------------------------------------------------------------- architectures, layer by layer


def conv(side: int, of: int, to: int, *, bias: bool = False, groups: int = 1) -> int:
    return side * side * of // groups * to + (to if bias else 0)


def norm(channels: int) -> int:
    return 2 * channels


def linear(of: int, to: int) -> int:
    return of * to + to


def vgg(convs: Sequence[int]) -> int:
    """Five stages of 3 × 3 convolutions with bias (Simonyan and Zisserman 2015)."""
    total, channels = 0, 3
    for number, width in zip(convs, (64, 128, 256, 512, 512), strict=True):
        for _ in range(number):
            total += conv(3, channels, width, bias=True)
            channels = width
    return total


def resnet(blocks: Sequence[int], *, bottleneck: bool, cardinality: int = 1, squeeze: bool = False) -> int:
    """Residual stages (He et al. 2016); grouped 3 × 3 convolutions of width 4 × 32 (Xie et al. 2017) with squeeze."""
    total, channels = conv(7, 3, 64) + norm(64), 64
    for stage, number in enumerate(blocks):
        width = 64 * 2**stage
        out = 4 * width if bottleneck else width
        inner = width if cardinality == 1 else width // 64 * 4 * cardinality
        for block in range(number):
            if bottleneck:
                total += conv(1, channels, inner) + norm(inner)
                total += conv(3, inner, inner, groups=cardinality) + norm(inner)
                total += conv(1, inner, out) + norm(out)
            else:
                total += conv(3, channels, width) + conv(3, width, width) + 2 * norm(width)
            if squeeze:
                total += conv(1, out, out // 16, bias=True) + conv(1, out // 16, out, bias=True)
            if block == 0 and channels != out:
                total += conv(1, channels, out) + norm(out)
            channels = out
    return total


def resnet_v2_50() -> int:
    """Normalisation before each convolution, one at the end; convolutions without bias (He et al. 2016b)."""
    total, channels = conv(7, 3, 64), 64
    for stage, number in enumerate((3, 4, 6, 3)):
        width, out = 64 * 2**stage, 256 * 2**stage
        for block in range(number):
            total += norm(channels) + conv(1, channels, width) + norm(width) + conv(3, width, width)
            total += norm(width) + conv(1, width, out) + (conv(1, channels, out) if block == 0 else 0)
            channels = out
    return total + norm(channels)


def densenet(blocks: Sequence[int]) -> int:
    """Growth 32, bottlenecks of 128, transitions that halve (Huang et al. 2017)."""
    total, channels = conv(7, 3, 64) + norm(64), 64
    for stage, number in enumerate(blocks):
        for _ in range(number):
            total += norm(channels) + conv(1, channels, 128) + norm(128) + conv(3, 128, 32)
            channels += 32
        if stage < len(blocks) - 1:
            total += norm(channels) + conv(1, channels, channels // 2)
            channels //= 2
    return total + norm(channels)


def mobilenet_v1() -> int:
    """Depthwise and pointwise convolutions in turn (Howard et al. 2017)."""
    total, channels = conv(3, 3, 32) + norm(32), 32
    for width in (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024):
        total += 9 * channels + norm(channels) + conv(1, channels, width) + norm(width)
        channels = width
    return total


def mobilenet_v2() -> int:
    """Inverted residuals (Sandler et al. 2018, Table 2)."""
    total, channels = conv(3, 3, 32) + norm(32), 32
    for expansion, width, number in (
        (1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1),
    ):  # fmt: skip
        for _ in range(number):
            inner = expansion * channels
            total += (conv(1, channels, inner) + norm(inner)) if expansion > 1 else 0
            total += 9 * inner + norm(inner) + conv(1, inner, width) + norm(width)
            channels = width
    return total + conv(1, 320, 1280) + norm(1280)


def sajon_cnn() -> int:
    """Four convolutions of 3 × 3 with bias."""
    return sum(conv(3, of, to, bias=True) for of, to in ((3, 32), (32, 64), (64, 128), (128, 256)))


def sdct() -> int:
    """A 3 × 3 stain matrix, then six convolutions with bias and batch normalisation."""
    widths = (3, 16, 16, 32, 48, 64, 64)
    sides = (5, 3, 3, 3, 3, 3)
    pairs = zip(sides, widths[:-1], widths[1:], strict=True)
    return 9 + sum(conv(side, of, to, bias=True) + norm(to) for side, of, to in pairs)


# Totals that were published with the weights (with the 1,000-class layer, which is taken off), where a derivation
# would be as long as the code it checks.
TRUNKS: dict[str, Callable[[], int]] = {
    "densenet121": lambda: densenet((6, 12, 24, 16)),
    "densenet201": lambda: densenet((6, 12, 48, 32)),
    "efficientnet_b0": lambda: 5_288_548 - linear(1280, 1000),  # torchvision
    "inception_resnet_v2": lambda: 55_843_464 - linear(1536, 1000),  # Cadene's pretrained-models
    "inception_v3": lambda: 23_834_568 - linear(2048, 1000),  # torchvision, without the auxiliary classifier
    "legacy_seresnext50_32x4d": lambda: resnet((3, 4, 6, 3), bottleneck=True, cardinality=32, squeeze=True),
    "legacy_xception": lambda: 22_855_952 - linear(2048, 1000),  # Cadene's pretrained-models
    "mobilenetv1_100": mobilenet_v1,
    "mobilenetv2_100": mobilenet_v2,
    "nasnetalarge": lambda: 88_753_150 - linear(4032, 1000),  # Cadene's pretrained-models
    "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True),
    "resnetv2_50": resnet_v2_50,
    "sajon_cnn": sajon_cnn,
    "sdct_auxnet": sdct,
    "tf_efficientnet_b3": lambda: 12_233_232 - linear(1536, 1000),  # torchvision
    "tf_efficientnet_b6": lambda: 43_040_704 - linear(2304, 1000),  # torchvision
    "tf_efficientnetv2_s": lambda: 21_458_488 - linear(1280, 1000),  # torchvision
    "vgg16": lambda: vgg((2, 2, 3, 3, 3)),
    "vgg19": lambda: vgg((2, 2, 4, 4, 4)),
    "vit_base_patch16_224": lambda: 86_567_656 - linear(768, 1000),  # torchvision
}

WIDTHS = {
    "densenet201": 1920, "legacy_xception": 2048, "resnet50": 2048, "sajon_cnn": 256, "sdct_auxnet": 64,
    "tf_efficientnet_b3": 1536, "tf_efficientnet_b6": 2304, "tf_efficientnetv2_s": 1280, "vgg16": 512,
}  # fmt: skip
STAGES = {"vgg16": (64, 128, 256, 512, 512), "sajon_cnn": (32, 64, 128, 256)}


def attention_of(spec: BackboneSpec, architecture: str) -> int:
    """What the equations of a paper add."""
    kind = spec.attention
    if kind is None:
        return 0
    widths = STAGES[architecture] if kind.after == "blocks" else (WIDTHS[architecture],)
    each: dict[str, Callable[[int], int]] = {
        "cbam": lambda c: 2 * c * (c // 16) + 2 * 49 + 2,  # W0, W1; 7 × 7 over mean and maximum; batch normalisation
        "eca": lambda c: 9,
        "saeed": lambda c: c * c + 2 * 9 + c,  # W0; 3 × 3 over mean and maximum; Felbo's w_a
    }
    return sum(each[kind.name](width) for width in widths)


def classifier_of(dim: int, n_classes: int, spec: ClassifierSpec) -> int:
    sizes = (dim, *spec.hidden, n_classes)
    dense = sum(linear(of, to) for of, to in itertools.pairwise(sizes))
    return dense + (2 * dim if spec.batch_norm else 0)


def embedding_of(spec: BackboneSpec, architecture: str, reduction: int = 32) -> int:
    width = WIDTHS.get(architecture, 0)
    if spec.attention is not None and spec.attention.name == "saeed":
        return 2 * width
    if spec.pooling == "bilinear":
        return width * width
    if spec.pooling == "flatten":
        places = int(spec.preprocess.input_size or 224) // (16 if architecture == "sajon_cnn" else reduction)
        return width * places * places
    return 0


def everything_named(recipe: Recipe) -> list[tuple[BackboneSpec, bool]]:
    """Every backbone of a recipe, and whether it classifies by itself."""
    members = [member for ensemble in recipe.ensemble for member in ensemble.members]
    frozen = [spec for entry in recipe.backbone for spec in entry]
    frozen += [spec for member in members for spec in member.backbone or ()]
    classifying = [*recipe.network, *(member.network for member in members if member.network)]
    return [*((spec, True) for spec in classifying), *((spec, False) for spec in frozen)]


def distinct_networks() -> dict[str, tuple[BackboneSpec, int]]:
    """Networks that differ in what they are made of, by name, with their classes; 0 for one that gives features."""
    found: dict[object, tuple[str, BackboneSpec, int]] = {}
    for file in PAPERS:
        recipe = load_recipe(file)
        for spec, classifies in everything_named(recipe):
            made_of = (spec.name, spec.attention, spec.pooling, spec.layer)
            n_classes = (4 if recipe.data.dataset == "taleqani" else 2) if classifies else 0
            classifier = spec.finetune.classifier if classifies and spec.finetune is not None else None
            if classifies or not any(isinstance(key, tuple) and key[0] == made_of for key in found):
                found.setdefault((made_of, classifier, n_classes), (file.stem, spec, n_classes))
    return {f"{spec.name} of {stem}": (spec, n_classes) for stem, spec, n_classes in found.values()}


NETWORKS = distinct_networks()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_the_parameters_of_its_architecture(name: str) -> None:
    """Trunk without its own classifier, attention by the paper's equations, and the paper's classifier."""
    spec, n_classes = NETWORKS[name]
    source = find_source(spec.replace(weights="random"))
    side = int(spec.preprocess.input_size or 224)
    expected = TRUNKS[source.architecture]() + attention_of(spec, source.architecture)
    with torch.device("meta"):
        trunk = random_trunk(source.architecture, source.model_args, seed=0)
        network: torch.nn.Module = Network(trunk, spec.pooling, spec.layer, spec.attention)
        if n_classes and spec.finetune is not None:
            dim = embedding_of(spec, source.architecture) or int(trunk.num_features)
            expected += classifier_of(dim, n_classes, spec.finetune.classifier)
            network = with_classifier(network, (side, side), n_classes, spec.finetune.classifier, seed=0)
        assert cost_of(network, (side, side)).parameters == expected


@pytest.mark.parametrize("file", PAPERS, ids=lambda file: file.stem)
def test_weights_of_a_recipe_can_be_had(file: Path) -> None:
    """A misspelt tag would be found only at the download, which no test makes."""
    for spec, _ in everything_named(load_recipe(file)):
        assert spec.name is not None
        architecture, _, tag = spec.name.partition(".")
        if spec.weights == "imagenet":
            assert tag, f"{spec.name}: weights change with timm unless a tag names them"
            assert spec.name in timm.list_models(f"{architecture}.*", pretrained=True)
        else:
            assert architecture in ARCHITECTURES or timm.is_model(architecture)


@pytest.mark.parametrize("file", PAPERS, ids=lambda file: file.stem)
def test_a_recipe_of_a_paper_says_what_it_reproduces(file: Path) -> None:
    """Where it is from, what was claimed, and what the paper leaves open."""
    recipe = load_recipe(file)
    assert recipe.name == file.stem
    assert recipe.paper is not None
    assert recipe.paper.where
    assert recipe.reported
    assert all(0 < value <= 1 for value in recipe.reported.values()), "shares, not percentages"
    assert recipe.unstated
    assert list(each_alone(recipe))


def test_every_system_has_its_recipe() -> None:
    """The list that a reader of the papers expects."""
    assert {file.stem for file in PAPERS} == {
        "saeed-v2s", "saeed-b3", "sajon-densenet201", "sajon-resnet50", "sajon-xception", "sajon-efficientnet-b6",
        "sajon-custom", "ullah-eca-leave-one", "ullah-eca-literal", "ullah-vgg-leave-one", "ullah-vgg-literal",
        "somu-efficientnet-b0", "somu-vgg16", "somu-resnet18", "somu-inception-v3", "ramaneswaran-inception-v3",
        "sulaiman-resrandsvm", "palczynski-mobilenetv2", "kasani-vgg19-nasnet", "kassani-vgg16-mobilenet",
        "jiang-vit-cnn", "mustafa-vote", "mondal-weighted", "prellberg-se-resnext50", "sdct-auxnet",
    }  # fmt: skip
