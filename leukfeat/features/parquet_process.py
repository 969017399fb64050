"""The program that opens Parquet files nobody vouches for; it may crash, or want too much memory, and ends alone.

It answers :mod:`leukfeat.features.foreign` as :mod:`leukfeat.features.hdf5_process` does, and needs pyarrow and NumPy
and nothing of leukfeat. A few bytes of Parquet can stand for terabytes: rows are read some at a time, and no more of
them than a file of that size can hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_LARGEST_RATIO = 1032  # bytes of numbers to one of the file, as for HDF5; vectors of cells pack far less tightly
_LONGEST_TEXT = 4096  # characters of an id
_MEMORY = 8 * 2**30  # bytes of address space for all of this
_ROWS = 1024  # read at a time
_LENGTH = struct.Struct("<q")
_FACTS = b"leukfeat"  # what leukfeat writes beside the columns


class RefusedError(Exception):
    """Something that is not read, with the reason."""


# What pyarrow raises has these above it
_FAILURES = (RefusedError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, MemoryError)


def main() -> int:
    """Answer until nothing more is asked."""
    _bound_memory()
    for line in sys.stdin:
        _answer(json.loads(line), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return 0


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _answer(asked: Mapping[str, Any], output: BinaryIO) -> None:
    failing = b""
    try:
        with pq.ParquetFile(asked["file"], memory_map=False) as file:
            names = file.schema_arrow.names
            column = _one_of("features", asked["features"], names)
            rows, dim = file.metadata.num_rows, _dim(file, column)
            _check_size(rows, dim, asked)
            told = {
                "shape": (rows, dim),
                "offset": None,
                "ids": _ids(file, _one_of("sample ids", asked["ids"], names)),
                "coords": None,
                "facts": {
                    name.decode(): text.decode()
                    for name, text in (file.schema_arrow.metadata or {}).items()
                    if name == _FACTS
                },
                "names": names[:20],
            }
            output.write(json.dumps(told).encode() + b"\n")
            failing = _LENGTH.pack(-1)
            for vectors in _blocks(file, column, rows, dim):
                output.write(_LENGTH.pack(vectors.nbytes))
                output.write(vectors.data)
        output.write(_LENGTH.pack(0))
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        output.write(failing + json.dumps({"error": reason}).encode() + b"\n")


def _one_of(what: str, wanted: list[str], names: list[str]) -> str:
    name = next((name for name in wanted if name in names), None)
    if name is None:
        raise RefusedError(f"has no {what}; looked for {', '.join(wanted)}; it holds {', '.join(names[:20])}")
    return name


def _batches(file: pq.ParquetFile, column: str) -> Iterator[pa.Array]:
    """The values of a column, some rows at a time."""
    for batch in file.iter_batches(batch_size=_ROWS, columns=[column], use_threads=False):
        yield batch.column(column)


def _dim(file: pq.ParquetFile, column: str) -> int:
    """Length of the first vector."""
    kind = file.schema_arrow.field(column).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise RefusedError(f"{column} holds {kind}, not lists of numbers")
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise RefusedError(f"{column} holds lists of {kind.value_type}, not of numbers")
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    first = next((vectors for vectors in _batches(file, column) if len(vectors)), None)
    return 0 if first is None else int(_lengths(first)[0])


def _lengths(vectors: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_fixed_size_list(vectors.type):
        return np.full(len(vectors), vectors.type.list_size)
    return np.asarray(np.diff(vectors.offsets.to_numpy()))


def _check_size(rows: int, dim: int, asked: Mapping[str, Any]) -> None:
    size = 4 * rows * max(1, dim)
    if size > asked["largest"]:
        raise RefusedError(f"a matrix of {rows:,} × {dim:,} does not fit into the memory of this machine")
    held = os.stat(asked["file"]).st_size  # noqa: PTH116 (a name, as it was asked)
    if size > _LARGEST_RATIO * held:
        raise RefusedError(f"claims {rows:,} × {dim:,} numbers, more than a file of {held:,} bytes can hold")


def _blocks(file: pq.ParquetFile, column: str, rows: int, dim: int) -> Iterator[NDArray[np.float32]]:
    """The matrix, some rows at a time, as 32-bit floats."""
    done = 0
    for vectors in _batches(file, column):
        if vectors.null_count or (_lengths(vectors) != dim).any():
            raise RefusedError("its vectors have different lengths or gaps")
        numbers = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), dim)
        done += len(numbers)
        if done > rows:
            break
        if numbers.size:  # a length of 0 would end the matrix
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is told with its sample
                yield np.ascontiguousarray(numbers, dtype="<f4")
    if done != rows:
        raise RefusedError(f"promises {rows:,} rows, and holds others")


def _ids(file: pq.ParquetFile, column: str) -> list[str]:
    ids: list[str] = []
    for values in _batches(file, column):
        for value in values.to_pylist():
            if not isinstance(value, str | bytes | int) or isinstance(value, bool):
                raise RefusedError(f"{column} of row {len(ids)} is {str(value)[:40]!r}, not an id")
            text = value.decode() if isinstance(value, bytes) else str(value)
            if len(text) > _LONGEST_TEXT:
                raise RefusedError(f"an id of {len(text):,} characters; at most {_LONGEST_TEXT:,} are read")
            ids.append(text)
    return ids


if __name__ == "__main__":
    sys.exit(main())
