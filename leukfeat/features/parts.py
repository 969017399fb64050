"""One immutable part of a feature store: an HDF5 file that is whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import StoreError
from leukfeat.textfiles import whole_file

SCHEMA = 1
PREFIX, SUFFIX = "part-", ".h5"

_FORMAT = "leukfeat feature part"
_BLOCK = 1024  # rows read or hashed at a time
_REMEDY = "run leukfeat cache gc --yes, which moves it aside, and extract again"


@dataclass(frozen=True)
class PartHeader:
    """What a part says about itself.

    Attributes
    ----------
    file : Path
        The part.
    sha256 : ndarray of shape (n,), S64
        Digest of each row's image.
    dim : int
        Length of a vector.
    checksum : str
        sha256 over image digests and vectors.
    created : float
        Unix time.
    engine, decoder : str
        What computed and what decoded.
    """

    file: Path
    sha256: NDArray[np.bytes_]
    dim: int
    checksum: str
    created: float
    engine: str
    decoder: str

    def __len__(self) -> int:
        return len(self.sha256)


def list_parts(folder: Path) -> list[Path]:
    """The parts in a folder, oldest first. A file that is still being written has another kind of name."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name.startswith(PREFIX) and name.endswith(SUFFIX)]


def write_part(
    folder: Path,
    sha256: Sequence[str],
    X: NDArray[np.float32],
    sample_ids: Sequence[str],
    *,
    engine: str,
    decoder: str,
    created: float | None = None,
) -> Path:
    """Write a part; it appears whole or not at all.

    Parameters
    ----------
    folder : Path
        The key's folder.
    sha256 : sequence of str
        Hexadecimal digest of each row's image.
    X : ndarray of shape (n, d), float32
        Vectors.
    sample_ids : sequence of str
        A hint for people; several samples may share a row.
    engine, decoder : str
        What computed and what decoded.
    created : float or None
        Unix time; None for now. Parts are read oldest first.

    Returns
    -------
    Path
        The part.
    """
    X = np.ascontiguousarray(X, dtype=np.float32)
    digests = np.array(list(sha256), dtype="S64")
    created = time.time() if created is None else created
    checksum = _checksum(digests, X)
    file = folder / f"{PREFIX}{int(created * 1000):013d}-{checksum[:12]}{SUFFIX}"
    with (
        whole_file(file) as temporary,
        h5py.File(temporary, "w", libver=("earliest", "v110"), locking=False) as part,
    ):
        rows = max(1, min(len(X), 256))
        part.create_dataset("features", data=X, chunks=(rows, max(1, X.shape[1])), fletcher32=True)
        part.create_dataset("sha256", data=digests, chunks=(max(1, len(X)),), fletcher32=True)
        part.create_dataset("sample_ids", data=list(sample_ids), dtype=h5py.string_dtype("utf-8"))
        part.attrs.update(
            {"format": _FORMAT, "schema": SCHEMA, "rows": len(X), "checksum": checksum, "created": created,
             "engine": engine, "decoder": decoder}
        )  # fmt: skip
    return file


def read_header(file: Path) -> PartHeader:
    """Read what a part says about itself, and check that it can be one.

    Raises
    ------
    StoreError
        Truncated, not HDF5, not ours, or of another version.
    """
    with _opened(file) as part:
        return _header(file, part)


def read_rows(file: Path, rows: NDArray[np.int64], out: NDArray[np.float32], places: NDArray[np.int64]) -> None:
    """Copy rows of a part to places of a matrix, a block at a time.

    Parameters
    ----------
    file : Path
        The part.
    rows : ndarray of shape (m,), int64
        Which rows.
    out : ndarray of shape (n, d), float32
        Where to; written in place.
    places : ndarray of shape (m,), int64
        ``out[places[i]]`` becomes row ``rows[i]``.

    Raises
    ------
    StoreError
        The part is damaged.
    """
    order = np.argsort(rows, kind="stable")
    rows, places = rows[order], places[order]
    with _opened(file) as part:
        features = part["features"]
        for start in range(0, len(features), _BLOCK):
            first, last = np.searchsorted(rows, [start, start + _BLOCK])
            if first < last:
                block = features[start : start + _BLOCK]
                out[places[first:last]] = block[rows[first:last] - start]


def read_sample_ids(file: Path) -> tuple[str, ...]:
    """The sample ids a part was written with."""
    with _opened(file) as part:
        return tuple(str(sample) for sample in part["sample_ids"].asstr()[:])


def check_part(file: Path) -> PartHeader:
    """Read a part from end to end and compare it with its checksum.

    Raises
    ------
    StoreError
        Damaged in any way.
    """
    with _opened(file) as part:
        header = _header(file, part)
        seal = hashlib.sha256(header.sha256.tobytes())
        for start in range(0, len(header), _BLOCK):
            block = part["features"][start : start + _BLOCK]
            if not np.isfinite(block).all():
                raise StoreError(f"{file}: holds values that are NaN or infinite; {_REMEDY}")
            seal.update(np.ascontiguousarray(block).data)
    if seal.hexdigest() != header.checksum:
        raise StoreError(f"{file}: its rows do not match its checksum: damaged or altered; {_REMEDY}")
    return header


def _checksum(digests: NDArray[np.bytes_], X: NDArray[np.float32]) -> str:
    seal = hashlib.sha256(digests.tobytes())
    seal.update(X.data)
    return seal.hexdigest()


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[h5py.File]:
    """Open a part to read; whatever HDF5 finds wrong with it, then or later, is one clear error."""
    try:
        # a part never changes, so it needs no lock; many network file systems have none
        with h5py.File(file, "r", locking=False) as part:
            yield part
    except (OSError, RuntimeError, KeyError) as error:
        raise StoreError(_complaint(file, error)) from error


def _complaint(file: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError) or not file.exists():
        return f"{file}: the part is gone; was the store cleaned meanwhile? run the command again"
    if isinstance(error, PermissionError):
        return f"{file}: cannot be read: {error.strerror or error}; check its permissions"
    size = file.stat().st_size
    if size < 8 or not h5py.is_hdf5(file):
        return f"{file}: not an HDF5 file ({size:,} bytes); {_REMEDY}"
    if "truncated" in str(error):
        return f"{file}: truncated ({size:,} bytes left); {_REMEDY}"
    return f"{file}: damaged ({' '.join(str(error).split())}); {_REMEDY}"


def _header(file: Path, part: h5py.File) -> PartHeader:
    attributes: Mapping[str, object] = part.attrs
    if attributes.get("format") != _FORMAT:
        raise StoreError(f"{file}: an HDF5 file, but not a part of a feature store; move it elsewhere")
    if attributes.get("schema") != SCHEMA:
        raise StoreError(
            f"{file}: written by another version of leukfeat (schema {attributes.get('schema')}, here {SCHEMA});"
            " use another --cache, or that version"
        )
    features, digests = part["features"], part["sha256"]
    rows = int(part.attrs["rows"])
    if (
        features.ndim != 2
        or features.dtype != np.float32
        or digests.dtype != "S64"
        or {len(features), len(digests)} != {rows}
    ):
        raise StoreError(
            f"{file}: promises {rows} rows, holds features {features.dtype}{features.shape} and {len(digests)} digests;"
            f" {_REMEDY}"
        )
    return PartHeader(
        file=file,
        sha256=digests[:],
        dim=int(features.shape[1]),
        checksum=str(attributes["checksum"]),
        created=float(part.attrs["created"]),
        engine=str(attributes["engine"]),
        decoder=str(attributes["decoder"]),
    )
