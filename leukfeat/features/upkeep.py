"""What is in a feature store, and whether it is sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.headers import PREFIX, GonePartError, PartHeader, read_header
from leukfeat.features.shelf import Shelf
from leukfeat.features.store import (
    ENGINES,
    PROVENANCE,
    RESOLVED,
    TRAINED,
    USED,
    FeatureStore,
    key_digest,
    read_provenance,
)
from leukfeat.textfiles import TEMPORARY

ASIDE = "damaged"  # folder under the root that damaged parts are moved to


@dataclass(frozen=True)
class KeySummary:
    """One key of a store.

    Attributes
    ----------
    folder : str
        Its name.
    origin : str
        Where its weights came from.
    precision : str
        Of its vectors.
    images, dim, parts, bytes : int
        Distinct images, length of a vector, files and their size; ``dim`` is 0 where there is no row.
    last_added, last_used : float
        Unix time of the youngest part, and of the last look-up (to the hour); 0 where there was none.
    problem : str
        Why the key cannot be used; empty where it can.
    """

    folder: str
    origin: str
    precision: str
    images: int
    dim: int
    parts: int
    bytes: int
    last_added: float
    last_used: float
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class FolderSummary:
    """What else lies in a store: networks of engines, trained networks, what was moved aside.

    Attributes
    ----------
    folder : str
        Its name.
    files, bytes : int
        How many, and how large.
    """

    folder: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found.

    Attributes
    ----------
    keys, parts, rows : int
        How many were read.
    problems : tuple of str
        One line each: where, what, what to do.
    """

    keys: int
    parts: int
    rows: int
    problems: tuple[str, ...]


def list_keys(store: FeatureStore) -> tuple[KeySummary, ...]:
    """What a store holds, key by key."""
    return tuple(_summary(folder) for folder in store.key_folders())


def list_folders(store: FeatureStore) -> tuple[FolderSummary, ...]:
    """What a store holds beside its keys."""
    found = {name: files_below(store.root / name) for name in (ENGINES, TRAINED, RESOLVED, ASIDE)}
    return tuple(FolderSummary(name, len(sizes), sum(sizes.values())) for name, sizes in found.items() if sizes)


def files_below(folder: Path) -> dict[Path, int]:
    """All files in a folder and its folders, with their size; links are not followed."""
    sizes: dict[Path, int] = {}
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        try:
            if file.is_file():
                sizes[file] = file.lstat().st_size
        except OSError:
            continue  # gone meanwhile
    return sizes


def _summary(folder: Path) -> KeySummary:
    sizes = {file: size for file, size in files_below(folder).items() if file.name.startswith(PREFIX)}
    size, n_parts = sum(sizes.values()), len(sizes)
    try:
        provenance = read_provenance(folder)
        shelf = Shelf(folder)
    except StoreError as error:
        return KeySummary(folder.name, "", "", 0, 0, n_parts, size, 0.0, 0.0, str(error))
    return KeySummary(
        folder=folder.name,
        origin=str(provenance.get("origin", "")),
        precision=str(provenance["key"].get("precision", "")),
        images=len(shelf),
        dim=shelf.dim or 0,
        parts=n_parts,
        bytes=size,
        last_added=max((header.created for header in shelf.headers), default=0.0),
        last_used=(folder / USED).stat().st_mtime if (folder / USED).exists() else 0.0,
    )


def verify(store: FeatureStore) -> Verification:
    """Read every row of every part, compare checksums, and compare each provenance with its folder's name."""
    problems: list[str] = []
    n_parts = n_rows = 0
    folders = key_folders_and_strays(store)
    for folder in folders:
        try:
            check_provenance(folder)
        except StoreError as error:
            problems.append(str(error))
        dims: dict[int, Path] = {}
        for file, found in examined(folder):
            n_parts += 1
            if isinstance(found, StoreError):
                problems.append(str(found))
            else:
                n_rows += len(found)
                dims.setdefault(found.dim, file)
        if len(dims) > 1:
            told = ", ".join(f"{file.name} has {dim}" for dim, file in sorted(dims.items()))
            problems.append(f"{folder}: vectors of different length: {told}; move the wrong part elsewhere")
    return Verification(len(folders), n_parts, n_rows, tuple(problems))


def examined(folder: Path) -> Iterator[tuple[Path, PartHeader | StoreError]]:
    """Every part of a folder, read to the end: its header, or what is wrong with it.

    Parts that another process joins meanwhile are passed over, and those in their place are read.
    """
    seen: set[Path] = set()
    gone = True
    while gone:
        new = [file for file in parts.list_parts(folder) if file not in seen]
        seen.update(new)
        found: dict[Path, PartHeader | StoreError] = {file: _header(file) for file in new}
        sound = [header for header in found.values() if isinstance(header, PartHeader)]
        found |= parts.find_damage(sound, reread=True)
        for file, header in found.items():
            if isinstance(header, PartHeader):
                try:
                    parts.check_content(header)
                except StoreError as error:
                    found[file] = error
        gone = any(isinstance(each, GonePartError) for each in found.values())
        yield from ((file, each) for file, each in found.items() if not isinstance(each, GonePartError))


def _header(file: Path) -> PartHeader | StoreError:
    try:
        return read_header(file)
    except StoreError as error:
        return error


def key_folders_and_strays(store: FeatureStore) -> list[Path]:
    """Folders that are keys, or that hold parts without saying what they are."""
    if not store.root.is_dir():
        return []
    return sorted(
        folder
        for folder in store.root.iterdir()
        if folder.is_dir()
        and folder.name != ASIDE
        and not folder.name.startswith(TEMPORARY)
        and ((folder / PROVENANCE).exists() or parts.list_parts(folder))
    )


def check_provenance(folder: Path) -> None:
    """Compare the inputs of a key with the digest in the name of its folder.

    Raises
    ------
    StoreError
        They differ, or cannot be read.
    """
    provenance = read_provenance(folder)
    digest = key_digest(provenance["key"])
    if digest != provenance.get("digest") or not folder.name.endswith(f"-{digest[:12]}"):
        raise StoreError(
            f"{folder / PROVENANCE}: describes key {digest[:12]}, not the one in the folder's name: altered or moved;"
            " run leukfeat cache gc --yes, which moves the folder aside"
        )
