"""Groups of near-duplicates as a column of the manifest, so that a split keeps each on one side.

Where nobody knows the subjects, such a group is a *field* of a smear, or a cell, in several images; it is no patient,
and every split made with it says so.
"""

from __future__ import annotations

from dataclasses import replace

from leukfeat.audit.duplicates import Duplicates
from leukfeat.data.linkage import linked_groups
from leukfeat.data.manifest import Manifest
from leukfeat.data.words import FIELD_GROUP


def with_field_groups(duplicates: Duplicates) -> Manifest:
    """The manifest with its near-duplicates declared as groups.

    Parameters
    ----------
    duplicates : Duplicates
        What was found.

    Returns
    -------
    Manifest
        The same rows. Without subject ids every labelled row has a group, alone or with its near-duplicates, so that
        ``--split grouped`` can be used; with them only rows of groups that were found, which joins their subjects.
        Groups that were declared before are kept, and joined where near-duplicates join them.
    """
    manifest = duplicates.manifest
    number = duplicates.number.tolist()
    keys = [
        [("number", number[row]), *([("declared", declared)] if declared else [])]
        for row, declared in enumerate(manifest.declared_group)
    ]
    group = linked_groups(keys)
    size: dict[int, int] = {}
    stated: dict[int, str] = {}
    for row, own in enumerate(group):
        size[own] = size.get(own, 0) + 1
        if manifest.declared_group[row]:
            stated.setdefault(own, manifest.declared_group[row])
    width = max(4, len(str(len(size))))
    needed = not manifest.subjects_known  # without subjects a split needs a group of every row
    declared = tuple(
        stated.get(own, f"{FIELD_GROUP}{own + 1:0{width}d}" if needed or size[own] > 1 else "") for own in group
    )
    return replace(manifest, declared_group=declared)
