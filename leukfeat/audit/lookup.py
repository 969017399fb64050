"""Which pairs of images are worth a closer look: those that share several descriptors, or close embeddings.

Comparing all pairs would be too slow for 15,000 images. Every descriptor is filed under the few of many reference
descriptors that it is nearest to, and compared only with what is filed there too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FILED = 3  # references that a descriptor is filed under
_NEIGHBOURS = 6  # nearest descriptors that count, under each reference
_ALIKE = 0.7  # cosine of two descriptors that may show the same thing
_PARTNERS = 20  # closest looks an image is worth
_BLOCK = 2048

VOTES_OF_CELLS, VOTES_OF_FIELDS = 8, 3
"""Descriptors that two images have to share: copies of a cell share 18 and more, shifted fields few."""

EMBEDDINGS_ALIKE = 0.95
"""Cosine of two centred embeddings that make a pair worth a closer look."""


def likely_pairs(descriptors: Sequence[NDArray[np.float32]], cell: Sequence[bool], seed: int = 0) -> NDArray[np.int64]:
    """Pairs of images that share several descriptors.

    Parameters
    ----------
    descriptors : sequence of ndarray of shape (k, d), float32
        Of each image, of unit length; see :func:`leukfeat.audit.fingerprints.standardised`.
    cell : sequence of bool
        Whether an image is a cell on black; a cell is never paired with a field.
    seed : int
        Draws the references.

    Returns
    -------
    ndarray of shape (p, 2), int64
        Numbers of images, the smaller first, sorted.
    """
    n = len(descriptors)
    counts = [len(one) for one in descriptors]
    owner = np.repeat(np.arange(n), counts)
    if n < 2 or len(owner) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    every = np.concatenate(list(descriptors))
    shared = _shared(every, owner, seed)
    if not len(shared):
        return np.zeros((0, 2), dtype=np.int64)
    pair, votes = np.unique(owner[shared[:, 0]] * n + owner[shared[:, 1]], return_counts=True)
    is_cell = np.asarray(cell, dtype=bool)
    fewest = np.minimum(np.take(counts, pair // n), np.take(counts, pair % n))
    needed = np.where(is_cell[pair // n], np.minimum(VOTES_OF_CELLS, np.maximum(2, fewest // 2)), VOTES_OF_FIELDS)
    kept = (votes >= needed) & (is_cell[pair // n] == is_cell[pair % n])
    return _best_partners(pair[kept], votes[kept], n)


def _shared(every: NDArray[np.float32], owner: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Pairs of descriptors of two images that are among the nearest to each other; (m, 2), each once."""
    n_references = max(1, int(np.sqrt(len(every))))
    references = every[np.random.default_rng(seed).permutation(len(every))[:n_references]]
    filed = np.concatenate(
        [_nearest(block @ references.T, _FILED) for block in np.array_split(every, len(every) // _BLOCK + 1)]
    )
    found: list[NDArray[np.int64]] = []
    for number in range(n_references):
        rows = np.flatnonzero((filed == number).any(axis=1))
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            alike = every[some] @ every[rows].T
            alike[owner[some][:, None] == owner[rows][None, :]] = -1
            near = _nearest(alike, _NEIGHBOURS)
            first = np.repeat(np.arange(len(some)), near.shape[1])
            second = near.ravel()
            close = alike[first, second] > _ALIKE
            found.append(np.column_stack([some[first[close]], rows[second[close]]]))
    ends = np.sort(np.concatenate(found), axis=1)
    packed = np.unique(ends[:, 0] * len(every) + ends[:, 1])
    return np.column_stack([packed // len(every), packed % len(every)])


def _nearest(alike: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """Columns of the largest values in each row, in no order."""
    if alike.shape[1] <= number:
        return np.broadcast_to(np.arange(alike.shape[1]), alike.shape).copy()
    return np.argpartition(-alike, number - 1, axis=1)[:, :number]


def _best_partners(pair: NDArray[np.int64], votes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The pairs that are among the most voted of one of their images."""
    ends = np.column_stack([pair // n, pair % n])
    kept = np.zeros(len(pair), dtype=bool)
    for side in (0, 1):
        order = np.lexsort((-votes, ends[:, side]))
        image = ends[order, side]
        first = np.searchsorted(image, image)  # where the block of each image begins
        kept[order[np.arange(len(order)) - first < _PARTNERS]] = True
    chosen: NDArray[np.int64] = ends[kept]
    return chosen


def embedded_pairs(embeddings: NDArray[np.floating], n_neighbours: int = 5) -> NDArray[np.int64]:
    """Pairs of images whose embeddings are nearly the same.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d)
        Of each image; a row that is not finite stands for an image without one.
    n_neighbours : int
        Nearest images that count for each.

    Returns
    -------
    ndarray of shape (p, 2), int64
        Numbers of images, the smaller first, sorted, each pair once.
    """
    centred = np.asarray(embeddings, dtype=np.float32)
    known = np.flatnonzero(np.isfinite(centred).all(axis=1))
    if len(known) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    centred = centred[known] - centred[known].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9
    found = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(known), _BLOCK):
        alike = centred[start : start + _BLOCK] @ centred.T
        alike[np.arange(len(alike)), start + np.arange(len(alike))] = -1
        near = _nearest(alike, n_neighbours)
        first = np.repeat(np.arange(len(alike)), near.shape[1])
        close = alike[first, near.ravel()] > EMBEDDINGS_ALIKE
        found.append(np.column_stack([known[start + first[close]], known[near.ravel()[close]]]))
    ends = np.sort(np.concatenate(found), axis=1)
    return np.unique(ends, axis=0)
