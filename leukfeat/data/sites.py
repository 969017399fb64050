"""Several data sets of one label meaning as one manifest: whose rows are whose, and what sites must not share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from leukfeat.data.manifest import Manifest
from leukfeat.data.words import UNKNOWN
from leukfeat.errors import LeakageError, ManifestError, UsageError

Labels = Mapping[str, str | None]
"""A site's own labels, and what they are called everywhere; None leaves the images of a label out."""

_COLUMNS = ("sample", "path", "label", "subject", "sha256", "official", "site", "declared_group", "copy_of")


def part_of(site: str) -> str:
    """The official part that holds a site's rows, so that a split can test on it.

    Examples
    --------
    >>> part_of("munich")
    'site munich'
    """
    return f"site {site}"


def relabelled(manifest: Manifest, labels: Labels) -> Manifest:
    """The labelled rows of a manifest under other names; several labels may become one.

    Parameters
    ----------
    manifest : Manifest
        A site.
    labels : mapping
        Labels that are not in it keep their name.

    Raises
    ------
    UsageError
        A label that the site does not have, or nothing is left.
    """
    foreign = sorted(set(labels) - set(manifest.classes))
    if foreign:
        raise UsageError(
            f"{manifest.dataset}: labels names {foreign[0]!r}, which it does not have; its labels:"
            f" {', '.join(manifest.classes)}"
        )
    named = {name: labels.get(name, name) for name in manifest.classes}
    kept = [int(row) for row in manifest.labelled if named[manifest.label[row]] is not None]
    if not kept:
        raise UsageError(f"{manifest.dataset}: labels leaves every image out")
    some = replace(manifest.take(kept), positive=None)
    renamed = tuple(named[name] or "" for name in some.label)
    positive = None if manifest.positive is None else named.get(manifest.positive)
    return replace(some, label=renamed, positive=positive if positive in renamed else None)


def join_sites(sites: Mapping[str, Manifest]) -> Manifest:
    """The labelled rows of sites, one below the other; every row knows its site, and no id means two things.

    Samples become ``site/sample`` and subjects ``site:subject``: two hospitals that both number their patients from 1
    have no patient in common. Where a site of several does not know its subjects, the joined manifest knows none, and
    groups take their place; a split between sites divides none of them.

    Parameters
    ----------
    sites : mapping of str to Manifest
        By name.

    Returns
    -------
    Manifest
        ``site`` is the name, and ``official`` the part that :func:`part_of` names.

    Raises
    ------
    LeakageError
        The same image stands at two sites.
    ManifestError
        The sites' positive classes differ.
    """
    known = all(manifest.subjects_known for manifest in sites.values())
    columns: dict[str, list[str]] = {name: [] for name in _COLUMNS}
    notes: list[str] = []
    for name, manifest in sites.items():
        notes += [f"{name}: {note}" for note in manifest.notes]
        base = Path(os.path.abspath(manifest.root))  # noqa: PTH100 (links are kept as the user wrote them)
        for row in manifest.labelled:
            group = manifest.binding_group[row] if known or len(sites) == 1 else manifest.group[row]
            columns["sample"].append(f"{name}/{manifest.sample[row]}")
            columns["path"].append(str(base / manifest.path[row]))
            columns["label"].append(manifest.label[row])
            columns["subject"].append(f"{name}:{manifest.subject[row]}" if known else UNKNOWN)
            columns["sha256"].append(manifest.sha256[row])
            columns["official"].append(part_of(name))
            columns["site"].append(name)
            columns["declared_group"].append(f"{name}:{group}" if group else "")
            columns["copy_of"].append(f"{name}/{manifest.copy_of[row]}" if manifest.copy_of[row] else "")
    _refuse_shared(columns["sample"], columns["sha256"], columns["site"])
    return Manifest(
        **{name: tuple(column) for name, column in columns.items()},  # type: ignore[arg-type]
        positive=_positive(sites),
        dataset=" + ".join(sites),
        notes=tuple(notes),
    )


def _refuse_shared(sample: Sequence[str], sha256: Sequence[str], site: Sequence[str]) -> None:
    first: dict[str, int] = {}
    shared = {
        digest: (sample[first[digest]], sample[row])
        for row, digest in enumerate(sha256)
        if digest and site[first.setdefault(digest, row)] != site[row]
    }
    if shared:
        one, other = next(iter(shared.values()))
        raise LeakageError(
            f"{len(shared)} identical image(s) stand at two sites, e.g. {one} = {other}; a model would be tested on"
            " what it was trained on: take them, and whoever they are from, out of one of the sites"
        )


def _positive(sites: Mapping[str, Manifest]) -> str | None:
    stated = {name: manifest.positive for name, manifest in sites.items() if manifest.positive is not None}
    if len(set(stated.values())) > 1:
        told = ", ".join(f"{positive!r} at {name}" for name, positive in stated.items())
        raise ManifestError(f"sites: the positive class is {told}; make it one with labels: or positive:")
    return next(iter(stated.values()), None)
