"""Images that stand in a data set again: byte for byte, pixel for pixel, turned, encoded anew, or with another crop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.confirmation import Match, is_same, match
from leukfeat.audit.fingerprints import Fingerprint, fingerprint, standardised
from leukfeat.audit.lookup import embedded_pairs, likely_pairs
from leukfeat.data.linkage import linked_groups, repeated
from leukfeat.data.manifest import Manifest
from leukfeat.data.pixels import read_row
from leukfeat.errors import ImageError

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much is done, and how much there is."""

_MOST_THREADS = 8


@dataclass(frozen=True)
class Pair:
    """Two rows that show the same cell or field, and how one lies on the other."""

    first: int
    second: int
    match: Match


@dataclass(frozen=True, eq=False)
class Duplicates:
    """What stands in a manifest again.

    Attributes
    ----------
    manifest : Manifest
        The data set.
    same_pixels : tuple of tuple of int
        Rows of images that differ in bytes and not in pixels.
    pairs : tuple of Pair
        Near-duplicates; of rows with identical files only the first stands for all.
    unread : tuple of int
        Rows that could not be read, and were not compared.
    """

    manifest: Manifest
    same_pixels: tuple[tuple[int, ...], ...] = ()
    pairs: tuple[Pair, ...] = ()
    unread: tuple[int, ...] = ()

    @property
    def identical(self) -> tuple[tuple[int, ...], ...]:
        """Rows of byte-identical files."""
        return tuple(tuple(rows) for rows in self.manifest.repeated.values())

    @cached_property
    def number(self) -> NDArray[np.int64]:
        """Group of each row, (n,): rows are in one where a chain of duplicates of any kind joins them."""
        keys: list[list[tuple[str, object]]] = [[("row", row)] for row in range(len(self.manifest))]
        for number, rows in enumerate((*self.identical, *self.same_pixels)):
            for row in rows:
                keys[row].append(("same", number))
        for number, pair in enumerate(self.pairs):
            keys[pair.first].append(("pair", number))
            keys[pair.second].append(("pair", number))
        return np.asarray(linked_groups(keys), dtype=np.int64)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Rows of every group of two or more, in order."""
        return _several(self.number)

    @cached_property
    def near_groups(self) -> tuple[tuple[int, ...], ...]:
        """The groups in which not all files are identical."""
        digest = self.manifest.sha256
        return tuple(rows for rows in self.groups if len({digest[row] for row in rows}) > 1)

    def evidence(self, rows: Sequence[int]) -> Mapping[str, Any]:
        """A group for a finding: names, labels where there are several, the weakest link in it."""
        inside = set(rows)
        links = [pair.match for pair in self.pairs if pair.first in inside]
        facts: dict[str, Any] = {"samples": [self.manifest.sample[row] for row in rows]}
        labels = [self.manifest.label[row] for row in rows]
        if len(set(labels)) > 1:
            facts["labels"] = labels
        if links:
            facts["correlation"] = round(min(link.correlation for link in links), 3)
            facts["overlap"] = round(min(link.overlap for link in links), 3)
        return facts


def find_duplicates(
    manifest: Manifest,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    embeddings: NDArray[np.floating] | None = None,
    progress: Progress | None = None,
) -> Duplicates:
    """Find what stands in a manifest again.

    Files with the same digest are one image. Every other image is read once; key points and their descriptors, and
    embeddings where there are any, propose pairs; a pair counts when one image can be laid on the other so that key
    points and textures agree. That finds copies that are turned by any angle, mirrored, magnified by up to a quarter,
    cropped or encoded anew, and fields of a smear that overlap by a tenth.

    Parameters
    ----------
    manifest : Manifest
        The data set.
    rows : sequence of int or None
        Which rows are compared; all by default.
    embeddings : ndarray of shape (n, d) or None
        An embedding of each row of the manifest; a row that is not finite has none.
    progress : callable(what, done, total) or None
        Called on the way.

    Returns
    -------
    Duplicates
        Of all rows compared; what cannot be read is named there.
    """
    wanted = range(len(manifest)) if rows is None else [int(row) for row in rows]
    first: dict[str, int] = {}
    for row in wanted:
        first.setdefault(manifest.sha256[row] or f"row {row}", row)
    read, unread = _fingerprints(manifest, list(first.values()), progress)
    kept = list(read)
    prints = [read[row] for row in kept]
    descriptors = standardised(prints)
    likely = [likely_pairs(descriptors, [one.cell for one in prints])]
    if embeddings is not None:
        likely.append(embedded_pairs(np.asarray(embeddings)[kept]))
    proposed = np.unique(np.concatenate(likely), axis=0)
    pairs = []
    for done, (i, j) in enumerate(proposed.tolist(), start=1):
        if prints[i].pixels != prints[j].pixels:
            found = match(prints[i], prints[j], descriptors[i], descriptors[j])
            if found is not None and is_same(prints[i], prints[j], found):
                pairs.append(Pair(kept[i], kept[j], found))
        if progress is not None:
            progress("pairs", done, len(proposed))
    same = repeated([one.pixels for one in prints]).values()
    return Duplicates(
        manifest=manifest,
        same_pixels=tuple(tuple(kept[number] for number in numbers) for numbers in same),
        pairs=tuple(pairs),
        unread=tuple(row for row in wanted if row in unread),
    )


def _fingerprints(
    manifest: Manifest, rows: Sequence[int], progress: Progress | None
) -> tuple[dict[int, Fingerprint], set[int]]:
    """Fingerprints by row, and the rows that cannot be read."""

    def taken(row: int) -> Fingerprint | None:
        try:
            return fingerprint(read_row(manifest, row))
        except ImageError:
            return None

    found: dict[int, Fingerprint] = {}
    unread: set[int] = set()
    with ThreadPoolExecutor(max_workers=min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for done, (row, one) in enumerate(zip(rows, pool.map(taken, rows), strict=True), start=1):
            if one is None:
                unread.add(row)
            else:
                found[row] = one
            if progress is not None:
                progress("images", done, len(rows))
    return found, unread


def _several(number: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    rows: dict[int, list[int]] = {}
    for row, group in enumerate(number.tolist()):
        rows.setdefault(group, []).append(row)
    return tuple(tuple(group) for group in rows.values() if len(group) > 1)


def crossing_groups(
    duplicates: Duplicates, value: Sequence[str], groups: Sequence[Sequence[int]] | None = None
) -> Iterator[tuple[int, ...]]:
    """Groups of duplicates (near ones by default) whose rows have several values of a column, empty ones aside."""
    for rows in duplicates.near_groups if groups is None else groups:
        if len({value[row] for row in rows} - {""}) > 1:
            yield tuple(rows)
