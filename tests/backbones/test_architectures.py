"""Our own trunks are what the papers state, and behave as timm's do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from leukfeat.backbones.architectures import ARCHITECTURES, LogDCT, SajonCNN, SDCTAuxNet, StainDeconvolution, cosines


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_trunk_has_timm_s_interface(name: str) -> None:
    trunk = ARCHITECTURES[name]().eval()
    side = 64
    x = torch.rand(2, 3, side, side)
    with torch.inference_mode():
        features = trunk.forward_features(x)
        assert features.shape[:2] == (2, trunk.num_features)
        torch.testing.assert_close(trunk(x), features.mean(dim=(2, 3)))
    assert trunk.pretrained_cfg["input_size"][0] == 3
    assert {"mean", "std", "interpolation", "crop_pct"} <= set(trunk.pretrained_cfg)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_feature_info_is_true(name: str) -> None:
    trunk = ARCHITECTURES[name]().eval()
    seen: dict[str, torch.Size] = {}
    for fact in trunk.feature_info:
        module = dict(trunk.named_modules())[fact["module"]]
        module.register_forward_hook(lambda _m, _a, out, key=fact["module"]: seen.update({key: out.shape}))
    with torch.inference_mode():
        trunk(torch.rand(1, 3, 64, 96))
    for fact in trunk.feature_info:
        _, channels, height, width = seen[fact["module"]]
        assert channels == fact["num_chs"]
        assert (height, width) == pytest.approx((64 / fact["reduction"], 96 / fact["reduction"]), abs=1)


def test_the_custom_cnn_starts_with_the_32_maps_of_the_paper() -> None:
    trunk = SajonCNN()
    assert trunk.feature_info[0]["num_chs"] == 32
    assert len(trunk.feature_info) == 4
    convolutions = (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256) * 9 + 32 + 64 + 128 + 256
    assert n_parameters(trunk) == convolutions


def test_sdct_auxnet_has_the_parameters_of_its_layers_and_the_map_of_its_authors() -> None:
    trunk = SDCTAuxNet().eval()
    convolutions = 3 * 16 * 25 + (16 * 16 + 16 * 32 + 32 * 48 + 48 * 64 + 64 * 64) * 9
    biases_and_norms = 3 * (16 + 16 + 32 + 48 + 64 + 64)
    assert n_parameters(trunk) == 9 + convolutions + biases_and_norms
    with torch.inference_mode():
        assert trunk.forward_features(torch.rand(1, 3, 350, 350)).shape == (1, 64, 10, 10)


def test_stain_deconvolution_has_nine_parameters() -> None:
    assert n_parameters(StainDeconvolution()) == 9


def test_stain_deconvolution_is_its_equation() -> None:
    layer = StainDeconvolution()
    layer.matrix.data = torch.tensor([[0.6, -0.2, 0.1], [0.3, 0.9, 0.0], [-0.1, 0.2, 0.7]])
    image = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    density = -np.log10(image.numpy())
    quantities = np.tanh(np.einsum("sc,bchw->bshw", layer.matrix.detach().numpy(), density))
    np.testing.assert_allclose(layer(image).detach(), quantities, rtol=1e-4, atol=1e-6)


def test_a_black_background_holds_no_stain() -> None:
    """Cells of C-NMC are cut out onto black; taken literally, black would be the densest stain of all."""
    image = torch.zeros(1, 3, 2, 2)
    image[0, :, 0, 0] = torch.tensor([0.5, 0.25, 0.75])
    quantities = StainDeconvolution()(image)
    assert (quantities[0, :, 0, 0] > 0).all()
    assert torch.count_nonzero(quantities) == 3


def test_light_below_one_grey_level_counts_as_one_level() -> None:
    """Resampling leaves traces at the edge of a black background; their logarithms would be the largest of all."""
    layer = StainDeconvolution()
    trace, level = (layer(torch.full((1, 3, 2, 2), value)) for value in (1e-9, 1 / 255))
    assert torch.equal(trace, level)


@pytest.mark.parametrize("level", [0.0, 1e-12, 1 / 255, 1.0, -0.5])
def test_no_pixel_gives_an_infinite_value_or_gradient(level: float) -> None:
    layer = StainDeconvolution()
    image = torch.full((1, 3, 2, 2), level, requires_grad=True)
    out = layer(image)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(image.grad).all()  # type: ignore[arg-type]
    assert torch.isfinite(layer.matrix.grad).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [1, 5, 8])
def test_the_dct_matrix_is_orthonormal(n: int) -> None:
    matrix = cosines(n, torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(n, dtype=torch.float64))


def test_the_dct_is_scipy_s() -> None:
    from scipy.fft import dctn

    image = torch.randn(2, 3, 6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = dctn(image.numpy(), axes=(2, 3), norm="ortho")
    expected = np.sign(spectrum) * np.log10(np.abs(spectrum) + 1)
    np.testing.assert_allclose(LogDCT()(image), expected, rtol=1e-9)


def test_a_plain_image_has_one_frequency() -> None:
    out = LogDCT()(torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64))
    assert out[0, 0, 0, 0] == pytest.approx(np.log10(0.5 * 8 + 1))
    assert out.flatten()[1:].abs().max() < 1e-9
