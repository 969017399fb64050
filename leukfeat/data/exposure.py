"""What an encoder has been trained on, so that nobody can be tested on it by accident."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.manifest import Manifest
from leukfeat.data.words import UNKNOWN
from leukfeat.errors import LeakageError


@dataclass(frozen=True)
class Seen:
    """Images and groups that took part in training an encoder.

    Attributes
    ----------
    images : frozenset of str
        sha256 of each image.
    groups : frozenset of str
        Linked groups the images came from, and the subjects in them: a manifest of other rows may not know the links.
    unknown : bool
        Nobody can say: foreign weights. Outputs carry the words; no test can be refused.
    """

    images: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    unknown: bool = False

    @classmethod
    def of_rows(cls, manifest: Manifest, rows: Sequence[int] | NDArray[np.int64]) -> Seen:
        """The images and groups of some rows, with every subject that is linked to one of theirs."""
        groups = {manifest.group[row] for row in rows}
        linked = {
            subject
            for subject, group in zip(manifest.subject, manifest.group, strict=True)
            if group in groups and subject != UNKNOWN
        }
        return cls(
            images=frozenset(manifest.sha256[row] for row in rows) - {""},
            groups=frozenset(groups | linked) - {""},
        )

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return {"images": sorted(self.images), "groups": sorted(self.groups), "unknown": self.unknown}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Seen:
        """What :meth:`describe` described.

        Raises
        ------
        KeyError, TypeError
            Images or groups are not stated, or are no lists: a record with a gap is not a record of nothing seen.
        """
        images, groups = description["images"], description["groups"]
        if isinstance(images, str) or isinstance(groups, str):
            raise TypeError("images and groups are lists of names, not one name")
        return cls(frozenset(images), frozenset(groups), bool(description.get("unknown", False)))

    def __or__(self, other: Seen) -> Seen:
        return Seen(self.images | other.images, self.groups | other.groups, self.unknown or other.unknown)

    def beyond(self, declared: Seen) -> Seen:
        """What was seen besides what is declared, e.g. besides the training part that a fold itself gives away.

        A split by image puts one subject, or two identical images, on both sides and says so; an encoder trained on
        that training part has seen no more than the split declares.
        """
        names = {name.casefold() for name in declared.groups}
        groups = frozenset(name for name in self.groups if name.casefold() not in names)
        return Seen(self.images - declared.images, groups, self.unknown)

    def refuse(self, manifest: Manifest, rows: Sequence[int] | NDArray[np.int64]) -> None:
        """Raise if any of the rows was seen.

        Raises
        ------
        LeakageError
            A row's image, or its group, took part in training.
        """
        images = [row for row in rows if manifest.sha256[row] in self.images]
        names = {name.casefold() for name in self.groups}  # as groups are made: upper and lower case are one subject
        # whoever is linked to a subject that was seen, was seen, even where only this manifest knows of the link
        met = {
            group
            for group, subject in zip(manifest.group, manifest.subject, strict=True)
            if names and (group.casefold() in names or subject.casefold() in names)
        }
        groups = sorted({manifest.group[row] for row in rows} & met)
        if images or groups:
            example = manifest.sample[images[0]] if images else f"subject group {groups[0]}"
            raise LeakageError(
                f"{manifest.dataset}: {len(images)} test image(s) and {len(groups)} test group(s) took part in training"
                f" the encoder, e.g. {example}; use features of an encoder trained on this fold's training part only"
            )
