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


def test_attention_goes_before_the_trunk() -> None:
    """Attention that keeps what it learned would keep the map, however random the layers below it are."""
    plain = model("cbam")
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    steps = []
    for step, broken in randomised(plain, seed=0):
        steps.append(step)
        if step == "attention":
            now = {name for name, tensor in broken.state_dict().items() if not torch.equal(before[name], tensor)}
            convolutions = {name for name, tensor in before.items() if ".attention." in name and tensor.ndim == 4}
            assert convolutions
            assert convolutions <= now
            assert not any(".trunk." in name for name in now)
    assert steps == ["classifier", "attention", "last 25% of layers", "last 50% of layers", "last 100% of layers"]


def test_chance_is_that_of_the_seed_and_leaves_the_callers_alone() -> None:
    """Whatever is drawn between two steps changes no step, and no step changes what is drawn."""

    def end(draws: int) -> torch.Tensor:
        torch.manual_seed(5)
        weights = []
        for _, broken in randomised(model(), seed=3):
            torch.rand(draws)
            weights += [parameter.clone().flatten() for parameter in broken.parameters()]
        return torch.cat(weights)

    assert torch.equal(end(1), end(7))
    given = model()
    torch.manual_seed(9)
    drawn = [float(torch.rand(1)) for _ in randomised(given, seed=0)]
    torch.manual_seed(9)
    assert drawn == [float(torch.rand(1)) for _ in drawn]


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
