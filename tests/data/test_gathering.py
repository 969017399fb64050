"""Whatever names images becomes a manifest; nothing about them is guessed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from leukfeat.data.gathering import gather_images
from leukfeat.data.hashing import sha256_of
from leukfeat.errors import ManifestError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images in two folders that could pass for classes, and two files that are no images."""
    for number, name in enumerate(("ALL/a.png", "ALL/b.PNG", "HEM/c.bmp", "HEM/d.png")):
        file = tmp_path / "cells" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
    (tmp_path / "cells" / "notes.txt").write_text("x")
    (tmp_path / "cells" / ".hidden.png").write_text("x")
    return tmp_path / "cells"


def test_a_folder_gives_its_images_and_no_labels(folder: Path) -> None:
    """Folders may be patients, days or classes; which is not for us to guess."""
    manifest, odd = gather_images(folder)
    assert manifest.sample == ("ALL/a.png", "ALL/b.PNG", "HEM/c.bmp", "HEM/d.png")
    assert manifest.classes == ()
    assert manifest.sha256[0] == sha256_of(folder / "ALL" / "a.png")
    assert odd == ()


def test_a_data_set_that_is_named_gives_labels(folder: Path) -> None:
    manifest, _ = gather_images(folder, dataset="folders")
    assert manifest.label == ("ALL", "ALL", "HEM", "HEM")


def test_the_cells_csv_of_a_folder_is_its_manifest(folder: Path) -> None:
    (folder / "cells.csv").write_text("path,label,subject\nALL/a.png,ALL,1\nHEM/c.bmp,HEM,2\n")
    manifest, _ = gather_images(folder)
    assert (manifest.label, manifest.subject) == (("ALL", "HEM"), ("1", "2"))


@pytest.mark.parametrize(
    ("text", "label", "subject"),
    [
        ("path\nALL/a.png\nHEM/c.bmp\n", ("", ""), ("", "")),
        ("path,subject\nALL/a.png,1\nHEM/c.bmp,2\n", ("", ""), ("1", "2")),
        ("path,label\nALL/a.png,ALL\nHEM/c.bmp,HEM\n", ("ALL", "HEM"), ("unknown", "unknown")),
    ],
)
def test_a_table_may_know_little(text: str, label: tuple[str, ...], subject: tuple[str, ...], folder: Path) -> None:
    (folder / "some.csv").write_text(text)
    manifest, _ = gather_images(folder / "some.csv")
    assert (manifest.label, manifest.subject) == (label, subject)
    assert all(manifest.file(row).is_file() for row in range(2))
    assert all(manifest.sha256)


@pytest.mark.parametrize("text", ["file\na.png\n", "path\n  \n", "path\na.png\na.png\n"])
def test_a_table_that_names_no_images_is_refused(text: str, folder: Path) -> None:
    (folder / "some.csv").write_text(text)
    with pytest.raises(ManifestError):
        gather_images(folder / "some.csv")


def test_patterns_files_and_folders_are_listed_once(folder: Path) -> None:
    by_pattern, _ = gather_images(str(folder / "**" / "*.[pP][nN][gG]"))
    assert [Path(name).name for name in by_pattern.sample] == ["a.png", "b.PNG", "d.png"]
    together, _ = gather_images([folder / "ALL", str(folder / "*" / "a*"), folder / "HEM" / "c.bmp"])
    assert [Path(name).name for name in together.sample] == ["a.png", "b.PNG", "c.bmp"]


def test_a_file_whose_name_is_a_pattern_is_that_file(folder: Path) -> None:
    (folder / "ALL" / "a.png").rename(folder / "ALL" / "[ab].png")
    manifest, _ = gather_images(str(folder / "ALL" / "[ab].png"))
    assert Path(manifest.sample[0]).name == "[ab].png"


def test_a_missing_file_is_kept_so_that_somebody_is_told(folder: Path) -> None:
    manifest, _ = gather_images([folder / "ALL" / "a.png", folder / "gone.png"])
    assert manifest.sha256[1] == ""


def test_what_cannot_be_meant_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="matches no image"):
        gather_images(str(folder / "*.txt"))
    with pytest.raises(UsageError, match="names the layout of one folder"):
        gather_images([folder, folder / "x.png"], dataset="folders")
    with pytest.raises(UsageError, match="a table is given alone"):
        gather_images([folder, folder / "x.csv"])
    (folder / "empty").mkdir()
    with pytest.raises(ManifestError, match="no images found"):
        gather_images(folder / "empty")


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of arbitrary bytes")
def test_names_that_cannot_be_written_down_are_reported(folder: Path) -> None:
    name = os.fsdecode(bytes(folder) + b"/\xff.png")
    Path(name).write_bytes(b"x")
    for what in (folder, [folder / "ALL", name]):
        manifest, odd = gather_images(what)
        assert len(odd) == 1
        assert "UTF-8" in odd[0][1]
        odd[0][0].encode()
        assert not any("\udcff" in sample for sample in manifest.sample)
