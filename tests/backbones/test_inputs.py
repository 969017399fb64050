"""Images reach the network as its weights were evaluated, to the pixel, unless a recipe says otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from leukfeat.backbones.inputs import CROPS, Inputs
from leukfeat.backbones.spec import Preprocess
from leukfeat.errors import ImageError

IMAGE = np.random.default_rng(0).integers(0, 256, (57, 83, 3), dtype=np.uint8)
CPU = torch.device("cpu")


def config(**changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "input_size": (3, 32, 32), "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center",
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    return {**plain, **changes}


def ours(inputs: Inputs, image: NDArray[np.uint8]) -> torch.Tensor:
    return inputs.normalise(inputs.arrange(image)[None], CPU)[0]


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(3, 32, 32), (3, 99, 99), (3, 32, 40)])
@pytest.mark.parametrize("turned", [False, True])
def test_agrees_with_timm(crop_mode: str, interpolation: str, size: tuple[int, ...], turned: bool) -> None:
    from timm.data import create_transform

    image = np.ascontiguousarray(IMAGE.transpose(1, 0, 2)) if turned else IMAGE
    facts = config(crop_mode=crop_mode, interpolation=interpolation, input_size=size)
    expected = create_transform(**facts, is_training=False)(Image.fromarray(image))
    torch.testing.assert_close(ours(Inputs.of(Preprocess(), facts), image), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "box", "hamming", "lanczos", "nearest"])
@pytest.mark.parametrize("side", [31, 112, 128, 129, 225, 450])
@pytest.mark.parametrize(("size", "crop_mode"), [(112, "center"), (112, "squash"), (224, "center"), (299, "center")])
def test_what_is_cut_away_need_not_be_computed(size: int, crop_mode: str, side: int, interpolation: str) -> None:
    # rows that were stored before count as the same as those computed now, so this has to hold to the last bit
    image = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    whole = int(size / 0.875)  # 128 and 256, which binary fractions divide, and 341
    resized = Image.fromarray(image).resize((whole, whole), Image.Resampling[interpolation.upper()])
    margin = round((whole - size) / 2)
    inputs = Inputs.of(
        Preprocess(), config(input_size=(3, size, size), interpolation=interpolation, crop_mode=crop_mode)
    )
    expected = resized.crop((margin, margin, margin + size, margin + size))
    np.testing.assert_array_equal(inputs.arrange(image), np.asarray(expected))


def test_whatever_is_none_follows_the_weights() -> None:
    inputs = Inputs.of(Preprocess(), config())
    assert (inputs.size, inputs.mean, inputs.interpolation) == ((32, 32), (0.485, 0.456, 0.406), "bicubic")
    inputs = Inputs.of(Preprocess(input_size=(20, 24), interpolation="nearest", mean=(0, 0, 0)), config())
    assert (inputs.size, inputs.mean, inputs.interpolation) == ((20, 24), (0, 0, 0), "nearest")
    assert inputs.std == (0.229, 0.224, 0.225)


def test_raw_pixels_stay_between_0_and_255() -> None:
    inputs = Inputs.of(Preprocess(scale="raw", mean=(0, 0, 0), std=(1, 1, 1), crop="none"), config())
    x = ours(inputs, np.full((32, 32, 3), 255, np.uint8))
    assert torch.equal(x, torch.full((3, 32, 32), 255.0))


def test_batches_are_channels_last() -> None:
    x = Inputs.of(Preprocess(), config()).normalise(np.zeros((2, 32, 32, 3), np.uint8), CPU)
    assert x.shape == (2, 3, 32, 32)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_center_crop_cuts_original_pixels() -> None:
    inputs = Inputs.of(Preprocess(crop="center", crop_size=32), config())
    np.testing.assert_array_equal(inputs.arrange(IMAGE), IMAGE[12:44, 26:58])


def test_center_crop_of_a_small_image_is_laid_on_black() -> None:
    inputs = Inputs.of(Preprocess(crop="center", crop_size=32), config())
    arranged = inputs.arrange(np.full((16, 16, 3), 200, np.uint8))
    assert (arranged[8:24, 8:24] == 200).all()
    assert arranged.sum() == 16 * 16 * 3 * 200


@pytest.mark.parametrize("place", [(0, 0), (40, 60), (80, 100)])
def test_a_cell_is_found_wherever_it_lies(place: tuple[int, int]) -> None:
    # position in the picture says nothing about the cell
    image = np.zeros((100, 120, 3), np.uint8)
    image[place[0] : place[0] + 20, place[1] : place[1] + 20] = IMAGE[:20, :20] // 2 + 100
    inputs = Inputs.of(Preprocess(crop="cell", cell_margin=0.3, interpolation="nearest"), config())
    arranged = inputs.arrange(image)  # 20 pixels and 6 on each side: 32
    np.testing.assert_array_equal(arranged[6:26, 6:26], IMAGE[:20, :20] // 2 + 100)
    assert (arranged.any(axis=2)).sum() == 400


def test_a_black_image_is_taken_whole() -> None:
    assert Inputs.of(Preprocess(crop="cell"), config()).arrange(np.zeros((50, 40, 3), np.uint8)).shape == (32, 32, 3)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 90, 3), (90, 1, 3), (31, 33, 3)])
def test_every_crop_gives_the_size_for_every_image(crop: str, shape: tuple[int, ...]) -> None:
    inputs = Inputs((32, 24), crop, {"center": 448.0, "cell": 0.1}.get(crop, 0.9), "bilinear", "unit", None, None)
    assert inputs.arrange(np.full(shape, 99, np.uint8)).shape == (32, 24, 3)


def test_a_strip_is_refused() -> None:
    # fitting its shorter side to the network would make an image of gigabytes
    with pytest.raises(ImageError, match="a strip"):
        Inputs.of(Preprocess(), config()).arrange(np.zeros((1, 1_000_000, 3), np.uint8))


def test_a_description_can_be_read_again() -> None:
    inputs = Inputs.of(Preprocess(mean="train"), config())
    assert Inputs.from_description(inputs.describe()) == inputs
    assert inputs.mean is None
