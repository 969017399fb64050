"""Looking after a feature store: what is in it, whether it is sound, what can go."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.store import PROVENANCE, FeatureStore, Shelf, key_digest, read_provenance
from leukfeat.textfiles import TEMPORARY, sync_folder

ASIDE = "damaged"  # folder under the root that damaged parts are moved to

_SECONDS_A_DAY = 86_400
_ABANDONED_SECONDS = 3_600  # a temporary file untouched for so long belongs to nobody any more
_ROWS_A_COMPACT_PART = 65_536


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
    last_added : float
        Unix time of the youngest part; 0 where there is none.
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
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)


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


@dataclass(frozen=True)
class Removal:
    """Something :func:`collect_garbage` removes, or would remove.

    Attributes
    ----------
    path : Path
        File or folder.
    reason : str
        Why.
    bytes : int
        Its size.
    aside : bool
        Whether it is moved aside and not deleted.
    """

    path: Path
    reason: str
    bytes: int
    aside: bool = False


def list_keys(store: FeatureStore) -> tuple[KeySummary, ...]:
    """What a store holds, key by key."""
    return tuple(_summary(folder) for folder in store.key_folders())


def _summary(folder: Path) -> KeySummary:
    files = parts.list_parts(folder)
    size = sum(file.stat().st_size for file in files)
    try:
        provenance = read_provenance(folder)
        shelf = Shelf(folder)
    except StoreError as error:
        return KeySummary(folder.name, "", "", 0, 0, len(files), size, 0.0, str(error))
    return KeySummary(
        folder=folder.name,
        origin=str(provenance.get("origin", "")),
        precision=str(provenance["key"].get("precision", "")),
        images=len(shelf),
        dim=shelf.dim or 0,
        parts=len(files),
        bytes=size,
        last_added=max((header.created for header in shelf.headers), default=0.0),
    )


def verify(store: FeatureStore) -> Verification:
    """Read every row of every part, compare checksums, and compare each provenance with its folder's name."""
    problems: list[str] = []
    n_parts = n_rows = 0
    folders = _folders(store)
    for folder in folders:
        try:
            _check_provenance(folder)
        except StoreError as error:
            problems.append(str(error))
        dims: dict[int, Path] = {}
        for file in parts.list_parts(folder):
            n_parts += 1
            try:
                header = parts.check_part(file)
            except StoreError as error:
                problems.append(str(error))
                continue
            n_rows += len(header)
            dims.setdefault(header.dim, file)
        if len(dims) > 1:
            told = ", ".join(f"{file.name} has {dim}" for dim, file in sorted(dims.items()))
            problems.append(f"{folder}: vectors of different length: {told}; move the wrong part elsewhere")
    return Verification(len(folders), n_parts, n_rows, tuple(problems))


def collect_garbage(
    store: FeatureStore, *, unused_days: float | None = None, dry_run: bool = True
) -> tuple[Removal, ...]:
    """Remove what nobody needs: temporary files left behind, damaged parts, keys nobody has added to for long.

    Parameters
    ----------
    store : FeatureStore
        The store.
    unused_days : float or None
        Keys to which nothing has been added for so long are deleted; None keeps them all.
    dry_run : bool
        Only say what would be done.

    Returns
    -------
    tuple of Removal
        Damaged parts and folders are moved to ``<root>/damaged``; everything else is deleted.
    """
    removals = tuple(_garbage(store, unused_days))
    if not dry_run:
        for removal in removals:
            _remove(store, removal)
    return removals


def compact(store: FeatureStore) -> dict[str, int]:
    """Join the small parts of each key into few large ones, every image once.

    The joined part is written before the small ones are deleted, so a reader finds every row at any moment; one that
    holds a list of the old parts is told to start again.

    Returns
    -------
    dict of str to int
        Number of parts joined, by folder name.

    Raises
    ------
    StoreError
        A part is damaged; nothing of its key is deleted.
    """
    joined: dict[str, int] = {}
    for folder in store.key_folders():
        files = parts.list_parts(folder)
        if len(files) < 2:
            continue
        joined[folder.name] = len(files)
        _join(folder, files)
    return joined


def _join(folder: Path, files: list[Path]) -> None:
    shelf = Shelf(folder)
    for file in files:
        parts.check_part(file)
    # rows of different engines stay in parts of their own, so that each part can still say what made it
    by_maker: dict[tuple[str, str], list[parts.PartHeader]] = {}
    for header in shelf.headers:
        by_maker.setdefault((header.engine, header.decoder), []).append(header)
    kept: set[Path] = set()
    answered: dict[bytes, Path] = {}
    for header in shelf.headers:  # oldest first, as a reader takes them
        for digest in header.sha256.tolist():
            answered.setdefault(digest, header.file)
    for (engine, decoder), headers in by_maker.items():
        digests = [
            digest.decode()
            for header in headers
            for digest in dict.fromkeys(header.sha256.tolist())
            if answered[digest] == header.file
        ]
        hints = {
            digest: sample
            for header in headers
            for digest, sample in zip(
                (d.decode() for d in header.sha256.tolist()), parts.read_sample_ids(header.file), strict=True
            )
        }
        for start in range(0, len(digests), _ROWS_A_COMPACT_PART):
            chosen = digests[start : start + _ROWS_A_COMPACT_PART]
            kept.add(
                parts.write_part(
                    folder,
                    chosen,
                    shelf.read(chosen),
                    [hints[digest] for digest in chosen],
                    engine=engine,
                    decoder=decoder,
                    created=min(header.created for header in headers),
                )
            )
    for file in files:
        if file not in kept:
            file.unlink(missing_ok=True)
    sync_folder(folder)


def _folders(store: FeatureStore) -> list[Path]:
    """Folders that are keys, or that hold parts without saying what they are."""
    if not store.root.is_dir():
        return []
    return sorted(
        folder
        for folder in store.root.iterdir()
        if folder.is_dir() and folder.name != ASIDE and ((folder / PROVENANCE).exists() or parts.list_parts(folder))
    )


def _check_provenance(folder: Path) -> None:
    provenance = read_provenance(folder)
    digest = key_digest(provenance["key"])
    if digest != provenance.get("digest") or not folder.name.endswith(f"-{digest[:12]}"):
        raise StoreError(
            f"{folder / PROVENANCE}: describes key {digest[:12]}, not the one in the folder's name: altered or moved;"
            " run leukfeat cache gc --yes, which moves the folder aside"
        )


def _garbage(store: FeatureStore, unused_days: float | None) -> Iterator[Removal]:
    now = time.time()
    yield from _left_behind(store, now)
    for folder in _folders(store):
        try:
            _check_provenance(folder)
        except StoreError as error:
            yield Removal(folder, str(error), _size(folder), aside=True)
            continue
        # a key is there before its first part is: the writer may be at work on it
        youngest = (folder / PROVENANCE).stat().st_mtime
        for file in parts.list_parts(folder):
            youngest = max(youngest, file.stat().st_mtime)
            try:
                parts.check_part(file)
            except StoreError as error:
                yield Removal(file, str(error), file.stat().st_size, aside=True)
        if unused_days is not None and now - youngest > unused_days * _SECONDS_A_DAY:
            yield Removal(folder, f"nothing added for more than {unused_days:g} days", _size(folder))


def _left_behind(store: FeatureStore, now: float) -> Iterator[Removal]:
    """Temporary files of writers that were killed."""
    if not store.root.is_dir():
        return
    for folder in sorted(store.root.iterdir()):
        for file in sorted(folder.iterdir()) if folder.is_dir() and folder.name != ASIDE else ():
            if file.name.startswith(TEMPORARY):
                status = file.stat()
                if now - status.st_mtime > _ABANDONED_SECONDS:
                    yield Removal(file, "temporary file left behind", status.st_size)


def _remove(store: FeatureStore, removal: Removal) -> None:
    try:
        if removal.aside:
            aside = store.root / ASIDE
            aside.mkdir(exist_ok=True)
            removal.path.rename(aside / f"{int(time.time() * 1000)}-{removal.path.parent.name}-{removal.path.name}")
        elif removal.path.is_dir():
            shutil.rmtree(removal.path)
        else:
            removal.path.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # another process was quicker
    except OSError as error:
        raise StoreError(f"{removal.path}: cannot be removed: {error.strerror or error}") from error


def _size(folder: Path) -> int:
    return int(np.sum([file.stat().st_size for file in folder.rglob("*") if file.is_file()], dtype=np.int64))
