"""What stands before the HDF5 of a part: which rows it has, and the digest of all that follows.

HDF5 leaves room at the front of a file for whoever wrote it (the user block). A part puts there::

    leukfeat part 2          the schema
    header 0000001024        bytes before the HDF5 begins, a power of two
    sha256 5f70bf18…         of the header from here on
    {"body": "e3b0c442…", …} one line of JSON; body is the sha256 of the HDF5
    …                        32 bytes a row: the sha256 of its image; then zeros

Looking rows up therefore opens no HDF5 file and reads no vector, and nothing but a line of fixed form is parsed before
its digest has been compared.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import StoreError
from leukfeat.jsonfiles import parse_json

SCHEMA = 2
PREFIX, SUFFIX = "part-", ".h5"
REMEDY = "run leukfeat cache gc --yes, which moves it aside, and extract again"

_DIGEST = 32  # bytes of a sha256
_SMALLEST = 512  # bytes; HDF5 looks for its beginning there, and at every doubling
_LONGEST_LINE = 65_536  # bytes of JSON
_LONGEST_NUMBER = 10**15  # bytes of HDF5 that a header has room to tell of
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PREAMBLE = re.compile(rb"leukfeat part (\d{1,6})\n(?:header (\d{10})\nsha256 ([0-9a-f]{64})\n)?")
_PREAMBLE_BYTES = len(b"leukfeat part 2\nheader 0123456789\nsha256 \n") + 64


class GonePartError(StoreError):
    """A part that was there a moment ago: another process has joined it with others, or cleaned up."""


class UnreadableError(StoreError):
    """A file that cannot be read now, for want of permission, network or a disk that works; it may well be sound."""


class NewerPartError(StoreError):
    """A part that a newer version of leukfeat has written: sound, but not for us to read, move or delete."""


@dataclass(frozen=True, eq=False)
class PartHeader:
    """What a part says about itself.

    Attributes
    ----------
    file : Path
        The part.
    digests : ndarray of shape (n, 32), uint8
        sha256 of each row's image.
    dim : int
        Length of a vector.
    checksum : str
        sha256 over image digests and vectors.
    created : float
        Unix time.
    engine, decoder : str
        What computed and what decoded.
    body : str
        sha256 of the HDF5.
    start : int
        Where in the file the HDF5 begins.
    """

    file: Path
    digests: NDArray[np.uint8] = field(repr=False)
    dim: int
    checksum: str
    created: float
    engine: str
    decoder: str
    body: str = ""
    start: int = 0

    def __len__(self) -> int:
        return len(self.digests)

    def texts(self, rows: NDArray[np.int64]) -> list[str]:
        """The digests of some rows as hexadecimal text."""
        text = self.digests[rows].tobytes().hex()
        return [text[start : start + 2 * _DIGEST] for start in range(0, len(text), 2 * _DIGEST)]

    @property
    def sha256(self) -> NDArray[np.bytes_]:
        """The digests as hexadecimal text, shape (n,), S64."""
        return np.frombuffer(self.digests.tobytes().hex().encode(), dtype="S64")


def raw_digests(sha256: Sequence[str]) -> NDArray[np.uint8]:
    """Hexadecimal digests as bytes, shape (n, 32).

    Raises
    ------
    StoreError
        Something is not the 64 hexadecimal digits of a sha256.
    """
    try:
        raw = bytes.fromhex("".join(sha256))
        if all(len(digest) == 2 * _DIGEST for digest in sha256):
            return np.frombuffer(raw, dtype=np.uint8).reshape(-1, _DIGEST)
    except ValueError:
        pass
    wrong = next(digest for digest in sha256 if not re.fullmatch(r"[0-9a-fA-F]{64}", digest))
    raise StoreError(f"{wrong[:80]!r} is not the sha256 of an image: 64 hexadecimal digits are needed")


def gone(file: Path) -> GonePartError:
    """What is said of a part that is no longer there."""
    return GonePartError(f"{file}: the part is gone; was the store cleaned meanwhile? run the command again")


def unread(file: Path, error: OSError) -> StoreError:
    """What it means that a part cannot be read: that it is gone, or that nobody can say what is in it."""
    # ESTALE is how a network file system says that another machine has deleted the file
    if isinstance(error, FileNotFoundError) or error.errno == errno.ESTALE:
        return gone(file)
    return UnreadableError(f"{file}: cannot be read: {error.strerror or error}; check disk and permissions")


def header_bytes(header: PartHeader, size: int | None = None) -> bytes:
    """A header as it stands in the file; its length is the room that HDF5 has to leave.

    Parameters
    ----------
    header : PartHeader
        With :attr:`~PartHeader.body` empty where only the length is wanted: it does not depend on it.
    size : int or None
        Bytes of HDF5; None where only the length is wanted.
    """
    facts = {
        "rows": len(header),
        "dim": header.dim,
        "checksum": header.checksum,
        "created": header.created,
        "engine": header.engine,
        "decoder": header.decoder,
        "body": header.body or "0" * 2 * _DIGEST,
        "bytes": _LONGEST_NUMBER if size is None else size,
    }
    line = json.dumps(facts, sort_keys=True).encode()
    spare = len(str(_LONGEST_NUMBER)) - len(str(facts["bytes"]))
    content = line + b" " * spare + b"\n" + header.digests.tobytes()
    room = _SMALLEST
    while room < _PREAMBLE_BYTES + len(content):
        room *= 2
    content += bytes(room - _PREAMBLE_BYTES - len(content))
    seal = hashlib.sha256(content).hexdigest()
    return f"leukfeat part {SCHEMA}\nheader {room:010d}\nsha256 {seal}\n".encode() + content


def read_header(file: Path) -> PartHeader:
    """Read what a part says about itself, and compare it with its digest.

    Raises
    ------
    GonePartError
        There is no such file.
    UnreadableError
        It cannot be read now.
    NewerPartError
        Written by a newer version.
    StoreError
        Truncated, altered, not ours, or of an older version.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start, seal = _preamble(file, stream.read(_PREAMBLE_BYTES), size)
            content = stream.read(start - _PREAMBLE_BYTES)
    except OSError as error:
        raise unread(file, error) from error
    if hashlib.sha256(content).hexdigest() != seal:
        raise StoreError(f"{file}: its header does not match its checksum: damaged or altered; {REMEDY}")
    try:
        return _parsed(file, content, start, size)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise StoreError(f"{file}: its header cannot be read ({error}); {REMEDY}") from error


def body_digest(file: Path) -> str:
    """sha256 of what follows the header, as it is on the disk now.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with file.open("rb") as stream:
        found = _PREAMBLE.fullmatch(stream.read(_PREAMBLE_BYTES))
        stream.seek(int(found[2]) if found and found[2] else 0)
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _preamble(file: Path, beginning: bytes, size: int) -> tuple[int, str]:
    """Where the HDF5 begins, and the digest of the header."""
    found = _PREAMBLE.match(beginning)
    if found is not None and int(found[1]) > SCHEMA:
        raise NewerPartError(
            f"{file}: written by a newer version of leukfeat (schema {int(found[1])}, here {SCHEMA});"
            " update leukfeat, or use another --cache"
        )
    if found is None or found[2] is None or int(found[1]) < SCHEMA:
        if size < _SMALLEST:
            raise StoreError(f"{file}: truncated ({size:,} bytes left); {REMEDY}")
        what = "an HDF5 file, but not a part of a feature store" if beginning.startswith(_HDF5) else "not a part"
        raise StoreError(f"{file}: {what} of this version (schema {SCHEMA}); {REMEDY}")
    start = int(found[2])
    if start < _SMALLEST or start & (start - 1):
        raise StoreError(f"{file}: its header cannot be {start:,} bytes long: damaged or altered; {REMEDY}")
    if start > size:
        raise StoreError(f"{file}: truncated ({size:,} bytes left); {REMEDY}")
    return start, found[3].decode()


def _parsed(file: Path, content: bytes, start: int, size: int) -> PartHeader:
    end = content.index(b"\n", 0, _LONGEST_LINE)
    facts: Any = parse_json(content[:end])
    rows, dim = _count(facts["rows"]), _count(facts["dim"])
    digests = np.frombuffer(content, dtype=np.uint8, offset=end + 1)
    if len(digests) < rows * _DIGEST:
        raise ValueError(f"promises {rows} rows, has room for {len(digests) // _DIGEST}")
    if start + _count(facts["bytes"]) != size:
        raise StoreError(f"{file}: truncated ({size:,} bytes of {start + facts['bytes']:,} left); {REMEDY}")
    if 4 * rows * dim > facts["bytes"]:  # vectors are not packed
        raise ValueError(f"promises {rows} vectors of {dim} numbers, has room for fewer")
    created = float(facts["created"])
    if not math.isfinite(created):
        raise ValueError(f"created at {created}")
    return PartHeader(
        file=file,
        digests=digests[: rows * _DIGEST].reshape(rows, _DIGEST),
        dim=dim,
        checksum=str(facts["checksum"]),
        created=created,
        engine=str(facts["engine"]),
        decoder=str(facts["decoder"]),
        body=str(facts["body"]),
        start=start,
    )


def _count(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{number!r} is not a count")
    return number
