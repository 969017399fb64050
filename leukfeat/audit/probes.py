"""Can an embedding tell whose cell it sees, or where it was recorded?

The probe asks each image for its nearest other image of the same class. Chance is what remains when subjects (sites)
are dealt anew among the images (the subjects), which also gives the p value. Nothing is fitted, so that a handful of
images of a subject is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.findings import Finding
from leukfeat.data.linkage import families
from leukfeat.data.manifest import Manifest
from leukfeat.errors import UsageError

Codes = NDArray[np.int64]

_CHUNK = 512  # images whose neighbours are looked for at once
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Probe:
    """How often the nearest other image of the same class is of the same subject (site).

    Attributes
    ----------
    what : ``"subject"`` or ``"site"``
        What is told.
    share : float
        Of images; NaN where it is undefined.
    chance : float
        The mean share when subjects (sites) are dealt anew.
    p_value : float
        Part of the dealings, and of the truth, in which the share is as large.
    images, units : int
        How many images were asked, of how many subjects (sites).
    reason : str
        Why it is undefined; empty where it is defined.
    """

    what: Literal["subject", "site"]
    share: float
    chance: float
    p_value: float
    images: int
    units: int
    reason: str = ""

    @classmethod
    def undefined(cls, what: Literal["subject", "site"], reason: str) -> Probe:
        """No probe, and why."""
        return cls(what, np.nan, np.nan, np.nan, 0, 0, reason)

    @property
    def defined(self) -> bool:
        """Whether there is a share."""
        return not self.reason

    def __str__(self) -> str:
        if not self.defined:
            return f"whether the embedding tells the {self.what} is undefined: {self.reason}"
        other = "other image of the same class" + (" from another group" if self.what == "site" else "")
        return (
            f"the nearest {other} is of the same {self.what} for {self.share:.1%} of {self.images:,} images, of"
            f" {self.units} {self.what}s; by chance {self.chance:.1%} ({_p_in_words(self.p_value)})"
        )

    def finding(self) -> Finding | None:
        """A finding where the share is beyond chance, a note where it is undefined, else None."""
        if not self.defined:
            return Finding.of("shortcuts-unmeasured", str(self), [{"probe": self.what, "reason": self.reason}])
        if self.p_value >= _SIGNIFICANT:
            return None
        return Finding.of(f"{self.what}-probe", str(self), [self.to_dict()])

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types; None where one is undefined."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in facts.items()}


def probe_subjects(
    embeddings: NDArray[np.floating],
    manifest: Manifest,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    n_permutations: int = 999,
    seed: int = 0,
) -> Probe:
    """Whether the nearest other image of a class is of the same subject.

    Identical images, and augmented copies of one original, are never neighbours of each other.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d)
        Of the rows.
    manifest : Manifest
        The data.
    rows : sequence of int or None
        Rows of the manifest; None for all. Those without a label are left out.
    n_permutations : int
        How often subjects are dealt anew among the images of a class.
    seed : int
        Of the dealing.

    Returns
    -------
    Probe
        Undefined where subjects are unknown, or no class has two subjects one of whom has two images.

    Raises
    ------
    UsageError
        There are not as many embeddings as rows, or some are not finite.
    """
    X, kept = _embeddings(embeddings, manifest, rows)
    if not manifest.subjects_known:
        return Probe.undefined("subject", "subjects are unknown")
    subject, label = _codes(manifest.subject, kept), _codes(manifest.label, kept)
    family = np.array(families(manifest.sample, manifest.copy_of, manifest.sha256), dtype=np.int64)[kept]
    found = [
        members[_askable(subject[members], family[members])]
        for members in (np.flatnonzero(label == k) for k in np.unique(label))
        if len(np.unique(subject[members])) > 1
    ]
    asked = np.concatenate(found) if found else np.empty(0, np.int64)
    if not len(asked):
        return Probe.undefined("subject", "no class has two subjects, one of whom has two different images")
    neighbour = _neighbours(X, label, family)
    rng = np.random.default_rng(seed)
    dealt = np.empty((n_permutations, len(subject)), dtype=np.int64)
    for k in np.unique(label):
        members = np.flatnonzero(label == k)
        dealt[:, members] = rng.permuted(np.tile(subject[members], (n_permutations, 1)), axis=1)
    return _probe("subject", subject, dealt, asked, neighbour)


def probe_sites(
    embeddings: NDArray[np.floating],
    manifest: Manifest,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    n_permutations: int = 999,
    seed: int = 0,
) -> Probe:
    """Whether the nearest image of a class, and of another subject, is from the same site.

    Sites are dealt anew among whole groups (linked subjects; images, where those are unknown), because cells of one
    subject are of one site anyway.

    Parameters
    ----------
    embeddings, manifest, rows, n_permutations, seed
        As in :func:`probe_subjects`.

    Returns
    -------
    Probe
        Undefined where no site is stated, or no class has subjects from two sites.

    Raises
    ------
    UsageError
        As :func:`probe_subjects`.
    """
    X, kept = _embeddings(embeddings, manifest, rows)
    stated = np.array([bool(manifest.site[row]) for row in kept], dtype=bool)
    if not stated.any():
        return Probe.undefined("site", "no site is stated")
    X, kept = X[stated], kept[stated]
    site, label, group = (_codes(column, kept) for column in (manifest.site, manifest.label, manifest.group))
    asked = np.concatenate(
        [
            members
            for members in (np.flatnonzero(label == k) for k in np.unique(label))
            if len(np.unique(site[members])) > 1 and len(np.unique(group[members])) > 2
        ]
        or [np.empty(0, np.int64)]
    )
    if not len(asked):
        return Probe.undefined("site", "no class has at least three subjects from two sites")
    neighbour = _neighbours(X, label, group)
    rng = np.random.default_rng(seed)
    dealt = np.empty((n_permutations, len(site)), dtype=np.int64)
    # a block is what has one site: a group, or the part of it that was recorded at one place
    _, first, block = np.unique(np.stack([label, group, site]), axis=1, return_index=True, return_inverse=True)
    for k in np.unique(label):
        members = np.flatnonzero(label == k)
        blocks, of_member = np.unique(block.ravel()[members], return_inverse=True)
        permuted = rng.permuted(np.tile(site[first[blocks]], (n_permutations, 1)), axis=1)
        dealt[:, members] = permuted[:, of_member]
    return _probe("site", site, dealt, asked, neighbour)


def _probe(
    what: Literal["subject", "site"], true: Codes, dealt: NDArray[np.int64], asked: Codes, neighbour: Codes
) -> Probe:
    asked = asked[neighbour[asked] >= 0]
    if not len(asked):
        return Probe.undefined(what, "every image of a class is a copy of one, or of one group")
    share = float((true[asked] == true[neighbour[asked]]).mean())
    under = (dealt[:, asked] == dealt[:, neighbour[asked]]).mean(axis=1)
    return Probe(
        what=what,
        share=share,
        chance=float(under.mean()),
        p_value=float((1 + (under >= share - 1e-12).sum()) / (1 + len(under))),
        images=len(asked),
        units=len(np.unique(true[asked])),
    )


def _embeddings(
    embeddings: NDArray[np.floating], manifest: Manifest, rows: Sequence[int] | NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], Codes]:
    """Standardised embeddings of the labelled rows, of length 1, and these rows."""
    numbers = np.arange(len(manifest)) if rows is None else np.asarray(rows, dtype=np.int64)
    X = np.asarray(embeddings, dtype=np.float32)
    if X.ndim != 2 or len(X) != len(numbers):
        raise UsageError(f"embeddings of shape {X.shape} for {len(numbers)} rows of {manifest.dataset}; give one a row")
    if not np.isfinite(X).all():
        raise UsageError(f"embeddings of {manifest.dataset}: {int((~np.isfinite(X)).any(axis=1).sum())} are not finite")
    labelled = np.array([bool(manifest.label[row]) for row in numbers], dtype=bool)
    X, numbers = X[labelled], numbers[labelled]
    spread = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(length > 0, length, 1), numbers


def _codes(column: Sequence[str], rows: Codes) -> Codes:
    return np.unique([column[row] for row in rows], return_inverse=True)[1].astype(np.int64)


def _askable(subject: Codes, family: Codes) -> NDArray[np.bool_]:
    """Images whose subject has another image in the class that is no copy of them."""
    families_of = {who: len(np.unique(family[subject == who])) for who in np.unique(subject).tolist()}
    return np.array([families_of[who] > 1 for who in subject.tolist()], dtype=bool)


def _neighbours(X: NDArray[np.float32], label: Codes, apart: Codes) -> Codes:
    """The most similar row of the same class with another code in ``apart``; -1 where there is none."""
    neighbour = np.full(len(X), -1, dtype=np.int64)
    for k in np.unique(label):
        members = np.flatnonzero(label == k)
        for start in range(0, len(members), _CHUNK):
            here = members[start : start + _CHUNK]
            similar = X[here] @ X[members].T  # (b, m)
            similar[apart[here][:, None] == apart[members][None, :]] = -np.inf
            best = similar.argmax(axis=1)
            known = np.isfinite(similar[np.arange(len(here)), best])
            neighbour[here[known]] = members[best[known]]
    return neighbour


def _p_in_words(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
