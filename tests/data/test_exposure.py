"""Laws of what an encoder has seen: nobody is tested on it by accident."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import LeakageError

MakeManifest = Callable[..., Manifest]
ROWS = [("20", "a", "x"), ("21", "a", "x"), ("21", "a", "z"), ("7", "b"), ("8", "b", "y"), ("", "", "y")]


def test_an_image_or_a_linked_subject_that_was_seen_is_refused(make_manifest: MakeManifest) -> None:
    """Row 2 is another image of another id, but its id shares an image with the one trained on."""
    manifest = make_manifest(ROWS)
    seen = Seen.of_rows(manifest, [0])
    seen.refuse(manifest, [3, 4])
    for row in (0, 1, 2):
        with pytest.raises(LeakageError, match="took part in training"):
            seen.refuse(manifest, [3, row])


def test_an_image_is_known_without_its_subject(make_manifest: MakeManifest) -> None:
    """An unlabelled copy trains as well as the original."""
    manifest = make_manifest(ROWS)
    with pytest.raises(LeakageError, match="1 test image"):
        Seen.of_rows(manifest, [5]).refuse(manifest, [4])


def test_a_linked_subject_is_known_where_the_link_is_not(make_manifest: MakeManifest) -> None:
    """The test manifest may hold only some rows, in which 21 shares no image with anybody."""
    seen = Seen.of_rows(make_manifest(ROWS), [0])
    elsewhere = make_manifest([("21", "a", "q"), ("9", "b", "r")])
    with pytest.raises(LeakageError, match="21"):
        seen.refuse(elsewhere, [0])
    seen.refuse(elsewhere, [1])


def test_a_subject_is_known_however_it_is_spelt(make_manifest: MakeManifest) -> None:
    """Upper and lower case make no other subject (C-NMC writes h3 and H3), in two manifests no more than in one."""
    seen = Seen.of_rows(make_manifest([("H3", "a", "p"), ("H4", "b", "q")]), [0])
    elsewhere = make_manifest([("h3", "a", "r"), ("h4", "b", "s")])
    with pytest.raises(LeakageError, match="h3"):
        seen.refuse(elsewhere, [0])
    seen.refuse(elsewhere, [1])
    seen.beyond(Seen.of_rows(elsewhere, [0])).refuse(elsewhere, [0])  # declared, in the other spelling


def test_a_linked_subject_is_known_where_only_the_test_manifest_has_the_link(make_manifest: MakeManifest) -> None:
    """The encoder met 20 before anybody knew that 21 is the same patient."""
    seen = Seen.of_rows(make_manifest([("20", "a", "p"), ("9", "b", "r")]), [0])
    with pytest.raises(LeakageError, match="20"):
        seen.refuse(make_manifest(ROWS), [2])
    seen.refuse(make_manifest(ROWS), [3])


def test_what_two_encoders_saw_is_joined(make_manifest: MakeManifest) -> None:
    """Concatenated features saw what either part saw."""
    manifest = make_manifest(ROWS)
    both = Seen.of_rows(manifest, [0]) | Seen.of_rows(manifest, [3]) | Seen(unknown=True)
    assert both.unknown
    for row in (0, 3):
        with pytest.raises(LeakageError):
            both.refuse(manifest, [row])


def test_nothing_seen_refuses_nothing(make_manifest: MakeManifest) -> None:
    """Public weights serve every fold; unreadable images and unknown subjects match nobody."""
    manifest = make_manifest([("unknown", "a"), ("unknown", "b"), ("unknown", "b")])
    Seen().refuse(manifest, range(3))
    Seen(unknown=True).refuse(manifest, range(3))
    Seen.of_rows(manifest, [0]).refuse(manifest, [1, 2])
    assert Seen.of_rows(manifest, []) == Seen()


def test_a_description_can_be_read_again(make_manifest: MakeManifest) -> None:
    """Weights, feature files and remembered answers all keep it; what was lost on the way could be tested on."""
    for seen in (Seen.of_rows(make_manifest(ROWS), [0, 3]), Seen(unknown=True), Seen()):
        assert Seen.from_description(json.loads(json.dumps(seen.describe()))) == seen


@pytest.mark.parametrize("gap", [{}, {"images": []}, {"groups": []}, {"images": "ab", "groups": []}])
def test_a_description_with_a_gap_is_refused(gap: dict[str, object]) -> None:
    """It does not mean that nothing was seen."""
    with pytest.raises((KeyError, TypeError)):
        Seen.from_description(gap)


def test_what_a_split_declares_is_not_held_against_the_encoder(make_manifest: MakeManifest) -> None:
    """A split by image shares subjects knowingly; an encoder that saw more than its training part is still refused."""
    manifest = make_manifest(ROWS)
    training_part = Seen.of_rows(manifest, [0, 3])
    training_part.beyond(training_part).refuse(manifest, [1, 2, 4])
    other_fold = Seen.of_rows(manifest, [0, 4])
    with pytest.raises(LeakageError, match="1 test image"):
        other_fold.beyond(training_part).refuse(manifest, [4])
