"""Randomising goes backwards from the classifier, touches nothing of the original, and ranks are ranks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import timm
import torch
from scipy.stats import spearmanr
from torch import nn

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.explain.featuremaps import feature_maps, strongest
from leukfeat.explain.sanity import randomised, rank_correlation


def model(attention: str | None = None) -> ClassifyingNetwork:
    torch.manual_seed(0)
    network = Network(timm.create_model("test_resnet", num_classes=0), attention=AttentionSpec.of(attention))
    return ClassifyingNetwork(network, nn.Linear(network.embed(torch.zeros(1, 3, 64, 64)).shape[1], 2)).eval()


def test_more_and_more_is_random() -> None:
    plain = model()
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    changed = []
    for _, broken in randomised(plain, seed=0):
        now = broken.state_dict()
        changed.append({name for name in before if "weight" in name and not torch.equal(before[name], now[name])})
    assert changed[0] == {"classifier.weight"}
    assert all(fewer < more for fewer, more in itertools.pairwise(changed))
    assert "network.trunk.conv1.weight" in changed[-1] or len(changed[-1]) > 10
    assert all(torch.equal(before[name], tensor) for name, tensor in plain.state_dict().items())


def test_ranks_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(9, 9)).round(1).astype(np.float32)
    other = (one + rng.normal(size=(9, 9))).round(1).astype(np.float32)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, np.ones_like(one)) is None


def test_maps_before_and_after_attention() -> None:
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = model("cbam").network
    maps = feature_maps(network, x)
    assert set(maps) == {"first layer", "before attention", "after attention", "attention weights", "last map"}
    np.testing.assert_allclose(maps["last map"], maps["after attention"])
    np.testing.assert_allclose(maps["before attention"], network.trunk_map(x)[0].detach().numpy(), rtol=1e-5)
    assert maps["attention weights"].shape[0] == 1
    assert set(feature_maps(model().network, x)) == {"first layer", "last map"}
    assert "attention weights" in feature_maps(model("saeed").network, x)


def test_the_strongest_channels_come_first() -> None:
    maps = np.stack([np.full((2, 2), value, np.float32) for value in (1, -3, 2)])
    assert strongest(maps, 2).tolist() == [1, 2]
