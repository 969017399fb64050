"""The program that opens HDF5 files nobody vouches for; it may crash, and takes nothing else with it.

:mod:`leukfeat.features.foreign` starts it and tells it on standard input, a line of JSON a file, what to look for. It
answers on standard output with a line of JSON and then the matrix in blocks of 32-bit floats, each after its length in
bytes (8 bytes, little-endian); 0 ends the matrix, -1 a failure, which is told in another line of JSON. It needs h5py
and NumPy and nothing of leukfeat, and touches only datasets of the file itself: no links elsewhere, no references, no
filters that are loaded from libraries, and nothing that claims to be larger than what the file can hold.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import h5py
import numpy as np

_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}  # those that HDF5 and h5py bring with them
_LARGEST_RATIO = 1032  # of deflate, which packs tighter than the others
_LARGEST_CHUNK = 2**30  # bytes that are in memory at once to read one number
_LONGEST_TEXT = 4096  # characters of an id
_MEMORY = 8 * 2**30  # bytes of address space for all of this
_SPLIT = re.compile(r"features_\d+")  # how thingsvision calls the pieces of a large matrix
_LENGTH = struct.Struct("<q")
_FAILED = _LENGTH.pack(-1)
_FACTS = ("encoder", "extractor", "provenance", "leukfeat_version")


class RefusedError(Exception):
    """Something that is not read, with the reason."""


class MissingError(RefusedError):
    """Something that is not there."""


# What h5py raises about files it cannot read: it has no common root
_FAILURES = (RefusedError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, MemoryError)


def main() -> int:
    """Answer until nothing more is asked."""
    _bound_memory()
    for line in sys.stdin:
        _answer(json.loads(line), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return 0


def _answer(asked: Mapping[str, Any], output: BinaryIO) -> None:
    failing = b""
    try:
        with h5py.File(asked["file"], "r", locking=False, driver=None if sys.platform == "win32" else "sec2") as file:
            matrices, told = _described(file, asked)
            output.write(json.dumps(told).encode() + b"\n")
            failing = _FAILED
            for matrix in matrices if told["offset"] is None else ():
                _send(matrix, asked["block"], output)
        output.write(_LENGTH.pack(0))
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        output.write(failing + json.dumps({"error": reason}).encode() + b"\n")


def _described(file: h5py.File, asked: Mapping[str, Any]) -> tuple[list[h5py.Dataset], dict[str, Any]]:
    """The matrix, and everything about it but its numbers."""
    matrices = _matrices(file, asked["features"])
    rows, dim = _shape(matrices)
    if 4 * rows * dim > asked["largest"]:
        raise RefusedError(f"a matrix of {rows:,} × {dim:,} does not fit into the memory of this machine")
    return matrices, {
        "shape": (rows, dim),
        "offset": _offset(matrices, asked["mapped_from"]),
        "ids": _ids(file, asked["ids"], rows),
        "coords": _coords(file, rows),
        "facts": _facts(file),
        "names": sorted(file)[:20],
    }


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _matrices(file: h5py.File, names: list[str]) -> list[h5py.Dataset]:
    """The datasets that are the matrix, one below the other."""
    there = sorted(file)  # the names alone: asking whether a name leads somewhere would follow it
    name = next((name for name in names if name in there), None)
    pieces = sorted(filter(_SPLIT.fullmatch, there), key=lambda name: int(name.rpartition("_")[2]))  # 99 before 100
    found = [name] if name is not None else pieces
    if not found:
        raise RefusedError(f"has no features; looked for {', '.join(names)}; it holds {', '.join(there[:20])}")
    matrices = [_dataset(file, name) for name in found]
    for matrix in matrices:
        if matrix.dtype.kind not in "fiu":
            raise RefusedError(f"{matrix.name} holds {matrix.dtype}, not numbers")
    return matrices


def _dataset(group: h5py.Group, path: str) -> h5py.Dataset:
    """A dataset that lies in the file itself, and is no larger than what the file can hold of it."""
    for name in path.split("/"):
        link = group.get(name, getlink=True)
        if link is None:
            raise MissingError(f"has no {path}")
        if not isinstance(link, h5py.HardLink):
            raise RefusedError(f"{name} is a link ({type(link).__name__}); links are not followed")
        found = group[name]
        if not isinstance(found, h5py.Group):
            break
        group = found
    if not isinstance(found, h5py.Dataset):
        raise RefusedError(f"{path} is a group, not an array")
    if found.is_virtual or found.external:
        raise RefusedError(f"{path} lies in other files; external and virtual datasets are not read")
    if h5py.check_ref_dtype(found.dtype) is not None:
        raise RefusedError(f"{path} holds references; they are not followed")
    properties = found.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code = properties.get_filter(number)[0]
        if code not in _FILTERS:
            raise RefusedError(f"{path} is packed with filter {code}; only {', '.join(_FILTERS.values())} are read")
    if found.chunks and np.prod(found.chunks, dtype=float) * found.dtype.itemsize > _LARGEST_CHUNK:
        raise RefusedError(f"{path} is stored in pieces of more than {_LARGEST_CHUNK / 2**30:.0f} GB")
    room = found.id.get_storage_size() * (_LARGEST_RATIO if properties.get_nfilters() else 1)
    if found.ndim and float(np.prod(found.shape, dtype=float)) * found.dtype.itemsize > room:
        raise RefusedError(
            f"{path} claims {found.dtype}{found.shape}, more than the {found.id.get_storage_size():,} bytes that the"
            " file holds of it can be"
        )
    return found


def _shape(matrices: list[h5py.Dataset]) -> tuple[int, int]:
    """Rows and columns of all together."""
    shapes = []
    for matrix in matrices:
        shape = matrix.shape
        if len(shape) == 3 and shape[0] == 1:
            shape = shape[1:]  # one bag of instances, as some slide tools write it
        if len(shape) == 1:
            shape = (1, *shape)  # one vector for a slide or a patient
        if len(shape) != 2:
            raise RefusedError(f"{matrix.name} is of shape {matrix.shape}; a matrix (samples, dimensions) is needed")
        shapes.append(shape)
    if len({dim for _, dim in shapes}) > 1:
        raise RefusedError(f"its pieces have different lengths of vectors: {sorted({dim for _, dim in shapes})}")
    return sum(int(rows) for rows, _ in shapes), int(shapes[0][1])


def _offset(matrices: list[h5py.Dataset], mapped_from: int) -> int | None:
    """Where the matrix lies in the file, if it lies there in one piece, as 32-bit floats, and is large."""
    if len(matrices) > 1 or matrices[0].nbytes < mapped_from:
        return None
    dtype = matrices[0].dtype
    offset = matrices[0].id.get_offset()  # None of chunks
    return offset if dtype == np.float32 and dtype.isnative else None


def _send(matrix: h5py.Dataset, block: int, output: BinaryIO) -> None:
    view = (0,) if matrix.ndim == 3 else ()
    rows, dim = (1, matrix.shape[0]) if matrix.ndim == 1 else matrix.shape[-2:]
    step = max(1, block // max(1, matrix.dtype.itemsize * dim))
    for start in range(0, rows, step):
        some = matrix[()] if matrix.ndim == 1 else matrix[(*view, slice(start, min(start + step, rows)))]
        floats = np.ascontiguousarray(some, dtype="<f4")
        if floats.nbytes:  # a length of 0 would end the matrix
            output.write(_LENGTH.pack(floats.nbytes))
            output.write(floats.data)


def _ids(file: h5py.File, names: list[str], rows: int) -> list[str] | None:
    there = list(file)
    name = next((name for name in names if name in there), None)
    if name is None and "obs" in there and isinstance(file.get("obs", getlink=True), h5py.HardLink):
        name = f"obs/{_text(file['obs'].attrs['_index'])}"  # AnnData
    if name is None:
        return None
    stored = _dataset(file, name)
    if stored.dtype.kind not in "SOiu" or (stored.dtype.kind == "O" and h5py.check_string_dtype(stored.dtype) is None):
        raise RefusedError(f"{name} holds {stored.dtype}, not ids")
    if stored.size != rows:
        raise RefusedError(f"{rows:,} rows but {stored.size:,} ids in {name}")
    return [_text(value) for value in np.ravel(stored[()]).tolist()]


def _coords(file: h5py.File, rows: int) -> list[list[int]] | None:
    if "coords" not in list(file):
        return None
    stored = _dataset(file, "coords")
    if stored.dtype.kind not in "iuf" or stored.size != 2 * rows:
        return None
    coords = np.asarray(stored[()], dtype=np.float64).reshape(rows, 2)
    return np.round(coords).astype(np.int64).tolist() if np.isfinite(coords).all() else None


def _facts(file: h5py.File) -> Mapping[str, Any]:
    facts: dict[str, Any] = {}
    for name in _FACTS:
        if name in file.attrs and h5py.check_string_dtype(file.attrs.get_id(name).dtype) is not None:
            facts[name] = _text(file.attrs[name], longest=None)
    if "provenance" in facts:
        with contextlib.suppress(MissingError):  # another tool's file says nothing of what its encoder has seen
            stored = _dataset(file, "seen" if "seen" in list(file) else "uns/seen")
            if stored.shape == () and h5py.check_string_dtype(stored.dtype) is not None:
                facts["seen"] = _text(stored[()], longest=None)
    return facts


def _text(value: object, longest: int | None = _LONGEST_TEXT) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    if longest is not None and len(text) > longest:
        raise RefusedError(f"an id of {len(text):,} characters; at most {longest:,} are read")
    return text


if __name__ == "__main__":
    sys.exit(main())
