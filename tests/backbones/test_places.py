"""Attention stands where a stage ends, and is built for the channels that really flow there."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

from leukfeat.backbones.architectures import ARCHITECTURES
from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.meta import FeaturePass, meta_forward
from leukfeat.backbones.places import Place, places
from leukfeat.errors import UsageError

LAST = AttentionSpec(name="cbam")
BLOCKS = AttentionSpec(name="eca", after="blocks")
PRE_POOL = AttentionSpec(name="eca", after="blocks", pre_pool=True)

# Channels after the last block at every resolution, and of the last map, from the papers of the architectures.
STAGES = {
    "efficientnet_b0": ((16, 24, 40, 112, 320), 1280),
    "efficientnetv2_s": ((24, 48, 64, 160, 256), 1280),
    "inception_v3": ((64, 192, 288, 768, 2048), 2048),
    "legacy_xception": ((64, 128, 256, 728, 2048), 2048),
    "densenet201": ((64, 256, 512, 1792, 1920), 1920),
    "resnet50": ((64, 256, 512, 1024, 2048), 2048),
    "vgg16": ((64, 128, 256, 512, 512), 512),
    "mobilenetv2_100": ((16, 24, 32, 96, 320), 1280),
    "nasnetalarge": ((96, 168, 1008, 2016, 4032), 4032),
    "seresnext50_32x4d": ((64, 256, 512, 1024, 2048), 2048),
}


@cache
def trunk(name: str) -> nn.Module:
    """A large network without memory for its weights."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]()
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0)  # type: ignore[no-any-return]


def shapes(module: nn.Module, found: tuple[Place, ...], size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """What really comes out of the modules, in a forward pass of its own."""
    seen: dict[str, tuple[int, ...]] = {}
    modules = dict(module.named_modules())
    for place in found:
        assert place.module is not None
        modules[place.module].register_forward_hook(
            lambda _module, _args, output, name=place.module: seen.update({name: tuple(output.shape)})
        )
    meta_forward(FeaturePass(module), size)
    return seen


@pytest.mark.parametrize("name", STAGES)
def test_channels_are_those_of_the_architecture(name: str) -> None:
    stages, last = STAGES[name]
    assert tuple(place.channels for place in places(trunk(name), BLOCKS)) == stages
    assert places(trunk(name), LAST) == (Place(None, last),)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "legacy_xception", "mobilenetv2_100"])
def test_channels_are_those_that_flow(name: str) -> None:
    """And each place halves the resolution of the one before: no stage is taken twice."""
    with torch.device("meta"):
        module = timm.create_model(name, num_classes=0)
    found = places(module, BLOCKS)
    seen = shapes(module, found, (256, 256))
    assert [seen[str(place.module)][1] for place in found] == [place.channels for place in found]
    sides = [shape[2] for shape in seen.values()]
    assert all(2 * after == pytest.approx(before, abs=5) for before, after in pairwise(sides))


@pytest.mark.parametrize("name", ["resnet18", "legacy_xception", "vgg16"])
def test_everything_flows_through_a_place(name: str) -> None:
    """Attention inside a block would leave what goes around it by the shortcut as it is."""
    for place in places(trunk(name), BLOCKS):
        module = dict(trunk(name).named_modules())[str(place.module)]
        hook = module.register_forward_hook(lambda _module, _args, output: output.detach())
        output, parameters = meta_forward(FeaturePass(trunk(name)), (96, 96))
        hook.remove()
        first = next(iter(parameters.values()))  # of the first convolution
        if output.requires_grad:  # else nothing learned stands behind the place
            assert torch.autograd.grad(output.sum(), first, allow_unused=True) == (None,), place


def test_attention_follows_vgg_s_pooling_unless_it_is_to_stand_before_it() -> None:
    """Ullah's figure 5: "output of a convolutional block", and its blocks are convolutions and pooling."""
    after, before = places(trunk("vgg16"), BLOCKS), places(trunk("vgg16"), PRE_POOL)
    modules = dict(trunk("vgg16").named_modules())
    assert len(after) == len(before) == 5
    assert all(isinstance(modules[str(place.module)], nn.MaxPool2d) for place in after)
    assert all(isinstance(modules[str(place.module)], nn.ReLU) for place in before)
    assert [place.channels for place in before] == [64, 128, 256, 512, 512]


def test_pre_pool_where_no_stage_ends_in_pooling_is_refused() -> None:
    with pytest.raises(UsageError, match="leave out pre_pool"):
        places(trunk("efficientnet_b0"), PRE_POOL)


def test_attention_on_a_layer_has_its_channels() -> None:
    assert places(trunk("resnet50"), LAST, "layer3") == (Place(None, 1024),)
    assert places(trunk("resnet50"), LAST, "layer3.0.conv1") == (Place(None, 256),)


def test_no_attention_stands_behind_the_layer_that_is_pooled() -> None:
    """Its parameters would be counted and never trained."""
    assert [place.module for place in places(trunk("resnet50"), BLOCKS, "layer2")] == ["act1", "layer1", "layer2"]
    assert [place.module for place in places(trunk("resnet50"), BLOCKS, "layer3.0")] == ["act1", "layer1", "layer2"]
    with pytest.raises(UsageError, match="no stage of it comes before"):
        places(trunk("resnet50"), BLOCKS, "conv1")


@pytest.mark.parametrize("spec", [LAST, BLOCKS], ids=["last", "blocks"])
def test_a_transformer_without_a_map_is_refused_with_advice(spec: AttentionSpec) -> None:
    with pytest.raises(UsageError) as caught:
        places(trunk("vit_small_patch16_224"), spec)
    told = str(caught.value)
    assert "VisionTransformer" in told
    assert "3 dimensions" in told
    assert "choose a convolutional backbone" in told
    assert "\n" not in told


def test_a_layer_without_a_map_is_refused() -> None:
    with pytest.raises(UsageError, match="global_pool gives a tensor of 2 dimensions"):
        places(trunk("resnet50"), LAST, "global_pool")


def test_a_layer_that_takes_no_part_is_refused() -> None:
    model = timm.create_model("test_resnet", num_classes=0)
    model.idle = nn.Conv2d(3, 3, 1)
    for spec in (LAST, BLOCKS):
        with pytest.raises(UsageError, match="takes no part"):
            places(model, spec, "idle")


def test_channels_last_are_counted_on_a_map_and_refused_between_stages() -> None:
    """Swin's stages give (B, H, W, C)."""
    swin = trunk("swin_tiny_patch4_window7_224")
    assert places(swin, LAST) == (Place(None, 768),)
    with pytest.raises(UsageError, match="channels last"):
        places(swin, BLOCKS)


def test_a_place_that_a_shortcut_goes_around_is_refused() -> None:
    with pytest.raises(UsageError, match="inside a block"):
        places(trunk("xception41"), BLOCKS)


def test_looking_for_places_leaves_a_trunk_as_it_was() -> None:
    model = timm.create_model("test_resnet", num_classes=0)
    model.layer1.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    places(model, BLOCKS)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_custom_cnn_has_attention_after_every_convolution() -> None:
    found = places(trunk("sajon_cnn"), AttentionSpec(name="cbam", after="blocks", pre_pool=True))
    assert [place.module for place in found] == [f"features.act{number}" for number in (1, 2, 3, 4)]
    assert found[0].channels == 32
