"""Text files and tables that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import csv
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO


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
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name[:40]}-{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
