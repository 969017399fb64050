"""Every module equals its equations, written by hand in NumPy, and has as many parameters as its formula says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from leukfeat.backbones.attention import ATTENTIONS
from leukfeat.backbones.attention_maps import CBAM, ECA, SaeedCBAM, eca_kernel_size
from leukfeat.backbones.attention_pooling import GWAP, Felbo, Saeed, weighted_average
from leukfeat.backbones.attention_spec import KINDS, AttentionSpec

Array = NDArray[np.float64]

CHANNELS, HIDDEN = 32, 2  # with the usual reduction of 16


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, CHANNELS, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def build(name: str, channels: int = CHANNELS, **options: Any) -> nn.Module:
    """A module with random weights in evaluation mode and 64-bit floats; small ones, so that no sigmoid saturates."""
    spec = AttentionSpec(name=name, **options)
    module = ATTENTIONS[name].build(channels, spec).double().eval()
    generator = torch.Generator().manual_seed(2)
    for key, tensor in module.state_dict().items():
        if key.endswith("running_var"):  # a variance is positive
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))
        elif tensor.is_floating_point():
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    return module


def weights_of(module: nn.Module) -> dict[str, Array]:
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def convolved(planes: Array, window: Array) -> Array:
    """Cross-correlation of (B, 2, H, W) with (2, k, k), zeros around: (B, H, W)."""
    k = window.shape[-1]
    padded = np.pad(planes, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    out = np.zeros((planes.shape[0], *planes.shape[2:]))
    for row in range(planes.shape[2]):
        for column in range(planes.shape[3]):
            out[:, row, column] = (padded[:, :, row : row + k, column : column + k] * window).sum(axis=(1, 2, 3))
    return out


def places(refined: Array, window: Array) -> Array:
    """f([mean_c x'; max_c x']), before the sigmoid: (B, H, W)."""
    return convolved(np.stack([refined.mean(axis=1), refined.max(axis=1)], axis=1), window)


def mlp(pooled: Array, first: Array, second: Array, biases: tuple[Any, Any] = (0, 0)) -> Array:
    return np.maximum(pooled @ first.T + biases[0], 0) @ second.T + biases[1]


# --- ECA -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_size", ["adaptive", 1, 9])
def test_eca_is_its_equation(x: Tensor, kernel_size: Any) -> None:
    module = build("eca", kernel_size=kernel_size)
    window = weights_of(module)["eca.conv.weight"][0, 0]
    means = x.numpy().mean(axis=(2, 3))
    padded = np.pad(means, ((0, 0), (len(window) // 2,) * 2))
    channel = sigmoid(np.stack([padded[:, c : c + len(window)] @ window for c in range(CHANNELS)], axis=1))
    np.testing.assert_allclose(module(x).detach(), x.numpy() * channel[:, :, None, None], rtol=1e-12)
    np.testing.assert_allclose(module.weights(x)["channel"].detach(), channel, rtol=1e-12)


@pytest.mark.parametrize(
    ("channels", "size"),
    [(64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (1280, 5), (1536, 5), (1920, 5), (2048, 7), (2304, 7)],
)
def test_the_adaptive_kernel_has_the_sizes_of_the_reference_code(channels: int, size: int) -> None:
    assert eca_kernel_size(channels) == size
    assert n_parameters(ECA(channels)) == size


def test_the_kernel_on_vgg16_is_never_the_9_of_ullah() -> None:
    """The paper computes k adaptively and uses 9; the rule gives 3, 5, 5, 5, 5 (23 parameters), a fixed 9 gives 45."""
    widths = (64, 128, 256, 512, 512)
    assert [eca_kernel_size(width) for width in widths] == [3, 5, 5, 5, 5]
    assert sum(n_parameters(ECA(width)) for width in widths) == 23
    assert sum(n_parameters(ECA(width, 9)) for width in widths) == 45


# --- CBAM ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["channel-spatial", "spatial-channel"])
@pytest.mark.parametrize("mlp_bias", [False, True])
@pytest.mark.parametrize("spatial_bn", [False, True])
@pytest.mark.parametrize("residual", ["none", "conv1x1"])
def test_cbam_is_its_equations(x: Tensor, order: str, mlp_bias: bool, spatial_bn: bool, residual: str) -> None:
    module = build("cbam", order=order, mlp_bias=mlp_bias, spatial_bn=spatial_bn, residual=residual)
    w = weights_of(module)
    first, second = w["channel.fc1.weight"][:, :, 0, 0], w["channel.fc2.weight"][:, :, 0, 0]
    biases = (w["channel.fc1.bias"], w["channel.fc2.bias"]) if mlp_bias else (0, 0)
    window = w["spatial.conv.conv.weight" if spatial_bn else "spatial.conv.weight"][0]

    def by_channel(map_in: Array) -> Array:
        means, maxima = map_in.mean(axis=(2, 3)), map_in.max(axis=(2, 3))
        return sigmoid(mlp(means, first, second, biases) + mlp(maxima, first, second, biases))

    def by_place(map_in: Array) -> Array:
        raw = places(map_in, window)
        if spatial_bn:
            mean, variance = w["spatial.conv.bn.running_mean"], w["spatial.conv.bn.running_var"]
            raw = (raw - mean) / np.sqrt(variance + 1e-5) * w["spatial.conv.bn.weight"] + w["spatial.conv.bn.bias"]
        return sigmoid(raw)

    start = x.numpy()
    if order == "channel-spatial":
        channel = by_channel(start)
        refined = start * channel[:, :, None, None]
        place = by_place(refined)
        out = refined * place[:, None]
    else:
        place = by_place(start)
        refined = start * place[:, None]
        channel = by_channel(refined)
        out = refined * channel[:, :, None, None]
    if residual == "conv1x1":
        kernel = w["residual.weight"][:, :, 0, 0]
        out = start + np.einsum("oc,bchw->bohw", kernel, out) + w["residual.bias"][:, None, None]

    np.testing.assert_allclose(module(x).detach(), out, rtol=1e-9)
    np.testing.assert_allclose(module.weights(x)["channel"].detach(), channel, rtol=1e-9)
    np.testing.assert_allclose(module.weights(x)["spatial"].detach(), place, rtol=1e-9)


@pytest.mark.parametrize("channels", [64, 256, 728, 1280, 1920, 2048])
def test_cbam_has_the_parameters_of_its_formula(channels: int) -> None:
    hidden = channels // 16
    equations = 2 * channels * hidden + 98
    assert n_parameters(CBAM(channels, AttentionSpec(name="cbam", spatial_bn=False))) == equations
    assert n_parameters(CBAM(channels, AttentionSpec(name="cbam"))) == equations + 2
    biased = AttentionSpec(name="cbam", spatial_bn=False, mlp_bias=True)
    assert n_parameters(CBAM(channels, biased)) == equations + hidden + channels
    residual = AttentionSpec(name="cbam", spatial_bn=False, residual="conv1x1")
    assert n_parameters(CBAM(channels, residual)) == equations + channels**2 + channels


def test_cbam_on_densenet201_has_as_many_parameters_as_timm_s() -> None:
    assert n_parameters(CBAM(1920, AttentionSpec(name="cbam"))) == 460_900


def test_cbam_is_timm_s_where_timm_s_is_the_paper_s(x: Tensor) -> None:
    from timm.layers.cbam import CbamModule

    ours = build("cbam")
    theirs = CbamModule(CHANNELS).double().eval()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x), theirs(x))


def test_a_map_of_few_channels_keeps_one_hidden_unit(x: Tensor) -> None:
    assert n_parameters(CBAM(8, AttentionSpec(name="cbam", spatial_bn=False))) == 2 * 8 + 98


# --- Saeed's modification, GWAP, Felbo, and their merge --------------------------------------------------------------


def saeed_by_hand(x: Array, w: dict[str, Array], reading: str, prefix: str = "") -> tuple[Array, Array, Array]:
    """Channel weights (B, C), refined map x', place weights (B, H, W)."""
    means, maxima = x.mean(axis=(2, 3)), x.max(axis=(2, 3))
    if reading == "linear":
        shared = w[f"{prefix}channel.fc.weight"][:, :, 0, 0]
        channel = sigmoid(means @ shared.T + maxima @ shared.T)
    else:
        first, second = (w[f"{prefix}channel.{layer}.weight"][:, :, 0, 0] for layer in ("fc1", "fc2"))
        channel = sigmoid(mlp(means, first, second) + mlp(maxima, first, second))
    refined = x * channel[:, :, None, None]
    return channel, refined, sigmoid(places(refined, w[f"{prefix}spatial.conv.weight"][0]))


def averaged(refined: Array, weights: Array) -> Array:
    total = weights.sum(axis=(1, 2))[:, None] + 1e-8
    return np.einsum("bhw,bchw->bc", weights, refined) / total


def felbo_by_hand(x: Array, w: Array) -> tuple[Array, Array]:
    """The vector (B, C) and the weights (B, H * W)."""
    h = x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)  # (B, T, C)
    e = h @ w
    a = np.exp(e - e.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    return (a[:, :, None] * h).sum(axis=1), a


@pytest.mark.parametrize("reading", ["linear", "bottleneck"])
def test_saeed_s_cbam_is_its_equations(x: Tensor, reading: str) -> None:
    module = build("saeed-cbam", mlp=reading)
    channel, refined, place = saeed_by_hand(x.numpy(), weights_of(module), reading)
    np.testing.assert_allclose(module(x).detach(), refined * place[:, None], rtol=1e-9)
    np.testing.assert_allclose(module.weights(x)["channel"].detach(), channel, rtol=1e-9)
    np.testing.assert_allclose(module.weights(x)["spatial"].detach(), place, rtol=1e-9)


@pytest.mark.parametrize("reading", ["linear", "bottleneck"])
def test_gwap_averages_the_map_before_spatial_attention(x: Tensor, reading: str) -> None:
    """F is x', not Ms ⊗ x': otherwise the weights of places would be applied twice."""
    module = build("gwap", mlp=reading)
    _, refined, place = saeed_by_hand(x.numpy(), weights_of(module), reading, "cbam.")
    np.testing.assert_allclose(module(x).detach(), averaged(refined, place), rtol=1e-9)
    assert not np.allclose(averaged(refined * place[:, None], place), averaged(refined, place))


def test_felbo_is_its_equations(x: Tensor) -> None:
    module = build("felbo")
    vector, weights = felbo_by_hand(x.numpy(), weights_of(module)["weight"])
    np.testing.assert_allclose(module(x).detach(), vector, rtol=1e-9)
    np.testing.assert_allclose(module.weights(x)["spatial"].detach().flatten(1), weights, rtol=1e-9)


@pytest.mark.parametrize("merge", ["concat", "add"])
def test_saeed_merges_gwap_and_felbo(x: Tensor, merge: str) -> None:
    module = build("saeed", merge=merge)
    w = weights_of(module)
    _, refined, place = saeed_by_hand(x.numpy(), w, "linear", "gwap.cbam.")
    g, (v, a) = averaged(refined, place), felbo_by_hand(x.numpy(), w["felbo.weight"])
    merged = np.concatenate([g, v], axis=1) if merge == "concat" else g + v
    np.testing.assert_allclose(module(x).detach(), merged, rtol=1e-9)
    np.testing.assert_allclose(module.weights(x)["felbo"].detach().flatten(1), a, rtol=1e-9)


@pytest.mark.parametrize("channels", [64, 1280])
def test_saeed_s_kinds_have_the_parameters_of_their_formulas(channels: int) -> None:
    linear, bottleneck = channels**2, 2 * channels * (channels // 16)
    for mlp_of, channel in (("linear", linear), ("bottleneck", bottleneck)):
        assert n_parameters(SaeedCBAM(channels, AttentionSpec(name="saeed-cbam", mlp=mlp_of))) == channel + 18
        assert n_parameters(GWAP(channels, AttentionSpec(name="gwap", mlp=mlp_of))) == channel + 18
        assert n_parameters(Saeed(channels, AttentionSpec(name="saeed", mlp=mlp_of))) == channel + 18 + channels
    assert n_parameters(SaeedCBAM(channels, AttentionSpec(name="saeed-cbam", mlp_bias=True))) == linear + channels + 18
    assert n_parameters(SaeedCBAM(channels, AttentionSpec(name="saeed-cbam", spatial_bn=True))) == linear + 18 + 2
    assert n_parameters(Felbo(channels)) == channels


def test_the_equation_of_saeed_costs_ten_times_the_bottleneck() -> None:
    """The paper speaks of reduced complexity; with 1,280 channels the equation's W0 has 1.64 million weights."""
    assert n_parameters(SaeedCBAM(1280, AttentionSpec(name="saeed-cbam"))) == 1_638_400 + 18


# --- properties ------------------------------------------------------------------------------------------------------


def test_constant_weights_average_all_places_alike(x: Tensor) -> None:
    np.testing.assert_allclose(weighted_average(x, torch.full((3, 6, 5), 0.3, dtype=x.dtype)), x.mean(dim=(2, 3)))


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e5])
def test_gwap_does_not_change_when_its_weights_are_scaled(x: Tensor, factor: float) -> None:
    weights = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    scaled = weighted_average(x, factor * weights)
    np.testing.assert_allclose(scaled, weighted_average(x, weights), rtol=1e-5)  # the 1e-8 is not scaled


def test_one_weight_alone_picks_its_pixel(x: Tensor) -> None:
    weights = torch.zeros(3, 6, 5, dtype=x.dtype)
    weights[:, 4, 2] = 1
    np.testing.assert_allclose(weighted_average(x, weights), x[:, :, 4, 2], rtol=1e-7)


def test_weights_of_zero_give_zeros_and_no_nan(x: Tensor) -> None:
    assert torch.equal(weighted_average(x, torch.zeros(3, 6, 5, dtype=x.dtype)), torch.zeros(3, CHANNELS).double())


def test_gwap_with_constant_spatial_attention_is_average_pooling_of_the_refined_map(x: Tensor) -> None:
    module = build("gwap")
    module.cbam.spatial.conv.weight.data.zero_()  # sigma(0) = 1/2 everywhere
    np.testing.assert_allclose(module(x).detach(), module.cbam.channel(x).mean(dim=(2, 3)).detach(), rtol=1e-7)


def test_an_untrained_felbo_is_average_pooling(x: Tensor) -> None:
    np.testing.assert_allclose(Felbo(CHANNELS).double()(x).detach(), x.mean(dim=(2, 3)))


def test_felbo_with_a_strong_weight_picks_the_strongest_place(x: Tensor) -> None:
    module = Felbo(CHANNELS).double()
    module.weight.data[5] = 1e4  # also: a softmax over numbers this large must not overflow
    strongest = x[:, 5].flatten(1).argmax(dim=1)
    picked = x.flatten(2)[torch.arange(3), :, strongest]
    np.testing.assert_allclose(module(x).detach(), picked)


@pytest.mark.parametrize("name", KINDS)
def test_places_are_weighed_by_content_and_not_by_the_batch(x: Tensor, name: str) -> None:
    """An image's result does not depend on the images it is computed with."""
    module = build(name)
    np.testing.assert_allclose(module(x)[1:2].detach(), module(x[1:2]).detach(), rtol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_module_gives_is_what_the_table_says(x: Tensor, name: str) -> None:
    attention, spec = ATTENTIONS[name], AttentionSpec(name=name)
    out = build(name)(x)
    assert attention.gives == KINDS[name].gives
    assert out.shape == (x.shape if attention.gives == "map" else (3, attention.dim(CHANNELS, spec)))


@pytest.mark.parametrize("name", KINDS)
def test_weights_lie_between_0_and_1(x: Tensor, name: str) -> None:
    for kind, weights in build(name).weights(x).items():
        assert weights.shape == ((3, CHANNELS) if kind == "channel" else (3, 6, 5))
        assert (weights >= 0).all()
        assert (weights <= 1).all()


@pytest.mark.parametrize("name", KINDS)
def test_every_parameter_learns(x: Tensor, name: str) -> None:
    """A parameter without a gradient would be counted, stored and never trained."""
    module = ATTENTIONS[name].build(CHANNELS, AttentionSpec(name=name)).double().train()
    (module(x) ** 2).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_the_tables_of_names_agree() -> None:
    assert set(ATTENTIONS) == set(KINDS)
