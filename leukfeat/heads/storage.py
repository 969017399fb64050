"""Where studies live: in memory, in a journal file, or in a database, whose password is shown to nobody."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukfeat.errors import HeadError

LOCK_SECONDS = 10  # a lock file that nobody renews for so long was left by a kill

_FIRST_RECORD = 200  # bytes; the first line of a journal names its operation within them


def without_password(text: str) -> str:
    """A text with the passwords of its URLs replaced.

    Examples
    --------
    >>> without_password("postgresql://ann:secret@host/studies")
    'postgresql://ann:***@host/studies'
    """
    hidden = re.sub(r"(://[^:/@\s]*):[^\s]*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&](?:password|sslpassword|passwd)=)[^&\s]*", r"\1***", hidden)


@contextlib.contextmanager
def opened(storage: str | os.PathLike[str] | None) -> Iterator[Any]:
    """Open a storage for an Optuna study and close it in the end.

    Parameters
    ----------
    storage : str, path or None
        None, a journal file, or a database URL (anything with ``://``).

    Yields
    ------
    Optuna storage or None
        What ``optuna.create_study`` takes.

    Raises
    ------
    HeadError
        It cannot be opened, read or written; the message has no password.
    """
    if storage is None:
        yield None
    elif "://" in str(storage):
        yield from _database(str(storage))
    else:
        yield from _journal(Path(storage))


def _database(url: str) -> Iterator[Any]:
    import sqlalchemy.exc
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", sqlalchemy.exc.SAWarning)  # e.g. an option that the driver ignores
            opened_storage = RDBStorage(url)
    except (
        sqlalchemy.exc.SAWarning,
        sqlalchemy.exc.SQLAlchemyError,
        StorageInternalError,
        ImportError,
        ValueError,
        OSError,
    ) as error:
        # not chained: the cause may carry the password
        raise HeadError(f"storage {without_password(url)} cannot be opened: {_told(error, url)}") from None
    try:
        yield opened_storage
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise HeadError(f"storage {without_password(url)} failed: {_told(error, url)}") from None
    finally:
        opened_storage.remove_session()
        opened_storage.engine.dispose()


def _told(error: BaseException, url: str) -> str:
    """The first line of an error, without the password of a URL."""
    import sqlalchemy

    text = (str(error).splitlines() or [type(error).__name__])[0]
    with contextlib.suppress(sqlalchemy.exc.ArgumentError, ValueError):
        password = sqlalchemy.make_url(url).password
        if password:
            text = text.replace(str(password), "***")
    return without_password(text)


def _journal(file: Path) -> Iterator[Any]:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    file = file.absolute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalFileOpenLock(str(file), grace_period=LOCK_SECONDS)
        _cut_unfinished_line(file, lock)
        opened_storage = JournalStorage(JournalFileBackend(str(file), lock_obj=lock))
    except OSError as error:
        raise HeadError(f"{file}: cannot be used as a journal of trials: {error.strerror}") from error
    except (ValueError, KeyError) as error:
        raise HeadError(f"{file}: is not a journal of Optuna trials; give another file as storage") from error
    try:
        yield opened_storage
    except OSError as error:
        raise HeadError(f"{file}: cannot be read or written any more: {error.strerror}") from error


def _cut_unfinished_line(file: Path, lock: Any) -> None:
    """Remove a last line that a kill cut short; whatever would be written next would be joined to it."""
    if not file.exists() or file.stat().st_size == 0:
        return
    lock.acquire()
    try:
        with file.open("r+b") as stream:
            content = stream.read()
            if b'"op_code"' not in content[:_FIRST_RECORD]:
                raise ValueError  # somebody's other file, which must not be cut
            if not content.endswith(b"\n"):
                stream.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()
