"""Taking the rows of another store into one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.foreign import Reader
from leukfeat.features.headers import PartHeader, read_header
from leukfeat.features.shelf import RowIndex, Shelf
from leukfeat.features.store import FeatureStore, StoredKey, folder_name, read_provenance
from leukfeat.features.upkeep import check_provenance

TOLERANCE = 0.01  # relative to the length of a row; engines in 32-bit floats agree a thousand times better

_COMPARED = 256  # rows of a part that are in both stores are compared, at most


@dataclass(frozen=True)
class Merged:
    """What :func:`merge` did.

    Attributes
    ----------
    keys, parts : int
        How many of the other store were looked at.
    added, held : int
        Rows that are new here, and rows that were here before.
    largest_difference : float
        Between rows that both stores have and that were compared, relative to the length of the row.
    problems : tuple of str
        One line each: parts that were left out, and keys whose rows differ.
    """

    keys: int
    parts: int
    added: int
    held: int
    largest_difference: float
    problems: tuple[str, ...]


@dataclass
class _Tally:
    parts: int = 0
    added: int = 0
    held: int = 0
    difference: float = 0.0


def merge(store: FeatureStore, other: FeatureStore) -> Merged:
    """Add the rows of another store that are missing here; rows that are here stay what they are.

    Nothing of the other store is trusted: checksums are compared, HDF5 is opened in a process of its own, and the rows
    are written into parts of this store. Exported and trained networks are not taken over: they are made again.

    Parameters
    ----------
    store : FeatureStore
        Where to.
    other : FeatureStore
        Where from; it is not changed.

    Raises
    ------
    StoreError
        The other store is this one, or holds nothing, or this one cannot be written.
    """
    if other.root.resolve() == store.root.resolve():
        raise StoreError(f"{other.root}: is this very store; name another one")
    folders = other.key_folders()
    if not folders:
        raise StoreError(f"{other.root}: no keys of a feature store there")
    tally, problems = _Tally(), list[str]()
    for folder in folders:
        try:
            key = _key_of(folder)
            shelf = store.open(key)
        except StoreError as error:
            problems.append(f"left out: {error}")
            continue
        before, tally.difference = tally.difference, 0.0
        with Reader() as reader:
            problems += _merge_key(store, shelf, key, folder, reader, tally)
        if tally.difference > TOLERANCE:
            problems.append(
                f"{folder}: rows of the same images differ by up to {tally.difference:.1%}; those here are kept, and"
                " the others were added: find out which of the stores is right"
            )
        tally.difference = max(before, tally.difference)
    return Merged(len(folders), tally.parts, tally.added, tally.held, tally.difference, tuple(problems))


def _key_of(folder: Path) -> StoredKey:
    check_provenance(folder)
    provenance = read_provenance(folder)
    inputs = provenance.pop("key")
    try:
        named = folder_name(inputs)
    except (KeyError, TypeError) as error:
        raise StoreError(f"{folder}: its provenance lacks {error}; run leukfeat cache verify there") from error
    if named != folder.name:
        raise StoreError(f"{folder}: should be called {named}; run leukfeat cache verify there")
    return StoredKey(inputs, provenance)


def _merge_key(
    store: FeatureStore, shelf: Shelf, key: StoredKey, folder: Path, reader: Reader, tally: _Tally
) -> Iterator[str]:
    sound: list[PartHeader] = []
    for file in parts.list_parts(folder):
        tally.parts += 1
        try:
            sound.append(_checked(file, shelf.dim))
        except StoreError as error:
            yield f"left out: {error}"
    theirs = RowIndex(np.concatenate([np.empty((0, 32), dtype=np.uint8), *(header.digests for header in sound)]))
    first = 0
    for header in sound:
        held = shelf.holds(header.texts(np.arange(len(header))))
        answering = theirs.find(header.digests) == np.arange(first, first + len(header))
        first += len(header)
        try:
            X, samples = _rows_of(header, reader)
        except StoreError as error:
            yield f"left out: {error}"
            continue
        _compare(shelf, header, X, np.flatnonzero(held)[:_COMPARED], tally)
        new = np.flatnonzero(answering & ~held)
        if len(new):
            digests = header.texts(new)
            names = [samples[row] for row in new]
            store.append(key, digests, X[new], names, engine=header.engine, decoder=header.decoder)
        tally.added, tally.held = tally.added + len(new), tally.held + int(held.sum())


def _checked(file: Path, dim: int | None) -> PartHeader:
    """The header of a part whose checksums are right and whose vectors are as long as ours."""
    header = read_header(file)
    if dim not in (None, header.dim):
        raise StoreError(f"{file}: vectors of {header.dim} numbers, here they have {dim}")
    parts.check_bodies([header], reread=True)
    return header


def _rows_of(header: PartHeader, reader: Reader) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Vectors and sample ids of a part that nobody vouches for."""
    content = reader.read(header.file, mapped=False)
    seal = hashlib.sha256(header.digests.tobytes())
    seal.update(content.X.data)
    if content.X.shape != (len(header), header.dim) or seal.hexdigest() != header.checksum or content.ids is None:
        raise StoreError(f"{header.file}: header and rows contradict each other: altered")
    if not np.isfinite(content.X).all():
        raise StoreError(f"{header.file}: holds values that are NaN or infinite")
    return content.X, content.ids


def _compare(shelf: Shelf, header: PartHeader, X: NDArray[np.float32], rows: NDArray[np.int64], tally: _Tally) -> None:
    """By how much our rows of some images differ from theirs, relative to their length."""
    if len(rows):
        ours = shelf.read(header.texts(rows))
        lengths = np.maximum(np.linalg.norm(ours, axis=1), np.finfo(np.float32).tiny)
        difference = float((np.linalg.norm(ours - X[rows], axis=1) / lengths).max())
        tally.difference = max(tally.difference, difference)
