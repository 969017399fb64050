"""Storages: opened, refused in one line, waited for, and never giving a password away."""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from sklearn.base import clone

from leukfeat.errors import HeadError, UsageError
from leukfeat.heads import database as database_module
from leukfeat.heads.database import Patience, without_password
from leukfeat.heads.storage import Storage, checked, opened
from leukfeat.heads.tuning import TunedHead

SECRETS = ("s3cret", "s3c:ret", "s3c ret", "s3c%40ret", "s3c@ret")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long."""
    monkeypatch.setattr(database_module, "PATIENCE_SECONDS", 0.5)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", ["postgresql+psycopg://ann:{}@host:5432/d", "postgresql://ann@host/d?password={}&x=1"])
def test_a_password_is_in_no_text_about_a_storage(secret: str, form: str) -> None:
    storage = Storage(form.format(secret))
    head = TunedHead("tree", storage=storage)
    for text in (str(storage), repr(storage), f"{[storage]}", repr(head), repr(clone(head)), head._repr_html_()):
        assert "s3c" not in text
        assert "ret" not in text.replace("secret", "")
    assert copy.deepcopy(storage).where == form.format(secret)  # other machines need it


def test_a_text_without_a_password_stays_as_it_is() -> None:
    for text in ("sqlite:///trials.db", "/home/ann/trials.journal", "postgresql+psycopg://ann@host:5432/studies"):
        assert without_password(text) == text


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg://ann:s3c%40ret@127.0.0.1:1/d", "Connection refused"),
        ("postgresql+psycopg://ann:s3c%40ret@nowhere.invalid/d", "failed to resolve host 'nowhere.invalid'"),
        ("postgresql+psycopg://ann:s3c%40ret@127.0.0.1:1/d?nosuch=1", "invalid connection option \"nosuch\""),
        ("postgres://ann:s3c%40ret@host/d", "write e.g. postgresql"),
        ("postgresql+nosuchdriver://ann:s3c%40ret@host/d", "Can't load plugin"),
        ("postgresql+psycopg://ann:s3c%40ret@host:port/d", "'port'"),
        ("sqlite:///trials.db?password=s3c%40ret", "Query string argument(s) 'password'"),
        ("sqlite:////no/such/folder/trials.db", "unable to open database file"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_told_in_one_line_at_once(url: str, told: str) -> None:
    if "psycopg" in url:
        pytest.importorskip("psycopg", reason="psycopg is not installed (leukfeat[postgres])")
    began = time.monotonic()
    with pytest.raises(HeadError, match=r"^storage \w+[^\n]*$") as caught:
        checked(url)
    assert time.monotonic() - began < 30
    assert told in str(caught.value)
    assert "s3c" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_storage_that_is_no_name_is_refused(cells) -> None:
    with pytest.raises(UsageError, match="storage is 5; give the name of a file, or a database URL"):
        TunedHead("tree", n_trials=1, storage=5).fit(cells.X, cells.y, cells.groups)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: Any, **named: Any) -> None:
        raise ImportError("Failed to import DB access module for the specified storage URL.")

    monkeypatch.setattr(optuna.storages, "RDBStorage", missing)
    with pytest.raises(HeadError, match=r"pip install 'leukfeat\[postgres\]'"):
        checked("postgresql+psycopg://ann@host/d")


def test_a_checked_storage_is_the_same_place_and_may_be_waited_for(tmp_path: Path) -> None:
    place = checked(tmp_path / "trials.journal")
    assert (place.where, place.answered, place.alone) == (tmp_path / "trials.journal", True, False)
    assert checked(Storage(tmp_path / "trials.journal", alone=True)).alone


def test_a_journal_of_the_future_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trials.journal"
    file.write_bytes(b'{"op_code":99,"worker_id":"x"}\n')
    with pytest.raises(HeadError, match="is not a journal of Optuna trials"):
        checked(file)


NO_CONNECTION = 'connection failed: connection to server at "127.0.0.1", port 5432 failed:'


def _lost(text: str = "server closed the connection unexpectedly", *, sqlstate: str | None = None) -> Exception:
    error = Exception(text)
    error.sqlstate = sqlstate  # type: ignore[attr-defined]
    wrapped = StorageInternalError("An exception is raised during the commit.")
    wrapped.__cause__ = sqlalchemy.exc.OperationalError("SELECT 1", {}, error)
    return wrapped


def _failing(times: int, error: Exception) -> Any:
    left = [times]

    def call(answer: str) -> str:
        if left[0]:
            left[0] -= 1
            raise error
        return answer

    return call


def test_a_database_that_comes_back_is_waited_for() -> None:
    assert Patience("postgresql://ann:s3cret@host/d").tried(_failing(3, _lost()), "answer") == "answer"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (_lost("terminating connection due to administrator command", sqlstate="57P01"), True),
        (_lost("the database system is starting up", sqlstate="57P03"), True),
        (_lost("deadlock detected", sqlstate="40P01"), True),
        (_lost("sorry, too many clients already", sqlstate="53300"), True),
        (_lost("connection to server failed: Connection refused"), True),
        (_lost("database is locked"), True),
        (_lost("password authentication failed", sqlstate="28P01"), False),
        # of a connection that cannot be made, psycopg tells no SQLSTATE
        (_lost("failed to resolve host 'db': [Errno -3] Temporary failure in name resolution"), True),
        (_lost(f'{NO_CONNECTION} FATAL:  password authentication failed for user "ann"'), False),
        (_lost(f"{NO_CONNECTION} fe_sendauth: no password supplied"), False),
        (_lost(f'{NO_CONNECTION} FATAL:  database "studies" does not exist'), False),
        (_lost(f'{NO_CONNECTION} FATAL:  no pg_hba.conf entry for host "10.0.0.7"'), False),
        (_lost("attempt to write a readonly database"), False),
        (_lost("database or disk is full"), False),
    ],
)
def test_only_what_may_pass_is_waited_for(error: Exception, passes: bool) -> None:
    call = _failing(1, error)
    if passes:
        assert Patience("postgresql://host/d").tried(call, "answer") == "answer"
    else:
        with pytest.raises(HeadError, match=r"^storage postgresql://host/d failed: [^\n]*$"):
            Patience("postgresql://host/d").tried(call, "answer")


@pytest.mark.usefixtures("impatient")
def test_patience_ends_with_what_to_do() -> None:
    url = "postgresql://ann:s3cret@host/d"
    call = _failing(10**9, _lost(f"connection to {url} failed: s3cret"))
    with pytest.raises(HeadError, match=r"does not answer: .*; start it and run the same command again") as caught:
        Patience(url).tried(call, "answer")
    assert "s3cret" not in str(caught.value)


def test_who_wants_to_go_does_not_wait() -> None:
    patience = Patience("postgresql://host/d")
    threading.Timer(0.2, patience.end).start()
    began = time.monotonic()
    with pytest.raises(HeadError, match="does not answer"):
        patience.tried(_failing(10**9, _lost()), "answer")
    assert time.monotonic() - began < 10


def test_waiting_is_told_once_and_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Patience("postgresql://ann:s3cret@host/d").tried(_failing(6, _lost("connection lost")), "answer")
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "postgresql://ann:***@host/d does not answer (connection lost); waiting" in told[0]
    assert told[1].endswith("answers again")


def test_many_processes_may_make_the_tables_at_once(tmp_path: Path) -> None:
    """All begin together on an empty database; optuna.storages.RDBStorage then fails in some."""
    _open_together(f"sqlite:///{tmp_path}/trials.db")


def test_many_processes_may_make_the_tables_of_a_server_at_once(postgres) -> None:
    _open_together(postgres.url())


def _open_together(url: str) -> None:
    ready = threading.Barrier(4)

    def work(number: int) -> int:
        ready.wait()
        with opened(url) as storage:
            return len(storage.get_all_studies())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0] * 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("s3cret%40pass%2Fword", "wr0ng"), "password authentication failed for user \"ann\""),
        ((":s3cret%40pass%2Fword", ""), "no password supplied"),
        (("/postgres", "/nosuch"), "database \"nosuch\" does not exist"),
    ],
)  # fmt: skip
def test_a_server_that_says_no_is_told_in_one_line(postgres, change: tuple[str, str], told: str) -> None:
    url = postgres.url()
    before, after = change
    with pytest.raises(HeadError, match=r"^storage postgresql[^\n]* cannot be opened: [^\n]*$") as caught:
        checked(after.join(url.rsplit(before, 1)))
    assert told in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_password_may_be_left_out_of_the_url(postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then no list of processes shows it."""
    monkeypatch.setenv("PGPASSWORD", "s3cret@pass/word")
    assert checked(postgres.url("")).answered
    monkeypatch.delenv("PGPASSWORD")
    words = tmp_path / "pgpass"
    words.write_text(f"127.0.0.1:{postgres.port}:*:ann:s3cret@pass/word\n")
    words.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", os.fspath(words))
    assert checked(postgres.url("")).answered
