"""Images augmented before splitting, as some papers did: how the copies are made, and how a split betrays them.

A split by image that is drawn after augmentation puts a copy of many a test image into the training part. leukfeat
augments while it trains, after splitting; what is made here is only for reproducing such papers, and every plan in
which a copy and its original, or two copies of one original, stand on two sides carries a note that says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leukfeat.data.arrays import is_member, member_image
from leukfeat.data.folds import Fold
from leukfeat.data.hashing import Progress
from leukfeat.data.images import read_image
from leukfeat.data.linkage import families
from leukfeat.data.manifest import Manifest
from leukfeat.data.reading import CELLS_CSV
from leukfeat.data.words import COPIES_LEAK
from leukfeat.errors import ManifestError, UsageError
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import whole_file, write_text

Augmented = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""From an image of shape (H, W, 3) and the number of a copy to that copy; the same arguments give the same pixels."""

RECORD = "copies.json"  # what a folder of copies was made with
FOLDER = "copies"  # where the images lie in it

_WORKERS = 4  # threads that read, augment and write


@dataclass(frozen=True)
class _Copy:
    """One copy to make: the row of its original, its number among all copies, and the file."""

    row: int
    number: int
    path: str


def leak_of_copies(manifest: Manifest, folds: Sequence[Fold]) -> tuple[str, ...]:
    """The note that a split needs if copies of one original stand on two sides of a fold; else nothing.

    Parameters
    ----------
    manifest : Manifest
        Its column ``copy_of`` says which images are copies. Byte-identical images count as copies of each other then.
    folds : sequence of Fold
        The divisions.
    """
    if not any(manifest.copy_of):
        return ()
    family = np.asarray(families(manifest.sample, manifest.copy_of, manifest.sha256))

    def met(rows: NDArray[np.int64], others: NDArray[np.int64]) -> set[int]:
        return set(rows[np.isin(family[rows], family[others])].tolist())

    for part, pairs in {
        "test": [(fold.test, np.concatenate([fold.train, fold.validation])) for fold in folds],
        "validation": [(fold.validation, fold.train) for fold in folds],
    }.items():
        leaking = set().union(*(met(rows, others) for rows, others in pairs))
        if leaking:
            every = len(np.unique(np.concatenate([rows for rows, _ in pairs])))
            return (
                f"{COPIES_LEAK}: {len(leaking):,} of {every:,} {part} images have a copy of themselves in training"
                " (leaking)",
            )
    return ()


def copies_of(
    manifest: Manifest,
    per_class: int,
    folder: Path | str,
    augmented: Augmented,
    seed: int = 0,
    *,
    described: str = "",
    progress: Progress | None = None,
) -> Manifest:
    """Write augmented copies until every class has ``per_class`` images, before any split: only to reproduce papers.

    Every original of a class is copied equally often to within one. A stopped call goes on where it was, and a folder
    that holds the very same copies already is only read.

    Parameters
    ----------
    manifest : Manifest
        The originals. Unlabelled and unreadable images are not copied.
    per_class : int
        Images of each class, originals included; a class that has more keeps them all.
    folder : path
        Receives ``copies/*.png``, ``cells.csv`` with originals and copies, and a record of the arguments.
    augmented : callable
        Makes a copy; called from several threads.
    seed : int
        Decides which originals are copied once more than others.
    described : str
        What ``augmented`` does, in the record: a folder of copies made otherwise is refused.
    progress : callable(done, total) or None
        Called after every copy.

    Returns
    -------
    Manifest
        Originals first, in their order, then the copies: each with label, subject, official part and site of its
        original, named in ``copy_of``. The same is read from ``cells.csv``.

    Raises
    ------
    UsageError
        ``per_class`` below 1.
    ManifestError
        The folder holds copies of something else, the manifest has copies already, or a class has no readable image.
    ImageError
        An original cannot be read any more.
    """
    folder = Path(folder).absolute()
    if per_class < 1:
        raise UsageError(f"copies: per_class is {per_class}; give the images that every class shall have, e.g. 20000")
    if any(manifest.copy_of):
        raise ManifestError(f"{manifest.dataset}: holds augmented copies already; give the manifest of the originals")
    _claim(folder, {"data": manifest.digest, "per_class": per_class, "seed": seed, "augmented": described})
    wanted = _wanted(manifest, per_class, seed)
    digests: list[str] = []
    with ThreadPoolExecutor(_WORKERS) as pool:
        for digest in pool.map(lambda copy: _made(manifest, copy, folder, augmented), wanted):
            digests.append(digest)
            if progress is not None:
                progress(len(digests), len(wanted))
    rows = [copy.row for copy in wanted]
    inherited = {
        name: (*getattr(manifest, name), *(getattr(manifest, name)[row] for row in rows))
        for name in ("label", "subject", "official", "site", "declared_group")
    }
    whole = replace(
        manifest,
        sample=(*manifest.sample, *(copy.path for copy in wanted)),
        path=(*manifest.path, *(str(folder / copy.path) for copy in wanted)),
        sha256=(*manifest.sha256, *digests),
        copy_of=("",) * len(manifest) + tuple(manifest.sample[row] for row in rows),
        **inherited,  # type: ignore[arg-type]
    )
    whole.save(folder / CELLS_CSV)
    return whole


def _claim(folder: Path, record: dict[str, object]) -> None:
    """Make the folder ours, or see that it is.

    Raises
    ------
    ManifestError
        It holds something else.
    """
    try:
        found = parse_json((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if folder.exists() and any(folder.iterdir()):
            raise ManifestError(f"{folder}: is not empty and has no {RECORD}; name an empty folder") from None
        with write_text(folder / RECORD) as stream:
            json.dump(record, stream, indent=1)
        return
    except (OSError, ValueError) as error:
        raise ManifestError(f"{folder / RECORD}: cannot be read: {error}; name an empty folder") from error
    if found != record:
        differs = [name for name in record if not isinstance(found, dict) or found.get(name) != record[name]]
        raise ManifestError(
            f"{folder}: holds copies made with another {', '.join(differs) or 'version'}; name another folder"
        )


def _wanted(manifest: Manifest, per_class: int, seed: int) -> list[_Copy]:
    """The copies to make, class by class: whole rounds over the originals, then a few of them chosen by chance."""
    label = np.asarray(manifest.label)
    readable = np.array([bool(digest) for digest in manifest.sha256])
    rows: list[int] = []
    for k, name in enumerate(manifest.classes):
        originals = np.flatnonzero((label == name) & readable)
        lacking = per_class - int((label == name).sum())
        if lacking <= 0:
            continue
        if not len(originals):
            raise ManifestError(f"{manifest.dataset}: class {name!r} has no readable image to copy")
        rounds, rest = divmod(lacking, len(originals))
        chosen = np.random.default_rng([seed, k]).permutation(originals)[:rest]
        rows += [*np.tile(originals, rounds).tolist(), *np.sort(chosen).tolist()]
    return [_Copy(row, number, _name(manifest.path[row], number)) for number, row in enumerate(rows)]


def _name(original: str, number: int) -> str:
    stem = re.sub(r"[^\w.+-]+", "_", PurePosixPath(original.replace("\\", "/")).stem)
    return f"{FOLDER}/{number:06d}-{stem[:80]}.png"


def _made(manifest: Manifest, copy: _Copy, folder: Path, augmented: Augmented) -> str:
    """Write a copy unless it is there; its digest."""
    file = folder / copy.path
    if not file.is_file():
        path = manifest.path[copy.row]
        original = member_image(manifest.root, path) if is_member(path) else read_image(manifest.root / path)
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(augmented(original, copy.number))).save(stream, format="PNG")
        with whole_file(file) as temporary:
            temporary.write_bytes(stream.getvalue())
    return hashlib.sha256(file.read_bytes()).hexdigest()
