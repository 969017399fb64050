"""Images that a model shall look at: a folder, a glob, files one by one, or a table; labels are welcome, not needed."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from leukfeat.data.arrays import hash_members, is_member
from leukfeat.data.hashing import HashMemo, Progress
from leukfeat.data.listing import IMAGE_SUFFIXES, Tree, check_lengths, read_table
from leukfeat.data.manifest import Manifest
from leukfeat.data.reading import CELLS_CSV, check_paths
from leukfeat.data.words import UNKNOWN
from leukfeat.errors import ManifestError, UsageError

Images = Manifest | Path | str | Sequence[Path | str]

_TABLES = (".csv", ".tsv", ".npz")  # what is opened as a manifest; .npz files hold images with labels


def gather_images(
    images: Images,
    *,
    dataset: str | None = None,
    follow_links: bool = False,
    memo: HashMemo | None = None,
    progress: Progress | None = None,
) -> tuple[Manifest, tuple[tuple[str, str], ...]]:
    """Make a manifest of whatever images somebody names.

    A folder is searched through, hidden files left out; the names of its folders are not taken for labels, unless it
    has a ``cells.csv`` or a data set is named. A table needs the column ``path``; ``label`` and ``subject`` are read
    where they are there.

    Parameters
    ----------
    images : Manifest, path, or sequence of paths
        A path may be a folder, a table (CSV, TSV, npz), an image file, or a pattern such as ``cells/**/*.png``.
    dataset : str or None
        The data set whose layout the folder has; labels and subjects are then read from it.
    follow_links : bool
        Take symbolic links to folders, and those that lead out of a folder or a table's folder. A file that is named
        by itself is taken in any case.
    memo : HashMemo or None
        Remembers digests between runs.
    progress : callable(done, total) or None
        Called as files are hashed.

    Returns
    -------
    Manifest
        Files that are missing are in it; reading them says so.
    tuple of (name, reason)
        What cannot stand in a manifest.

    Raises
    ------
    ManifestError
        No images, or a table that cannot be read.
    UsageError
        A pattern that matches no image, or a data set named for something that is no folder.
    """
    if isinstance(images, Manifest):
        return images, ()
    memo = memo or HashMemo()
    named = [images] if isinstance(images, Path | str) else list(images)
    if len(named) == 1:
        only = Path(named[0])
        listed = only.is_dir() and (only / CELLS_CSV).is_file()
        if dataset is not None or listed or (only.is_file() and only.suffix.lower() == ".npz"):
            manifest = Manifest.open(
                only, dataset=dataset, subjects=UNKNOWN, follow_links=follow_links, memo=memo, progress=progress
            )
            return manifest, ()
        if only.is_file() and only.suffix.lower() in _TABLES:
            return _of_table(only, memo, progress, follow_links=follow_links), ()
        if only.is_dir():
            tree = Tree.of_folder(only, follow_links=follow_links)
            return _unlabelled(tree.images, only, str(only), memo, progress), tree.oddities
    elif dataset is not None:
        raise UsageError(f"data set {dataset}: names the layout of one folder, and {len(named)} paths are given")
    files: list[str] = []
    oddities: list[tuple[str, str]] = []
    for name in named:
        found, odd = _files(str(name), follow_links=follow_links)
        files += found
        oddities += odd
    shown = str(named[0]) if len(named) == 1 else f"{len(named)} paths"
    return _unlabelled(list(dict.fromkeys(files)), Path(), shown, memo, progress), tuple(oddities)


def _files(name: str, *, follow_links: bool) -> tuple[list[str], list[tuple[str, str]]]:
    """The files that one of several names means."""
    path = Path(name)
    if path.is_dir():
        tree = Tree.of_folder(path, follow_links=follow_links)
        return [(path / image).as_posix() for image in tree.images], list(tree.oddities)
    if path.suffix.lower() in _TABLES:
        raise UsageError(f"{name}: a table is given alone, not among images")
    if not path.exists() and glob.has_magic(name):
        matches = (Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207 (an absolute pattern too)
        found = sorted(match.as_posix() for match in matches if match.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise UsageError(f"{name}: matches no image; quote the pattern, and check it from this folder")
    else:
        found = [path.as_posix()]
    odd = [(each.encode(errors="replace").decode(), reason) for each in found if (reason := _unspeakable(each))]
    return [each for each in found if not _unspeakable(each)], odd


def _unspeakable(name: str) -> str:
    """Why a file name cannot stand in a manifest; empty where it can."""
    if "::" in name:
        return "'::' in a name marks an image inside an array file; rename it"
    return "" if name.encode(errors="replace").decode() == name else "the name is not valid UTF-8; rename it"


def _of_table(file: Path, memo: HashMemo, progress: Progress | None, *, follow_links: bool) -> Manifest:
    rows = read_table(file)
    if "label" in rows[0]:
        subjects = None if "subject" in rows[0] else UNKNOWN
        return Manifest.open(file, subjects=subjects, follow_links=follow_links, memo=memo, progress=progress)
    if "path" not in rows[0]:
        raise ManifestError(f"{file}: column path is missing; it has {', '.join(rows[0])}")
    path = tuple(row["path"].strip() for row in rows)
    if "" in path:
        raise ManifestError(f"{file} row {path.index('') + 2}: path is empty")
    check_lengths(file, {name: [row.get(name, "") for row in rows] for name in ("path", "sample", "subject")})
    check_paths(file, path, follow_links=follow_links)
    return Manifest(
        sample=tuple(row.get("sample", "").strip() or name for row, name in zip(rows, path, strict=True)),
        path=path,
        label=("",) * len(path),
        subject=tuple(row.get("subject", "").strip() for row in rows),
        sha256=_digests(path, file.parent, memo, progress),
        root=file.parent,
        dataset=str(file),
    )


def _unlabelled(names: Sequence[str], root: Path, dataset: str, memo: HashMemo, progress: Progress | None) -> Manifest:
    empty = ("",) * len(names)
    return Manifest(
        sample=tuple(names),
        path=tuple(names),
        label=empty,
        subject=empty,
        sha256=_digests(names, root, memo, progress),
        root=root,
        dataset=dataset,
    )


def _digests(names: Sequence[str], root: Path, memo: HashMemo, progress: Progress | None) -> tuple[str, ...]:
    """sha256 of each file's bytes, or of the pixels inside an array file; empty where it cannot be read."""
    files = {name: root / name for name in names if not is_member(name)}
    found = memo.hash_files(files.values(), progress)
    digests = {name: digest for name, file in files.items() if isinstance(digest := found[file], str)}
    digests |= hash_members(root, [name for name in names if is_member(name)])
    return tuple(digests.get(name, "") for name in names)
