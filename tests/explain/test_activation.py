"""Maps are what their equations say, and what is routed through a head is not lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.explain.activation import activation, enlarged, grad_cam, routed, routed_shares

X = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def trunk(name: str = "test_resnet") -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0).eval()


def classifying(network: Network, n_classes: int = 4) -> ClassifyingNetwork:
    torch.manual_seed(1)
    dim = network.embed(X[:1]).shape[1]
    return ClassifyingNetwork(network, nn.Linear(dim, n_classes)).eval().requires_grad_(False)


def test_with_mean_pooling_the_weights_are_those_of_the_classifier() -> None:
    """Zhou's class activation map, of which Grad-CAM is the generalisation: w_c / (H W)."""
    model = classifying(Network(trunk()))
    k = np.array([0, 3, 1])
    map_ = model.network.trunk_map(X)
    weights = model.classifier.weight[k]  # (3, C)
    expected = torch.einsum("bc,bchw->bhw", weights, map_).clamp(min=0) / map_[0, 0].numel()
    np.testing.assert_allclose(grad_cam(model, X, k), expected.numpy(), rtol=1e-4, atol=1e-7)


def test_the_last_map_is_that_after_attention() -> None:
    """So that a baseline and its attention variant are compared where they differ."""
    model = classifying(Network(trunk(), attention=AttentionSpec(name="cbam")))
    found = activation(model, X, lambda logits: logits[:, 0])
    torch.testing.assert_close(found.values, model.network.spatial_map(X))
    assert not torch.equal(found.values, model.network.trunk_map(X))


@pytest.mark.parametrize("attention", ["gwap", "felbo", "saeed"])
def test_attention_that_pools_is_differentiated_through(attention: str) -> None:
    network = Network(trunk(), attention=AttentionSpec(name=attention)).eval()
    with torch.no_grad():
        for parameter in network.attention.parameters():
            parameter.normal_(0, 0.5)  # as if it had learned; some of it begins at 0
    model = classifying(network)
    found = activation(model, X, lambda logits: logits[:, 0])
    torch.testing.assert_close(found.values, model.network.trunk_map(X))
    spread = found.gradient.flatten(2).std(dim=2)
    assert bool((spread > 0).any()), "places count differently, unlike with mean pooling"


def test_a_named_layer_gives_the_map_of_the_last_one() -> None:
    """Whatever comes after it in the trunk is differentiated through."""
    model = classifying(Network(trunk()))
    k = np.array([0, 1, 2])
    np.testing.assert_allclose(grad_cam(model, X, k, "layer4"), grad_cam(model, X, k), rtol=1e-4, atol=1e-7)
    assert grad_cam(model, X, k, "layer1").shape[1] > grad_cam(model, X, k).shape[1]


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_with_mean_pooling_contributions_weigh_the_channels(name: str) -> None:
    """Sum over d of c_d A_d(place) / (h w), whether maps have one sign (ReLU) or two (SiLU)."""
    network = Network(trunk(name)).requires_grad_(False)
    map_ = network.trunk_map(X).numpy()
    given = np.random.default_rng(0).normal(size=map_.shape[:2])
    expected = np.einsum("bd,bdhw->bhw", given, map_) / map_[0, 0].size
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(routed_shares(network, X, given).numpy(), expected, atol=1e-5 * scale)
    np.testing.assert_allclose(routed(network, X, given), expected.clip(min=0), atol=1e-5 * scale)


def test_given_the_weights_of_a_classifier_it_is_grad_cam() -> None:
    """Both are one equation; what is routed differs only in where the weights come from."""
    model = classifying(Network(trunk()))
    weights = model.classifier.weight[[2, 2, 2]].double().numpy()
    np.testing.assert_allclose(
        routed(model.network, X, weights), grad_cam(model, X, np.array([2, 2, 2])), rtol=1e-4, atol=1e-7
    )


def test_a_feature_that_cancels_out_does_not_outweigh_the_others() -> None:
    """Features of SiLU networks come close to 0 by positive places cancelling negative ones; divided by the feature,
    one of them would make up the whole map."""
    network = Network(trunk("test_efficientnet")).requires_grad_(False)
    map_ = network.trunk_map(X).numpy()
    given = np.ones(map_.shape[:2])
    cancelled = np.abs(map_.mean(axis=(2, 3)) / np.abs(map_).mean(axis=(2, 3))).argmin(axis=1)
    without = given.copy()
    without[np.arange(3), cancelled] = 0
    whole, rest = (routed_shares(network, X, each).numpy() for each in (given, without))
    assert np.abs(whole - rest).sum() < 0.1 * np.abs(whole).sum()


def test_one_feature_has_the_map_of_its_channel() -> None:
    network = Network(trunk()).requires_grad_(False)
    features = network.embed(X).numpy()
    channel = int(features.mean(axis=0).argmax())
    given = np.zeros_like(features, dtype=np.float64)
    given[:, channel] = 1.0
    map_ = network.trunk_map(X)[:, channel].numpy()
    expected = map_ / map_[0].size
    np.testing.assert_allclose(routed(network, X, given), np.maximum(expected, 0), rtol=1e-4, atol=1e-7)


def test_flattened_features_have_places() -> None:
    """A feature of a flattened map comes from one place only."""
    network = Network(trunk(), pooling="flatten").requires_grad_(False)
    features = network.embed(X).numpy()
    given = np.zeros_like(features, dtype=np.float64)
    strongest = features.argmax(axis=1)
    given[np.arange(3), strongest] = 1.0
    found = routed(network, X, given)
    assert ((found > 0).sum(axis=(1, 2)) == 1).all()
    np.testing.assert_allclose(found.sum(axis=(1, 2)), features[np.arange(3), strongest], rtol=1e-5)


def test_a_layer_that_gives_channels_last_is_turned() -> None:
    """Swin gives (B, h, w, C) at its layers; its last stage, by name, has the map of the end of the trunk."""
    torch.manual_seed(0)
    small = {"img_size": 64, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2)}
    swin = Network(timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, **small).eval())
    model = classifying(swin.requires_grad_(False))
    assert activation(model, X, lambda logits: logits[:, 0], "layers.0").values.shape[1:] == (16, 16, 16)
    last = activation(model, X, lambda logits: logits[:, 0], "norm")
    torch.testing.assert_close(last.values, model.network.trunk_map(X))
    k = np.array([0, 1, 2])
    np.testing.assert_allclose(grad_cam(model, X, k, "norm"), grad_cam(model, X, k), rtol=1e-4, atol=1e-7)


def test_nothing_without_pixels_is_explained() -> None:
    model = classifying(Network(trunk()))
    with pytest.raises(UnknownNameError, match="did you mean 'layer4'"):
        grad_cam(model, X, np.zeros(3, dtype=np.int64), "layer44")
    with pytest.raises(UsageError, match="takes no part"):
        grad_cam(model, X, np.zeros(3, dtype=np.int64), "global_pool")
    vit = Network(timm.create_model("test_vit", num_classes=0).eval())
    with pytest.raises(UsageError, match="convolutional"):
        routed(vit, torch.zeros(1, 3, 160, 160), np.zeros((1, 64)))


def test_maps_grow_to_the_size_of_the_image() -> None:
    assert enlarged(np.ones((2, 3, 4), dtype=np.float32), (9, 16)).shape == (2, 9, 16)
    assert (enlarged(np.ones((1, 3, 4), dtype=np.float32), (9, 16)) == 1).all()
