"""A cell on black and the stained parts of a field are found; where there is neither, nothing is guessed."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.data.foreground import cell_mask, find_foreground, stained_mask


def cut_out() -> np.ndarray:
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    image[10:30, 10:30] = (120, 60, 140)
    return image


def test_a_cell_on_black_is_found() -> None:
    mask = cell_mask(cut_out())
    assert mask is not None
    assert mask.sum() == 400


@pytest.mark.parametrize("image", [np.full((40, 40, 3), 200, np.uint8), np.zeros((40, 40, 3), np.uint8)])
def test_a_field_has_no_mask(image: np.ndarray) -> None:
    """Neither a smear nor an empty image."""
    assert cell_mask(image) is None


def test_a_field_with_a_black_bar_has_no_mask() -> None:
    """Black somewhere, such as a burnt-in scale bar, is no background: that is at the border, nearly all of it."""
    field = np.full((40, 40, 3), 200, np.uint8)
    field[30:36, 10:40] = 0
    assert cell_mask(field) is None


def smear() -> tuple[np.ndarray, np.ndarray]:
    """A bright field under bluish light: one nucleus, red cells, and a black scale bar; and where the nucleus is."""
    field = np.full((60, 60, 3), (240, 245, 255), np.uint8)
    field[5:25, 5:25] = field[35:50, 5:20] = (140, 170, 205)  # saturated, but not purple
    field[54:57, 40:58] = 0
    nucleus = np.zeros((60, 60), bool)
    nucleus[20:40, 30:50] = True
    field[nucleus] = (110, 60, 190)
    return field, nucleus


def test_stained_parts_of_a_field_are_its_nuclei() -> None:
    """Red cells and scale bars are no foreground, though they are dark or saturated too."""
    field, nucleus = smear()
    np.testing.assert_array_equal(stained_mask(field), nucleus)
    found = find_foreground(field)
    assert (found.rule, found.reason) == ("stain", "")


def test_stained_parts_do_not_depend_on_the_light() -> None:
    """Half the light halves every channel: the mask is of stain, not of darkness."""
    field, nucleus = smear()
    np.testing.assert_array_equal(stained_mask(field // 2), nucleus)


def test_a_cell_on_black_goes_by_the_first_rule() -> None:
    """All of the cell is foreground there, not only its nucleus."""
    assert find_foreground(cut_out()).rule == "black"


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_image_without_stain_has_a_reason_instead(grey: int) -> None:
    """Otsu's threshold divides noise as well as cells; without contrast nothing is guessed."""
    rng = np.random.default_rng(0)
    noise = np.clip(grey + rng.integers(-3, 4, (40, 40, 3)), 0, 255).astype(np.uint8)
    found = find_foreground(noise)
    assert found.mask is None
    assert found.rule == ""
    assert "no stained parts" in found.reason
