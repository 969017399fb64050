"""Do two images show the same cell or field? Lay one on the other, and correlate what lies on each other.

A placement is a similarity of the plane, written with complex numbers: a point w of the second image (column + i row)
falls on z = a w + b of the first; a mirrored image has its row turned over first, w → conj(w). Two matching key
points give a and b, as in RANSAC, and every pair of matches is tried instead of a random few.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from leukfeat.audit.fingerprints import OUTSIDE, Fingerprint

_MATCHES = 2  # nearest key points of the other image that each may match
_ALIKE = 0.5  # cosine of matching descriptors at least
_TOLERANCE = 2.5  # pixels by which a key point may miss its match
_LARGER = 1.25  # times that one image may be magnified against the other
_PLACEMENTS = 3  # placements to correlate
_OVERLAP_PIXELS = 200  # fewer say nothing


Points = NDArray[np.complex128]
"""Points of an image: column + i row."""


@dataclass(frozen=True)
class Rule:
    """What makes a pair a duplicate; see docs/design for how often each fails.

    Attributes
    ----------
    correlation : float
        Of the textures where they lie on each other, at least.
    overlap : float
        Share of the smaller image, at least.
    points : int
        Key points of one that fall on their match in the other, at least.
    """

    correlation: float
    overlap: float
    points: int


CELLS = Rule(correlation=0.8, overlap=0.6, points=11)
FIELDS = Rule(correlation=0.7, overlap=0.1, points=4)


@dataclass(frozen=True)
class Match:
    """How one image lies on another.

    Attributes
    ----------
    correlation : float
        Of the two textures where both are, -1 … 1.
    overlap : float
        Share of the smaller image that lies on the other.
    points : int
        Key points that fall on their match.
    mirrored : bool
        The second image is turned over.
    angle : float
        Degrees by which the second image is turned.
    scale : float
        Times by which it is magnified.
    """

    correlation: float
    overlap: float
    points: int
    mirrored: bool
    angle: float
    scale: float


def match(
    first: Fingerprint,
    second: Fingerprint,
    first_descriptors: NDArray[np.float32],
    second_descriptors: NDArray[np.float32],
) -> Match | None:
    """The best placement of one image on the other; None where there is none to try.

    Parameters
    ----------
    first, second : Fingerprint
        The images.
    first_descriptors, second_descriptors : ndarray of shape (k, d), float32
        Their descriptors on the scale of the data set, of unit length.
    """
    best: Match | None = None
    for mirrored, a, b, points in _placements(first.points, second.points, first_descriptors @ second_descriptors.T):
        correlation, overlap = _correlation(first.texture, second.texture, mirrored, a, b)
        if best is None or correlation > best.correlation:
            best = Match(correlation, overlap, points, mirrored, float(np.degrees(np.angle(a))), float(abs(a)))
    return best


def is_same(first: Fingerprint, second: Fingerprint, found: Match | None) -> bool:
    """Whether a match is good enough for one cell, or one field, in two images."""
    if found is None or first.cell != second.cell:
        return False
    rule = CELLS if first.cell else FIELDS
    # an image with few key points cannot have more of them matched than it has
    points = min(rule.points, max(3, min(len(first.points), len(second.points)) // 2))
    return found.correlation >= rule.correlation and found.overlap >= rule.overlap and found.points >= points


def _placements(
    first: NDArray[np.float32], second: NDArray[np.float32], alike: NDArray[np.float32]
) -> Iterator[tuple[bool, complex, complex, int]]:
    """Placements (mirrored, a, b) that most key points agree with, and how many do; best first."""
    if min(alike.shape) < 2:
        return
    near = np.argsort(-alike, axis=1)[:, :_MATCHES]
    here = np.repeat(np.arange(len(first)), near.shape[1])
    there = near.ravel()
    close = alike[here, there] > _ALIKE
    here, there = here[close], there[close]
    z: Points = first[here, 1] + 1j * first[here, 0].astype(np.float64)
    found: list[tuple[int, bool, complex, complex]] = []
    for mirrored in (False, True):
        w: Points = second[there, 1] + (-1j if mirrored else 1j) * second[there, 0].astype(np.float64)
        found += [(points, mirrored, a, b) for points, a, b in _agreed(z, w, here)]
    for points, mirrored, a, b in sorted(found, key=lambda one: -one[0])[:_PLACEMENTS]:
        yield mirrored, a, b, points


def _agreed(z: Points, w: Points, here: NDArray[np.int64]) -> Iterator[tuple[int, complex, complex]]:
    """Similarities through two matches each that put the most other points on their match, fitted to all of those."""
    p, q = np.triu_indices(len(z), 1)
    step_z, step_w = z[p] - z[q], w[p] - w[q]
    apart = (np.abs(step_w) > 8) & (np.abs(step_z) > 8)  # points close together say little about turn and size
    a: Points = step_z[apart] / step_w[apart]
    p = p[apart]
    sensible = (np.abs(a) < _LARGER) & (np.abs(a) > 1 / _LARGER)
    a, p = a[sensible], p[sensible]
    if not len(a):
        return
    b = z[p] - a * w[p]
    for number in np.argsort(-_hits(a, b, z, w), kind="stable")[:_PLACEMENTS]:
        fitted = a[number], b[number]
        for _ in range(2):
            on = np.abs(fitted[0] * w + fitted[1] - z) < _TOLERANCE
            if len(np.unique(w[on])) < 2:
                break
            fitted = _fit(z[on], w[on])
        on = np.abs(fitted[0] * w + fitted[1] - z) < _TOLERANCE
        yield len(np.unique(here[on])), complex(fitted[0]), complex(fitted[1])


def _hits(
    a: Points,
    b: Points,
    z: Points,
    w: Points,
) -> NDArray[np.int64]:
    """How many matches each similarity agrees with."""
    away = a[:, None] * w + (b[:, None] - z)  # (similarities, matches)
    hits: NDArray[np.int64] = ((away.real**2 + away.imag**2) < _TOLERANCE**2).sum(axis=1)
    return hits


def _fit(z: Points, w: Points) -> tuple[complex, complex]:
    """Least squares for z = a w + b."""
    centred = w - w.mean()
    a = complex((np.conj(centred) @ (z - z.mean())) / (np.abs(centred) ** 2).sum())
    return a, complex(z.mean() - a * w.mean())


def _correlation(
    first: NDArray[np.int8], second: NDArray[np.int8], mirrored: bool, a: complex, b: complex
) -> tuple[float, float]:
    """Correlation of two textures where both are, and the share of the smaller one that this is."""
    rows, columns = np.nonzero(first != OUTSIDE)
    w = ((columns + 1j * rows) - b) / a
    w = np.conj(w) if mirrored else w
    at = [w.imag, w.real]
    there = ndimage.map_coordinates((second != OUTSIDE).astype(np.float32), at, order=1, cval=0.0) > 0.99
    number = int(there.sum())
    smaller = min(len(rows), int((second != OUTSIDE).sum()) * abs(a) ** 2)
    if number < _OVERLAP_PIXELS:
        return 0.0, number / max(smaller, 1)
    x = first[rows[there], columns[there]].astype(np.float32)
    values = ndimage.map_coordinates(second.astype(np.float32), [at[0][there], at[1][there]], order=1)
    x, y = x - x.mean(), values - values.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return (float(x @ y) / scale if scale > 0 else 0.0), number / smaller
