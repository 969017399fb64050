"""What an adapter reads from and what it hands over: a tree of names in, a listing of entries out."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from leukfeat.data.confinement import Root
from leukfeat.errors import ManifestError
from leukfeat.textfiles import plain_cell

LONGEST_NAME = 1024  # characters of a path or id; a column becomes an array in which every name takes as much room

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Entry:
    """One image as a data set's own files describe it; an empty string is "not stated".

    Attributes
    ----------
    path : str
        POSIX path relative to the data root; ``file.npz::member/index`` for an image inside an array file.
    label, subject, official, site : str
        Class, subject id, official part (``fold_0`` …, ``train``, ``prelim``, ``final``), recording site.
    """

    path: str
    label: str = ""
    subject: str = ""
    official: str = ""
    site: str = ""


@dataclass(frozen=True)
class Listing:
    """The entries of a data set and the names that could not be made an entry of."""

    dataset: str
    entries: tuple[Entry, ...]
    positive: str | None = None
    skipped: tuple[tuple[str, str], ...] = ()  # (name, reason)


@dataclass(frozen=True)
class Tree:
    """The files of a data set by name, from a folder or from a checksum list without any image.

    Attributes
    ----------
    names : tuple of str
        POSIX paths relative to ``root``, sorted.
    root : Path
        The folder; for a checksum list the folder the list lies in.
    sha256 : mapping of str to str
        Checksums that came with a list; empty for a folder.
    oddities : tuple of (name, reason)
        What was met on the way and is no regular file, e.g. a folder named like an image.
    """

    names: tuple[str, ...]
    root: Path
    sha256: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    oddities: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_folder(cls, folder: Path, *, follow_links: bool = False) -> Tree:
        """List a folder's files, hidden ones left out.

        Parameters
        ----------
        folder : Path
            Its files are listed, and those of the folders in it.
        follow_links : bool
            Take symbolic links to folders, and links out of ``folder``, as what they lead to, each folder once.
            Without it they are oddities.

        Raises
        ------
        ManifestError
            No such folder.
        """
        if not folder.is_dir():
            raise ManifestError(f"{folder}: no such folder")
        root = Root(folder, follow_links=follow_links)
        names: list[str] = []
        oddities: list[tuple[str, str]] = []

        def unreadable(error: OSError) -> None:
            oddities.append((str(error.filename), f"a folder that cannot be read: {error.strerror}"))

        for here, folders, files in os.walk(folder, onerror=unreadable, followlinks=follow_links):
            inside = Path(here).relative_to(folder)
            shown = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
            refused = {name: reason for name in shown if (reason := root.folder_refusal(f"{here}{os.sep}{name}"))}
            oddities += [((inside / name).as_posix(), reason) for name, reason in refused.items()]
            folders[:] = [name for name in shown if name not in refused]
            for name in files:
                path = (inside / name).as_posix()
                if name.startswith("."):
                    continue
                if reason := _unspeakable(path) or root.refusal(path):
                    oddities.append((path.encode(errors="replace").decode(), reason))
                else:
                    names.append(path)
            oddities += [
                ((inside / name).as_posix(), "a folder named like an image")
                for name in folders
                if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
            ]
        return cls(names=tuple(sorted(names)), root=folder, oddities=tuple(sorted(oddities)))

    @classmethod
    def of_checksums(cls, file: Path, *, follow_links: bool = False) -> Tree:
        """Read a checksum list: a CSV or TSV with the columns ``path``, ``sha256`` and, optionally, ``bytes``.

        Raises
        ------
        ManifestError
            The file is no such list, is empty, lists a path twice, or one that leads out of its folder.
        """
        rows = read_table(file)
        lacking = [name for name in ("path", "sha256") if name not in rows[0]]
        if lacking:
            raise ManifestError(
                f"{file}: column {', '.join(lacking)} is missing; it has {', '.join(rows[0])};"
                " a checksum list needs path and sha256"
            )
        sums: dict[str, str] = {}
        root = Root(file.parent, follow_links=follow_links)
        for line, row in enumerate(rows, start=2):
            path, digest = row["path"].strip(), row["sha256"].strip().lower()
            if not path or not is_digest(digest):
                raise ManifestError(f"{file} line {line}: needs a path and a sha256 of 64 hexadecimal digits")
            if reason := root.refusal(path):
                raise ManifestError(f"{file} line {line}: {path}: {reason}")
            if path in sums:
                raise ManifestError(f"{file} line {line}: {path} is listed twice")
            sums[path] = digest
        return cls(names=tuple(sorted(sums)), root=file.parent, sha256=MappingProxyType(sums))

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The names with an image's suffix."""
        return tuple(name for name in self.names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES)

    def text(self, name: str) -> str | None:
        """The text of one file, or None when only its name is known.

        Raises
        ------
        ManifestError
            The file cannot be read, or is not UTF-8.
        """
        file = self.root / name
        if self.sha256:
            return None
        try:
            return file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{file}: cannot be read as UTF-8 text: {error}") from error


def read_table(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV or TSV with a header, every cell a string; never empty.

    Raises
    ------
    ManifestError
        The file is missing, not UTF-8 or not a table; a column stands there twice; a row is longer or shorter than the
        header, or holds a null character; there are no rows.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            head = stream.readline()
            # spreadsheets of half the world write semicolons
            delimiter = "\t" if "\t" in head else ";" if ";" in head and "," not in head else ","
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
            reader.fieldnames = [plain_cell(name.strip()) for name in reader.fieldnames or ()]
            columns = reader.fieldnames
            if len(set(columns)) < len(columns):
                ((twice, _),) = Counter(columns).most_common(1)
                raise ManifestError(f"{file}: column {twice!r} stands there twice; keep one")
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    kind = "more" if None in row else "fewer"
                    raise ManifestError(
                        f"{file} row {reader.line_num}: has {kind} fields than the header; quote commas"
                    )
                nulls = [name for name, cell in row.items() if "\0" in cell]
                if nulls:
                    raise ManifestError(f"{file} row {reader.line_num}: column {nulls[0]} holds a null character")
                rows.append({name: plain_cell(cell) for name, cell in row.items()})
    except FileNotFoundError:
        raise ManifestError(f"{file}: no such file") from None
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{file}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except (OSError, csv.Error) as error:
        raise ManifestError(f"{file}: cannot be read as a CSV: {error}") from error
    if not rows:
        raise ManifestError(f"{file}: holds no rows")
    return rows


def check_lengths(file: Path, columns: Mapping[str, Sequence[str]]) -> None:
    """Refuse names and paths that are longer than any system takes.

    Raises
    ------
    ManifestError
        One is; the message names its row.
    """
    for name, column in columns.items():
        longest = max(column, key=len, default="")
        if len(longest) > LONGEST_NAME:
            raise ManifestError(
                f"{file} row {column.index(longest) + 2}: column {name} has {len(longest):,} characters;"
                f" at most {LONGEST_NAME:,} are read"
            )


def is_digest(text: str) -> bool:
    """Whether a text is a sha256 in lower-case hexadecimal."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _unspeakable(path: str) -> str | None:
    """Why a file name cannot stand in a manifest, if so."""
    if "::" in path:
        return "'::' in a name marks an image inside an array file; rename it"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not valid UTF-8; rename it"
    return None
