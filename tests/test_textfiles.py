"""Text files are whole or not there."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from leukfeat.textfiles import write_csv, write_text


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


def test_any_name_comes_back_from_a_csv(tmp_path: Path) -> None:
    rows = [["a", "b"], ['quote " comma ,', "line\nbreak"], ["carriage\rreturn", "größe"]]
    file = write_csv(tmp_path / "deep" / "table.csv", rows)
    with file.open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == rows
