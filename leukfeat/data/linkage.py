"""Which subjects are one: ids joined wherever they share an identical image."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from leukfeat.data.words import UNKNOWN


@dataclass(frozen=True, order=True)
class Link:
    """Two subject ids that share byte-identical images.

    Attributes
    ----------
    first, second : str
        The ids, in the order of their characters.
    images : int
        Distinct images that stand under both.
    """

    first: str
    second: str
    images: int

    def __str__(self) -> str:
        return f"{self.first}={self.second} ({self.images})"


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which ``H3`` comes before ``H10``."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part != ""
    )


def repeated(sha256: Sequence[str]) -> dict[str, list[int]]:
    """Rows of every digest that occurs more than once; rows without a digest are never alike."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(sha256):
        if digest:
            rows[digest].append(row)
    return {digest: found for digest, found in rows.items() if len(found) > 1}


def links(subject: Sequence[str], sha256: Sequence[str]) -> tuple[Link, ...]:
    """Pairs of subject ids under which the same image stands, most images first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for rows in repeated(sha256).values():
        ids = sorted({subject[row] for row in rows if subject[row]})
        pairs.update(combinations(ids, 2))
    found = [Link(first, second, images) for (first, second), images in pairs.items()]
    return tuple(sorted(found, key=lambda link: (-link.images, natural(link.first), natural(link.second))))


def linked_groups(keys: Iterable[Sequence[Hashable]]) -> list[int]:
    """Number the connected components of rows that share any key (union-find).

    Parameters
    ----------
    keys : iterable of sequences
        For each row the keys it stands under, e.g. ``("subject", "20")`` and ``("image", "9c…")``.

    Returns
    -------
    list of int
        Component of each row, numbered by first appearance.

    Examples
    --------
    >>> linked_groups([["a"], ["b"], ["a", "b"], ["c"]])
    [0, 0, 0, 1]
    """
    parent: list[int] = []

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    holder: dict[Hashable, int] = {}
    for row, row_keys in enumerate(keys):
        parent.append(row)
        for key in row_keys:
            first, second = root(holder.setdefault(key, row)), root(row)
            parent[max(first, second)] = min(first, second)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(row), len(numbers)) for row in range(len(parent))]


def families(sample: Sequence[str], copy_of: Sequence[str], sha256: Sequence[str]) -> list[int]:
    """Number the families of rows: an original, its augmented copies, and whatever is byte-identical to one of them.

    Parameters
    ----------
    sample, copy_of, sha256 : sequence of str
        Id of each row, of its original (empty where it is one itself), and digest. An original need not be there:
        its copies are still siblings.

    Returns
    -------
    list of int
        Family of each row, numbered by first appearance.

    Examples
    --------
    >>> families(["a", "b", "c", "d"], ["", "a", "z", "z"], ["", "", "", ""])
    [0, 0, 1, 1]
    """
    return linked_groups(
        [("family", original or name), *([("image", digest)] if digest else [])]
        for name, original, digest in zip(sample, copy_of, sha256, strict=True)
    )


def group_names(
    sample: Sequence[str],
    subject: Sequence[str],
    sha256: Sequence[str],
    declared: Sequence[str],
    copy_of: Sequence[str],
) -> tuple[str, ...]:
    """Name the linked group of each row: one with rows of the same subject, image, declared group or original.

    Parameters
    ----------
    sample, subject, sha256, declared, copy_of : sequence of str
        Columns of a manifest. Subjects that differ only in upper and lower case are one (C-NMC writes ``h3`` and
        ``H3``); the subject ``"unknown"`` joins nobody.

    Returns
    -------
    tuple of str
        A group is called by its subjects (``20+21``), by its declared name, or, where neither is known, by its first
        sample.
    """
    keys = [
        [
            key
            for key in (
                ("subject", subject_id.casefold() if subject_id != UNKNOWN else ""),
                ("image", digest),
                ("declared", declared_group),
                ("family", original or name),
            )
            if key[1]
        ]
        for name, subject_id, digest, declared_group, original in zip(
            sample, subject, sha256, declared, copy_of, strict=True
        )
    ]
    number = linked_groups(keys)
    members: dict[int, set[str]] = {}
    named: dict[int, set[str]] = {}
    first: dict[int, str] = {}
    for row, group in enumerate(number):
        first.setdefault(group, sample[row])
        if subject[row] not in ("", UNKNOWN):
            members.setdefault(group, set()).add(subject[row])
        elif declared[row]:
            named.setdefault(group, set()).add(declared[row])
    names = {
        group: "+".join(sorted(members.get(group) or named.get(group) or {name}, key=natural))
        for group, name in first.items()
    }
    return tuple(names[group] for group in number)
