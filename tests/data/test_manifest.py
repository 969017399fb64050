"""Laws of the manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.errors import ManifestError, UsageError

MakeManifest = Callable[..., Manifest]


def test_columns_of_different_length_are_refused(make_manifest: MakeManifest) -> None:
    """A shifted column would give every image its neighbour's label."""
    with pytest.raises(ManifestError, match="column label has 1 rows, sample has 2"):
        dataclasses.replace(make_manifest([("1", "a"), ("2", "b")]), label=("a",))


def test_nothing_is_refused() -> None:
    """A study without images is a mistake in a path."""
    with pytest.raises(ManifestError, match="no images found"):
        Manifest((), (), (), (), ())


def test_identical_images_with_different_labels_are_listed(make_manifest: MakeManifest) -> None:
    """One of the labels is wrong, and only the user can say which."""
    with pytest.raises(ManifestError, match=r"1 identical image.*00000.png \(a\) = 00001.png \(b\)"):
        make_manifest([("1", "a", "x"), ("2", "b", "x")])


def test_an_unlabelled_copy_of_a_labelled_image_is_no_contradiction(make_manifest: MakeManifest) -> None:
    """It has no label to contradict."""
    manifest = make_manifest([("1", "a", "x"), ("", "", "x"), ("2", "b")])
    assert manifest.group == ("1", "1", "2")


def test_subjects_with_identical_images_are_one_group(make_manifest: MakeManifest) -> None:
    """Two ids that share a picture are very likely one person; links are transitive."""
    manifest = make_manifest([("51", "a", "x"), ("78", "a", "x"), ("51", "a", "y"), ("75", "a", "y"), ("7", "b")])
    assert manifest.group == ("51+75+78",) * 4 + ("7",)
    assert [str(link) for link in manifest.links] == ["51=75 (1)", "51=78 (1)"]


def test_declared_groups_link_too(make_manifest: MakeManifest) -> None:
    """The user may know that two ids are siblings, or that two fields overlap."""
    rows = [("1", "a"), ("2", "a"), ("3", "b")]
    assert make_manifest(rows, declared_group=("g", "g", "")).group == ("1+2", "1+2", "3")
    unknown = [("unknown", "a"), ("unknown", "a"), ("unknown", "b")]
    assert make_manifest(unknown, declared_group=("g", "g", "")).group == ("g", "g", "00002.png")


def test_the_word_unknown_links_nobody(make_manifest: MakeManifest) -> None:
    """Else the whole data set would be one person."""
    manifest = make_manifest([("unknown", "a"), ("unknown", "a"), ("unknown", "b")])
    assert len(set(manifest.group)) == 3
    assert manifest.links == ()


def test_the_positive_class_is_stated_never_derived(make_manifest: MakeManifest) -> None:
    """Sorting would make HEM the positive class of ALL and HEM."""
    rows = [("1", "ALL"), ("2", "HEM")]
    assert make_manifest(rows).positive is None
    assert "positive class: not stated" in make_manifest(rows).describe()[1]
    with pytest.raises(UsageError, match="positive class 'blast' is not a label; labels: ALL, HEM"):
        make_manifest(rows, positive="blast")


def test_rows_taken_keep_the_groups_of_the_whole(make_manifest: MakeManifest) -> None:
    """A link is a fact about people; it does not vanish with the image that showed it."""
    whole = make_manifest([("20", "a", "x"), ("21", "a", "x"), ("20", "a"), ("21", "a"), ("7", "b")], positive="b")
    part = whole.take([2, 3])
    assert part.group == ("20+21", "20+21")
    assert part.positive == "b"  # one class is left, and it is not that one
    assert part.sample == ("00002.png", "00003.png")


def test_saving_and_loading_changes_nothing(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Names with commas, quotes, line breaks and umlauts included; links survive even the loss of an image."""
    manifest = make_manifest(
        [("20", "ALL", "x", "fold_0"), ("21", "ALL", "x", "fold_1"), ("H3", "HEM", "", "fold_0"), ("", "")],
        positive="ALL",
        site=("ü", 'a,"b"', "", ""),
        root=tmp_path,
    )
    again = Manifest.load(manifest.save(tmp_path / "cells.csv"))
    for name in ("sample", "path", "label", "subject", "sha256", "official", "site", "group", "positive"):
        assert getattr(again, name) == getattr(manifest, name), name
    assert again.digest == manifest.digest


def test_relative_paths_belong_to_the_csv(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """A folder with its CSV can be moved; from elsewhere the files are named absolutely."""
    manifest = make_manifest([("1", "a"), ("2", "b")], root=tmp_path / "cells")
    assert Manifest.load(manifest.save(tmp_path / "all.csv")).path[0] == "cells/00000.png"
    elsewhere = Manifest.load(manifest.save(tmp_path / "lists" / "all.csv"))
    assert elsewhere.file(0) == tmp_path / "cells" / "00000.png"
    assert elsewhere.digest == manifest.digest


@pytest.mark.parametrize(
    "change",
    [
        {"label": ("a", "b", "b")},
        {"subject": ("1", "2", "4")},
        {"positive": "b"},
        {"official": ("train", "", "")},
        {"sha256": ("0" * 64, "1" * 64, "2" * 64)},
        {"declared_group": ("", "g", "g")},
    ],
)
def test_the_digest_tells_whatever_a_result_depends_on(make_manifest: MakeManifest, change: dict[str, object]) -> None:
    """Runs on different data must not look alike; where the files lie does not matter."""
    manifest = make_manifest([("1", "a"), ("2", "a"), ("3", "b")])
    assert dataclasses.replace(manifest, **change).digest != manifest.digest  # type: ignore[arg-type]
    assert dataclasses.replace(manifest, root=Path("else"), dataset="other").digest == manifest.digest


def test_no_half_written_manifest_is_left(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """The CSV takes its name when it is whole; a failure leaves the old one."""
    manifest = make_manifest([("1", "a"), ("2", "b")], site=("\ud800", ""))
    (tmp_path / "cells.csv").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        manifest.save(tmp_path / "cells.csv")
    assert (tmp_path / "cells.csv").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["cells.csv"]


@pytest.mark.real
def test_the_full_list_of_c_nmc(shared: Path) -> None:
    """The published facts of 15,114 images, found from their names and checksums alone."""
    manifest = Manifest.open(shared / "data/cnmc/files.tsv", dataset="cnmc")
    told = "\n".join(manifest.describe())
    for words in (
        "15,114 images, 10,661 labelled",
        "positive: ALL",
        "fold_0: 3,527 (ALL 2,397, HEM 1,130)",
        "fold_1: 3,581 (ALL 2,418, HEM 1,163)",
        "fold_2: 3,553 (ALL 2,457, HEM 1,096)",
        "folds together: 10,661 (ALL 7,272, HEM 3,389)",
        "subjects: 73 (47 ALL + 26 HEM)",
        "20=21 (71), 51=78 (11), 51=75 (10), H2=H4 (3), H2=H5 (2), H2=H6 (1), H10=H3 (1)",
        "linked groups: 66 (44 ALL + 22 HEM)",
        "identical files: 106 groups (212 files), 94 of them across official parts",
    ):
        assert words in told


@pytest.mark.real
def test_the_real_cells_of_c_nmc(shared: Path) -> None:
    """The official layout on disk."""
    manifest = Manifest.open(shared / "data/cnmc/C-NMC_Leukemia")
    assert manifest.dataset == "cnmc"
    assert (len(manifest), len(manifest.labelled), len(set(manifest.subject) - {""})) == (167, 165, 29)


@pytest.mark.real
def test_taleqani(shared: Path) -> None:
    """No subjects, and forty groups of identical images, counted in the user's own copy."""
    with pytest.raises(ManifestError, match="3256 such rows"):
        Manifest.open(shared / "data/taleqani")
    manifest = Manifest.open(shared / "data/taleqani", subjects="unknown")
    assert manifest.dataset == "taleqani"
    assert len(manifest) == 3256
    assert len(set(manifest.sha256)) == 3216
    assert len(manifest.repeated) == 40
