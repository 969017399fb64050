"""Files that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import csv
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

TEMPORARY = ".writing-"
"""How the name of every file begins that is still being written: hidden, and no name of a finished file."""


@contextlib.contextmanager
def whole_file(file: Path | str) -> Iterator[Path]:
    """A temporary name beside a file; what is written there becomes the file when the block ends well.

    The content is on the disk before the name changes, and the name before the function returns, so that neither a
    killed process nor a power failure leaves half a file.

    Parameters
    ----------
    file : path
        Where it shall be, in place of what stands there; missing folders are made.

    Yields
    ------
    Path
        A name that is not taken; the block writes a file of that name, and closes it.

    Raises
    ------
    OSError
        The file cannot be written; the temporary one is gone.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{TEMPORARY}{file.name[:40]}-{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlast a power failure, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def write_text(file: Path | str) -> Iterator[TextIO]:
    """Open a UTF-8 text file for writing; it takes its name only when the block ends well.

    Parameters
    ----------
    file : path
        Where it shall be; missing folders are made.

    Yields
    ------
    text stream
        Newlines are written as given.
    """
    with whole_file(file) as temporary, temporary.open("x", encoding="utf-8", newline="") as stream:
        yield stream


def write_csv(file: Path | str, rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV, header first, lines ended by a newline; whole or not at all."""
    lines = [[str(cell) if cell is not None else "" for cell in row] for row in rows]
    # a carriage return in a name would end the row for a reader, and writers before Python 3.13 do not quote it
    returns = any("\r" in cell for line in lines for cell in line)
    with write_text(file) as stream:
        csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerows(
            lines
        )
    return Path(file)
