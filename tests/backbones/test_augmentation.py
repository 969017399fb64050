"""Augmentation does what its numbers say, and the numbers depend on seed, epoch and place only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leukfeat.backbones.augmentation import augment_batch, augmented, chances
from leukfeat.backbones.finetune import Augment

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
MIDDLE = np.full((1, 9), 0.5)  # of every range


def pictures(n: int = 4, height: int = 16, width: int = 16, device: str = "cpu") -> torch.Tensor:
    drawn = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, height, width)).astype(np.float32))
    return drawn.to(device).contiguous(memory_format=torch.channels_last)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0.05)  # of 255


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_right_angles_are_rot90(quarter: int, device: str) -> None:
    """Counter-clockwise as seen, about the middle, no half pixel off."""
    x = pictures(device=device)
    turned = augment_batch(x, Augment(rotate=(90 * quarter, 90 * quarter)), chances(0, 0, 4))
    close(turned, torch.rot90(x, quarter, (2, 3)))


@pytest.mark.parametrize("device", DEVICES)
def test_flips_with_probability_one_mirror(device: str) -> None:
    """Exactly, and within resampling where something else moves too."""
    x = pictures(device=device)
    assert torch.equal(augment_batch(x, Augment(hflip=1), chances(0, 0, 4)), x.flip(3))
    assert torch.equal(augment_batch(x, Augment(vflip=1), chances(0, 0, 4)), x.flip(2))
    still = {"rotate": (0, 0), "scale": (1, 1), "translate": 1e-9}
    close(augment_batch(x, Augment(hflip=1, vflip=1, **still), chances(0, 0, 4)), x.flip((2, 3)))


@pytest.mark.parametrize("height", [12, 20])
def test_a_shift_moves_whole_pixels_and_leaves_black(height: int) -> None:
    """A share of each side, on images that are not square as well."""
    x = pictures(1, height, 16)
    chance = MIDDLE.copy()
    chance[0, 3:5] = 1.0, 0.0  # as far as may be to the right, and up
    moved = augment_batch(x, Augment(translate=0.25), chance)
    down = height // 4
    close(moved[:, :, :-down, 4:], x[:, :, down:, :-4])
    assert moved[:, :, :, :4].abs().max() < 0.05
    assert moved[:, :, -down:].abs().max() < 0.05


def test_a_turned_rectangle_keeps_its_proportions() -> None:
    """A quarter turn of a 16 x 32 image: its middle square is turned as if alone."""
    x = pictures(1, 16, 32)
    turned = augment_batch(x, Augment(rotate=(90, 90)), MIDDLE)
    close(turned[:, :, :, 8:24], torch.rot90(x[:, :, :, 8:24], 1, (2, 3)))
    assert turned[:, :, :, :7].abs().max() < 0.05


def test_magnification_and_shear_move_known_points() -> None:
    """A dot at (+4, 0) goes to (+8, 0) at twice the size; shear moves it by the tangent of its height."""
    x = torch.zeros(1, 3, 33, 33)
    x[:, :, 16, 20] = 255
    larger = augment_batch(x, Augment(scale=(2, 2)), MIDDLE)
    assert divmod(int(larger[0, 0].argmax()), 33) == (16, 24)
    x = torch.zeros(1, 3, 33, 33)
    x[:, :, 24, 16] = 255  # 8 below the middle
    chance = MIDDLE.copy()
    chance[0, 1] = 1.0
    sheared = augment_batch(x, Augment(shear=45), chance)
    assert divmod(int(sheared[0, 0].argmax()), 33) == (24, 24)


@pytest.mark.parametrize("device", DEVICES)
def test_brightness_multiplies_within_its_range(device: str) -> None:
    """Saeed's 0.2 to 1.2, each image its own factor, white stays white."""
    x = torch.full((500, 3, 2, 2), 100.0, device=device)
    bright = augment_batch(x, Augment(brightness=(0.2, 1.2)), chances(3, 1, 500))
    factors = (bright[:, 0, 0, 0] / 100).cpu()
    assert 0.2 <= factors.min() < 0.22
    assert 1.18 < factors.max() <= 1.2
    assert factors.mean() == pytest.approx(0.7, abs=0.05)
    assert augment_batch(torch.full((1, 3, 2, 2), 250.0), Augment(brightness=(2, 2)), MIDDLE).max() == 255


def test_contrast_keeps_the_mean_grey() -> None:
    """At 0 everything is that grey, at 1 nothing changes."""
    x = pictures(2)
    grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1).mean((1, 2)).view(2, 1, 1, 1)
    flat = augment_batch(x, Augment(contrast=(0, 0)), chances(0, 0, 2))
    close(flat, grey.expand_as(flat))
    half = augment_batch(x, Augment(contrast=(0.5, 0.5)), chances(0, 0, 2))
    close(half, (x + grey) / 2)


WILD = Augment(
    rotate=180,
    hflip=0.5,
    vflip=0.5,
    brightness=(0.5, 1.5),
    contrast=(0.5, 1.5),
    translate=0.2,
    shear=20,
    scale=(0.8, 1.2),
)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_its_images(device: str) -> None:
    """What happens to an image does not depend on its neighbours or on the size of the batch."""
    x, chance = pictures(6, device=device), chances(5, 2, 6)
    whole = augment_batch(x, WILD, chance)
    parts = torch.cat([augment_batch(x[k : k + 1], WILD, chance[k : k + 1]) for k in range(6)])
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-2)
    assert not torch.allclose(whole[0] - x[0], whole[1] - x[1])


def test_chances_are_a_function_of_seed_epoch_and_place() -> None:
    """Not of how many there are; and no two epochs or seeds share them."""
    np.testing.assert_array_equal(chances(1, 2, 5), chances(1, 2, 9)[:5])
    assert len(np.unique(np.concatenate([chances(s, e, 3) for s in range(3) for e in range(3)]))) == 9 * 27


def test_nothing_to_do_is_nothing_done() -> None:
    """The very tensor comes back."""
    x = pictures()
    assert augment_batch(x, Augment(), chances(0, 0, 4)) is x


def test_copies_are_uint8_and_repeatable() -> None:
    """The same number gives the same copy, another number another."""
    image = np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    before = image.copy()
    one = augmented(image, WILD, seed=3, number=7)
    assert (one.dtype, one.shape) == (np.uint8, image.shape)
    np.testing.assert_array_equal(one, augmented(image, WILD, seed=3, number=7))
    assert (one != augmented(image, WILD, seed=3, number=8)).any()
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(augmented(image, Augment(), 0, 0), image)
    np.testing.assert_array_equal(augmented(image, Augment(hflip=1), 0, 0), image[:, ::-1])
