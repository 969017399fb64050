"""Averaging over views: what a network says about an image must not depend on how the slide lay."""

from __future__ import annotations

import pytest
import torch

from leukfeat.backbones.spec import VIEW_NAMES
from leukfeat.backbones.views import VIEWS, averaged


def one_sided(x: torch.Tensor) -> torch.Tensor:
    """A function that is anything but symmetric: (B, 3, H, W) -> (B, 2)."""
    ramp = torch.linspace(0, 1, x.shape[3])
    return torch.stack([(x * ramp).mean((1, 2, 3)), (x * ramp[:, None] ** 2).amax((1, 2, 3))], dim=1)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_spec_knows_the_views_there_are() -> None:
    assert tuple(VIEWS) == VIEW_NAMES


@pytest.mark.parametrize(("views", "n"), [("none", 1), ("flips", 4), ("d4", 8), ("rotations-8", 8)])
def test_views_are_so_many_different_images(views: str, n: int, x: torch.Tensor) -> None:
    seen = list(VIEWS[views](x))
    assert len(seen) == n
    assert all(view.shape == x.shape for view in seen)
    assert all(not torch.equal(a, b) for k, a in enumerate(seen) for b in seen[:k])


@pytest.mark.parametrize(
    ("views", "moved"),
    [
        ("flips", lambda x: x.flip(3)),
        ("flips", lambda x: x.flip((2, 3))),
        ("d4", lambda x: torch.rot90(x, 1, (2, 3))),
        ("d4", lambda x: torch.rot90(x.flip(2), 3, (2, 3))),
        ("rotations-8", lambda x: torch.rot90(x, 1, (2, 3))),
        ("rotations-8", lambda x: torch.rot90(x, 2, (2, 3))),
    ],
)
def test_the_mean_over_views_is_the_same_for_a_moved_image(views, moved, x: torch.Tensor) -> None:
    """The views of a moved image are the views of the image, in another order."""
    assert not torch.allclose(one_sided(x), one_sided(moved(x)), atol=1e-4)
    torch.testing.assert_close(averaged(one_sided, x, views), averaged(one_sided, moved(x), views))


def test_a_turn_by_45_degrees_twice_is_a_right_angle_in_the_middle() -> None:
    """Interpolation blurs twice; away from the border a smooth image comes out turned."""
    axis = torch.linspace(-1, 1, 65)
    image = torch.exp(-((axis[None] - 0.2) ** 2 + (axis[:, None] + 0.1) ** 2) * 8).expand(1, 3, 65, 65)
    turned = list(VIEWS["rotations-8"](image))[1]
    twice = list(VIEWS["rotations-8"](turned))[1]
    right = torch.rot90(image, 1, (2, 3))
    middle = slice(16, 49)
    difference = (twice - right)[..., middle, middle].abs().max()
    assert difference < 0.02
    assert (image - right)[..., middle, middle].abs().max() > 0.2
