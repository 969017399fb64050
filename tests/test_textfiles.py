"""Files are whole or not there."""

from __future__ import annotations

import csv
import errno
import os
import stat
from pathlib import Path

import pytest

from leukfeat.textfiles import TEMPORARY, printable, temporary_name, whole_file, write_csv, write_text


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("before")

    def break_off() -> None:
        with write_text(tmp_path / "kept.txt") as stream:
            stream.write("half of")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert (tmp_path / "kept.txt").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"], "nothing temporary is left"


def test_a_binary_file_takes_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "kept.bin"
    with whole_file(file) as temporary:
        temporary.write_bytes(b"half")
        assert not file.exists()
        assert temporary.parent == file.parent, "a rename is whole only within one file system"
        assert temporary.name.startswith(TEMPORARY)
    assert file.read_bytes() == b"half"

    def break_off(content: bytes | None) -> None:
        with whole_file(file) as temporary:
            if content is not None:
                temporary.write_bytes(content)
            raise RuntimeError

    for content in (b"other", None):
        with pytest.raises(RuntimeError):
            break_off(content)
    assert [path.name for path in file.parent.iterdir()] == ["kept.bin"], "nothing temporary is left"
    assert file.read_bytes() == b"half"


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []  # whether it was a folder, and whether the file had its name
    real = os.fsync

    def note(handle: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), (tmp_path / "a.txt").exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", note)
    with write_text(tmp_path / "a.txt") as stream:
        stream.write("whole")
    assert synced == [(False, False), (True, True)]


def test_any_name_comes_back_from_a_csv(tmp_path: Path) -> None:
    rows = [["a", "b"], ['quote " comma ,', "line\nbreak"], ["carriage\rreturn", "größe"]]
    file = write_csv(tmp_path / "deep" / "table.csv", rows)
    with file.open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == rows


def test_what_killed_processes_left_goes_a_day_later(tmp_path: Path) -> None:
    """Nothing else would ever remove it; a younger one may be somebody's who is still writing."""
    old, young = temporary_name(tmp_path / "report.html"), temporary_name(tmp_path / "report.html")
    folder, foreign = temporary_name(tmp_path / "model"), tmp_path / ".writing-of-somebody-else"
    folder.mkdir()
    (folder / "weights").touch()
    for file in (old, young, foreign):
        file.touch()
    for path in (old, folder, foreign):
        os.utime(path, (0, 0))
    write_csv(tmp_path / "table.csv", [("a",)])
    assert {path.name for path in tmp_path.iterdir()} == {young.name, foreign.name, "table.csv"}


def test_half_a_character_can_be_printed() -> None:
    assert printable("a\ud800b").encode() == "a\N{REPLACEMENT CHARACTER}b".encode()


def test_a_full_disk_is_said_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, whole_file(tmp_path / "rows.csv"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as write() has it, which knows no names
    assert caught.value.filename == str(tmp_path / "rows.csv")
    with pytest.raises(OSError, match="No such file") as caught, whole_file(tmp_path / "rows.csv"):
        (tmp_path / "other.csv").read_text()
    assert caught.value.filename == str(tmp_path / "other.csv")
