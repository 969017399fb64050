"""A manifest in words: what was found, a line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from leukfeat.data.words import FIELD_GROUP, FIELDS_ARE_NO_PATIENTS, SUBJECTS_UNKNOWN

if TYPE_CHECKING:
    from leukfeat.data.manifest import Manifest


def describe(manifest: Manifest) -> Iterator[str]:
    """Rows, classes, official parts, subjects, links, identical images, unreadable files, notes.

    Parameters
    ----------
    manifest : Manifest
        What is described.

    Yields
    ------
    str
        One line without a newline.
    """
    yield f"{manifest.dataset}: {len(manifest):,} images, {len(manifest.labelled):,} labelled"
    positive = f"positive: {manifest.positive}" if manifest.positive else "positive class: not stated"
    yield f"classes: {_counts(label for label in manifest.label if label) or 'none'}; {positive}"
    yield from _parts(manifest)
    if len(manifest.labelled):
        yield from _subjects(manifest)
    same = manifest.repeated
    if same:
        crossing = sum(len({manifest.official[row] for row in rows}) > 1 for rows in same.values())
        over = f", {crossing} of them across official parts" if any(manifest.official) else ""
        yield f"identical files: {len(same)} groups ({sum(map(len, same.values()))} files){over}"
    if any(manifest.copy_of):
        made = (label for label, original in zip(manifest.label, manifest.copy_of, strict=True) if original)
        yield f"augmented copies of other images: {_tally(made)}"
    unread = sum(not digest for digest in manifest.sha256)
    if unread:
        yield f"not readable: {unread} files (no digest)"
    yield from manifest.notes


def cautions(manifest: Manifest) -> tuple[str, ...]:
    """What a reader of any result on this data set has to know, however it is split."""
    found: list[str] = []
    if not manifest.subjects_known:
        found.append(SUBJECTS_UNKNOWN)
        if any(name.startswith(FIELD_GROUP) for name in manifest.declared_group):
            found.append(FIELDS_ARE_NO_PATIENTS)
        if manifest.repeated:
            found.append(f"{len(manifest.repeated)} groups of identical images")
    elif manifest.links:
        found.append(f"{len(manifest.links)} linked pair(s) of subject ids (they share identical images)")
    copies = sum(bool(manifest.copy_of[row]) for row in manifest.labelled)
    if copies:
        found.append(f"{copies:,} of {len(manifest.labelled):,} labelled images are augmented copies of others")
    unchecked = sum(not manifest.sha256[row] for row in manifest.labelled)
    if unchecked:
        found.append(f"{unchecked} labelled images have no checksum: identical copies among them cannot be found")
    return tuple(found)


def _parts(manifest: Manifest) -> Iterator[str]:
    """Every official part, and the folds among them together."""
    rows = list(zip(manifest.official, manifest.label, strict=True))
    parts = sorted(set(manifest.official) - {""})
    folds = {part for part in parts if part.startswith("fold_")}
    for part in parts:
        yield f"  {part}: {_tally(label for here, label in rows if here == part)}"
    if len(folds) > 1:
        yield f"  folds together: {_tally(label for here, label in rows if here in folds)}"


def _subjects(manifest: Manifest) -> Iterator[str]:
    if not manifest.subjects_known:
        yield SUBJECTS_UNKNOWN
        return
    subjects = {(manifest.label[row], manifest.subject[row]) for row in manifest.labelled}
    groups = {(manifest.label[row], manifest.group[row]) for row in manifest.labelled}
    yield f"subjects: {_owners(manifest, subjects)}"
    spelt = _spelt_twice(manifest)
    if spelt:
        yield "ids that differ only in upper and lower case, kept together: " + ", ".join(spelt)
    if manifest.links:
        yield "linked subjects (ids with identical images, and how many): " + ", ".join(map(str, manifest.links))
    if len({group for _, group in groups}) != len({subject for _, subject in subjects}):
        yield f"linked groups: {_owners(manifest, groups)}"


def _spelt_twice(manifest: Manifest) -> list[str]:
    spellings: dict[str, set[str]] = {}
    for row in manifest.labelled:
        spellings.setdefault(manifest.subject[row].casefold(), set()).add(manifest.subject[row])
    return sorted("/".join(sorted(names)) for names in spellings.values() if len(names) > 1)


def _owners(manifest: Manifest, owners: set[tuple[str, str]]) -> str:
    """``73 (47 ALL + 26 HEM)``, from pairs of class and owner; an owner with cells of two classes counts in both."""
    by_class = Counter(label for label, _ in owners)
    return f"{len({owner for _, owner in owners})} (" + " + ".join(f"{by_class[k]} {k}" for k in manifest.classes) + ")"


def _tally(labels: Iterable[str]) -> str:
    labels = list(labels)
    return f"{len(labels):,} ({_counts(label or 'unlabelled' for label in labels)})"


def _counts(labels: Iterable[str]) -> str:
    return ", ".join(f"{label} {number:,}" for label, number in sorted(Counter(labels).items()))
