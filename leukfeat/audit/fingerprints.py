"""What an image shows, however it is turned, mirrored, shifted, cropped or encoded: texture, key points, descriptors.

Two kinds of images are told apart by their border. A cell on black is cut out by its own outline, centred, and drawn
at one size, so that neither the crop nor the turn of the image matters. Any other image is a field and is drawn whole.

A descriptor tells what lies on rings around a key point: the Fourier transform of each ring over the angle, of which
only what does not change under turning and mirroring is kept, that is moduli, and the real part of the product of
neighbouring rings (their relative phase). Correlation afterwards decides what these descriptors only propose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from leukfeat.data.arrays import hash_pixels

OUTSIDE = -128
"""In a texture: here is no cell, or no image."""

FIELD_SIZE, CELL_SIZE = 128, 96  # pixels of the longer side of a field, and of the square about a cell

_BLACK = 16  # JPEG leaves the black around a cell so bright at most
_CELL_MARGIN = 1.5  # half the square about a cell, in radii of a disc of its area
_POINTS = 32  # key points an image at most
_SCALES = (1.6, 2.6, 4.2)  # of the blobs that are key points, in pixels
_APART = 3.0  # pixels between key points at least
_RINGS = np.arange(3, 19, 3)  # radii about a key point, in pixels
_ANGLES = 16  # samples on each
_STEPS = 32.0  # of texture, for one standard deviation
_BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of an image.

    Attributes
    ----------
    pixels : str
        sha256 of shape and pixels: the same for one image in two formats without loss.
    cell : bool
        A cell on black; else a field.
    texture : ndarray of shape (h, w), int8
        Green light without its slow changes, 32 steps a standard deviation; :data:`OUTSIDE` where there is no cell.
    points : ndarray of shape (k, 2), float32
        Row and column of each key point in the texture.
    descriptors : ndarray of shape (k, d), float32
        What lies around each key point.
    """

    pixels: str
    cell: bool
    texture: NDArray[np.int8]
    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Take the fingerprint of an image.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, 3), uint8
        RGB.
    """
    cell = cell_of(pixels)
    if cell is None:
        light, inside = _field(pixels), None
    else:
        light, inside = _portrait(pixels, cell)
    points = _key_points(light, inside)
    return Fingerprint(
        pixels=hash_pixels(pixels),
        cell=cell is not None,
        texture=_texture(light, inside),
        points=points,
        descriptors=_descriptors(light, points),
    )


def cell_of(pixels: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The outline's inside, (H, W), of a cell on black; None where most of the border is not black.

    Of several parts the largest is the cell. Less strict than :func:`leukfeat.data.foreground.cell_mask`: copies are
    looked for that were encoded as JPEG, or cropped into the cell.
    """
    bright = pixels.max(axis=2)  # (H, W)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    inside: NDArray[np.bool_] = bright > _BLACK
    if (border <= _BLACK).mean() < 0.5 or not inside.any():
        return None
    parts, number = ndimage.label(inside)
    if number > 1:
        inside = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return inside


def _field(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Green light of a whole image, its longer side :data:`FIELD_SIZE`; stains absorb green most."""
    height, width = pixels.shape[:2]
    shrink = FIELD_SIZE / max(height, width)
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    drawn = Image.fromarray(pixels[:, :, 1]).resize(size, Image.Resampling.BOX if shrink < 1 else _BILINEAR)
    return np.asarray(drawn, dtype=np.float32)


def _portrait(
    pixels: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Green light of a cell in a square about its centre of mass, and where the cell is in it.

    The square's side follows from the cell's area, which turning does not change as it does a bounding box.
    """
    rows, columns = np.nonzero(inside)
    half = _CELL_MARGIN * np.sqrt(inside.sum() / np.pi)
    left, top = columns.mean() + 0.5 - half, rows.mean() + 0.5 - half
    shrink = 2 * half / CELL_SIZE
    cut = np.where(inside, pixels[:, :, 1], 0).astype(np.uint8)
    if shrink > 1:  # the mean over a target pixel's own area, or fine grain would turn into noise
        cut = ndimage.gaussian_filter(cut.astype(np.float32), 0.4 * shrink)
    placed = (shrink, 0, left, 0, shrink, top)
    size = (CELL_SIZE, CELL_SIZE)
    light = Image.fromarray(cut).transform(size, Image.Transform.AFFINE, placed, _BILINEAR)
    where = Image.fromarray(inside.astype(np.uint8) * 255).transform(size, Image.Transform.AFFINE, placed, _BILINEAR)
    return np.asarray(light, dtype=np.float32), np.asarray(where) > 127


def _texture(light: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> NDArray[np.int8]:
    """Light less its mean over some pixels around, in steps."""
    fine = ndimage.gaussian_filter(light, 0.8)
    if inside is None:
        band = fine - ndimage.gaussian_filter(light, 5.0)
        within = np.ones(light.shape, dtype=bool)
    else:
        # the mean over the cell only, and not the rim: its contrast to black would make all cells alike
        share = ndimage.gaussian_filter(inside.astype(np.float32), 4.0) + 1e-3
        band = fine - ndimage.gaussian_filter(light * inside, 4.0) / share
        within = ndimage.binary_erosion(inside, iterations=3)
    if not within.any():
        return np.full(light.shape, OUTSIDE, dtype=np.int8)
    band = (band - band[within].mean()) / max(float(band[within].std()), 1e-3)
    stepped = np.clip(np.round(band * _STEPS), OUTSIDE + 1, 127).astype(np.int8)
    return np.where(within, stepped, np.int8(OUTSIDE))


def _key_points(light: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Centres of the strongest bright and dark blobs, away from borders, no two close together; (k, 2)."""
    allowed = np.zeros(light.shape, dtype=bool)
    margin = 10 if inside is None else 2
    allowed[margin:-margin, margin:-margin] = True
    if inside is not None:
        allowed &= ndimage.binary_erosion(inside, iterations=4)
    found: list[NDArray[np.float32]] = []
    for scale in _SCALES:
        strength = np.abs(ndimage.gaussian_filter(light, scale) - ndimage.gaussian_filter(light, 1.6 * scale))
        peaks = allowed & (strength == ndimage.maximum_filter(strength, size=int(2 * scale) + 1)) & (strength > 0)
        rows, columns = np.nonzero(peaks)
        found.append(np.column_stack([rows, columns, strength[rows, columns]]).astype(np.float32))
    every = np.concatenate(found)
    every = every[np.argsort(-every[:, 2], kind="stable"), :2]
    kept = np.zeros((0, 2), dtype=np.float32)
    for point in every:
        if len(kept) == _POINTS:
            break
        if not len(kept) or ((kept - point) ** 2).sum(axis=1).min() >= _APART**2:
            kept = np.vstack([kept, point])
    return kept


def _descriptors(light: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """What lies on the rings around each point, unchanged by turning and mirroring; (k, d)."""
    smooth = ndimage.gaussian_filter(light, 1.2, mode="nearest")
    turn = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    rows = points[:, 0, None, None] + _RINGS[:, None] * np.sin(turn)  # (k, rings, angles)
    columns = points[:, 1, None, None] + _RINGS[:, None] * np.cos(turn)
    rings = ndimage.map_coordinates(smooth, [rows.ravel(), columns.ravel()], order=1, mode="nearest")
    rings = rings.reshape(rows.shape)
    rings = rings - rings.mean(axis=(1, 2), keepdims=True)
    rings /= rings.std(axis=(1, 2), keepdims=True) + 1e-3
    waves = np.fft.rfft(rings, axis=2) / _ANGLES
    product = (waves[:, :-1, 1:5] * np.conj(waves[:, 1:, 1:5])).real
    parts = (waves[:, :, :1].real, np.abs(waves[:, :, 1:6]), np.sign(product) * np.sqrt(np.abs(product)))
    flat = [part.reshape(len(points), part.shape[1] * part.shape[2]) for part in parts]
    return np.concatenate(flat, axis=1).astype(np.float32)


def standardised(fingerprints: Sequence[Fingerprint]) -> list[NDArray[np.float32]]:
    """The descriptors of each image, every dimension in its own standard deviations, at unit length.

    Only so is a cosine telling: raw descriptors of all cells are alike.
    """
    if not fingerprints:
        return []
    every = np.concatenate([one.descriptors for one in fingerprints])
    mean = every.mean(axis=0) if len(every) else np.zeros(every.shape[1])
    spread = every.std(axis=0) + 1e-6 if len(every) else np.ones(every.shape[1])
    made = []
    for one in fingerprints:
        scaled = (one.descriptors - mean) / spread
        made.append((scaled / (np.linalg.norm(scaled, axis=1, keepdims=True) + 1e-9)).astype(np.float32))
    return made
