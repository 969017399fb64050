"""Laws of the memo of file hashes: it saves work and never lies."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from leukfeat.data import hashing
from leukfeat.data.hashing import HashMemo


def _old(file: Path, content: bytes = b"cells", seconds: int = 1_600_000_000) -> Path:
    file.write_bytes(content)
    os.utime(file, (seconds, seconds))
    return file


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that are really read."""
    files: list[Path] = []
    original = hashing.sha256_of

    def counted(file: Path) -> str:
        files.append(file)
        return original(file)

    monkeypatch.setattr(hashing, "sha256_of", counted)
    return files


def test_a_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    """Warm starts must not read gigabytes again."""
    file = _old(tmp_path / "zelle ü.png")
    for _ in range(2):
        found = HashMemo(tmp_path / "memo").hash_files([file, file])
        assert found == {file: hashlib.sha256(b"cells").hexdigest()}
    assert read == [file]


def test_a_changed_file_is_read_again(tmp_path: Path, read: list[Path]) -> None:
    """Same size, other time; and same time, other size."""
    memo, file = HashMemo(tmp_path / "memo"), tmp_path / "a.png"
    for content, seconds in [(b"one", 1_600_000_000), (b"two", 1_600_000_001), (b"three", 1_600_000_001)]:
        assert memo.hash_files([_old(file, content, seconds)])[file] == hashlib.sha256(content).hexdigest()
    assert len(read) == 3


@pytest.mark.skipif(os.name == "nt", reason="its files have no time of change")
@pytest.mark.parametrize("how", ["moved here", "written to"])
def test_another_file_of_the_same_size_and_time_is_read(tmp_path: Path, read: list[Path], how: str) -> None:
    """Images of one camera have one size, and those out of one archive often one time."""
    memo, file, other = HashMemo(tmp_path / "memo"), _old(tmp_path / "a.png", b"one"), _old(tmp_path / "b.png", b"two")
    memo.hash_files([file, other])
    time.sleep(0.02)  # a tick of the file system's clock
    if how == "moved here":
        other.rename(file)
    else:
        _old(file, b"two")
    assert memo.hash_files([file])[file] == hashlib.sha256(b"two").hexdigest()
    assert len(read) == 3


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path, read: list[Path]) -> None:
    """It could change again within the clock's tick without changing size or time."""
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    memo = HashMemo(tmp_path / "memo")
    memo.hash_files([file])
    memo.hash_files([file])
    assert len(read) == 2


def test_rehash_reads_what_is_remembered(tmp_path: Path, read: list[Path]) -> None:
    """A user who distrusts the disk can have everything read."""
    file = _old(tmp_path / "a.png")
    HashMemo(tmp_path / "memo").hash_files([file])
    HashMemo(tmp_path / "memo", rehash=True).hash_files([file])
    assert len(read) == 2


@pytest.mark.parametrize("where", ["damaged", "folder"])
def test_a_memo_that_cannot_be_used_costs_only_time(tmp_path: Path, where: str) -> None:
    """It is a convenience: a broken cache folder must not stop anybody's work."""
    memo = tmp_path / "memo"
    if where == "damaged":
        memo.write_bytes(b"no database " * 100)
    else:
        memo.mkdir()
    file = _old(tmp_path / "a.png")
    assert HashMemo(memo).hash_files([file])[file] == hashlib.sha256(b"cells").hexdigest()


def test_what_is_no_file_is_answered_with_the_reason(tmp_path: Path) -> None:
    """A folder, a missing file, and a pipe, at which a reader would wait for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    files = [tmp_path / name for name in ("pipe.png", "folder.png", "missing.png")]
    found = HashMemo(tmp_path / "memo").hash_files(files)
    assert all(isinstance(found[file], OSError) for file in files)


def test_a_name_that_is_not_utf8_is_hashed(tmp_path: Path) -> None:
    """Old disks hold such names."""
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    try:
        _old(file)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    memo = HashMemo(tmp_path / "memo")
    assert memo.hash_files([file]) == memo.hash_files([file]) == {file: hashlib.sha256(b"cells").hexdigest()}


def test_progress_counts_every_file(tmp_path: Path) -> None:
    """The last call says that all is done."""
    told: list[tuple[int, int]] = []
    files = [_old(tmp_path / f"{number}.png") for number in range(5)]
    HashMemo(tmp_path / "memo").hash_files(files, lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize("near", [3600.0, -1.0], ids=["near", "far"])
def test_many_files_near_and_far_are_all_answered(
    tmp_path: Path, read: list[Path], near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that answers slowly threads go on where one began; nothing is looked at twice or left out."""
    monkeypatch.setattr(hashing, "_NEAR_S", near)
    monkeypatch.setattr(hashing, "_AT_A_TIME", 3)
    files = [_old(tmp_path / f"{number}.png", b"%d" % number) for number in range(10)]
    gone = tmp_path / "gone.png"
    memo = HashMemo(tmp_path / "memo")
    lookers: set[int] = set()
    original = os.stat

    def seen(name: bytes, **how: bool) -> os.stat_result:
        lookers.add(threading.get_ident())
        return original(name, **how)

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(hashing.os, "stat", seen)
            found = memo.hash_files([*map(str, files), str(gone)])
        assert (lookers == {threading.get_ident()}) == (near > 0)
        assert {found[str(file)] for file in files} == {hashlib.sha256(b"%d" % n).hexdigest() for n in range(10)}
        assert isinstance(found[str(gone)], FileNotFoundError)
    assert sorted(read) == sorted(files), "each once"
