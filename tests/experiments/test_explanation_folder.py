"""A folder of pictures is replaced as a whole, and only where its pictures are ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leukfeat.errors import UsageError
from leukfeat.experiments.explanation_folder import EXPLANATIONS_JSON, earlier_files, replaced


def explain(folder: Path, **files: str) -> None:
    """Write ``files`` as an explanation does; an underscore in a name stands for a dot."""
    with replaced(folder) as fresh:
        names = []
        for name, content in files.items():
            file = fresh / "images" / name.replace("_", ".")
            file.parent.mkdir(exist_ok=True)
            file.write_text(content)
            names.append(file.relative_to(fresh).as_posix())
        (fresh / EXPLANATIONS_JSON).write_text(json.dumps({"files": names}))


def content(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.rglob("*") if file.is_file() and file.suffix != ".json"}


def test_an_earlier_explanation_is_replaced_whole(tmp_path: Path) -> None:
    explain(tmp_path / "out", a_png="old", b_png="old")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    explain(tmp_path / "out", b_png="new", c_png="new")
    assert content(tmp_path / "out") == {"b.png": "new", "c.png": "new", "notes.txt": "mine"}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_earlier_one(tmp_path: Path) -> None:
    """Also Ctrl-C while it is drawn: what was there is worth more than half of what was to come."""
    explain(tmp_path / "out", a_png="old")

    def begin() -> None:
        with replaced(tmp_path / "out") as fresh:
            (fresh / "a.png").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert content(tmp_path / "out") == {"a.png": "old"}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    explain(tmp_path / "out", a_png="new")
    assert content(tmp_path / "out") == {"a.png": "new"}


def test_somebody_elses_files_stay(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        explain(tmp_path, a_png="new")
    with pytest.raises(UsageError, match="is a file"):
        explain(tmp_path / "thesis.tex", a_png="new")
    explain(tmp_path / "out", a_png="old")
    (tmp_path / "out" / "images" / "b.png").write_text("mine")
    with pytest.raises(UsageError, match=r"b\.png is somebody else's"):
        explain(tmp_path / "out", b_png="new")
    assert content(tmp_path / "out") == {"a.png": "old", "b.png": "mine"}


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"files": 3}'])
def test_a_record_that_is_none_is_not_trusted(tmp_path: Path, record: str) -> None:
    (tmp_path / EXPLANATIONS_JSON).write_text(record)
    with pytest.raises(UsageError, match="cannot be read"):
        earlier_files(tmp_path)


def test_a_record_reaches_no_file_outside(tmp_path: Path) -> None:
    """A record is a file that anybody may have written."""
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "out").mkdir()
    names = ["../thesis.tex", str(tmp_path / "thesis.tex")]
    (tmp_path / "out" / EXPLANATIONS_JSON).write_text(json.dumps({"files": names}))
    explain(tmp_path / "out", a_png="new")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
