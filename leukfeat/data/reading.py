"""Columns of a manifest from whatever the user has: a CSV, a data-set folder, a list of checksums."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from leukfeat.data.adapters import ADAPTERS, detect
from leukfeat.data.arrays import hash_members, is_member
from leukfeat.data.confinement import Root
from leukfeat.data.hashing import HashMemo, Progress
from leukfeat.data.listing import Listing, Tree, check_lengths, is_digest, read_table
from leukfeat.data.words import UNKNOWN
from leukfeat.errors import ManifestError, UnknownNameError, UsageError

CELLS_CSV = "cells.csv"  # the manifest that a folder may hold
COLUMNS = ("sample", "path", "label", "subject", "sha256", "group", "official", "site", "copy_of", "positive")

_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of nothing
_SHOWN = 50  # names left out for one reason that are spelled out


class Columns(TypedDict):
    """The keyword arguments of :class:`~leukfeat.data.manifest.Manifest`."""

    sample: tuple[str, ...]
    path: tuple[str, ...]
    label: tuple[str, ...]
    subject: tuple[str, ...]
    sha256: tuple[str, ...]
    official: tuple[str, ...]
    site: tuple[str, ...]
    declared_group: tuple[str, ...]
    copy_of: tuple[str, ...]
    positive: str | None
    root: Path
    dataset: str
    notes: tuple[str, ...]


def is_checksum_list(file: Path) -> bool:
    """Whether a table is a list of checksums and no manifest: its header has digests and no labels.

    What is no table at all is no such list either; reading it as a manifest says what is wrong with it.
    """
    try:
        with file.open(encoding="utf-8-sig") as stream:
            header = stream.readline()
    except (OSError, UnicodeDecodeError):
        return False
    columns = {name.strip().strip('"') for name in header.split("\t" if "\t" in header else ",")}
    return "sha256" in columns and "label" not in columns


def columns_of_csv(
    file: Path,
    *,
    subjects: str | None = None,
    subjects_from: str | None = None,
    follow_links: bool = False,
    memo: HashMemo | None = None,
    progress: Progress | None = None,
) -> Columns:
    """Read a manifest CSV, ours or any with ``path``, ``label`` and ``subject``.

    Missing digests are computed; unreadable files keep an empty one.

    Parameters
    ----------
    file : Path
        The table; its folder is what relative paths are relative to.
    subjects, subjects_from, memo, progress
        As in :func:`columns_of_tree`.
    follow_links : bool
        Take relative paths that lead out of the folder by a symbolic link.

    Raises
    ------
    ManifestError
        The file is missing or not a CSV, lacks a column, or has a row of another length, an empty path, one that leads
        out of the folder, or a digest that is none.
    """
    rows = read_table(file)
    needed = ("path", "label") if subjects == UNKNOWN or subjects_from is not None else ("path", "label", "subject")
    lacking = [name for name in needed if name not in rows[0]]
    if lacking:
        raise ManifestError(
            f"{file}: column {', '.join(lacking)} is missing; it has {', '.join(rows[0])};"
            " a manifest needs path, label and subject (or --subjects unknown, or --subjects-from)"
        )
    column = {name: tuple(row.get(name, "").strip() for row in rows) for name in COLUMNS}
    check_lengths(file, column)
    path, label = column["path"], column["label"]
    if "" in path:
        raise ManifestError(f"{file} row {path.index('') + 2}: path is empty")
    check_paths(file, path, follow_links=follow_links)
    sha256 = tuple(digest.lower() for digest in column["sha256"])
    for row, digest in enumerate(sha256, start=2):
        if digest and not is_digest(digest):
            raise ManifestError(f"{file} row {row}: sha256 {digest!r} is not 64 hexadecimal digits; leave it empty")
    if "" in sha256:
        sha256 = _with_digests(file.parent, path, sha256, memo, progress)
    return Columns(
        sample=tuple(sample or path for sample, path in zip(column["sample"], path, strict=True)),
        path=path,
        label=label,
        subject=_subjects(path, label, column["subject"], subjects, subjects_from),
        sha256=sha256,
        official=column["official"],
        site=column["site"],
        declared_group=column["group"],
        copy_of=column["copy_of"],
        positive=_positive_of(file, label, column["positive"]),
        root=file.parent,
        dataset=str(file),
        notes=(),
    )


def check_paths(file: Path, paths: Sequence[str], *, follow_links: bool) -> None:
    """Refuse a table whose relative paths leave its folder.

    Raises
    ------
    ManifestError
        One does; the message names its row.
    """
    root = Root(file.parent, follow_links=follow_links)
    for row, path in enumerate(paths, start=2):
        if reason := root.refusal(path.partition("::")[0]):
            raise ManifestError(f"{file} row {row}: {path}: {reason}")


def columns_of_tree(
    tree: Tree,
    *,
    dataset: str | None = None,
    subjects: str | None = None,
    subjects_from: str | None = None,
    memo: HashMemo | None = None,
    progress: Progress | None = None,
) -> Columns:
    """Read a data set's files through its adapter.

    Parameters
    ----------
    tree : Tree
        The files by name.
    dataset : str or None
        An adapter's name; ``None`` lets the layout decide.
    subjects : ``"unknown"`` or None
        Declares that nobody knows the subjects.
    subjects_from : str or None
        A regular expression searched in each path; its group ``subject``, or its first group, is the subject id.
    memo : HashMemo or None
        Remembers digests between runs.
    progress : callable(done, total) or None
        Called as files are hashed.

    Raises
    ------
    UnknownNameError
        No adapter of that name.
    ManifestError
        No adapter knows the layout, or the subject expression does not match a labelled image.
    """
    listing = _listing(tree, dataset)
    path = tuple(entry.path for entry in listing.entries)
    label = tuple(entry.label for entry in listing.entries)
    stated = [entry.subject for entry in listing.entries]
    subject = _subjects(path, label, stated, subjects, subjects_from)
    sha256 = tuple(tree.sha256.get(name, "") for name in path)
    if not tree.sha256:
        sha256 = _with_digests(tree.root, path, sha256, memo, progress)
    return Columns(
        sample=path,
        path=path,
        label=label,
        subject=subject,
        sha256=sha256,
        official=tuple(entry.official for entry in listing.entries),
        site=tuple(entry.site for entry in listing.entries),
        declared_group=(),
        copy_of=(),
        positive=listing.positive,
        root=tree.root,
        dataset=listing.dataset,
        notes=tuple(_left_out((*listing.skipped, *tree.oddities))),
    )


def _listing(tree: Tree, dataset: str | None) -> Listing:
    if dataset is not None:
        if dataset not in ADAPTERS:
            raise UnknownNameError("data set", dataset, ADAPTERS)
        return ADAPTERS[dataset].read(tree)
    adapter = detect(tree)
    if adapter is None:
        left_out = "".join(f"; {line}" for line in _left_out(tree.oddities, shown=3))
        raise ManifestError(
            f"{tree.root}: no known layout among {len(tree.names)} files{left_out}; name it with --dataset"
            f" ({', '.join(ADAPTERS)}), arrange the images as class/…, or give a CSV with path, label, subject"
        )
    return adapter.read(tree)


def _left_out(skipped: Sequence[tuple[str, str]], shown: int = _SHOWN) -> Iterator[str]:
    """A line for every reason, with the names it holds for."""
    names_of: dict[str, list[str]] = {}
    for name, reason in skipped:
        names_of.setdefault(reason, []).append(name)
    for reason, names in names_of.items():
        more = f", … ({len(names):,} in all)" if len(names) > shown else ""
        yield f"left out ({reason}): {', '.join(names[:shown])}{more}"


def _subjects(
    path: Sequence[str], label: Sequence[str], stated: Sequence[str], subjects: str | None, subjects_from: str | None
) -> tuple[str, ...]:
    """Subject of each row: read from its path where an expression is given, else as stated, else declared unknown."""
    if subjects not in (None, UNKNOWN):
        raise UsageError(f"--subjects {subjects!r}: only 'unknown' can be said there; ids come from --subjects-from")
    if subjects_from is not None:
        if subjects is not None:
            raise UsageError("--subjects unknown and --subjects-from exclude each other; give one")
        subject_of = _subject_finder(subjects_from)
        return tuple(subject_of(name) if kind else "" for name, kind in zip(path, label, strict=True))
    missing = UNKNOWN if subjects == UNKNOWN else ""
    stated = [" ".join(unicodedata.normalize("NFC", subject).split()) for subject in stated]
    return tuple(
        # however it is written, the word must not become one subject who owns every image
        UNKNOWN if subject.lower() == UNKNOWN else subject or (missing if kind else "")
        for subject, kind in zip(stated, label, strict=True)
    )


def _subject_finder(expression: str) -> Callable[[str], str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UsageError(f"--subjects-from {expression!r} is not a regular expression: {error}") from error
    if pattern.groups < 1:
        raise UsageError(f"--subjects-from {expression!r} has no group; put the subject's part in parentheses")
    part: str | int = "subject" if "subject" in pattern.groupindex else 1

    def find(path: str) -> str:
        found = pattern.search(path)
        if not found or not found[part]:
            raise ManifestError(f"{path}: --subjects-from {expression!r} finds no subject in this path")
        return str(found[part])

    return find


def _with_digests(
    root: Path, paths: Sequence[str], known: Sequence[str], memo: HashMemo | None, progress: Progress | None
) -> tuple[str, ...]:
    """Fill in the digests that are missing; an unreadable or empty file keeps an empty one."""
    wanted = [path for path, digest in zip(paths, known, strict=True) if not digest]
    files = {path: root / path for path in wanted if not is_member(path)}
    found = (memo or HashMemo()).hash_files(files.values(), progress)
    digests = {
        path: digest for path, file in files.items() if isinstance(digest := found[file], str) and digest != _EMPTY
    }
    digests |= hash_members(root, filter(is_member, wanted))
    return tuple(digest or digests.get(path, "") for path, digest in zip(paths, known, strict=True))


def _positive_of(file: Path, label: Sequence[str], flags: Sequence[str]) -> str | None:
    named = {name for name, flag in zip(label, flags, strict=True) if flag == "1" and name}
    if len(named) > 1:
        raise ManifestError(f"{file}: column positive marks {len(named)} labels ({', '.join(sorted(named))}); mark one")
    return named.pop() if named else None


def may_be_replaced(file: Path) -> None:
    """Refuse to write a manifest over something that is none.

    Raises
    ------
    UsageError
        A folder, or a file that does not begin like a manifest.
    """
    if not file.exists():
        return
    with contextlib.suppress(OSError, UnicodeDecodeError), file.open(encoding="utf-8-sig") as stream:
        if {"path", "label"} <= {name.strip() for name in stream.readline().split(",")}:
            return
    raise UsageError(f"{file} is there and is no manifest; name another file with -o")
