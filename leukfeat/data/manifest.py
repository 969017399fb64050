"""The manifest: which image, which class, which subject, and the digest of its bytes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.description import describe
from leukfeat.data.hashing import HashMemo, Progress
from leukfeat.data.linkage import Link, group_names, links, repeated
from leukfeat.data.listing import Tree
from leukfeat.data.reading import CELLS_CSV, columns_of_csv, columns_of_tree, is_checksum_list
from leukfeat.data.words import SUBJECTS_UNKNOWN, UNKNOWN
from leukfeat.errors import ManifestError, UsageError
from leukfeat.textfiles import write_csv

__all__ = ["SUBJECTS_UNKNOWN", "Manifest"]

_REQUIRED = ("sample", "path", "label", "subject", "sha256")
_OPTIONAL = ("official", "site", "declared_group", "copy_of")


@dataclass(frozen=True, eq=False)
class Manifest:
    """The images of a study, one row each.

    Attributes
    ----------
    sample : tuple of str
        Unique id, the path relative to the data root.
    path : tuple of str
        File, relative to ``root`` or absolute; ``file.npz::member/index`` for an image inside an array file.
    label, subject : tuple of str
        Class and subject; both are empty on unlabelled rows. The subject ``"unknown"`` on every labelled row declares
        that the data set has none.
    sha256 : tuple of str
        Hexadecimal digest of the file's bytes (of the pixels, inside an array file); empty where it could not be read.
    official, site, declared_group : tuple of str
        Part of the official split, recording site, and groups the user wants kept together; empty strings where
        nothing is stated.
    copy_of : tuple of str
        The sample that a row's image is an augmented copy of, made before splitting (see
        :mod:`leukfeat.data.copies`); empty strings for images that are none.
    positive : str or None
        The class that counts as positive. It is stated, never derived.
    root : Path
        What relative paths are relative to.
    dataset : str
        Name for people.
    notes : tuple of str
        What a reader of any result has to know about this data set.

    Raises
    ------
    ManifestError
        Columns of different length, a sample twice, a labelled row without a subject, ``unknown`` beside known
        subjects, identical images under different labels, or a copy that is no copy of an original.
    UsageError
        A positive class that is none of several labels.
    """

    sample: tuple[str, ...]
    path: tuple[str, ...]
    label: tuple[str, ...]
    subject: tuple[str, ...]
    sha256: tuple[str, ...]
    official: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    declared_group: tuple[str, ...] = ()
    copy_of: tuple[str, ...] = ()
    positive: str | None = None
    root: Path = Path()
    dataset: str = "cells"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in _OPTIONAL:
            if not getattr(self, name):
                object.__setattr__(self, name, ("",) * len(self.sample))
        for name in (*_REQUIRED[1:], *_OPTIONAL):
            if len(getattr(self, name)) != len(self.sample):
                raise ManifestError(
                    f"{self.dataset}: column {name} has {len(getattr(self, name))} rows, sample has {len(self.sample)}"
                )
        self._check_samples()
        self._check_subjects()
        self._check_labels()
        self._check_copies()

    def _check_samples(self) -> None:
        if not self.sample:
            raise ManifestError(f"{self.dataset}: no images found")
        if len(set(self.sample)) < len(self.sample):
            name, times = Counter(self.sample).most_common(1)[0]
            rows = ", ".join(str(row + 2) for row, sample in enumerate(self.sample) if sample == name)
            raise ManifestError(
                f"{self.dataset} rows {rows}: sample {name!r} stands there {times} times; keep one row an image"
            )

    def _check_subjects(self) -> None:
        labelled = [(row, self.subject[row]) for row, label in enumerate(self.label) if label]
        missing = [row for row, subject in labelled if not subject]
        if missing:
            raise ManifestError(
                f"{self.dataset} row {missing[0] + 2} ({self.sample[missing[0]]}): subject is empty"
                f" ({len(missing)} such {'row' if len(missing) == 1 else 'rows'}); give every labelled image a subject"
                " id (a CSV column, or --subjects-from), or say --subjects unknown and accept the words in every report"
            )
        unknown = [row for row, subject in labelled if subject == UNKNOWN]
        if unknown and len(unknown) < len(labelled):
            raise ManifestError(
                f"{self.dataset} row {unknown[0] + 2} ({self.sample[unknown[0]]}): subject is 'unknown' beside"
                f" {len(labelled) - len(unknown)} known ones; name all subjects or none"
            )

    def _check_labels(self) -> None:
        clashes = [
            [row for row in rows if self.label[row]]
            for rows in self.repeated.values()
            if len({self.label[row] for row in rows} - {""}) > 1
        ]
        if clashes:
            shown = "; ".join(
                " = ".join(f"{self.sample[row]} ({self.label[row]})" for row in rows[:4]) for rows in clashes[:10]
            )
            more = f"; … and {len(clashes) - 10} more" if len(clashes) > 10 else ""
            raise ManifestError(
                f"{self.dataset}: {len(clashes)} identical image(s) under different labels: {shown}{more};"
                " remove or relabel them"
            )
        # of one class alone the other may be the positive one, as in some rows taken from a larger manifest
        if self.positive is not None and self.positive not in self.classes and len(self.classes) > 1:
            raise UsageError(
                f"{self.dataset}: positive class {self.positive!r} is not a label; labels: {', '.join(self.classes)}"
            )

    def _check_copies(self) -> None:
        row_of = {sample: row for row, sample in enumerate(self.sample)}
        for row, name in enumerate(self.copy_of):
            original = row_of.get(name)  # it need not be there, as in some rows taken from a larger manifest
            if not name or original is None:
                continue
            where = f"{self.dataset} row {row + 2} ({self.sample[row]}): copy_of {name!r}"
            if self.copy_of[original]:
                raise ManifestError(
                    f"{where} is {'the row' if original == row else 'a copy'} itself; name the original"
                )
            if (self.label[row], self.subject[row]) != (self.label[original], self.subject[original]):
                raise ManifestError(f"{where} has another label or subject; a copy has those of its original")

    # ------------------------------------------------------------------ what the columns say together

    def __len__(self) -> int:
        return len(self.sample)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels there are, sorted. The order means nothing; ``positive`` does."""
        return tuple(sorted(set(self.label) - {""}))

    @cached_property
    def subjects_known(self) -> bool:
        """Whether labelled rows carry real subject ids."""
        return not any(label and subject == UNKNOWN for label, subject in zip(self.label, self.subject, strict=True))

    @cached_property
    def labelled(self) -> NDArray[np.int64]:
        """Numbers of the rows that carry a label."""
        return np.flatnonzero([bool(label) for label in self.label])

    @cached_property
    def repeated(self) -> dict[str, list[int]]:
        """Rows of every image that stands in the manifest more than once, by its digest."""
        return repeated(self.sha256)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Pairs of subject ids that share identical images."""
        known = [subject if subject != UNKNOWN else "" for subject in self.subject]
        return links(known, self.sha256)

    @cached_property
    def group(self) -> tuple[str, ...]:
        """Linked group of each row: rows that share a subject, an identical image or a declared group.

        An augmented copy shares the group of its original. See :func:`leukfeat.data.linkage.group_names`.
        """
        return group_names(self.sample, self.subject, self.sha256, self.declared_group, self.copy_of)

    @cached_property
    def digest(self) -> str:
        """sha256 over everything a result depends on: samples, labels, subjects, groups, image digests."""
        seal = hashlib.sha256(repr(self.positive).encode())
        for row in zip(self.sample, self.label, self.subject, self.group, self.sha256, self.official, strict=True):
            seal.update("\x1f".join(row).encode() + b"\x1e")
        if any(self.copy_of):
            seal.update("\x1f".join(self.copy_of).encode())
        return seal.hexdigest()

    def file(self, row: int) -> Path:
        """The file a row's image is in."""
        return self.root / self.path[row].partition("::")[0]

    def file_names(self, rows: Iterable[int]) -> list[str]:
        """The names of the files that some rows' images are in; of many rows far cheaper than their paths."""
        root = str(self.root)
        return [os.path.join(root, self.path[row].partition("::")[0]) for row in rows]  # noqa: PTH118

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Manifest:
        """The manifest of some rows, groups as they were in the whole."""
        kept = [int(row) for row in rows]
        columns = {
            name: tuple(getattr(self, name)[row] for row in kept)
            for name in ("sample", "path", "label", "subject", "sha256", "official", "site", "copy_of")
        }
        group = tuple(self.binding_group[row] for row in kept)
        return replace(self, **columns, declared_group=group)  # type: ignore[arg-type]

    @cached_property
    def binding_group(self) -> tuple[str, ...]:
        """The group of each row where something beyond its own subject holds it together; else an empty string.

        That is a declared group, or two subject ids in one group. Other rows need no declaration to stay together,
        and must not pass for declared where nobody knows the subjects.
        """
        ids: dict[str, set[str]] = {}
        declared = {group for group, name in zip(self.group, self.declared_group, strict=True) if name}
        for group, subject in zip(self.group, self.subject, strict=True):
            ids.setdefault(group, set()).update({subject} - {"", UNKNOWN})
        return tuple(group if group in declared or len(ids[group]) > 1 else "" for group in self.group)

    @cached_property
    def groups_known(self) -> bool:
        """Whether every labelled row has a subject or a declared group, so that a split can keep groups whole."""
        return self.subjects_known or all(self.declared_group[row] for row in self.labelled)

    def describe(self) -> list[str]:
        """What was found, a line each: rows, classes, subjects, links, identical images."""
        return list(describe(self))

    # ------------------------------------------------------------------ on disk

    @classmethod
    def open(
        cls,
        data: Path | str,
        *,
        dataset: str | None = None,
        subjects: str | None = None,
        subjects_from: str | None = None,
        positive: str | None = None,
        follow_links: bool = False,
        memo: HashMemo | None = None,
        progress: Progress | None = None,
    ) -> Manifest:
        """Read whatever names a data set: a manifest CSV, a folder, or a list of checksums.

        A folder's own ``cells.csv`` comes first, unless a data set is named; else the adapter that knows the layout.

        Parameters
        ----------
        data : path
            The CSV or folder.
        dataset, subjects, subjects_from, memo, progress
            As in :func:`leukfeat.data.reading.columns_of_tree`.
        positive : str or None
            The positive class, where the adapter's is not meant or there is none.
        follow_links : bool
            Take symbolic links to folders, and links that lead out of the data folder.

        Raises
        ------
        ManifestError
            Nothing there, no known layout, or a table or data set that cannot be taken as it stands.
        UsageError
            Arguments that contradict each other or the data.
        """
        data = Path(data)
        if not data.exists():
            raise ManifestError(f"{data}: no such file or folder" + ("" if data.is_absolute() else f" in {Path.cwd()}"))
        if data.is_dir() and dataset is None and subjects_from is None and (data / CELLS_CSV).is_file():
            data = data / CELLS_CSV
        if data.is_dir():
            tree = Tree.of_folder(data, follow_links=follow_links)
        elif data.suffix.lower() == ".npz":
            tree = Tree(names=(data.name,), root=data.parent)
        elif is_checksum_list(data):
            tree = Tree.of_checksums(data, follow_links=follow_links)
        elif dataset is not None:
            raise UsageError(f"{data}: --dataset {dataset} reads a folder or a checksum list, and this is a manifest")
        else:
            columns = columns_of_csv(
                data,
                subjects=subjects,
                subjects_from=subjects_from,
                follow_links=follow_links,
                memo=memo,
                progress=progress,
            )
            return cls(**(columns if positive is None else {**columns, "positive": positive}))
        columns = columns_of_tree(
            tree, dataset=dataset, subjects=subjects, subjects_from=subjects_from, memo=memo, progress=progress
        )
        return cls(**(columns if positive is None else {**columns, "positive": positive}))

    from_folder = open

    @classmethod
    def load(cls, file: Path | str) -> Manifest:
        """Read a manifest CSV."""
        return cls(**columns_of_csv(Path(file)))

    def save(self, file: Path | str) -> Path:
        """Write the manifest as CSV; paths below the file's folder become relative to it, others absolute."""
        file = Path(file)
        base = Path(os.path.abspath(file.parent))  # noqa: PTH100 (links are kept as the user wrote them)
        columns = {
            "sample": self.sample,
            "path": [_path_from(base, self.root, path) for path in self.path],
            "label": self.label,
            "subject": self.subject,
            "sha256": self.sha256,
        }
        if any(self.binding_group):
            columns["group"] = self.group if self.subjects_known else self.binding_group
        columns |= {name: getattr(self, name) for name in ("official", "site", "copy_of") if any(getattr(self, name))}
        if self.positive is not None:
            columns["positive"] = [str(int(label == self.positive)) if label else "" for label in self.label]
        return write_csv(file, [tuple(columns), *zip(*columns.values(), strict=True)])


def _path_from(base: Path, root: Path, path: str) -> str:
    name, mark, member = path.partition("::")
    whole = Path(os.path.abspath(root / name))  # noqa: PTH100
    inside = whole.relative_to(base).as_posix() if whole.is_relative_to(base) else str(whole)
    return inside + mark + member
