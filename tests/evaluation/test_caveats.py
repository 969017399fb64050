"""What must be said is said, by whomever the predictions were made."""

from __future__ import annotations

from leukfeat.evaluation.caveats import SPLIT_UNRECORDED, caveats
from leukfeat.evaluation.runs import Run

IMAGE_LEVEL = "image-level: optimistic"
UNKNOWN = "subjects unknown: images of one patient may be on both sides"
GROUPED = {"kind": "grouped", "protection": "linked-subject", "digest": "0"}
Y, P = ["ALL", "ALL", "HEM", "HEM"], [0.9, 0.8, 0.2, 0.1]


def test_a_sound_run_has_nothing_to_add(make):
    predictions = make(Y, P, subject=["1", "1", "2", "2"], group=["1", "1", "2", "2"])
    assert caveats(Run("sound", predictions, split=GROUPED)) == ()


def test_notes_of_the_run_are_kept_once_and_the_gravest_come_first(make):
    run = Run(
        "ours", make(Y, P), split=GROUPED | {"protection": "none"}, notes=("40 groups of identical images", UNKNOWN)
    )
    assert caveats(run) == (IMAGE_LEVEL, UNKNOWN, "40 groups of identical images")


def test_copies_made_before_splitting_come_before_everything(make):
    """The test images themselves were trained on: nothing is graver."""
    copies = "augmented before splitting: 7 of 9 test images have a copy of themselves in training (leaking)"
    split = GROUPED | {"protection": "none"}
    assert caveats(Run("ours", make(Y, P), split=split, notes=(IMAGE_LEVEL, copies))) == (copies, IMAGE_LEVEL, UNKNOWN)


def test_another_tool_that_divided_subjects_is_image_level(make):
    predictions = make(Y, P, subject=["1", "1", "2", "2"], group=["1", "1", "2", "2"], fold=[0, 1, 0, 0])
    assert caveats(Run("theirs", predictions)) == (
        IMAGE_LEVEL,
        "1 subject(s) were tested in several folds",
        SPLIT_UNRECORDED,
    )


def test_another_tool_that_divided_linked_subjects_is_told(make):
    predictions = make(Y, P, subject=["1", "3", "2", "2"], group=["1+3", "1+3", "2", "2"], fold=[0, 1, 0, 0])
    assert caveats(Run("theirs", predictions)) == ("1 linked group(s) stand on both sides", SPLIT_UNRECORDED)


def test_another_tool_without_subjects_says_so(make):
    assert caveats(Run("theirs", make(Y, P))) == (UNKNOWN, SPLIT_UNRECORDED)
