"""Whether an engine computes what PyTorch computes, asked before its first row is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import EngineError

if TYPE_CHECKING:
    from leukfeat.backbones.engines.protocol import Engine

COSINES = {"fp32": 0.99999, "float16": 0.999, "bfloat16": 0.999}  # of a row with PyTorch's, at least

_SHARE = 0.05  # an error may be this share of the distance between two images' rows,
_FLOOR = 1e-5  # or this share of a row's length


def check_agreement(engine: Engine, reference: Engine, size: tuple[int, int], precision: str = "fp32") -> None:
    """Compare an engine with another on a few images.

    Parameters
    ----------
    engine, reference : Engine
        The one in question, and PyTorch's.
    size : (int, int)
        Height and width of the images.
    precision : str
        What the engine computes in.

    Raises
    ------
    EngineError
        Rows point elsewhere, or differ by more than what tells images apart.
    """
    images = sample_images(size)
    found, expected = engine.embed(images), reference.embed(images)  # (B, d)
    if found.shape != expected.shape:
        raise EngineError(f"engine {engine.name} gives vectors of shape {found.shape}, PyTorch {expected.shape}")
    cosine = lowest_cosine(found, expected)
    if cosine < COSINES[precision]:
        raise EngineError(
            f"engine {engine.name} does not agree with PyTorch on this network: cosine {cosine:.6f}, at least"
            f" {COSINES[precision]} is needed"
        )
    # rows of an untrained network all point the same way, and a wrong mean would hide in there
    error = np.linalg.norm(found - expected, axis=1).max()
    distance = np.linalg.norm(expected[0] - expected[1])
    length = np.linalg.norm(expected, axis=1).max()
    allowed = max(_SHARE * distance, _FLOOR * length)
    if precision == "fp32" and error > allowed:
        raise EngineError(
            f"engine {engine.name} does not agree with PyTorch on this network: it is off by {error:.2g}, where rows"
            f" of two images differ by {distance:.2g}; {allowed:.2g} is allowed"
        )


def lowest_cosine(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The lowest cosine between rows (B, d); equal rows agree, zeros too, and NaN agrees with nothing."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = (a == b).all(axis=1)
    cosines = np.divide((a * b).sum(axis=1), lengths, out=np.zeros(len(a)), where=lengths > 0)
    return float(np.where(same, 1.0, cosines).min())


def sample_images(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Two images (2, H, W, 3): a dark disc on a bright ground, as a cell is, and noise."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    inside = (rows / height - 0.5) ** 2 + (columns / width - 0.5) ** 2 < 0.1  # (H, W)
    cell = np.where(inside[..., None], (110, 60, 140), (225, 210, 215))
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return np.stack([cell, noise]).astype(np.uint8)
