"""Feature vectors of samples, with what their encoder has seen."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError


@dataclass(frozen=True, eq=False)
class Features:
    """A vector for every sample.

    Attributes
    ----------
    X : ndarray of shape (n, d), float32
        The vectors; finite.
    sample_ids : tuple of str
        Unique, one a row.
    seen : Seen
        Images and groups that trained the encoder.
    provenance : mapping
        Where the vectors came from; JSON types.
    images : tuple of str
        sha256 of each row's image, where they are known. A manifest's samples are then found by image: another data
        set may have the same names.

    Raises
    ------
    StoreError
        Not a matrix, another number of ids than rows, an id twice, or a value that is not finite.
    """

    X: NDArray[np.float32]
    sample_ids: tuple[str, ...]
    seen: Seen = field(default_factory=Seen)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        X = np.asarray(self.X)
        if X.ndim != 2 or X.dtype.kind not in "fiu":
            raise StoreError(
                f"features: {X.dtype} of shape {X.shape}; a matrix of numbers (samples, dimensions) is needed"
            )
        object.__setattr__(self, "X", np.ascontiguousarray(X, dtype=np.float32))
        object.__setattr__(self, "sample_ids", tuple(str(sample) for sample in self.sample_ids))
        for names, what in ((self.sample_ids, "sample ids"), (self.images or self.sample_ids, "images")):
            if len(names) != len(X):
                raise StoreError(f"features: {len(X)} rows but {len(names)} {what}")
        if len(self._row_of) < len(X):
            row = next(row for row, sample in enumerate(self.sample_ids) if self._row_of[sample] != row)
            raise StoreError(
                f"features: sample {self.sample_ids[row]!r} stands there more than once; keep one row each"
            )
        bad = _first_row_not_finite(self.X)
        _release(self.X)
        if bad is not None:
            values = self.X[bad]
            raise StoreError(
                f"features row {bad} (sample {self.sample_ids[bad]!r}): {int((~np.isfinite(values)).sum())} of"
                f" {len(values)} values are NaN or infinite; compute this row again or leave it out"
            )

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.X.shape[1])

    @cached_property
    def digest(self) -> str:
        """sha256 over sample ids and vectors."""
        seal = hashlib.sha256("\x1f".join(self.sample_ids).encode())
        seal.update(self.X.data)
        return seal.hexdigest()

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {sample: row for row, sample in reversed(list(enumerate(self.sample_ids)))}

    @cached_property
    def _row_of_image(self) -> dict[str, int]:
        return {image: row for row, image in enumerate(self.images)}

    def _find(self, manifest: Manifest, rows: Iterable[int]) -> NDArray[np.int64]:
        """Where the vectors of some rows of a manifest are; -1 where there is none."""
        names, row_of = (manifest.sha256, self._row_of_image) if self.images else (manifest.sample, self._row_of)
        return np.array([row_of.get(names[row], -1) for row in rows], dtype=np.int64)

    def rows_for(self, manifest: Manifest) -> NDArray[np.int64]:
        """Row of each of a manifest's samples.

        Returns
        -------
        ndarray of shape (len(manifest),), int64
            ``X[rows_for(manifest)[i]]`` belongs to ``manifest.sample[i]``; -1 where there is none.
        """
        return self._find(manifest, range(len(manifest)))

    def X_for(  # noqa: N802 (X is the field's name for a feature matrix)
        self, manifest: Manifest, rows: Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The vectors of some rows of a manifest.

        Parameters
        ----------
        manifest : Manifest
            The data.
        rows : sequence of int
            Rows of the manifest, in any order.

        Returns
        -------
        ndarray of shape (len(rows), d), float32
            In the order of ``rows``.

        Raises
        ------
        StoreError
            A row's sample has no vector; the first such is named.
        """
        found = self._find(manifest, rows)
        missing = np.flatnonzero(found < 0)
        if len(missing):
            raise StoreError(
                f"features: none for {len(missing)} of {len(found)} samples of {manifest.dataset}, e.g."
                f" {manifest.sample[rows[missing[0]]]!r}; run leukfeat extract, or leave them out"
            )
        X = self.X[found]
        _release(self.X)
        return X

    def take(self, sample_ids: Sequence[str]) -> Features:
        """The features of some samples, in that order.

        Raises
        ------
        StoreError
            A sample has none.
        """
        missing = [sample for sample in sample_ids if sample not in self._row_of]
        if missing:
            raise StoreError(f"features: none for {len(missing)} sample(s), e.g. {missing[0]!r}")
        rows = [self._row_of[sample] for sample in sample_ids]
        images = tuple(self.images[row] for row in rows) if self.images else ()
        return Features(self.X[rows], tuple(sample_ids), self.seen, self.provenance, images)

    @classmethod
    def concatenate(cls, tables: Sequence[Features]) -> Features:
        """Put the vectors of several encoders side by side.

        Parameters
        ----------
        tables : sequence of Features
            At least one; samples that lack a vector in any of them are left out.

        Returns
        -------
        Features
            Samples in the order of the first table. What any encoder has seen, the whole has seen.

        Raises
        ------
        StoreError
            No tables, or no sample common to all.
        """
        if not tables:
            raise StoreError("features: nothing to concatenate")
        if len(tables) == 1:
            return tables[0]
        common = set.intersection(*(set(table.sample_ids) for table in tables))
        samples = [sample for sample in tables[0].sample_ids if sample in common]
        if not samples:
            raise StoreError(f"features: {len(tables)} tables have no sample in common; are they of the same data set?")
        return cls(
            X=np.concatenate([table.take(samples).X for table in tables], axis=1),
            sample_ids=tuple(samples),
            seen=reduce(Seen.__or__, (table.seen for table in tables)),
            provenance={"concatenated": [dict(table.provenance) for table in tables]},
        )

    @classmethod
    def stack(cls, tables: Sequence[Features]) -> Features:
        """Put the samples of several tables below each other.

        Parameters
        ----------
        tables : sequence of Features
            At least one, of the same dimension and the same encoder, without a sample in common.

        Raises
        ------
        StoreError
            No tables, or of different dimensions, or a sample stands in two.
        """
        dims = sorted({table.dim for table in tables})
        if len(dims) != 1:
            raise StoreError(f"features: {len(tables)} tables of dimensions {dims} cannot be put below each other")
        if len(tables) == 1:
            return tables[0]
        return cls(
            X=np.concatenate([table.X for table in tables]),
            sample_ids=tuple(sample for table in tables for sample in table.sample_ids),
            seen=reduce(Seen.__or__, (table.seen for table in tables)),
            provenance={"stacked": [dict(table.provenance) for table in tables]},
        )


def _release(X: NDArray[np.float32]) -> None:
    """Let go of the pages of a mapped file: its rows were copied, and are read again where they are wanted."""
    owner: object = X
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _first_row_not_finite(X: NDArray[np.float32]) -> int | None:
    for start in range(0, len(X), 4096):  # a mask of the whole matrix would cost a quarter of its size
        finite = np.isfinite(X[start : start + 4096]).all(axis=1)
        if not finite.all():
            return start + int(np.argmin(finite))
    return None
