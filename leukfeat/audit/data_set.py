"""What a data set gives away about itself before any split: copies, linked subjects, subjects of one class."""

from __future__ import annotations

from collections.abc import Iterator

from leukfeat.audit.duplicates import Duplicates, crossing_groups
from leukfeat.audit.findings import Finding
from leukfeat.data.linkage import natural
from leukfeat.data.manifest import Manifest
from leukfeat.data.words import UNKNOWN

_SHOWN = 20  # subjects in the evidence


def manifest_findings(manifest: Manifest) -> tuple[Finding, ...]:
    """What the columns of a manifest say: identical files, links, subjects of one class, sites of one class."""
    unread = [row for row, digest in enumerate(manifest.sha256) if not digest]
    return (
        *_identical(manifest),
        *_links(manifest),
        *_subjects(manifest),
        *_sites(manifest),
        *_unread(manifest, unread),
    )


def duplicate_findings(duplicates: Duplicates) -> tuple[Finding, ...]:
    """What a search for duplicates has found, whatever the split.

    Identical files are :func:`manifest_findings`' to tell.
    """
    manifest, near = duplicates.manifest, duplicates.near_groups
    found: list[Finding] = []
    if near:
        count = sum(map(len, near))
        words = f"{len(near):,} groups of near-duplicates ({count:,} images, the largest {max(map(len, near))})"
        found.append(Finding.of("near-duplicates", words, [duplicates.evidence(rows) for rows in near]))
    same = list(crossing_groups(duplicates, manifest.label, duplicates.same_pixels))
    if same:
        words = f"{len(same):,} image(s) with the same pixels under different labels"
        found.append(Finding.of("identical-across-labels", words, [duplicates.evidence(rows) for rows in same]))
    known = [rows for rows in crossing_groups(duplicates, manifest.label) if rows not in same]
    if known:
        words = f"{len(known):,} groups of near-duplicates under different labels"
        found.append(Finding.of("near-duplicate-across-labels", words, [duplicates.evidence(rows) for rows in known]))
    # the group of a row is its linked subject: what identical files already link is no news
    linked = ["" if manifest.subject[row] in ("", UNKNOWN) else manifest.group[row] for row in range(len(manifest))]
    across = list(crossing_groups(duplicates, linked))
    if across:
        words = f"{len(across):,} groups of near-duplicates under different subjects that nothing else links"
        evidence = [
            {**duplicates.evidence(rows), "subjects": [manifest.subject[row] for row in rows]} for rows in across
        ]
        found.append(Finding.of("near-duplicate-across-subjects", words, evidence))
    found += _unread(manifest, [row for row in duplicates.unread if manifest.sha256[row]])
    return tuple(found)


def _identical(manifest: Manifest) -> Iterator[Finding]:
    groups = list(manifest.repeated.values())
    if groups:
        words = f"{len(groups):,} groups of identical files ({sum(map(len, groups)):,} files)"
        yield Finding.of(
            "identical-images", words, [{"samples": [manifest.sample[row] for row in rows]} for rows in groups]
        )


def _links(manifest: Manifest) -> Iterator[Finding]:
    if not manifest.links:
        return
    words = ", ".join(map(str, manifest.links[:_SHOWN]))
    evidence = [{"subjects": [link.first, link.second], "images": link.images} for link in manifest.links]
    yield Finding.of("linked-subjects", f"{len(manifest.links)} pair(s) of subject ids share images: {words}", evidence)


def _subjects(manifest: Manifest) -> Iterator[Finding]:
    if not manifest.subjects_known:
        yield Finding.of("subjects-unknown", f"no subject ids for {len(manifest.labelled):,} labelled images")
        return
    labels: dict[str, set[str]] = {}
    for row in manifest.labelled:
        labels.setdefault(manifest.subject[row], set()).add(manifest.label[row])
    mixed = sorted((name for name, own in labels.items() if len(own) > 1), key=natural)
    if mixed:
        words = f"{len(mixed)} of {len(labels)} subjects have cells of several classes"
        yield Finding.of("mixed-class-subjects", words, [{"subjects": mixed[:_SHOWN]}])
    elif len(labels) > 1:
        yield Finding.of("one-class-subjects", f"each of {len(labels)} subjects has cells of one class only")


def _sites(manifest: Manifest) -> Iterator[Finding]:
    labels: dict[str, set[str]] = {}
    for row in manifest.labelled:
        labels.setdefault(manifest.site[row], set()).add(manifest.label[row])
    labels.pop("", None)
    if len(labels) > 1 and len(manifest.classes) > 1 and all(len(own) == 1 for own in labels.values()):
        words = f"each of {len(labels)} sites has one class only"
        yield Finding.of("site-confounded", words, [{"site": site, "class": min(own)} for site, own in labels.items()])


def _unread(manifest: Manifest, rows: list[int]) -> Iterator[Finding]:
    if rows:
        words = f"{len(rows):,} image(s) could not be read"
        yield Finding.of("unread-images", words, [{"samples": [manifest.sample[row] for row in rows[:_SHOWN]]}])
