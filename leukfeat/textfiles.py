"""Files that are either whole or not there: written under a temporary name, then renamed.

A CSV is opened by spreadsheets, which take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and a
formula can call programs. So a name of that kind is written with an apostrophe before it, and read without: every
reader of ours takes cells through :func:`plain_cell`, which gives back exactly what :func:`safe_cell` was given.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

TEMPORARY = ".writing-"
"""How the name of every file begins that is still being written: hidden, and no name of a finished file."""

_LEFTOVER = re.compile(re.escape(TEMPORARY) + r".*-[0-9a-f]{32}\.tmp", re.DOTALL)
_ABANDONED_SECONDS = 86_400

# What a spreadsheet may take for a formula, wide signs of East Asian keyboards included, with or without apostrophes
# before it, as of a name that looks as if it had been made safe. A sign alone is none, and may be the name of a class.
_FORMULA = re.compile(r"'*(?:\s*[=+\-@＝＋－＠].|\s*[\t\r\n])", re.DOTALL)
_UNPRINTABLE = ("Cc", "Cf", "Cs")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-](?:inf|nan)")


@contextlib.contextmanager
def whole_file(file: Path | str) -> Iterator[Path]:
    """A temporary name beside a file; what is written there becomes the file when the block ends well.

    The content is on the disk before the name changes, and the name before the function returns, so that neither a
    killed process nor a power failure leaves half a file. What killed processes left beside it more than a day ago is
    removed.

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
    sweep(file.parent)
    temporary = temporary_name(file)
    try:
        with named(file):
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


@contextlib.contextmanager
def named(file: Path) -> Iterator[None]:
    """Say which file or folder could not be written where the system does not, as when a disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(file)
        raise


def temporary_name(file: Path) -> Path:
    """What a file or folder is called beside its place while it is being written; a name that is not taken."""
    return file.with_name(f"{TEMPORARY}{file.name[:40]}-{uuid.uuid4().hex}.tmp")


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left half written in a folder; nothing that was touched within a day."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _LEFTOVER.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
                if time.time() - entry.stat(follow_symlinks=False).st_mtime < _ABANDONED_SECONDS:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)  # noqa: PTH108 (an entry's path is no Path)


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


def printable(name: str) -> str:
    """A name without control characters, which could move a terminal's cursor or colour, or begin another line, and
    without halves of characters, which JSON can name and nothing can print."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _UNPRINTABLE else c for c in name)


def safe_cell(text: str) -> str:
    """A text as it stands in a CSV: never a formula to a spreadsheet; numbers and all other names as they are.

    Examples
    --------
    >>> [safe_cell(text) for text in ("=cmd()", "-0.5", "-", "H3", "'=quoted")]
    ["'=cmd()", '-0.5', '-', 'H3', "''=quoted"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def plain_cell(cell: str) -> str:
    """The text that :func:`safe_cell` made a cell of; a cell of anybody else's is given back as it is.

    Examples
    --------
    >>> [plain_cell(cell) for cell in ("'=cmd()", "-0.5", "'tis", "''=quoted")]
    ['=cmd()', '-0.5', "'tis", "'=quoted"]
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_csv(file: Path | str, rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV, header first, lines ended by a newline; whole or not at all. No cell of it is a formula."""
    lines = [[safe_cell(str(cell)) if cell is not None else "" for cell in row] for row in rows]
    # a carriage return in a name would end the row for a reader, and writers before Python 3.13 do not quote it
    returns = any("\r" in cell for line in lines for cell in line)
    with write_text(file) as stream:
        csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerows(
            lines
        )
    return Path(file)
