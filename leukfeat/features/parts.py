"""One immutable part of a feature store: a header and an HDF5 file, whole or not there.

HDF5 is opened only when its bytes have the digest that the header gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import platformdirs
from numpy.typing import NDArray

from leukfeat.data.hashing import HashMemo
from leukfeat.errors import StoreError
from leukfeat.features.headers import (
    PREFIX,
    REMEDY,
    SCHEMA,
    SUFFIX,
    PartHeader,
    body_digest,
    gone,
    header_bytes,
    raw_digests,
    read_header,
    unread,
)
from leukfeat.textfiles import whole_file

_FORMAT = "leukfeat feature part"
_BLOCK = 1024  # rows read or hashed at a time

Rows = tuple[PartHeader, NDArray[np.int64], NDArray[np.int64]]  # of a part; which rows; to which places


def list_parts(folder: Path) -> list[Path]:
    """The parts in a folder, oldest first. A file that is still being written has another kind of name."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_part(entry)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder}: cannot be listed: {error.strerror or error}; check its permissions") from error
    return [folder / name for name in sorted(names)]


def _is_part(entry: os.DirEntry[str]) -> bool:
    # a pipe of that name would keep its reader waiting for ever
    return entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX) and entry.is_file()


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

    Raises
    ------
    StoreError
        A digest is none.
    OSError
        The file cannot be written.
    """
    X = np.ascontiguousarray(X, dtype=np.float32)
    digests = raw_digests(sha256)
    created = time.time() if created is None else created
    checksum = _checksum(digests, X)
    file = folder / f"{PREFIX}{int(created * 1000):013d}-{checksum[:12]}{SUFFIX}"
    header = PartHeader(file, digests, int(X.shape[1]), checksum, created, engine, decoder)
    start = len(header_bytes(header))
    # Made in memory: on a full disk HDF5 reports pages of its own, and keeps the file open that cannot be closed.
    image = io.BytesIO()
    _write_body(image, header, X, sample_ids, start)
    with image.getbuffer() as content, whole_file(file) as temporary:
        body = hashlib.sha256(content[start:]).hexdigest()
        content[:start] = header_bytes(replace(header, body=body, start=start), len(content) - start)
        temporary.write_bytes(content)
    return file


def _write_body(
    image: io.BytesIO, header: PartHeader, X: NDArray[np.float32], sample_ids: Sequence[str], start: int
) -> None:
    with h5py.File(image, "w", userblock_size=start, libver=("earliest", "v110")) as part:
        rows = max(1, min(len(X), 256))
        part.create_dataset("features", data=X, chunks=(rows, max(1, X.shape[1])), fletcher32=True)
        part.create_dataset("sha256", data=header.sha256, chunks=(max(1, len(X)),), fletcher32=True)
        part.create_dataset("sample_ids", data=list(sample_ids), dtype=h5py.string_dtype("utf-8"))
        part.attrs.update(
            {"format": _FORMAT, "schema": SCHEMA, "rows": len(X), "checksum": header.checksum,
             "created": header.created, "engine": header.engine, "decoder": header.decoder}
        )  # fmt: skip


def read_rows(wanted: Sequence[Rows], out: NDArray[np.float32]) -> None:
    """Copy rows of parts to places of a matrix, a block at a time.

    Parameters
    ----------
    wanted : sequence of (PartHeader, ndarray of shape (m,), ndarray of shape (m,))
        Of each part: ``out[places[i]]`` becomes its row ``rows[i]``.
    out : ndarray of shape (n, d), float32
        Where to; written in place.

    Raises
    ------
    GonePartError
        A part is no longer there.
    StoreError
        A part is damaged.
    """
    check_bodies([header for header, rows, _ in wanted if len(rows)])
    for header, rows, places in wanted:
        if len(rows):
            _read_rows(header, rows, places, out)


def _read_rows(
    header: PartHeader, rows: NDArray[np.int64], places: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    order = np.argsort(rows, kind="stable")
    rows, places = rows[order], places[order]
    with _opened(header.file) as part:
        _check_shape(header, part)
        features = part["features"]
        for start in range(0, len(features), _BLOCK):
            first, last = np.searchsorted(rows, [start, start + _BLOCK])
            if first < last:
                block = features[start : start + _BLOCK]
                out[places[first:last]] = block[rows[first:last] - start]


def read_sample_ids(header: PartHeader) -> tuple[str, ...]:
    """The sample ids a part was written with."""
    check_bodies([header])
    with _opened(header.file) as part:
        _check_shape(header, part)
        return tuple(str(sample) for sample in part["sample_ids"].asstr()[:])


def find_damage(headers: Iterable[PartHeader], *, reread: bool = False) -> dict[Path, StoreError]:
    """Compare what follows the headers of parts with its digest.

    Parameters
    ----------
    headers : iterable of PartHeader
        Of parts that are about to be opened.
    reread : bool
        Read every file; otherwise one that was read before, and whose size and times have not changed since, is not
        read again.

    Returns
    -------
    dict of Path to StoreError
        What is wrong with those that are not as they were written: what :func:`~leukfeat.features.headers.unread`
        makes of a file that is gone or cannot be read.
    """
    expected = {header.file: header.body for header in headers}
    memo = HashMemo(platformdirs.user_cache_path("leukfeat") / "parts.sqlite", rehash=reread, digest=body_digest)
    damage: dict[Path, StoreError] = {}
    for file, found in memo.hash_files(expected).items() if expected else ():
        if isinstance(found, OSError):
            damage[file] = unread(file, found)
        elif found != expected[file]:
            reason = f"{file}: its rows do not match its checksum: damaged or altered; {REMEDY}"
            damage[file] = StoreError(reason)
    return damage


def check_bodies(headers: Iterable[PartHeader], *, reread: bool = False) -> None:
    """Raise the first damage that :func:`find_damage` finds.

    Raises
    ------
    GonePartError
        A part is no longer there.
    StoreError
        A part is damaged, or cannot be read.
    """
    for error in find_damage(headers, reread=reread).values():
        raise error


def check_part(file: Path) -> PartHeader:
    """Read a part from end to end and compare it with everything it says about itself.

    Raises
    ------
    StoreError
        Damaged in any way.
    """
    header = read_header(file)
    check_bodies([header], reread=True)
    check_content(header)
    return header


def check_content(header: PartHeader) -> None:
    """Compare the rows of a part whose bytes are sound with what its header says of them.

    Raises
    ------
    StoreError
        They contradict each other, or a value is not finite.
    """
    with _opened(header.file) as part:
        for _ in _blocks(header, part):
            pass


def read_part(header: PartHeader) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """All vectors and sample ids of a part whose bytes are sound, compared with what its header says of them.

    Raises
    ------
    StoreError
        As :func:`check_content`.
    """
    with _opened(header.file) as part:
        X = np.concatenate([np.empty((0, header.dim), dtype=np.float32), *_blocks(header, part)])
        return X, tuple(str(sample) for sample in part["sample_ids"].asstr()[:])


def _blocks(header: PartHeader, part: h5py.File) -> Iterator[NDArray[np.float32]]:
    """The vectors of a part, some rows at a time; in the end they are what the header says, or it is an error."""
    _check_shape(header, part)
    seal = hashlib.sha256(header.digests.tobytes())
    for start in range(0, len(header), _BLOCK):
        block = np.ascontiguousarray(part["features"][start : start + _BLOCK])
        if not np.isfinite(block).all():
            raise StoreError(f"{header.file}: holds values that are NaN or infinite; {REMEDY}")
        seal.update(block.data)
        yield block
    if seal.hexdigest() != header.checksum or (part["sha256"][:] != header.sha256).any():
        raise StoreError(f"{header.file}: header and rows contradict each other: altered; {REMEDY}")


def _check_shape(header: PartHeader, part: h5py.File) -> None:
    """What the header promises is there, in this very file."""
    for name in ("features", "sha256", "sample_ids"):
        link = part.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink) or not isinstance(part[name], h5py.Dataset) or _elsewhere(part[name]):
            raise StoreError(f"{header.file}: {name} is not an array of this file: altered; {REMEDY}")
    features, digests, samples = part["features"], part["sha256"], part["sample_ids"]
    if (
        features.shape != (len(header), header.dim)
        or features.dtype != np.float32
        or digests.dtype != "S64"
        or digests.shape != (len(header),)
        or samples.shape != (len(header),)
        or h5py.check_string_dtype(samples.dtype) is None
    ):
        raise StoreError(
            f"{header.file}: promises {len(header)} rows of {header.dim}, holds features"
            f" {features.dtype}{features.shape}, {digests.size} digests and {samples.size} samples; {REMEDY}"
        )


def _elsewhere(dataset: h5py.Dataset) -> bool:
    return bool(dataset.is_virtual or dataset.external)


def _checksum(digests: NDArray[np.uint8], X: NDArray[np.float32]) -> str:
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
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        if not file.exists():
            raise gone(file) from error
        raise StoreError(f"{file}: damaged ({' '.join(str(error).split())}); {REMEDY}") from error
