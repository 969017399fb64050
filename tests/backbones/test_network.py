"""The vector is the pooled last feature map, whatever the family of the network."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.catalog import NAMED_BACKBONES, backbone_names
from leukfeat.backbones.engines import choose_device, open_engine
from leukfeat.backbones.network import POOLINGS, Network
from leukfeat.backbones.network_files import load_network
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import POOLING_NAMES, BackboneSpec
from leukfeat.backbones.trunks import random_trunk
from leukfeat.errors import UnknownNameError, UsageError, WeightsError

TINY = "test_efficientnet"


def embed(trunk: torch.nn.Module, side: int, **cut: str) -> torch.Tensor:
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return Network(trunk, **cut).eval()(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "side", "dim"),
    [
        ("efficientnet_b0", 64, 1280),
        ("inception_v3", 80, 2048),
        ("densenet201", 32, 1920),
        ("mobilenetv2_100", 32, 1280),
    ],
)
def test_dimensions_of_the_papers_backbones(name: str, side: int, dim: int) -> None:
    X = embed(random_trunk(name, {}, 0), side)
    assert X.shape == (2, dim)
    assert torch.isfinite(X).all()


def test_vgg_gives_its_map_and_not_its_classifier() -> None:
    # the classifier's 4,096 are what num_classes=0 would give
    with torch.device("meta"):
        trunk = timm.create_model("vgg16")
        assert Network(trunk)(torch.empty(1, 3, 224, 224)).shape == (1, 512)


def test_inception_sees_299_pixels() -> None:
    assert resolve(BackboneSpec("inception_v3", "random")).inputs.size == (299, 299)


def test_the_vector_is_timms_own_pooled_map() -> None:
    trunk = random_trunk(TINY, {}, 0).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = trunk.forward_head(trunk.forward_features(x), pre_logits=True)
        torch.testing.assert_close(Network(trunk)(x), expected)


def test_transformers_pool_patches_or_give_the_class_token() -> None:
    trunk = random_trunk("test_vit", {"img_size": 32}, 0).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        tokens = trunk.forward_features(x)  # (B, 1 + N, C)
        torch.testing.assert_close(Network(trunk, "cls")(x), tokens[:, 0])
        torch.testing.assert_close(Network(trunk, "avg")(x), tokens[:, 1:].mean(dim=1))


def test_channels_last_transformers_are_turned() -> None:
    # Swin gives (B, H, W, C)
    trunk = timm.create_model("swin_tiny_patch4_window7_224", img_size=56, window_size=7, depths=(1, 1, 1, 1))
    assert embed(trunk, 56).shape == (2, trunk.num_features)


def test_poolings_agree_with_their_names() -> None:
    trunk = random_trunk(TINY, {}, 0)
    flat = embed(trunk, 64, pooling="flatten").reshape(2, trunk.num_features, -1)
    average, highest = flat.mean(dim=2), flat.amax(dim=2)
    torch.testing.assert_close(embed(trunk, 64, pooling="avg"), average)
    torch.testing.assert_close(embed(trunk, 64, pooling="max"), highest)
    torch.testing.assert_close(embed(trunk, 64, pooling="avgmax"), (average + highest) / 2)


def test_the_table_holds_what_a_spec_accepts() -> None:
    assert set(POOLINGS) == set(POOLING_NAMES)


def test_a_convolutional_network_has_no_class_token() -> None:
    with pytest.raises(UsageError, match="no class token"):
        embed(random_trunk(TINY, {}, 0), 32, pooling="cls")


def test_an_earlier_layer_can_be_taken() -> None:
    trunk = random_trunk(TINY, {}, 0)
    assert embed(trunk, 32, layer="blocks.0").shape == (2, trunk.feature_info[0]["num_chs"])
    assert embed(trunk, 32, layer="classifier").shape == (2, 1000)


def test_a_layer_is_caught_by_every_thread_for_itself() -> None:
    # an engine runs one network in several threads; another image's vector would be stored, and nobody would know
    trunk = random_trunk(TINY, {}, 0)
    network = Network(trunk, layer="blocks.0").eval()
    images = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = [network(image) for image in images]
    caught, taken, number = [threading.Event(), threading.Event()], threading.Event(), threading.local()

    def meet(*_: object) -> None:
        caught[number.value].set()  # the first waits until the second has caught, that one until the first has taken
        (taken if number.value else caught[1]).wait(30)

    trunk.conv_head.register_forward_hook(meet)

    def run(image: int) -> torch.Tensor:
        number.value = image
        if image:
            caught[0].wait(30)
        with torch.inference_mode():
            vector = network(images[image])
        taken.set()
        return vector  # type: ignore[no-any-return]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(run, range(2)))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(*expected)


def test_a_deep_copy_has_hooks_of_its_own() -> None:
    # what is randomised or trained in a copy must not run through the original's attention, nor the other way round
    network = Network(random_trunk(TINY, {}, 0), layer="blocks.2", attention=AttentionSpec(name="cbam", after="blocks"))
    network.eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, twin = network(x), copy.deepcopy(network)
        torch.testing.assert_close(twin(x), before)
        for parameter in twin.attention.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
        assert not torch.allclose(twin(x), before)
        torch.testing.assert_close(network(x), before)


def test_an_unknown_layer_suggests() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'conv_stem'"):
        Network(random_trunk(TINY, {}, 0), layer="conv_stemm")


def test_random_weights_repeat_and_leave_the_callers_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again = random_trunk(TINY, {}, 0), random_trunk(TINY, {}, 0)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(next(first.parameters()), next(random_trunk(TINY, {}, 1).parameters()))


def test_a_file_gives_the_network_it_was_saved_from(weights_file: Callable[..., Path]) -> None:
    spec = BackboneSpec(weights=str(weights_file(seed=3)))
    loaded = load_network(spec, resolve(spec))
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(x), Network(random_trunk(TINY, {}, 3)).eval()(x))
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_weights_that_lack_a_tensor_are_refused_by_name(weights_file: Callable[..., Path]) -> None:
    # a layer left at its random start would go unnoticed
    spec = BackboneSpec(weights=str(weights_file(drop="conv_stem.weight")))
    with pytest.raises(WeightsError, match=r"1 missing \(conv_stem.weight\)"):
        load_network(spec, resolve(spec))


def test_weights_of_another_architecture_are_refused_by_name(weights_file: Callable[..., Path]) -> None:
    spec = BackboneSpec("test_resnet", str(weights_file(architecture=None)))
    with pytest.raises(WeightsError, match=r"do not fit test_resnet: .*missing"):
        load_network(spec, resolve(spec))


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_one_image_alone_equals_itself_in_a_batch(pooling: str) -> None:
    spec = BackboneSpec(TINY, "random", pooling=pooling)
    resolution = resolve(spec)
    engine = open_engine("eager", load_network(spec, resolution).network, resolution.inputs, choose_device("cpu"))
    images = np.random.default_rng(0).integers(0, 256, (9, *resolution.inputs.size, 3), dtype=np.uint8)
    whole = engine.embed(images)
    assert whole.dtype == np.float32
    for image, vector in zip(images, whole, strict=True):
        np.testing.assert_allclose(engine.embed(image[None])[0], vector, rtol=1e-4, atol=1e-4 * np.abs(vector).max())


def test_devices_there_are_not() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cuda'"):
        choose_device("cudo")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no usable GPU"):
            choose_device("cuda")


def test_the_catalog_knows_the_examples() -> None:
    names = backbone_names()
    assert set(NAMED_BACKBONES) <= set(names)
    assert backbone_names("efficientnet_b0") == backbone_names("*efficientnet_b0*")
