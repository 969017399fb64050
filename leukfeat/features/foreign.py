"""HDF5 and Parquet files that nobody vouches for, read by a process of its own.

The libraries are C and C++ and may crash on a hostile file, or want all memory there is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import StoreError

FEATURE_NAMES = ("features", "feats", "embeddings", "X")
ID_NAMES = ("sample_ids", "sample", "ids", "paths", "filenames")

_PROGRAM = Path(__file__).with_name("hdf5_process.py")
_PARQUET = Path(__file__).with_name("parquet_process.py")
_MAPPED_FROM = 64 * 2**20  # bytes; a smaller matrix is read, so that whoever writes over the file does no harm
_BLOCK = 16 * 2**20  # bytes that are read and converted at a time
_LONGEST_LINE = 2**30  # bytes of ids and facts
_PATIENCE = 60.0  # seconds for a file of no size; and
_SLOWEST = 2e6  # bytes a second
_SECONDS_TO_END = 5.0  # that a process has, once it says nothing more


@dataclass(frozen=True)
class Content:
    """What was found in a file.

    Attributes
    ----------
    X : ndarray of shape (n, d), float32
        Read, or a map of the file.
    ids : tuple of str or None
        One a row; None where the file has none.
    coords : list of [int, int] or None
        Places on a slide.
    facts : mapping
        Text that the file has about itself: encoder, provenance.
    names : tuple of str
        What it holds, for messages.
    """

    X: NDArray[np.float32]
    ids: tuple[str, ...] | None
    coords: list[list[int]] | None
    facts: Mapping[str, str]
    names: tuple[str, ...]


class Reader:
    """Reads HDF5 files without opening them in this process, or Parquet files; a context manager.

    One process serves all files, unless one of them is the end of it; then the next file gets a new one. Not for
    several threads at once.
    """

    def __init__(self, program: Path | None = None) -> None:
        self._program = program or _PROGRAM
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(self, file: Path, *, mapped: bool = True) -> Content:
        """Read a matrix and ids from a file.

        Parameters
        ----------
        file : Path
            Any HDF5 file, or Parquet file.
        mapped : bool
            Whether a large matrix in one piece may be mapped; otherwise it is read.

        Raises
        ------
        StoreError
            Not of that format, damaged, or refused: links, references, external or virtual data, filters that do not
            come with HDF5, or more data than the file can hold. A crash of the library is such an error too.
        """
        asked = {
            "file": str(file),
            "features": FEATURE_NAMES,
            "ids": ID_NAMES,
            "mapped_from": _MAPPED_FROM if mapped else sys.maxsize,
            "block": _BLOCK,
            "largest": memory_of_machine(),
        }
        process = self._started()
        # no file may keep us for ever
        clock = threading.Timer(_PATIENCE + _size(file) / _SLOWEST, process.kill)
        clock.start()
        try:
            return _answer(file, asked, process)
        except _EndedError:
            raise StoreError(f"{file}: features cannot be read: {self._why()}") from None
        except StoreError:
            raise  # told by the process, which waits for the next file
        except BaseException:
            self._stop()  # in the middle of a matrix
            raise
        finally:
            clock.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # -P: a module that lies in the current folder is not taken for h5py; no plug-ins for HDF5 from anywhere
            environment = {**os.environ, "HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process is)
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(self._program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=environment,
            )
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            with self._process:
                self._process.wait()
            self._process = None
        if self._complaints is not None:
            self._complaints.close()
            self._complaints = None

    def _why(self) -> str:
        """Why the process ended before it had said all; it is put away."""
        if self._process is None or self._complaints is None:
            return "no process reads it"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        status = self._process.returncode
        self._complaints.seek(0)
        last = self._complaints.read()[-2000:].decode(errors="replace").strip().splitlines()[-1:]
        self._stop()
        if status == -signal.SIGKILL:
            return "it takes too long or too much memory"
        if status is not None and status < 0:
            library = "Parquet" if self._program == _PARQUET else "HDF5"
            return f"the {library} library crashed on it ({signal.Signals(-status).name})"
        return last[0] if last else "the process that reads it gave no reason"


class _EndedError(Exception):
    """The process ended before it had said all."""


def read_hdf5(file: Path, *, mapped: bool = True) -> Content:
    """Read one file, as :meth:`Reader.read`.

    Raises
    ------
    StoreError
        As there.
    """
    with Reader() as reader:
        return reader.read(file, mapped=mapped)


def read_parquet(file: Path) -> Content:
    """Read one Parquet file: lists of numbers become the matrix.

    Raises
    ------
    StoreError
        As :meth:`Reader.read`; also vectors of different lengths, gaps, and a file without ids.
    """
    with Reader(_PARQUET) as reader:
        return reader.read(file)


def memory_of_machine() -> int:
    """Bytes of memory this machine has, as far as it tells."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return sys.maxsize


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _answer(file: Path, asked: Mapping[str, Any], process: subprocess.Popen[bytes]) -> Content:
    if process.stdin is None or process.stdout is None:
        raise _EndedError
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
    told = _line(file, process.stdout)
    rows, dim = told["shape"]
    if told["offset"] is None:
        X = np.empty((rows, dim), dtype="<f4")
        _fill(file, process.stdout, X)
    else:
        _fill(file, process.stdout, np.empty((0, dim), dtype="<f4"))
        X = _mapped(file, told["offset"], (rows, dim))
    ids = None if told["ids"] is None else tuple(str(each) for each in told["ids"])
    return Content(X, ids, told["coords"], dict(told["facts"]), tuple(told["names"]))


def _line(file: Path, output: IO[bytes]) -> dict[str, Any]:
    line = output.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise _EndedError
    told: dict[str, Any] = json.loads(line)
    if "error" in told:
        raise StoreError(f"{file}: features cannot be read: {told['error']}")
    return told


def _fill(file: Path, output: IO[bytes], X: NDArray[np.float32]) -> None:
    """Read blocks into a matrix until it is full, and the end of it."""
    room, done = X.reshape(-1).view(np.uint8).data, 0
    while True:
        length = int.from_bytes(_exactly(output, memoryview(bytearray(8))), "little", signed=True)
        if length < 0:
            _line(file, output)
        if length <= 0 or done + length > len(room):
            break
        _exactly(output, room[done : done + length])
        done += length
    if length or done < len(room):
        raise _EndedError


def _exactly(output: IO[bytes], room: memoryview) -> memoryview:
    done = 0
    while done < len(room):
        piece = output.readinto(room[done:])  # type: ignore[attr-defined]
        if not piece:
            raise _EndedError
        done += piece
    return room


def _mapped(file: Path, offset: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    if offset < 0 or offset + 4 * shape[0] * shape[1] > file.stat().st_size:
        raise StoreError(f"{file}: features cannot be read: they end behind the end of the file")
    return np.memmap(file, dtype=np.float32, mode="r", offset=offset, shape=shape)
