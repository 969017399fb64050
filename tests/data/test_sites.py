"""Sites as one manifest: ids of two sites never collide, and an image belongs to one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.data.sites import join_sites, part_of, relabelled
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import LeakageError, ManifestError, UsageError

Make = Callable[..., Manifest]


@pytest.fixture
def first(make_manifest: Make) -> Manifest:
    """Subjects 1 and 2 of class a, 3 of class b; 1 and 2 share an image; one row has no label."""
    rows = [("1", "a", "same"), ("2", "a", "same"), ("1", "a", "p"), ("3", "b", "q"), ("", "", "r")]
    return make_manifest(rows, positive="a", root=Path("/one"), dataset="one")


@pytest.fixture
def second(make_manifest: Make) -> Manifest:
    """Subjects with the same ids as those of the first site, and other images."""
    return make_manifest([("1", "a", "s"), ("2", "b", "t"), ("2", "b", "u")], root=Path("/two"), dataset="two")


def test_ids_of_two_sites_never_collide(first: Manifest, second: Manifest) -> None:
    """Both sites number their patients from 1: that makes nobody a patient of both."""
    both = join_sites({"A": first, "B": second})
    assert both.sample[0] == "A/00000.png"
    assert both.sample[4] == "B/00000.png"
    assert both.group == ("A:1+A:2", "A:1+A:2", "A:1+A:2", "A:3", "B:1", "B:2", "B:2")
    assert both.site == ("A",) * 4 + ("B",) * 3
    assert both.positive == "a"
    assert both.file(4) == Path("/two/00000.png")


def test_a_split_between_sites_divides_nobody(first: Manifest, second: Manifest) -> None:
    both = join_sites({"A": first, "B": second})
    plan = SplitPlan.fixed_test(both, part_of("B"))
    assert plan.protection == "linked-subject"
    (fold,) = plan.folds
    assert [both.site[row] for row in fold.train] == ["A"] * 4
    assert [both.site[row] for row in fold.test] == ["B"] * 3


def test_a_joined_manifest_outlives_its_process(first: Manifest, second: Manifest, tmp_path: Path) -> None:
    both = join_sites({"A": first, "B": second})
    assert Manifest.load(both.save(tmp_path / "both.csv")).digest == both.digest


def test_where_one_site_knows_no_subjects_groups_take_their_place(first: Manifest, make_manifest: Make) -> None:
    """Images of the unknown site stand alone, identical ones together; the known site keeps its subjects whole."""
    unknown = make_manifest([("unknown", "a", "s"), ("unknown", "a", "s"), ("unknown", "b", "t")], root=Path("/two"))
    both = join_sites({"A": first, "B": unknown})
    assert not both.subjects_known
    assert both.groups_known
    assert len(set(both.group[:4])) == 2
    assert both.group[4] == both.group[5] != both.group[6]
    assert SplitPlan.fixed_test(both, part_of("A")).protection == "linked-subject"
    assert not join_sites({"B": unknown}).groups_known, "alone, images are no groups that anybody declared"


def test_an_image_of_two_sites_is_refused(first: Manifest, make_manifest: Make) -> None:
    twin = make_manifest([("9", "a", "p"), ("8", "b", "z")])
    with pytest.raises(LeakageError, match=r"1 identical image\(s\) stand at two sites, e\.g\. A/00002\.png = B/00000"):
        join_sites({"A": first, "B": twin})


def test_sites_agree_on_what_is_positive(first: Manifest, make_manifest: Make) -> None:
    other = make_manifest([("1", "a", "s"), ("2", "b", "t")], positive="b")
    with pytest.raises(ManifestError, match="the positive class is 'a' at A, 'b' at B"):
        join_sites({"A": first, "B": other})


def test_labels_may_be_renamed_joined_and_left_out(first: Manifest, second: Manifest) -> None:
    renamed = relabelled(first, {"a": "blast"})
    assert renamed.classes == ("b", "blast")
    assert renamed.positive == "blast"
    assert len(renamed) == 4, "unlabelled images stay behind"
    assert relabelled(first, {"a": "b"}).classes == ("b",)
    left = relabelled(first, {"b": None})
    assert left.label == ("a", "a", "a")
    assert left.group == ("1+2", "1+2", "1+2"), "who is linked stays linked"
    assert relabelled(first, {"a": None}).positive is None
    with pytest.raises(UsageError, match="labels names 'c', which it does not have; its labels: a, b"):
        relabelled(second, {"c": "a"})
    with pytest.raises(UsageError, match="leaves every image out"):
        relabelled(second, {"a": None, "b": None})
