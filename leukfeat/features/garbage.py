"""What of a feature store can go: leftovers, damage, and what is old, unused or too much."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.headers import REMEDY, NewerPartError, UnreadableError, read_header
from leukfeat.features.store import ENGINES, PROVENANCE, TRAINED, USED, FeatureStore
from leukfeat.features.upkeep import ASIDE, check_provenance, examined, files_below, key_folders_and_strays
from leukfeat.textfiles import TEMPORARY

_SECONDS_A_DAY = 86_400
_ABANDONED_SECONDS = 3_600  # a temporary file untouched for so long belongs to nobody; nor what was not used so long

# What is cheapest to have again goes first when a store is too large.
_RANKS = {ASIDE: 0, ENGINES: 1}
_OF_KEYS = 2


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


@dataclass(frozen=True)
class _Belonging:
    """Something a store can do without: a key, a network of an engine, a trained network."""

    path: Path
    bytes: int
    added: float  # Unix time
    used: float
    rank: int


def collect_garbage(
    store: FeatureStore,
    *,
    older_than_days: float | None = None,
    unused_days: float | None = None,
    keep_bytes: int | None = None,
    dry_run: bool = True,
) -> tuple[Removal, ...]:
    """Remove what nobody needs: temporary files left behind, damaged parts, and what the caller can do without.

    Keys, networks kept by engines (``engines/``) and trained networks (``trained/``) are deleted by age, by use and by
    size when asked. What a newer version of leukfeat wrote is left alone, and what cannot be read: it may be sound.

    Parameters
    ----------
    store : FeatureStore
        The store.
    older_than_days : float or None
        Delete what nothing has been added to for so long; None deletes nothing for its age.
    unused_days : float or None
        Delete what nobody has used or added to for so long; None deletes nothing for that.
    keep_bytes : int or None
        Delete until the store is no larger: first what was moved aside and what engines keep, then what was used
        least recently; nothing that was used within the last hour. None sets no limit.
    dry_run : bool
        Only say what would be done.

    Returns
    -------
    tuple of Removal
        Damaged parts and folders are moved to ``<root>/damaged``; everything else is deleted.
    """
    now = time.time()
    removals = [*_left_behind(store, now), *_damaged(store)]
    going = {removal.path for removal in removals if removal.aside}
    belongings = [each for each in _belongings(store) if each.path not in going]
    for why in (_old(now, older_than_days), _unused(now, unused_days)):
        for each in belongings:
            reason = why(each)
            if reason:
                removals.append(Removal(each.path, reason, each.bytes))
        gone = {removal.path for removal in removals}
        belongings = [each for each in belongings if each.path not in gone]
    if keep_bytes is not None:
        removals += _too_much(store, belongings, keep_bytes, removals, now)
    if not dry_run:
        for removal in removals:
            _remove(store, removal)
    return tuple(removals)


def _old(now: float, days: float | None) -> Callable[[_Belonging], str]:
    def reason(each: _Belonging) -> str:
        old = days is not None and now - each.added > days * _SECONDS_A_DAY
        return f"nothing added for more than {days:g} days" if old else ""

    return reason


def _unused(now: float, days: float | None) -> Callable[[_Belonging], str]:
    def reason(each: _Belonging) -> str:
        unused = days is not None and now - each.used > days * _SECONDS_A_DAY
        return f"not used for more than {days:g} days" if unused else ""

    return reason


def _too_much(
    store: FeatureStore, belongings: list[_Belonging], keep: int, removals: list[Removal], now: float
) -> Iterator[Removal]:
    size = _size(store.root) - sum(removal.bytes for removal in removals if not removal.aside)
    for each in sorted(belongings, key=lambda each: (each.rank, each.used)):
        if size <= keep:
            return
        if now - each.used > _ABANDONED_SECONDS:
            size -= each.bytes
            days = (now - each.used) / _SECONDS_A_DAY
            yield Removal(each.path, f"the store is larger than {keep / 1e6:,.1f} MB; last used {days:.1f} days ago",
                          each.bytes)  # fmt: skip


def _belongings(store: FeatureStore) -> Iterator[_Belonging]:
    for folder in key_folders_and_strays(store):
        # a key is there before its first part is: the writer may be at work on it
        times = [_mtime(file) for file in (folder / PROVENANCE, *parts.list_parts(folder))]
        if not _is_newer(folder):
            added = max(times)
            yield _Belonging(folder, _size(folder), added, max(added, _mtime(folder / USED)), _OF_KEYS)
    for name in (ENGINES, TRAINED, ASIDE):
        for file in files_below(store.root / name):
            with contextlib.suppress(FileNotFoundError):
                status = file.stat()
                used = max(status.st_mtime, status.st_atime)  # where a file system keeps it, to the day
                if not file.name.startswith(TEMPORARY):
                    yield _Belonging(file, status.st_size, status.st_mtime, used, _RANKS.get(name, _OF_KEYS))


def _is_newer(folder: Path) -> bool:
    for file in parts.list_parts(folder):
        try:
            read_header(file)
        except NewerPartError:
            return True
        except StoreError:
            continue
    return False


def _mtime(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(files_below(path).values())
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _damaged(store: FeatureStore) -> Iterator[Removal]:
    for folder in key_folders_and_strays(store):
        try:
            check_provenance(folder)
        except UnreadableError:
            continue
        except StoreError as error:
            if not _is_newer(folder):
                yield Removal(folder, _reason(error, folder), _size(folder), aside=True)
            continue
        for file, found in examined(folder):
            if isinstance(found, StoreError) and not isinstance(found, NewerPartError | UnreadableError):
                yield Removal(file, _reason(found, file), _size(file), aside=True)


def _reason(error: StoreError, path: Path) -> str:
    """What is wrong, without the path that is told beside it, and without the advice that is being followed."""
    told = str(error).removeprefix(str(path)).lstrip(f":{os.sep} ")
    return told.removesuffix(f"; {REMEDY}").partition("; run leukfeat cache gc")[0]


def _left_behind(store: FeatureStore, now: float) -> Iterator[Removal]:
    """Temporary files of writers that were killed, and folders that were about to be deleted."""
    if not store.root.is_dir():
        return
    for folder in [store.root, *sorted(store.root.iterdir())]:
        for path in sorted(folder.iterdir()) if folder.is_dir() and folder.name != ASIDE else ():
            if path.name.startswith(TEMPORARY) and now - _mtime(path) > _ABANDONED_SECONDS:
                yield Removal(path, "temporary file left behind", _size(path))


def _remove(store: FeatureStore, removal: Removal) -> None:
    try:
        if removal.aside:
            aside = store.root / ASIDE
            aside.mkdir(exist_ok=True)
            removal.path.rename(aside / f"{int(time.time() * 1000)}-{removal.path.parent.name}-{removal.path.name}")
        elif removal.path.is_dir():
            # at once for everybody else: whoever adds rows now begins a folder of their own
            doomed = store.root / f"{TEMPORARY}{uuid.uuid4().hex}"
            removal.path.rename(doomed)
            shutil.rmtree(doomed)
        else:
            removal.path.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # another process was quicker
    except OSError as error:
        raise StoreError(f"{removal.path}: cannot be removed: {error.strerror or error}") from error
