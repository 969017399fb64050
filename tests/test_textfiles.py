"""Files are whole or not there."""

from __future__ import annotations

import csv
import os
import stat
from pathlib import Path

import pytest

from leukfeat.textfiles import TEMPORARY, whole_file, write_csv, write_text


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
