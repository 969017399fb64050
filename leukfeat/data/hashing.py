"""The sha256 of image bytes, remembered between runs by path, size, and times of modification and change.

The time of change is the system's own: unlike the time of modification it is not carried over by ``cp -p``, ``rsync``
or an archive, and moves when another file takes the name. On Windows it is the time of creation. Images of one camera
are often equal in size, and those of one archive in time of modification.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import platformdirs

_SETTLED_NS = 2_000_000_000  # a file changed this recently could change again within one clock tick: not remembered

_COLUMNS = "path, size, mtime_ns, ctime_ns, sha256"

_AT_A_TIME = 256  # files a thread looks at, or the database is asked for, at once

_NEAR_S = 50e-6  # to look at a file; while it takes no longer, handing over to threads costs more than looking

Progress = Callable[[int, int], None]

File = TypeVar("File", str, Path)  # of many files, names cost a tenth of paths


class Known(NamedTuple):
    """What is remembered of a file: size, its two times in nanoseconds, and the digest it had then."""

    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str

    def digest_of(self, status: os.stat_result) -> str | None:
        """The digest of a file in this state; None where it is not the one that was hashed."""
        return self.sha256 if (status.st_size, status.st_mtime_ns, status.st_ctime_ns) == self[:3] else None


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
    digest : callable(Path) -> str
        What is remembered of a file; None for the sha256 of all of it. A file of its own for every such function.
    """

    def __init__(
        self, file: Path | None = None, *, rehash: bool = False, digest: Callable[[Path], str] | None = None
    ) -> None:
        self.file = file or platformdirs.user_cache_path("leukfeat") / "sha256.sqlite"
        self.rehash = rehash
        self._digest = digest

    def hash_files(self, files: Iterable[File], progress: Progress | None = None) -> dict[File, str | OSError]:
        """Hash files, given by path or by name, reading only those that are new or changed.

        Returns
        -------
        dict of Path or str to (str or OSError)
            The hexadecimal digest, or why the file could not be read.
        """
        names = {file: _name(file) for file in files}
        wanted = list(names)
        remembered = {} if self.rehash else self._remembered(list(names.values()))
        answers: dict[File, str | OSError] = {}
        fresh: dict[bytes, Known] = {}

        def look_up(some: Sequence[File]) -> list[tuple[File, os.stat_result]]:
            """Answer for files that are known or gone; give back the others."""
            unknown = []
            for file in some:
                try:
                    status = os.stat(names[file])  # noqa: PTH116 (the name is there already)
                except (OSError, ValueError) as error:  # ValueError: a name with a null character
                    answers[file] = error if isinstance(error, OSError) else OSError(str(error))
                    continue
                known = remembered.get(names[file])
                digest = known.digest_of(status) if known is not None else None
                if digest is not None:
                    answers[file] = digest
                else:
                    unknown.append((file, status))
            return unknown

        def answer(unknown: tuple[File, os.stat_result]) -> None:
            file, status = unknown
            try:
                if not stat.S_ISREG(status.st_mode):
                    raise OSError("not a regular file")  # a pipe would keep its reader waiting for ever
                digest = (self._digest or sha256_of)(Path(file))
            except OSError as error:
                answers[file] = error
                return
            answers[file] = digest
            if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
                fresh[names[file]] = Known(status.st_size, status.st_mtime_ns, status.st_ctime_ns, digest)

        parts = (wanted[start : start + _AT_A_TIME] for start in range(0, len(wanted), _AT_A_TIME))
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            unknown = []
            for part in parts:
                started = time.perf_counter()
                unknown += look_up(part)
                if time.perf_counter() - started > _NEAR_S * len(part):
                    break  # a file system that is far away: several look at once
            unknown += [each for some in pool.map(look_up, parts) for each in some]
            if progress is not None and answers:
                progress(len(answers), len(wanted))
            for done, _ in enumerate(pool.map(answer, unknown), start=len(wanted) - len(unknown) + 1):
                if progress is not None:
                    progress(done, len(wanted))
        self._remember(fresh)
        return answers

    def recall(self, files: Sequence[Path]) -> dict[Path, Known]:
        """What is remembered of files; nothing where everything is to be hashed anew."""
        if self.rehash:
            return {}
        names = [_name(file) for file in files]
        remembered = self._remembered(names)
        return {file: remembered[name] for file, name in zip(files, names, strict=True) if name in remembered}

    def _remembered(self, names: Sequence[bytes]) -> Mapping[bytes, Known]:
        found: dict[bytes, Known] = {}
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as memo:
            for start in range(0, len(names), _AT_A_TIME):
                some = names[start : start + _AT_A_TIME]
                places = ", ".join("?" * len(some))
                rows = memo.execute(f"SELECT {_COLUMNS} FROM states WHERE path IN ({places})", some)
                found |= {row[0]: Known._make(row[1:]) for row in rows}
        return found

    def _remember(self, fresh: Mapping[bytes, Known]) -> None:
        if not fresh:
            return
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as memo, memo:
            memo.executemany(
                "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?)",
                [(path, *known) for path, known in fresh.items()],
            )

    def _connect(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        memo = sqlite3.connect(self.file, timeout=10)
        memo.execute(
            "CREATE TABLE IF NOT EXISTS states"
            " (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, sha256 TEXT)"
        )
        return memo


def _name(file: Path | str) -> bytes:
    """The file's absolute name as the system spells it, which need not be valid text."""
    return os.fsencode(os.path.abspath(file))  # noqa: PTH100 (resolve() would touch the disk once per path component)
