"""What lies inside a cell is measured where there is one, and not guessed where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.data.foreground import cell_mask
from leukfeat.explain.cell import inside


def cut_out() -> np.ndarray:
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    image[10:30, 10:30] = (120, 60, 140)
    return image


def test_a_map_without_aim_has_the_cells_share_inside() -> None:
    mask = cell_mask(cut_out())
    assert mask is not None
    flat = inside(np.ones((40, 40), np.float32), mask)
    assert flat.share == pytest.approx(0.25)
    assert flat.cell == pytest.approx(0.25)
    aimed = np.zeros((40, 40), np.float32)
    aimed[20, 20] = 1
    assert inside(aimed, mask).share == 1
    assert inside(aimed, mask).pointing is True
    assert inside(np.roll(aimed, 19, axis=0), mask).pointing is False
    nothing = inside(np.zeros((40, 40), np.float32), mask)
    assert (nothing.share, nothing.pointing) == (None, None)
