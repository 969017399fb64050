"""The sha256 of image bytes, remembered between runs by path, size and modification time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs

_SETTLED_NS = 2_000_000_000  # a file changed this recently could change again within one clock tick: not remembered

Progress = Callable[[int, int], None]


def sha256_of(file: Path) -> str:
    """Hexadecimal sha256 of a file's bytes.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class HashMemo:
    """A small database of file hashes.

    It only ever saves work: where it cannot be read or written, files are hashed as if it were empty.

    Parameters
    ----------
    file : Path or None
        The SQLite file; ``None`` takes the user's cache folder.
    rehash : bool
        Ignore what is remembered, and remember anew.
    """

    def __init__(self, file: Path | None = None, *, rehash: bool = False) -> None:
        self.file = file or platformdirs.user_cache_path("leukfeat") / "sha256.sqlite"
        self.rehash = rehash

    def hash_files(self, files: Iterable[Path], progress: Progress | None = None) -> dict[Path, str | OSError]:
        """Hash files, reading only those that are new or changed.

        Returns
        -------
        dict of Path to (str or OSError)
            The hexadecimal digest, or why the file could not be read.
        """
        wanted = list(dict.fromkeys(files))
        remembered = {} if self.rehash else self._remembered([_name(file) for file in wanted])
        answers: dict[Path, str | OSError] = {}
        fresh: dict[bytes, tuple[int, int, str]] = {}

        def answer(file: Path) -> None:
            name = _name(file)
            try:
                status = file.stat()
                known = remembered.get(name)
                if known and known[:2] == (status.st_size, status.st_mtime_ns):
                    answers[file] = known[2]
                    return
                if not stat.S_ISREG(status.st_mode):
                    raise OSError("not a regular file")  # a pipe would keep its reader waiting for ever
                digest = sha256_of(file)
            except OSError as error:
                answers[file] = error
                return
            answers[file] = digest
            if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
                fresh[name] = (status.st_size, status.st_mtime_ns, digest)

        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for done, _ in enumerate(pool.map(answer, wanted), start=1):
                if progress is not None:
                    progress(done, len(wanted))
        self._remember(fresh)
        return answers

    def _remembered(self, names: list[bytes]) -> Mapping[bytes, tuple[int, int, str]]:
        found: dict[bytes, tuple[int, int, str]] = {}
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as memo:
            for name in names:
                row = memo.execute("SELECT size, mtime_ns, sha256 FROM files WHERE path = ?", (name,)).fetchone()
                if row:
                    found[name] = row
        return found

    def _remember(self, fresh: Mapping[bytes, tuple[int, int, str]]) -> None:
        if not fresh:
            return
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as memo, memo:
            memo.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", [(path, *row) for path, row in fresh.items()]
            )

    def _connect(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        memo = sqlite3.connect(self.file, timeout=10)
        memo.execute(
            "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT)"
        )
        return memo


def _name(file: Path) -> bytes:
    """The file's absolute name as the system spells it, which need not be valid text."""
    return os.fsencode(os.path.abspath(file))  # noqa: PTH100 (resolve() would touch the disk once per path component)
