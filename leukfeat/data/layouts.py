"""How public data sets name their files: from one path to class, subject and official part.

Every function named after a data set reads one path and answers with an entry, or with the reason why it is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from leukfeat.data.arrays import member_names, read_array
from leukfeat.data.listing import Entry, Listing, Tree
from leukfeat.errors import ImageError, ManifestError

Describe = Callable[[PurePosixPath], Entry | str]

_SAMPLED = 200  # names are looked at to tell a layout, spread over the whole tree


def matches(tree: Tree, belongs: Callable[[str], bool]) -> bool:
    """Whether most of a tree's image names belong to a data set."""
    names = tree.images[:: max(1, len(tree.images) // _SAMPLED)]
    return bool(names) and 2 * sum(map(belongs, names)) > len(names)


def belongs(describe: Describe) -> Callable[[str], bool]:
    """Whether a data set's function makes an entry of a name."""
    return lambda name: isinstance(describe(PurePosixPath(name)), Entry)


def listing(tree: Tree, dataset: str, describe: Describe, positive: str | None) -> Listing:
    """Describe every image of a tree; what cannot be described is listed with the reason."""
    entries, skipped = [], []
    for name in tree.images:
        found = describe(PurePosixPath(name))
        if isinstance(found, Entry):
            entries.append(found)
        else:
            skipped.append((name, found))
    return Listing(dataset, tuple(entries), positive, tuple(skipped))


# ---------------------------------------------------------------------- Taleqani

_TALEQANI = re.compile(r"WBC-(?:(?P<benign>Benign)|Malignant-(?P<stage>Early|Pre|Pro))-\d+", re.IGNORECASE)
_TALEQANI_CLASSES = ("Benign", "Early", "Pre", "Pro")


def taleqani(path: PurePosixPath) -> Entry | str:
    """``Original/Early/WBC-Malignant-Early-001.jpg``; nobody knows which field is whose."""
    found = _TALEQANI.fullmatch(path.stem)
    if found is None:
        return "the name is neither WBC-Benign-NNN nor WBC-Malignant-{Early,Pre,Pro}-NNN"
    label = (found["benign"] or found["stage"]).capitalize()
    if path.parent.name in _TALEQANI_CLASSES and path.parent.name != label:
        return f"the folder says {path.parent.name}, the name {label}"
    return Entry(path.as_posix(), label)


def read_taleqani(tree: Tree) -> Listing:
    """List Taleqani; of ``Original`` and ``Segmented`` side by side, which show the same fields, the originals."""
    whole = listing(tree, "taleqani", taleqani, None)
    segmented = [entry for entry in whole.entries if "segmented" in _folders(entry.path)]
    if len(segmented) in (0, len(whole.entries)):
        return whole
    note = (
        "Segmented",
        f"{len(segmented)} segmented copies of the originals; name that folder as DATA to use them instead",
    )
    originals = tuple(entry for entry in whole.entries if "segmented" not in _folders(entry.path))
    return Listing(whole.dataset, originals, whole.positive, (*whole.skipped, note))


# ---------------------------------------------------------------------- ALL-IDB

_IDB = re.compile(r"Im\d{3}_(?P<positive>[01])", re.IGNORECASE)


def all_idb1(path: PurePosixPath) -> Entry | str:
    """``ALL_IDB1/im/Im001_1.jpg``: whole fields, 1 = of a patient with ALL."""
    found = _IDB.fullmatch(path.stem)
    if found is None:
        return "the name is not ImNNN_Y with Y 0 or 1"
    if _idb_set(path) != 1:
        return "belongs to ALL-IDB2, whose cells are cut from these fields"
    return Entry(path.as_posix(), ("healthy", "ALL")[int(found["positive"])])


def all_idb2(path: PurePosixPath) -> Entry | str:
    """``ALL_IDB2/img/Im001_1.tif``: single cells, 1 = a blast."""
    found = _IDB.fullmatch(path.stem)
    if found is None:
        return "the name is not ImNNN_Y with Y 0 or 1"
    if _idb_set(path) != 2:
        return "belongs to ALL-IDB1, the fields these cells are cut from"
    return Entry(path.as_posix(), ("normal", "blast")[int(found["positive"])])


def _idb_set(path: PurePosixPath) -> int:
    """1 or 2, by a folder's name, else by the file type: fields are JPEG, cells are TIFF."""
    named = re.findall(r"all[-_ ]?idb[-_ ]?([12])", path.parent.as_posix(), re.IGNORECASE)
    return int(named[-1]) if named else (1 if path.suffix.lower() in (".jpg", ".jpeg") else 2)


# ---------------------------------------------------------------------- single cells by class

_PBC = {  # file-name prefix: class folder
    "BA": "basophil",
    "EO": "eosinophil",
    "ERB": "erythroblast",
    "IG": "ig",
    "MMY": "ig",
    "MY": "ig",
    "PMY": "ig",
    "LY": "lymphocyte",
    "MO": "monocyte",
    "BNE": "neutrophil",
    "NEUTROPHIL": "neutrophil",
    "SNE": "neutrophil",
    "PLATELET": "platelet",
}
_PBC_NAME = re.compile(r"(?P<prefix>[A-Z]+)_\d+", re.IGNORECASE)


def pbc(path: PurePosixPath) -> Entry | str:
    """``PBC_dataset_normal_DIB/ig/MMY_000123.jpg``, or all in one folder: then the prefix tells the class."""
    found = _PBC_NAME.fullmatch(path.stem)
    told = _PBC.get(found["prefix"].upper()) if found else None
    folder = path.parent.name.lower()
    if folder in _PBC.values():
        return (
            Entry(path.as_posix(), folder) if told in (None, folder) else f"the folder says {folder}, the name {told}"
        )
    if told is None:
        return f"the name is not PREFIX_number with a prefix of {', '.join(_PBC)}"
    return Entry(path.as_posix(), told)


def is_pbc(name: str) -> bool:
    """Whether a file name has a prefix of PBC Barcelona; class folders of these names are everywhere."""
    found = _PBC_NAME.fullmatch(PurePosixPath(name).stem)
    return found is not None and found["prefix"].upper() in _PBC


_RAABIN_CLASSES = ("Basophil", "Eosinophil", "Lymphocyte", "Monocyte", "Neutrophil")
_RAABIN_PARTS = {"train": "train", "testa": "testA", "testb": "testB"}


def raabin(path: PurePosixPath) -> Entry | str:
    """``TestA/Basophil/….jpg``; TestB was taken with another microscope and camera."""
    label = path.parent.name
    if label not in _RAABIN_CLASSES:
        return f"the folder is none of {', '.join(_RAABIN_CLASSES)}"
    parts = [part for folder in path.parts if (part := _RAABIN_PARTS.get(folder.lower().replace("-", "")))]
    if not parts:
        return "lies in none of Train, TestA, TestB"
    return Entry(path.as_posix(), label, official=parts[-1])


_LMU_CLASSES = (
    *("BAS", "EBO", "EOS", "KSC", "LYA", "LYT", "MMZ", "MOB"),
    *("MON", "MYB", "MYO", "NGB", "NGS", "PMB", "PMO"),
)
_LMU = re.compile(rf"(?P<label>{'|'.join(_LMU_CLASSES)})_\d+")


def lmu_aml(path: PurePosixPath) -> Entry | str:
    """``AML-Cytomorphology/MYO/MYO_0001.tiff``."""
    found = _LMU.fullmatch(path.stem)
    if found is None:
        return f"the name is not CLASS_NNNN with a class of {', '.join(_LMU_CLASSES)}"
    if path.parent.name in _LMU_CLASSES and path.parent.name != found["label"]:
        return f"the folder says {path.parent.name}, the name {found['label']}"
    return Entry(path.as_posix(), found["label"])


_MLL_CLASSES = ("CBFB_MYH11", "NPM1", "PML_RARA", "RUNX1_RUNX1T1", "control")


def mll_helmholtz(path: PurePosixPath) -> Entry | str:
    """``data/NPM1/ABC/image_1.tif``: the folder of the class holds one folder a patient."""
    if len(path.parts) < 3 or path.parts[-3] not in _MLL_CLASSES:
        return f"not CLASS/patient/image with a class of {', '.join(_MLL_CLASSES)}"
    return Entry(path.as_posix(), label=path.parts[-3], subject=path.parts[-2])


# ---------------------------------------------------------------------- BloodMNIST

_BLOODMNIST = re.compile(r"bloodmnist(?:_(?P<size>\d+))?\.npz")
_BLOODMNIST_CLASSES = (  # in the order of the label numbers
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocytes",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)


def bloodmnist_files(tree: Tree) -> tuple[str, ...]:
    """The BloodMNIST files of a tree, the largest images first."""
    sizes = {name: found for name in tree.names if (found := _BLOODMNIST.fullmatch(PurePosixPath(name).name))}
    return tuple(sorted(sizes, key=lambda name: (-int(sizes[name]["size"] or 28), name)))


def read_bloodmnist(tree: Tree) -> Listing:
    """List the images inside ``bloodmnist[_SIZE].npz``; of several sizes of the same images, the largest.

    Raises
    ------
    ManifestError
        There is no such file, or it cannot be read (a checksum list has no arrays).
    """
    files = bloodmnist_files(tree)
    if not files:
        raise ManifestError(f"{tree.root}: no bloodmnist.npz, bloodmnist_64.npz, … here")
    chosen, *others = files
    entries = []
    try:
        parts = sorted(
            name.removesuffix("_images") for name in member_names(tree.root / chosen) if name.endswith("_images")
        )
        for part in parts:
            labels = read_array(tree.root / chosen, f"{part}_labels").reshape(-1)
            images = read_array(tree.root / chosen, f"{part}_images")
            if len(images) != len(labels) or not set(labels.tolist()) <= set(range(len(_BLOODMNIST_CLASSES))):
                raise ManifestError(
                    f"{tree.root / chosen}: {part} has {len(images)} images and {len(labels)} labels,"
                    f" which should be as many and in 0 … {len(_BLOODMNIST_CLASSES) - 1}"
                )
            entries += [
                Entry(f"{chosen}::{part}_images/{row}", _BLOODMNIST_CLASSES[label], official=part)
                for row, label in enumerate(labels.tolist())
            ]
    except ImageError as error:
        raise ManifestError(str(error)) from error
    skipped = tuple((name, f"the same images as {chosen}, smaller") for name in others)
    return Listing("bloodmnist", tuple(entries), None, skipped)


# ---------------------------------------------------------------------- any other folder

_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def read_folders(tree: Tree) -> Listing:
    """List ``class/…`` folders; folders called train, val or test around the classes are official parts.

    Leading folders that all images share are passed over; the first folder after them is the class.
    """
    folders = {
        name: [f for f in PurePosixPath(name).parts[:-1] if f.lower() not in _SPLIT_FOLDERS] for name in tree.images
    }
    shared = 0
    while len({path[shared] for path in folders.values() if len(path) > shared}) == 1 and any(
        len(path) > shared + 1 for path in folders.values()
    ):
        shared += 1
    entries, skipped = [], []
    for name, path in folders.items():
        if len(path) <= shared:
            skipped.append((name, "lies in no class folder"))
            continue
        parts = [_SPLIT_FOLDERS[f] for f in _folders(name) if f in _SPLIT_FOLDERS]
        entries.append(Entry(name, path[shared], official=parts[0] if parts else ""))
    return Listing("folders", tuple(entries), None, tuple(skipped))


def has_class_folders(tree: Tree) -> bool:
    """Whether images lie in folders at all."""
    return any("/" in name for name in tree.images)


def _folders(name: str) -> tuple[str, ...]:
    """The folders of a path in lower case, outermost first."""
    return tuple(part.lower() for part in PurePosixPath(name).parts[:-1])
