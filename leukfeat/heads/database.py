"""Studies in a database: opened so that a dead network is noticed, and waited for while its server is away."""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from leukfeat.errors import HeadError

PATIENCE_SECONDS = 600.0  # a database that answered before is waited for so long

_LONGEST_PAUSE = 5.0  # seconds between two attempts
_ATTEMPTS = 30  # to make the tables, which others may be making
_PASSING = ("08", "40", "53", "55", "57")  # SQLSTATE: connection, rolled back, resources, in use, server going down
# Who cannot connect gets no SQLSTATE from psycopg, only words: these do not go away by themselves, though they stand in
# a sentence that begins with "connection failed";
_LASTING = ("password", "authentication", "pg_hba.conf", "does not exist", "certificate")
_AWAY = ("locked", "connection", "resolve host", "host name")  # and these may
_LIBPQ = {  # a network that swallows everything is noticed after a minute, not after hours
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_log = logging.getLogger(__name__)


def without_password(text: str) -> str:
    """A text with the passwords of its URLs replaced, and rather too much than too little of the rest.

    Examples
    --------
    >>> without_password("postgresql://ann:secret@host/studies")
    'postgresql://ann:***@host/studies'
    """
    hidden = re.sub(r"(://[^:/@\s]*):.*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&](?:password|sslpassword|passwd)=)[^&]*", r"\1***", hidden)


@contextlib.contextmanager
def database(url: str, *, waiting: bool) -> Iterator[PatientStorage]:
    """Open a database and close it in the end.

    Parameters
    ----------
    url : str
        As SQLAlchemy reads it.
    waiting : bool
        Whether to wait for it to be opened, too.

    Yields
    ------
    PatientStorage
        Each of its methods waits for a server that is away.

    Raises
    ------
    HeadError
        It cannot be opened, or fails; the message has no password.
    """
    import sqlalchemy.exc
    from optuna.exceptions import StorageInternalError
    from optuna.storages import get_storage

    patience = Patience(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", sqlalchemy.exc.SAWarning)  # e.g. an option that the driver ignores
            opened = patience.tried(_open, url) if waiting else _open(url)
    except (
        sqlalchemy.exc.SAWarning,
        sqlalchemy.exc.SQLAlchemyError,
        StorageInternalError,
        ImportError,
        ValueError,
        RuntimeError,  # tables of another version of Optuna
        OSError,
    ) as error:
        if isinstance(error, HeadError):
            raise
        # not chained: the cause may carry the password
        raise HeadError(f"storage {without_password(url)} cannot be opened: {_told(error, url)}") from None
    patience.forget = opened.remove_session
    try:
        yield PatientStorage(get_storage(opened), patience)
    finally:
        patience.end()
        opened.remove_session()
        opened.engine.dispose()


class PatientStorage:
    """An Optuna storage each of whose methods is called again while its server is away.

    A call may have been carried out though its answer was lost; every method that we use gives the same when it is
    carried out twice, apart from ``create_new_trial``, whose caller has to look.
    """

    def __init__(self, storage: Any, patience: Patience) -> None:
        self._storage, self._patience = storage, patience

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._storage, name)
        return functools.partial(self._patience.tried, found) if callable(found) else found

    def stop_waiting(self) -> None:
        """Let nobody wait any more: the user wants to go."""
        self._patience.end()


class Patience:
    """Tries again what fails because a database is away, for a bounded time.

    Parameters
    ----------
    url : str
        Of the database, for messages.

    Attributes
    ----------
    forget : callable
        Drops what the calling thread has begun: a transaction that was cut off has to go before the next.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.forget: Callable[[], None] = lambda: None
        self._ended = threading.Event()

    def end(self) -> None:
        """Wait no more."""
        self._ended.set()

    def tried(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call, and call again.

        Raises
        ------
        HeadError
            It fails for another reason, or for too long.
        """
        import sqlalchemy.exc
        from optuna.exceptions import StorageInternalError

        place, pause, began = without_password(self.url), 0.1, time.monotonic()
        waited = False
        while True:
            try:
                found = call(*arguments, **named)
            except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
                cause, reason = error.__cause__ or error, _told(error.__cause__ or error, self.url)
                with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
                    self.forget()
                if not _may_pass(cause):
                    raise HeadError(f"storage {place} failed: {reason}") from None
                if self._ended.is_set() or time.monotonic() - began > PATIENCE_SECONDS:
                    raise HeadError(
                        f"storage {place} does not answer: {reason}; start it and run the same command again, which"
                        " goes on"
                    ) from None
            else:
                if waited:
                    _log.warning("storage %s answers again", place)
                return found
            if not waited and time.monotonic() - began > 1:
                _log.warning(
                    "storage %s does not answer (%s); waiting for up to %.0f minutes",
                    place, reason, PATIENCE_SECONDS / 60,
                )  # fmt: skip
                waited = True
            self._ended.wait(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE)


def _open(url: str) -> Any:
    """Connect, and make the tables where there are none."""
    import sqlalchemy.exc
    from optuna.storages import RDBStorage

    options = _options(url)
    for attempt in range(_ATTEMPTS):
        try:
            return RDBStorage(url, engine_kwargs=options)
        except sqlalchemy.exc.DBAPIError as error:
            known = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if not known or attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(random.uniform(0.02, 0.2))  # another process makes the same tables just now
    raise AssertionError  # the last attempt returns or raises


def _options(url: str) -> dict[str, Any]:
    """How to connect: few connections a process, because it has few threads and a server has few connections."""
    import sqlalchemy

    known = sqlalchemy.make_url(url)
    if known.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}
    pool = {"pool_pre_ping": True, "pool_size": 1, "max_overflow": 2}
    if known.drivername in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        return {**pool, "connect_args": {name: value for name, value in _LIBPQ.items() if name not in known.query}}
    return pool


def _may_pass(error: BaseException) -> bool:
    """Whether an error is of the kind that goes away when the server is back, or when others are done."""
    import sqlalchemy.exc

    if isinstance(error, sqlalchemy.exc.PendingRollbackError):  # of the transaction before
        return True
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, sqlalchemy.exc.OperationalError):
        return False
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if code is not None:
        return str(code)[:2] in _PASSING
    text = str(error.orig).lower()
    return any(word in text for word in _AWAY) and not any(word in text for word in _LASTING)


def _told(error: BaseException, url: str) -> str:
    """An error in one line, without the password of a URL, and with what to do where that is known."""
    import sqlalchemy.exc

    lines = str(error).splitlines() or [type(error).__name__]
    text = re.sub(r"^\([\w.]+\) (connection failed: )?", "", lines[0].strip())
    with contextlib.suppress(sqlalchemy.exc.ArgumentError, ValueError):
        known = sqlalchemy.make_url(url)
        for secret in (known.password, *(value for name, value in known.query.items() if "pass" in name)):
            text = text.replace(str(secret), "***") if secret else text
    text = without_password(text)
    if isinstance(error, ImportError) and url.startswith("postgresql"):
        return f"{text}; pip install 'leukfeat[postgres]', and write postgresql+psycopg://…"
    if isinstance(error, sqlalchemy.exc.NoSuchModuleError):
        return f"{text}; write e.g. postgresql+psycopg://user@host/database, or the name of a file"
    return text
