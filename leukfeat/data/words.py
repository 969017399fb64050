"""Words that are written in one place and read in another: a marker in data, and what must stand beside numbers."""

from __future__ import annotations

UNKNOWN = "unknown"
"""In the subject column: the user has declared that nobody knows."""

SUBJECTS_UNKNOWN = "subjects unknown: images of one patient may be on both sides"

IMAGE_LEVEL = "image-level: optimistic"

COPIES_LEAK = "augmented before splitting"
"""How the note of a split begins in which an augmented copy of a tested image may have been trained on."""

FIELD_GROUP = "field-"
"""How a declared group is called that near-duplicate images make: a field of a smear, or a cell, and no patient."""

FIELDS_ARE_NO_PATIENTS = "groups are fields (near-duplicate images), not patients"

_PROTECTION = {
    "linked-subject": "linked subjects are never divided",
    "subject": "subjects are never divided",
    "none": "nothing keeps subjects apart",
}
_DECLARED = {"linked-subject": "declared groups are never divided"}


def protection_in_words(protection: str, *, subjects_known: bool) -> str:
    """What a split keeps apart, for people; a protection of another version is given back as it is.

    Parameters
    ----------
    protection : str
        As a split names it.
    subjects_known : bool
        Where they are not, whole groups are those that the user declared, and no promise about subjects is made.

    Examples
    --------
    >>> protection_in_words("linked-subject", subjects_known=True)
    'linked subjects are never divided'
    >>> protection_in_words("linked-subject", subjects_known=False)
    'declared groups are never divided'
    """
    words = _PROTECTION if subjects_known else _PROTECTION | _DECLARED
    return words.get(protection, protection)
