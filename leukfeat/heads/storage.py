"""Where studies live: in memory, in a journal file, or in a database, whose password is shown to nobody."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukfeat.errors import HeadError, UsageError
from leukfeat.heads.database import database, without_password
from leukfeat.heads.journal import Journal


@dataclass(frozen=True, repr=False)
class Storage:
    """Where studies live, and what is known about it.

    Parameters
    ----------
    where : str or path
        A journal file, or a database URL (anything with ``://``).
    alone : bool
        Whether nobody else can be using it: trials that are running were left by a kill.
    answered : bool
        Whether it could be opened before: a database that cannot be opened now is waited for.
    """

    where: str | os.PathLike[str]
    alone: bool = False
    answered: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.where, str | os.PathLike):
            raise UsageError(f"storage is {self.where!r}; give the name of a file, or a database URL")

    @classmethod
    def at(cls, where: str | os.PathLike[str] | Storage) -> Storage:
        """What is known of a place of which nothing was said."""
        return where if isinstance(where, Storage) else cls(where)

    @property
    def is_database(self) -> bool:
        """Whether it is a database."""
        return "://" in str(self.where)

    @property
    def folders(self) -> tuple[Path, ...]:
        """What processes on other machines have to share: the folder of a journal; nothing of a database."""
        return () if self.is_database else (Path(self.where).absolute().parent,)

    def __str__(self) -> str:
        """The place without its password: logs show arguments of functions."""
        return without_password(os.fspath(self.where))

    def __repr__(self) -> str:
        return f"Storage({str(self)!r})"


@contextlib.contextmanager
def opened(storage: str | os.PathLike[str] | Storage | None) -> Iterator[Any]:
    """Open a storage for an Optuna study and close it in the end.

    Parameters
    ----------
    storage : str, path, Storage or None
        None is memory.

    Yields
    ------
    Optuna storage
        What ``optuna.create_study`` takes.

    Raises
    ------
    HeadError
        It cannot be opened, read or written; the message has no password.
    """
    if storage is None:
        from optuna.storages import InMemoryStorage

        yield InMemoryStorage()
        return
    place = Storage.at(storage)
    if place.is_database:
        with database(str(os.fspath(place.where)), waiting=place.answered) as opened_database:
            yield opened_database
    else:
        yield _journal(Path(place.where).absolute())


def checked(storage: str | os.PathLike[str] | Storage) -> Storage:
    """A storage that could be opened just now, its file by the whole path: who opens it again may wait for it.

    Raises
    ------
    HeadError
        It cannot be opened: no such server, a wrong password, no right to write, somebody else's file.
    """
    place = Storage.at(storage)
    with opened(place):
        where = place.where if place.is_database else Path(place.where).absolute()
        return Storage(where, place.alone, answered=True)


def _journal(file: Path) -> Any:
    from optuna.storages import JournalStorage

    backend = Journal(file)
    try:
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError, AssertionError) as error:  # records of something else, or of the future
        if isinstance(error, HeadError):
            raise
        raise HeadError(f"{file}: is not a journal of Optuna trials; give another file as storage") from error
