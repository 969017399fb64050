"""Generated pictures for the measurements: smooth blobs with a camera's noise, about as large on disk as real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SCENES = 16  # large blurred scenes, of which every picture is a window of its own


def draw_pictures(folder: Path, n: int, side: int, suffix: str, first: int = 0) -> None:
    """Write pictures of ``side`` × ``side`` pixels; each has its own number, and the same number the same bytes.

    A JPEG of 224 pixels comes to about 20 kB, as the smear images of Taleqani Hospital do.

    Parameters
    ----------
    folder : Path
        Two classes are folders in it.
    n : int
        How many.
    side : int
        Pixels.
    suffix : str
        ``"jpg"``, ``"png"`` or ``"bmp"``: the format.
    first : int
        Number of the first one.
    """
    scenes = [_scene(number, 2 * side) for number in range(_SCENES)]
    for number in range(first, first + n):
        rng = np.random.default_rng(number)
        top, left = rng.integers(0, side, 2)
        window = scenes[number % _SCENES][top : top + side, left : left + side]
        pixels = np.clip(window + rng.normal(0, 5, (side, side, 1)), 0, 255).astype(np.uint8)
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        options = {"quality": 95} if suffix == "jpg" else {}
        Image.fromarray(pixels).save(place / f"{number:06d}.{suffix}", **options)


def _scene(seed: int, side: int) -> NDArray[np.float64]:
    """Stained blobs on a pale ground, of shape (side, side, 3)."""
    rng = np.random.default_rng(1_000_000 + seed)
    y, x = np.mgrid[0:side, 0:side] / side
    scene = np.full((side, side, 3), 215.0) + rng.normal(0, 8, 3)
    for _ in range(24):
        centre_y, centre_x, radius = rng.random(), rng.random(), rng.uniform(0.04, 0.12)
        distance = np.hypot(y - centre_y, x - centre_x) / radius
        blob = 1 / (1 + np.exp(12 * (distance - 1)))  # an edge of a few pixels
        scene -= blob[:, :, None] * np.array([110, 150, 60]) * rng.uniform(0.5, 1.0)
    return scene
