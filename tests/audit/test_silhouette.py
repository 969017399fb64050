"""The measurements of one image are those of the shape that was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leukfeat.audit.silhouette import CORNERS, SCALARS, measure, perimeter

COLOUR = (120, 60, 140)


def disc(radius: float, side: int = 96, *, rim: float = 0.0) -> np.ndarray:
    """A cell on black; with a rim it fades over some pixels, as the border of a segmented cell does."""
    y, x = np.ogrid[:side, :side]
    distance = np.hypot(y - side / 2, x - side / 2)
    body = np.clip((radius - distance) / rim + 0.5, 0, 1) if rim else (distance <= radius).astype(float)
    return (body[:, :, None] * COLOUR).astype(np.uint8)


@pytest.mark.parametrize("radius", [20, 30, 40])
def test_a_disc_has_the_size_of_a_disc(radius: int) -> None:
    """Area, box and diameter by definition; the perimeter is that of the circle, not of the pixels' staircase."""
    scalars = measure(disc(radius)).scalars
    assert scalars["area"] == pytest.approx(math.pi * radius**2, rel=0.02)
    assert scalars["equivalent_diameter"] == pytest.approx(2 * radius, rel=0.01)
    assert scalars["perimeter"] == pytest.approx(2 * math.pi * radius, rel=0.02)
    assert scalars["box_height"] == scalars["box_width"] == 2 * radius + 1


def test_a_quarter_turn_changes_no_size() -> None:
    """Cells lie as they fall: only height and width of the box change places."""
    image = np.zeros((60, 60, 3), np.uint8)
    image[10:50, 20:30] = COLOUR
    upright, turned = measure(image).scalars, measure(np.rot90(image).copy()).scalars
    for name in ("area", "perimeter", "equivalent_diameter", "foreground_red"):
        assert turned[name] == pytest.approx(upright[name])
    assert (upright["box_height"], upright["box_width"]) == (40, 10)
    assert (turned["box_height"], turned["box_width"]) == (10, 40)


def test_a_hole_has_an_edge_too() -> None:
    """A ring's perimeter is that of both its circles."""
    y, x = np.ogrid[:96, :96]
    distance = np.hypot(y - 48, x - 48)
    assert perimeter((distance <= 40) & (distance > 20)) == pytest.approx(2 * math.pi * 60, rel=0.02)


def test_colours_are_those_of_each_part() -> None:
    """The mean colour of the cell does not know how large the cell is; that of the whole image does."""
    small, large = (measure(disc(radius)).scalars for radius in (15, 40))
    for scalars in (small, large):
        assert [scalars[f"foreground_{name}"] for name in ("red", "green", "blue")] == pytest.approx(COLOUR)
    assert large["image_red"] > 3 * small["image_red"]


def test_the_background_does_not_know_how_large_the_cell_is() -> None:
    """Dark pixels of a blurred rim are counted as background, and there are more of them around a larger cell."""
    small, large = (measure(disc(radius, rim=6)).scalars for radius in (15, 40))
    names = [name for name in SCALARS if name.startswith("background_")]
    assert len(names) == 9
    assert [small[name] for name in names] == [large[name] for name in names] == [0.0] * 9


def test_background_quantiles_are_those_of_its_pixels() -> None:
    """Two shades of slide around a nucleus: the lower tenth is of one, the upper of the other."""
    field = np.full((60, 60, 3), (240, 245, 255), np.uint8)
    field[:20] = (140, 170, 205)
    field[30:50, 20:40] = (110, 60, 190)
    scalars = measure(field).scalars
    assert [scalars[f"background_green_{share}"] for share in (10, 50, 90)] == [170, 245, 245]


def test_an_image_without_foreground_has_no_size_and_says_why() -> None:
    """A size of 0 would be a number that means something else."""
    shape = measure(np.full((40, 50, 3), 200, np.uint8))
    assert shape.reason
    assert shape.rule == ""
    assert not shape.outline.any()
    undefined = {name for name, value in shape.scalars.items() if math.isnan(value)}
    assert undefined == set(SCALARS) - {"image_height", "image_width", "image_red", "image_green", "image_blue"}
    assert (shape.scalars["image_height"], shape.scalars["image_width"]) == (40, 50)


def test_the_outline_keeps_the_share_of_the_cell() -> None:
    """Down-sampling is a mean, so the silhouette's brightness is the area, whatever the image's size."""
    for side in (64, 96, 100):
        shape = measure(disc(0.3 * side, side))
        assert shape.outline.mean() / 255 == pytest.approx(shape.scalars["area"] / side**2, abs=0.005)


def test_a_bar_stands_in_its_own_corner() -> None:
    """A baseline of one corner must see nothing of the others."""
    plain = np.full((140, 210, 3), 230, np.uint8)
    bar = plain.copy()
    bar[130:134, 190:205] = 0
    before, after = measure(plain).corners, measure(bar).corners
    changed = [name for name, one, other in zip(CORNERS, before, after, strict=True) if (one != other).any()]
    assert changed == ["lower-right"]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (7, 5)])
def test_tiny_images_are_measured_too(shape: tuple[int, int]) -> None:
    """Smaller than the grids they are put on; nobody's audit should stop there."""
    found = measure(np.full((*shape, 3), 77, np.uint8))
    assert (found.corners == 77).all()
