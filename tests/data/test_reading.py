"""From a user's folder, CSV or checksum list to a manifest, and every way that goes wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leukfeat.data.listing import Tree
from leukfeat.data.manifest import Manifest
from leukfeat.errors import ManifestError, UnknownNameError, UsageError

MakeFiles = Callable[..., Path]
DIGEST = "a" * 64


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Path]:
    """A CSV with some text."""

    def write(text: str | bytes, name: str = "cells.csv") -> Path:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    return write


WriteCsv = Callable[..., Path]

# ---------------------------------------------------------------------- folders


def test_a_folder_with_subjects_in_its_names(make_files: MakeFiles) -> None:
    """The expression's first group is the subject, wherever in the path it stands."""
    folder = make_files("ALL/p1/a.png", "ALL/p2/a.png", "HEM/p3/b.png")
    manifest = Manifest.open(folder, subjects_from=r"/(p\d)/", positive="ALL")
    assert manifest.subject == ("p1", "p2", "p3")
    assert manifest.label == ("ALL", "ALL", "HEM")
    assert manifest.positive == "ALL"
    assert manifest.sha256[0] == hashlib.sha256(b"ALL/p1/a.png").hexdigest()
    named = Manifest.open(folder, subjects_from=r"(ALL|HEM)/p(?P<subject>\d)")
    assert named.subject == ("1", "2", "3")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, ManifestError, r"subject is empty \(2 such rows\).*--subjects unknown"),
        ({"subjects_from": r"/(q\d)/"}, ManifestError, r"ALL/p1/a.png: --subjects-from .* finds no subject"),
        ({"subjects_from": "("}, UsageError, "not a regular expression"),
        ({"subjects_from": "p1"}, UsageError, "no group"),
        ({"subjects": "none"}, UsageError, "only 'unknown'"),
        ({"subjects": "unknown", "subjects_from": r"(p\d)"}, UsageError, "exclude each other"),
        ({"subjects": "unknown", "dataset": "cnmcc"}, UnknownNameError, "did you mean 'cnmc'"),
        (
            {"subjects": "unknown", "positive": "all"},
            UsageError,
            "positive class 'all' is not a label; labels: ALL, HEM",
        ),
    ],
)
def test_a_folder_without_subjects_asks_for_them(
    make_files: MakeFiles, options: dict[str, str], error: type[Exception], said: str
) -> None:
    """A subject is never made up, and every error says what to do."""
    folder = make_files("ALL/p1/a.png", "HEM/p2/b.png")
    with pytest.raises(error, match=said):
        Manifest.open(folder, **options)  # type: ignore[arg-type]


def test_subjects_declared_unknown_stay_unknown(make_files: MakeFiles, tmp_path: Path) -> None:
    """The declaration is written into the CSV, and holds when that is read."""
    manifest = Manifest.open(make_files("ALL/a.png", "HEM/b.png"), subjects="unknown")
    assert manifest.subject == ("unknown", "unknown")
    again = Manifest.open(manifest.save(tmp_path / "cells.csv"))
    assert not again.subjects_known
    assert any("subjects unknown" in line for line in again.describe())


def test_a_folder_s_own_manifest_comes_first(make_files: MakeFiles) -> None:
    """Who prepared the folder has said what is in it; naming a data set reads the files themselves."""
    folder = make_files("ALL/a.png", "HEM/b.png")
    (folder / "cells.csv").write_text("path,label,subject\nALL/a.png,x,1\nHEM/b.png,y,2\n")
    assert Manifest.open(folder).classes == ("x", "y")
    assert Manifest.open(folder, dataset="folders", subjects="unknown").classes == ("ALL", "HEM")


def test_odd_files_are_told_and_left_out(make_files: MakeFiles) -> None:
    """A folder named like an image, a name that marks an array's member, one that is not text, hidden files."""
    folder = make_files("ALL/a.png", "HEM/b.png", "HEM/c::d/0.png", "ALL/.hidden.png", "HEM/folder.png/x.txt")
    Path(os.fsdecode(os.fsencode(folder) + b"/ALL/\xff.png")).write_bytes(b"x")
    manifest = Manifest.open(folder, subjects="unknown")
    assert manifest.path == ("ALL/a.png", "HEM/b.png")
    told = "\n".join(manifest.describe())
    for words in ("folder.png", "'::' in a name", "not valid UTF-8"):
        assert words in told
    manifest.save(folder / "out.csv")


def test_an_unreadable_or_empty_image_has_no_digest(make_files: MakeFiles) -> None:
    """Two empty files are not one image, and the description counts what could not be read."""
    folder = make_files("ALL/a.png", "ALL/b.png", "HEM/c.png")
    (folder / "ALL/b.png").write_bytes(b"")
    (folder / "HEM/c.png").unlink()
    (folder / "HEM/c.png").symlink_to("nowhere")
    manifest = Manifest.open(folder, subjects="unknown")
    assert [bool(digest) for digest in manifest.sha256] == [True, False, False]
    assert "not readable: 2 files (no digest)" in manifest.describe()


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a.png"], "no known layout among 1 files"), (["notes.txt"], "no known layout"), (["c/notes.txt"], "no known")],
)
def test_a_folder_nobody_knows_says_what_is_possible(make_files: MakeFiles, names: list[str], said: str) -> None:
    """Class folders, a data set's name, or a CSV."""
    with pytest.raises(ManifestError, match=said):
        Manifest.open(make_files(*names))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A mistyped path is the commonest error."""
    with pytest.raises(ManifestError, match="no such file or folder"):
        Manifest.open(tmp_path / "none")


def test_an_array_file_is_a_data_set(tmp_path: Path) -> None:
    """Digests are those of the pixels, so identical images are found there too."""
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    images[3] = images[0]
    np.savez(tmp_path / "bloodmnist.npz", train_images=images, train_labels=np.array([[0], [1], [2], [0]]))
    manifest = Manifest.open(tmp_path / "bloodmnist.npz", subjects="unknown")
    assert list(manifest.repeated.values()) == [[0, 3]]
    again = Manifest.open(manifest.save(tmp_path / "else/cells.csv"))
    assert again.path[0] == f"{tmp_path / 'bloodmnist.npz'}::train_images/0"
    assert again.digest == manifest.digest


# ---------------------------------------------------------------------- CSV


def test_any_csv_with_path_label_and_subject(csv: WriteCsv, make_files: MakeFiles) -> None:
    """Relative paths belong to the CSV's folder; missing digests are computed; a byte-order mark is no name."""
    make_files("a.png", "b.png")
    manifest = Manifest.open(csv("\ufeffpath,label,subject\ndata/a.png,ALL,1\n\ndata/b.png,HEM,2\n"))
    assert manifest.sample == manifest.path == ("data/a.png", "data/b.png")
    assert manifest.sha256[0] == hashlib.sha256(b"a.png").hexdigest()
    assert manifest.positive is None


def test_subjects_can_be_read_from_the_paths_of_a_csv(csv: WriteCsv) -> None:
    """The same flag means the same for a folder and a CSV."""
    file = csv("path,label\np1/a.png,ALL\np2/b.png,HEM\n")
    assert Manifest.open(file, subjects_from=r"(p\d)").subject == ("p1", "p2")
    assert Manifest.open(file, subjects="unknown").subject == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no rows"),
        ("path,label,subject\n", "holds no rows"),
        ("path,label\na.png,ALL\n", "column subject is missing; it has path, label"),
        ("file,label,subject\na.png,ALL,1\n", "column path is missing"),
        ("path,label,subject\na.png,ALL,\nb.png,HEM,2\n", r"row 2 \(a.png\): subject is empty \(1 such row\)"),
        ("path,label,subject\na.png,ALL,1\na.png,ALL,1\n", "rows 2, 3: sample 'a.png' stands there 2 times"),
        ("path,label,subject\n,ALL,1\n", "row 2: path is empty"),
        ("path,label,subject\na.png,ALL\n", "row 2: has fewer fields"),
        ("path,label,subject\na.png,ALL,1,2\n", "row 2: has more fields"),
        ("path,label,label,subject\na.png,ALL,ALL,1\n", "column 'label' stands there twice"),
        ("path,label,subject\na.png,ALL,unknown\nb.png,HEM,2\n", "'unknown' beside 1 known"),
        ("path,label,subject,sha256\na.png,ALL,1,n/a\n", "row 2: sha256 'n/a' is not 64"),
        (f"path,label,subject,sha256\na,ALL,1,{DIGEST}\nb,HEM,2,{DIGEST}\n", r"a \(ALL\) = b \(HEM\)"),
        ("path,label,subject,positive\na,ALL,1,1\nb,HEM,2,1\n", "marks 2 labels"),
        (b"path,label,subject\n\xe9.png,ALL,1\n", "is not UTF-8 text .* at byte 19"),
        ('path,label,subject\n"a.png,ALL,1\n', "cannot be read as a CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "UTF-8"),
    ],
)
def test_a_bad_csv_is_refused_in_one_line(csv: WriteCsv, text: str | bytes, said: str) -> None:
    """What was found, and where."""
    file = csv(text)
    with pytest.raises(ManifestError, match=said) as caught:
        Manifest.open(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_in_any_case_is_no_subject(csv: WriteCsv) -> None:
    """As one subject it would own every image, and every split would be impossible or unsound."""
    manifest = Manifest.open(csv("path,label,subject\na.png,ALL,Unknown\nb.png,HEM,UNKNOWN\n"))
    assert not manifest.subjects_known


def test_unlabelled_rows_need_no_subject(csv: WriteCsv) -> None:
    """The final phase of C-NMC has neither."""
    manifest = Manifest.open(csv("path,label,subject\na.png,ALL,1\nb.png,,\n"))
    assert manifest.labelled.tolist() == [0]


# ---------------------------------------------------------------------- checksum lists


@pytest.mark.parametrize(("name", "mark"), [("files.tsv", "\t"), ("files.csv", ",")])
def test_a_checksum_list_stands_for_the_folder(csv: WriteCsv, name: str, mark: str) -> None:
    """Splits and duplicates need no images; names are parsed as they would be in the folder."""
    rows = [("path", "sha256", "bytes"), ("fold_0/all/UID_1_1_1_all.bmp", DIGEST, "1"), ("labels.csv", "b" * 64, "2")]
    file = csv("\n".join(mark.join(row) for row in rows), name)
    for dataset in ("cnmc", None):
        manifest = Manifest.open(file, dataset=dataset)
        assert manifest.sample == ("fold_0/all/UID_1_1_1_all.bmp",)
        assert manifest.sha256 == (DIGEST,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path\tsha256\na.png\tabc\n", "line 2: needs a path and a sha256"),
        (f"path\tsha256\na.png\t{DIGEST}\na.png\t{DIGEST}\n", "line 3: a.png is listed twice"),
        (f"name\tsha256\na.png\t{DIGEST}\n", "column path is missing"),
        ("path\tsha256\n", "holds no rows"),
    ],
)
def test_a_bad_checksum_list_is_refused(csv: WriteCsv, text: str, said: str) -> None:
    """A wrong digest would link or separate the wrong people."""
    with pytest.raises(ManifestError, match=said):
        Manifest.open(csv(text, "files.tsv"), dataset="cnmc")


def test_a_manifest_is_not_read_as_a_data_set(csv: WriteCsv) -> None:
    """Naming a data set for a manifest is a misunderstanding, not something to guess about."""
    with pytest.raises(UsageError, match="this is a manifest"):
        Manifest.open(csv("path,label,subject\na.png,ALL,1\n"), dataset="cnmc")


def test_text_that_is_not_utf8_is_a_manifest_error(make_files: MakeFiles) -> None:
    """A label CSV saved by a spreadsheet in another encoding."""
    folder = make_files("phase2/1.bmp")
    (folder / "phase2.csv").write_bytes(b"Patient_ID,new_names,labels\n\xe9,1.bmp,1\n")
    with pytest.raises(ManifestError, match="UTF-8"):
        Manifest.open(folder, dataset="cnmc")
    assert Tree.of_folder(folder).names == ("phase2.csv", "phase2/1.bmp")


def test_a_long_list_of_names_left_out_is_cut(make_files: MakeFiles) -> None:
    """The description stays readable, and says how many there are."""
    folder = make_files("ALL/a.png", *(f"{number}.png" for number in range(60)))
    (line,) = Manifest.open(folder, dataset="folders", subjects="unknown").notes
    assert line.startswith("left out (lies in no class folder): 0.png, 1.png")
    assert line.endswith("… (60 in all)")
