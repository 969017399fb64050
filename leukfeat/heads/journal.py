"""A journal of trials in one file, which many processes share and no killed one can spoil for the others.

Optuna's own file backend joins the next record to a line that a kill cut short, after which nobody can read the
journal any more; and of a lock that was given up it may remove the one that somebody else has taken since. Nothing
that was written is ever changed here: a line cut short is ended with a mark, and readers pass over it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukfeat.errors import HeadError

LOCK_SECONDS = 10.0  # a lock file that nobody renews for so long was left by a kill

_BEGINNING = b'{"op_code":'  # of every record that Optuna or we have written
_CUT = b" # cut short\n"  # ends a line that a kill has left without an end
_LONGEST_PAUSE = 0.25  # seconds


class Journal:
    """What ``optuna.storages.JournalStorage`` asks of a backend: records that are read in order, and appended.

    Parameters
    ----------
    file : path
        The journal; made where there is none.

    Raises
    ------
    HeadError
        The file is something else, or cannot be used; also from the methods.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = _Lock(Path(f"{file}.lock"))
        self._places = [0]  # byte where the search for record n begins, as far as is known
        with self._told("used as a journal of trials"):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab+") as stream:
                stream.seek(0)
                first = stream.read(len(_BEGINNING))
        if not _BEGINNING.startswith(first):
            raise HeadError(f"{file}: is not a journal of Optuna trials; give another file as storage")

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Records from a number on; a last line without an end is being written, or was cut short."""
        number = min(log_number_from, len(self._places) - 1)
        with self._told("read"), self.file.open("rb") as stream:
            place = stream.seek(self._places[number])
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                place += len(line)
                if line.endswith(_CUT):
                    continue
                record = self._record(line, place)
                number += 1
                if number == len(self._places):
                    self._places.append(place)
                if number > log_number_from:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records at the end, all or, where the process is killed, perhaps some of them."""
        content = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)
        with self._told("written"), self._lock.held(), self.file.open("ab+") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                content = content if stream.read(1) == b"\n" else _CUT + content
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    def _record(self, line: bytes, place: int) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and "op_code" in record:
                return record
        raise HeadError(
            f"{self.file}: the line that ends at byte {place} is no record of a journal: the file was changed or its"
            " disk is damaged; give another file as storage"
        )

    @contextlib.contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        """Say which file could not be used."""
        try:
            yield
        except OSError as error:
            raise HeadError(f"{self.file}: cannot be {verb}: {error.strerror or error}") from error


class _Lock:
    """A file that only one process can create, as ``O_EXCL`` promises on network file systems too.

    It is left behind where its holder is killed, so one that stays the same for ``LOCK_SECONDS`` is removed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, and hold it."""
        token = uuid.uuid4().hex.encode()
        self._acquire(token)
        try:
            yield
        finally:
            # somebody may have thought us dead; then the lock is no longer ours
            with contextlib.suppress(FileNotFoundError):
                if self.file.read_bytes() == token:
                    self.file.unlink()

    def _acquire(self, token: bytes) -> None:
        pause, watched, since = 0.001, self._seen(), time.monotonic()
        while True:
            try:
                descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                seen, now = self._seen(), time.monotonic()
                if seen != watched:
                    watched, since = seen, now
                elif seen is not None and now - since > LOCK_SECONDS:
                    self._remove(seen)
                    continue
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                try:
                    os.write(descriptor, token)
                except OSError:  # the disk is full: nobody is to wait for us
                    self.file.unlink()
                    raise
                finally:
                    os.close(descriptor)
                return

    def _seen(self) -> tuple[int, int] | None:
        """What tells one lock from the next."""
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _remove(self, dead: tuple[int, int]) -> None:
        """Remove the lock that was watched; put back another that took its place at the last moment."""
        aside = _Lock(Path(f"{self.file}.{uuid.uuid4().hex}"))
        with contextlib.suppress(OSError):  # somebody else was quicker
            self.file.rename(aside.file)
            if aside._seen() != dead:
                os.link(aside.file, self.file)
            aside.file.unlink()
