"""Nobody's table or folder decides that a file elsewhere on this machine is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukfeat.data.confinement import LEADS_OUT, LINKED_FOLDER, Root
from leukfeat.data.gathering import gather_images
from leukfeat.data.listing import Tree
from leukfeat.data.manifest import Manifest
from leukfeat.errors import ManifestError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder beside a secret, with links that stay inside and links that do not."""
    for name in ("data/ALL/a.png", "data/HEM/b.png", "secret/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "data/ALL/inside.png").symlink_to("a.png")
    (tmp_path / "data/ALL/outside.png").symlink_to(tmp_path / "secret/c.png")
    (tmp_path / "data/HEM/linked").symlink_to(tmp_path / "secret")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ALL/a.png", None),
        ("ALL/missing.png", None),
        ("ALL/..a.png", None),
        ("ALL/../HEM/b.png", None),
        ("ALL/inside.png", None),
        ("../secret/c.png", "leads out"),
        ("ALL/../../secret/c.png", "leads out"),
        ("..", "leads out"),
        ("ALL/outside.png", LEADS_OUT),
        ("HEM/linked/c.png", LEADS_OUT),
        ("HEM/linked/missing.png", LEADS_OUT),
        ("HEM/linked/../c.png", LEADS_OUT),
    ],
)
def test_a_name_stays_inside_or_is_refused(data: Path, name: str, why: str | None) -> None:
    """Also by way of a link and back by "..", which the system takes from where the link leads."""
    said = Root(data).refusal(name)
    assert said is None if why is None else (said or "").startswith(why)


def test_a_flag_follows_links_and_still_no_dots(data: Path) -> None:
    root = Root(data, follow_links=True)
    assert root.refusal("ALL/outside.png") is None
    assert root.refusal("HEM/linked/c.png") is None
    assert root.refusal("../secret/c.png") is not None


def test_a_root_may_itself_be_a_link(data: Path) -> None:
    (data.parent / "here").symlink_to(data)
    assert Root(data.parent / "here").refusal("ALL/a.png") is None
    assert Root(data.parent / "here").refusal("ALL/outside.png") == LEADS_OUT


def test_a_folder_s_links_are_told_and_left_out(data: Path) -> None:
    tree = Tree.of_folder(data)
    assert tree.names == ("ALL/a.png", "ALL/inside.png", "HEM/b.png")
    assert dict(tree.oddities) == {"ALL/outside.png": LEADS_OUT, "HEM/linked": LINKED_FOLDER}
    manifest = Manifest.open(data, subjects="unknown")
    assert any("--follow-links" in note for note in manifest.notes)


def test_with_the_flag_they_are_images_like_others(data: Path) -> None:
    names = Tree.of_folder(data, follow_links=True).names
    assert names == ("ALL/a.png", "ALL/inside.png", "ALL/outside.png", "HEM/b.png", "HEM/linked/c.png")
    told, odd = gather_images(data, follow_links=True)
    assert len(told) == 5
    assert not odd


def test_a_circle_of_links_is_listed_once(data: Path) -> None:
    """Following it would never end."""
    (data / "ALL/again").symlink_to(data)
    (data / "HEM/linked/back").symlink_to(data / "HEM")
    tree = Tree.of_folder(data, follow_links=True)
    assert len({(tree.root / name).resolve() for name in tree.names}) == 3
    assert len(tree.names) == 5


def test_a_folder_of_nothing_but_links_says_what_to_do(tmp_path: Path) -> None:
    """As a link farm of a cluster, or DVC, makes them."""
    (tmp_path / "farm/ALL").mkdir(parents=True)
    (tmp_path / "real.png").write_bytes(b"x")
    (tmp_path / "farm/ALL/a.png").symlink_to(tmp_path / "real.png")
    with pytest.raises(ManifestError, match="--follow-links takes it"):
        Manifest.open(tmp_path / "farm", subjects="unknown")


@pytest.mark.parametrize("path", ["../secret/c.png", "ALL/outside.png", "../secret/x.npz::images/0"])
def test_a_table_that_leads_out_is_refused_with_its_row(data: Path, path: str) -> None:
    (data / "cells.csv").write_text(f"path,label,subject\nALL/a.png,ALL,1\n{path},HEM,2\n")
    with pytest.raises(ManifestError, match=r"cells\.csv row 3: .*lead"):
        Manifest.open(data / "cells.csv")
    (data / "images.csv").write_text(f"path\n{path}\n")
    with pytest.raises(ManifestError, match=r"images\.csv row 2: .*lead"):
        gather_images(data / "images.csv")
    (data / "sums.csv").write_text(f"path,sha256\n{path},{'0' * 64}\n")
    with pytest.raises(ManifestError, match=r"sums\.csv line 2: .*lead"):
        Tree.of_checksums(data / "sums.csv")


def test_a_whole_path_is_taken_as_it_stands(data: Path) -> None:
    """It hides nothing, and it is what we write ourselves where a manifest lies elsewhere than its images."""
    manifest = Manifest.open(data, subjects="unknown").save(data.parent / "elsewhere" / "cells.csv")
    again = Manifest.open(manifest)
    assert [Path(path).is_absolute() for path in again.path] == [True] * 3
    assert all(again.sha256)
