"""Every known data set on a small tree of its own names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leukfeat.data.adapters import ADAPTERS, detect
from leukfeat.data.listing import Entry, Listing, Tree
from leukfeat.errors import ManifestError

MakeFiles = Callable[..., Path]


def tree(*names: str) -> Tree:
    """A tree of names alone; no adapter but BloodMNIST's needs more."""
    return Tree(names=tuple(sorted(names)), root=Path("data"))


def read(*names: str) -> Listing:
    """What the detected adapter makes of some names."""
    adapter = detect(tree(*names))
    assert adapter is not None
    listing = adapter.read(tree(*names))
    assert listing.dataset == adapter.name
    assert listing.positive == adapter.positive
    return listing


KNOWN = {
    "cnmc": ("C-NMC_Leukemia/training_data/fold_1/all/UID_57_29_1_all.bmp", ("ALL", "57", "fold_1")),
    "cnmc, healthy": ("fold_2/hem/UID_h3_7_2_hem.bmp", ("HEM", "H3", "fold_2")),
    "cnmc, archive layout": ("C-NMC_training_data/fold_0/fold_0/all/UID_1_1_1_all.bmp", ("ALL", "1", "fold_0")),
    "cnmc, no folders": ("UID_1_1_1_all.bmp", ("ALL", "1", "")),
    "cnmc, final": ("testing_data/C-NMC_test_final_phase_data/12.bmp", ("", "", "final")),
    "cnmc, server": ("data/phase3/12.bmp", ("", "", "final")),
    "taleqani": ("Early/WBC-Malignant-Early-001.jpg", ("Early", "", "")),
    "taleqani, benign": ("Original/Benign/WBC-Benign-001.jpg", ("Benign", "", "")),
    "all-idb1": ("ALL_IDB1/im/Im001_1.jpg", ("ALL", "", "")),
    "all-idb1, healthy": ("im/Im101_0.jpg", ("healthy", "", "")),
    "all-idb2": ("ALL_IDB2/img/Im001_1.tif", ("blast", "", "")),
    "all-idb2, normal": ("img/Im201_0.tif", ("normal", "", "")),
    "lmu-aml": ("AML-Cytomorphology/MYO/MYO_0001.tiff", ("MYO", "", "")),
    "mll-helmholtz": ("data/PML_RARA/ABC/image_12.tif", ("PML_RARA", "ABC", "")),
    "raabin": ("Raabin/TestB/Lymphocyte/20190526_162951_0.jpg", ("Lymphocyte", "", "testB")),
    "raabin, training": ("Train/Basophil/95-4-31-2_12_1.jpg", ("Basophil", "", "train")),
    "pbc": ("PBC_dataset_normal_DIB/ig/MMY_000123.jpg", ("ig", "", "")),
    "pbc, one folder": ("all/SNE_000123.jpg", ("neutrophil", "", "")),
    "folders": ("mine/blast/a.png", ("blast", "", "")),
}


@pytest.mark.parametrize("case", KNOWN)
def test_a_layout_is_recognised_and_read(case: str) -> None:
    """Class, subject and official part come from the name; the same names in a checksum list are recognised too."""
    name, (label, subject, official) = KNOWN[case]
    listing = read(name)
    assert listing.dataset == case.partition(",")[0]
    assert listing.entries == (Entry(name, label, subject, official),)
    assert not listing.skipped


def test_every_adapter_has_a_layout_tested_here() -> None:
    """A data set nobody tried is not known."""
    assert {case.partition(",")[0] for case in KNOWN} | {"bloodmnist"} == set(ADAPTERS)
    for name, adapter in ADAPTERS.items():
        assert adapter.name == name
        assert all((adapter.title, adapter.layout, adapter.counts, adapter.licence, adapter.where))


@pytest.mark.parametrize("case", KNOWN)
def test_names_that_cannot_be_parsed_are_listed_with_a_reason(case: str) -> None:
    """Nothing disappears silently; a stray file beside the classes is told in every data set."""
    name, _ = KNOWN[case]
    listing = ADAPTERS[case.partition(",")[0]].read(tree(name, "stray.png"))
    assert [entry.path for entry in listing.entries] == [name]
    assert [skipped for skipped, reason in listing.skipped if reason] == ["stray.png"]


def test_what_is_no_image_is_ignored() -> None:
    """Thumbs.db and notes lie in every copy."""
    listing = read("fold_0/all/UID_1_1_1_all.bmp", "fold_0/all/Thumbs.db", "readme.txt")
    assert len(listing.entries) == 1
    assert not listing.skipped


def test_nothing_known_is_detected_in_a_flat_folder() -> None:
    """Without class folders there are no labels to read."""
    assert detect(tree("a.png", "b.png")) is None
    assert detect(tree()) is None


# ---------------------------------------------------------------------- C-NMC

PRELIM = "validation_data/C-NMC_test_prelim_phase_data"
LABELS = "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,2.bmp,1\nUID_h49_1_1_hem.bmp,1.bmp,0\n"


@pytest.fixture
def prelim(make_files: MakeFiles) -> Path:
    """The preliminary part with its label CSV; the order of rows is not that of names."""
    folder = make_files(f"{PRELIM}/1.bmp", f"{PRELIM}/2.bmp", f"{PRELIM}/3.bmp")
    (folder / f"{PRELIM}_labels.csv").write_text(LABELS)
    return folder


def test_preliminary_labels_are_joined_by_name(prelim: Path) -> None:
    """Joined by row order, nearly every label of the preliminary set would be wrong."""
    found = ADAPTERS["cnmc"].read(Tree.of_folder(prelim)).entries
    assert found == (
        Entry(f"{PRELIM}/1.bmp", "HEM", "H49", "prelim"),
        Entry(f"{PRELIM}/2.bmp", "ALL", "57", "prelim"),
        Entry(f"{PRELIM}/3.bmp", "", "", "prelim"),
    )


def test_the_server_layout_is_joined_too(make_files: MakeFiles) -> None:
    """The challenge's server called the parts phase2 and phase3."""
    folder = make_files("data/phase2/1.bmp", "data/phase2/2.bmp", "data/phase3/1.bmp")
    (folder / "data/phase2.csv").write_text(LABELS)
    found = ADAPTERS["cnmc"].read(Tree.of_folder(folder)).entries
    assert [(entry.label, entry.official) for entry in found] == [("HEM", "prelim"), ("ALL", "prelim"), ("", "final")]


def test_without_its_csv_the_preliminary_part_is_unlabelled(prelim: Path) -> None:
    """A label is never guessed."""
    (prelim / f"{PRELIM}_labels.csv").unlink()
    assert {entry.label for entry in ADAPTERS["cnmc"].read(Tree.of_folder(prelim)).entries} == {""}


def test_an_image_the_csv_names_and_nobody_has_is_told(prelim: Path) -> None:
    """An incomplete copy should be noticed."""
    (prelim / PRELIM / "2.bmp").unlink()
    assert [name for name, _ in ADAPTERS["cnmc"].read(Tree.of_folder(prelim)).skipped] == ["2.bmp"]


def test_a_nested_second_copy_is_listed_once(prelim: Path, make_files: MakeFiles) -> None:
    """Some archives hold the preliminary folder within itself; counted twice it would look like duplicates."""
    make_files(*(f"{PRELIM}/C-NMC_test_prelim_phase_data/{number}.bmp" for number in (1, 2, 3)))
    listing = ADAPTERS["cnmc"].read(Tree.of_folder(prelim))
    assert [entry.path for entry in listing.entries] == [f"{PRELIM}/{number}.bmp" for number in (1, 2, 3)]
    assert len(listing.skipped) == 3


@pytest.mark.parametrize(
    "name", ["fold_0/hem/UID_7_1_1_hem.bmp", "fold_0/all/UID_H7_1_1_all.bmp", "fold_0/hem/UID_7_1_1_all.bmp"]
)
def test_a_class_that_contradicts_the_subject_or_the_folder_is_an_error(name: str) -> None:
    """Healthy ids start with H and no others do: such a name is wrong in an unknown place."""
    with pytest.raises(ManifestError, match="UID_"):
        ADAPTERS["cnmc"].read(tree(name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LABELS.replace("2.bmp,1", "2.bmp,0"), "row 2: labels is '0'"),
        (LABELS.replace("UID_57_29_1_all", "57"), "row 2: '57.bmp' is not UID_"),
        (LABELS.replace("new_names", "names"), "column new_names is missing"),
        ("", "is missing"),
    ],
)
def test_a_label_csv_that_cannot_be_trusted_is_an_error(prelim: Path, text: str, said: str) -> None:
    """Wrong labels are worse than none."""
    (prelim / f"{PRELIM}_labels.csv").write_text(text)
    with pytest.raises(ManifestError, match=said):
        ADAPTERS["cnmc"].read(Tree.of_folder(prelim))


def test_augmented_copies_are_no_cells() -> None:
    """A third of the copies in circulation hold flipped images; they are listed, not taken for new cells."""
    listing = read("fold_0/all/UID_1_1_1_all.bmp", "fold_0/all/UID_1_1_2_all.bmp", "fold_0/all/UID_1_1_1_all_flip.bmp")
    assert [name for name, _ in listing.skipped] == ["fold_0/all/UID_1_1_1_all_flip.bmp"]


# ---------------------------------------------------------------------- others


def test_taleqani_takes_the_originals_beside_the_segmented_copies() -> None:
    """Both show the same fields; together they would be in training and test at once."""
    listing = read("Original/Pre/WBC-Malignant-Pre-001.jpg", "Segmented/Pre/WBC-Malignant-Pre-001.jpg")
    assert [entry.path for entry in listing.entries] == ["Original/Pre/WBC-Malignant-Pre-001.jpg"]
    assert "name that folder as DATA" in listing.skipped[0][1]
    assert len(read("Segmented/Pre/WBC-Malignant-Pre-001.jpg").entries) == 1


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("taleqani", "Early/WBC-Malignant-Pre-001.jpg"), ("lmu-aml", "MYO/MOB_0001.tiff"), ("pbc", "ig/BA_0001.jpg")],
)
def test_a_name_that_contradicts_its_folder_is_left_out(dataset: str, name: str) -> None:
    """Which of the two is right nobody can say."""
    listing = ADAPTERS[dataset].read(tree(name))
    assert not listing.entries
    assert "the folder says" in listing.skipped[0][1]


def test_the_two_all_idb_sets_are_never_mixed() -> None:
    """The cells of the second are cut from the fields of the first."""
    names = ("ALL_IDB1/im/Im001_1.jpg", "ALL_IDB2/img/Im001_1.tif")
    for dataset, own in zip(("all-idb1", "all-idb2"), names, strict=True):
        listing = ADAPTERS[dataset].read(tree(*names))
        assert [entry.path for entry in listing.entries] == [own]
        assert len(listing.skipped) == 1


def test_class_folders_of_common_names_are_not_taken_for_a_known_set() -> None:
    """Everybody has a folder called lymphocyte."""
    assert read("lymphocyte/mine_a.png", "monocyte/mine_b.png").dataset == "folders"
    assert read("TRAIN/NEUTROPHIL/_0_207.jpeg", "TEST/NEUTROPHIL/_0_1.jpeg").dataset == "folders"


def test_folders_pass_over_shared_parents_and_read_parts() -> None:
    """``cells/train/ALL/x.png`` has the class ALL and the part train."""
    listing = read("cells/train/ALL/a.png", "cells/train/HEM/b.png", "cells/test/ALL/s1/c.png", "cells/lost.png")
    assert [(entry.label, entry.official) for entry in listing.entries] == [
        ("ALL", "test"),
        ("ALL", "train"),
        ("HEM", "train"),
    ]
    assert listing.skipped == (("cells/lost.png", "lies in no class folder"),)


# ---------------------------------------------------------------------- BloodMNIST


@pytest.fixture
def bloodmnist(tmp_path: Path) -> Path:
    """Two sizes of the same few images."""
    rng = np.random.default_rng(0)
    for size, name in ((28, "bloodmnist.npz"), (64, "bloodmnist_64.npz")):
        arrays = {}
        for part, number in (("train", 9), ("val", 3), ("test", 4)):
            arrays[f"{part}_images"] = rng.integers(0, 256, (number, size, size, 3), dtype=np.uint8)
            arrays[f"{part}_labels"] = (np.arange(number) % 8)[:, None]
        np.savez_compressed(tmp_path / name, **arrays)
    return tmp_path


def test_bloodmnist_lists_its_members(bloodmnist: Path) -> None:
    """The larger of two sizes; label numbers become the set's own class names."""
    found = Tree.of_folder(bloodmnist)
    adapter = detect(found)
    assert adapter is not None
    assert adapter.name == "bloodmnist"
    listing = adapter.read(found)
    assert listing.entries[-1] == Entry("bloodmnist_64.npz::val_images/2", "erythroblast", official="val")
    assert len(listing.entries) == 16
    assert [name for name, _ in listing.skipped] == ["bloodmnist.npz"]


def test_a_damaged_bloodmnist_is_an_error(bloodmnist: Path) -> None:
    """Not a data set without images."""
    (bloodmnist / "bloodmnist_64.npz").write_bytes(b"PK")
    with pytest.raises(ManifestError, match="bloodmnist_64"):
        ADAPTERS["bloodmnist"].read(Tree.of_folder(bloodmnist))
    np.savez(
        bloodmnist / "bloodmnist_64.npz", train_images=np.zeros((2, 4, 4, 3), np.uint8), train_labels=np.array([0, 9])
    )
    with pytest.raises(ManifestError, match="2 images and 2 labels"):
        ADAPTERS["bloodmnist"].read(Tree.of_folder(bloodmnist))
