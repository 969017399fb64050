"""The journal file: what any number of writers, some of them killed, leave behind can be read by all."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from leukfeat.errors import HeadError
from leukfeat.heads import journal as journal_module
from leukfeat.heads.journal import Journal


def _record(number: int) -> dict[str, object]:
    return {"op_code": 0, "number": number}


def _numbers(journal: Journal, start: int = 0) -> list[object]:
    return [record["number"] for record in journal.read_logs(start)]


def test_records_are_read_in_order_from_any_number(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "trials.journal")
    journal.append_logs([_record(0), _record(1)])
    journal.append_logs([_record(2)])
    assert _numbers(journal) == [0, 1, 2]
    assert _numbers(journal, 1) == [1, 2]
    assert _numbers(journal, 3) == []
    assert _numbers(Journal(journal.file), 2) == [2]


@pytest.mark.parametrize("left", [b'{"op_code":0,"num', b'{"op_code":0,"number":7}', b'{"op_code":0, # cut'])
def test_a_record_cut_short_by_a_kill_spoils_nothing_for_the_others(tmp_path: Path, left: bytes) -> None:
    """Optuna's own backend joins the next record to it, after which nobody can read the journal."""
    journal = Journal(tmp_path / "trials.journal")
    journal.append_logs([_record(0)])
    with journal.file.open("ab") as stream:
        stream.write(left)
    reader = Journal(journal.file)
    assert _numbers(reader) == [0]
    journal.append_logs([_record(1)])
    journal.append_logs([_record(2)])
    assert _numbers(reader, 1) == [1, 2]
    assert _numbers(journal) == _numbers(Journal(journal.file)) == [0, 1, 2]
    assert _numbers(Journal(journal.file), 2) == [2]


@pytest.mark.parametrize("place", [25, 30, 35, 48])
def test_damage_is_told_and_never_passed_over(tmp_path: Path, place: int) -> None:
    """Trials are known by their place: without one record everything behind it would mean something else."""
    journal = Journal(tmp_path / "trials.journal")
    journal.append_logs([_record(number) for number in range(3)])
    content = bytearray(journal.file.read_bytes())
    content[place] ^= 0x40
    journal.file.write_bytes(content)
    with pytest.raises(HeadError, match=r"trials\.journal: the line that ends at byte \d+ is no record"):
        _numbers(Journal(journal.file))


@pytest.mark.parametrize("content", [b"sample,label\na,b", b"\x89HDF\r\n", b'{"op":1}\n'])
def test_somebody_elses_file_is_refused_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "cells.csv"
    file.write_bytes(content)
    with pytest.raises(HeadError, match="is not a journal of Optuna trials"):
        Journal(file)
    assert file.read_bytes() == content


def test_many_writers_lose_no_record_and_leave_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "trials.journal"

    def write(writer: int) -> None:
        journal = Journal(file)
        for number in range(20):
            journal.append_logs([_record(100 * writer + number)])

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = _numbers(Journal(file))
    assert sorted(found) == [100 * writer + number for writer in range(4) for number in range(20)]
    assert [number for number in found if number // 100 == 2] == list(range(200, 220))
    assert [path.name for path in tmp_path.iterdir()] == ["trials.journal"]


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    lock, inside, most = journal_module._Lock(tmp_path / "lock"), [], []

    def hold() -> None:
        for _ in range(15):
            with lock.held():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 60
    assert max(most) == 1


def test_a_lock_left_by_a_kill_is_removed_and_a_living_one_is_not(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(journal_module, "LOCK_SECONDS", 0.3)
    journal = Journal(tmp_path / "trials.journal")
    left = Path(f"{journal.file}.lock")
    left.touch()
    began = time.monotonic()
    journal.append_logs([_record(0)])
    assert 0.3 < time.monotonic() - began < 10
    assert not left.exists()
    # a lock that changes is one that others take and give back all the time
    left.touch()
    for _ in range(4):
        threading.Timer(0.2, os.utime, (left, (0, 0))).start()
        time.sleep(0.2)
    assert left.exists()


def test_who_gives_a_lock_up_for_dead_does_not_take_anothers(tmp_path: Path) -> None:
    """Between the last look and the removal somebody else may have removed it and taken it."""
    lock = journal_module._Lock(tmp_path / "lock")
    lock.file.write_bytes(b"dead")
    dead = lock._seen()
    assert dead is not None
    lock.file.unlink()
    with lock.held():
        lock._remove((dead[0], dead[1] - 1))
        assert lock.file.exists()
    assert not lock.file.exists()
    assert list(tmp_path.iterdir()) == []


def test_who_was_thought_dead_leaves_the_next_ones_lock_alone(tmp_path: Path) -> None:
    lock = journal_module._Lock(tmp_path / "lock")
    with lock.held():
        lock.file.write_bytes(b"the next one's")
    assert lock.file.read_bytes() == b"the next one's"


def test_a_full_disk_leaves_no_lock_behind(tmp_path: Path, monkeypatch) -> None:
    """The file can be made, and nothing can be written into it; the next one would wait for nobody."""

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lock = journal_module._Lock(tmp_path / "lock")
    monkeypatch.setattr(journal_module.os, "write", full)
    with pytest.raises(OSError, match="No space left"), lock.held():
        pass
    assert not lock.file.exists()


def test_ctrl_c_while_waiting_takes_nobodys_lock(tmp_path: Path, monkeypatch) -> None:
    """Optuna's own lock removes it then, whoever holds it."""
    lock = journal_module._Lock(tmp_path / "lock")
    lock.file.write_bytes(b"held by another")

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal_module.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt), lock.held():
        pass
    assert lock.file.read_bytes() == b"held by another"


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "trials.journal")
    journal.file.unlink()
    journal.file.mkdir()
    with pytest.raises(HeadError, match=r"trials\.journal: cannot be written: Is a directory"):
        journal.append_logs([_record(0)])
    with pytest.raises(HeadError, match=r"trials\.journal: cannot be used as a journal of trials: "):
        Journal(journal.file)
