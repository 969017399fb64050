"""Laws of linking: whoever shares an image is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leukfeat.data.linkage import families, group_names, linked_groups, links, natural, repeated


@given(st.lists(st.lists(st.integers(0, 8), max_size=3), max_size=25))
def test_linked_groups_are_the_connected_components(keys: list[list[int]]) -> None:
    """Compared with the plainest way: merge until nothing changes."""
    groups = [{row} for row in range(len(keys))]
    changed = True
    while changed:
        changed = False
        for first in groups:
            for second in groups:
                if first is not second and any(set(keys[a]) & set(keys[b]) for a in first for b in second):
                    first |= second
                    groups.remove(second)
                    changed = True
                    break
            if changed:
                break
    found = linked_groups(keys)
    for members in groups:
        assert len({found[row] for row in members}) == 1
    assert len(set(found)) == len(groups)


def test_links_count_distinct_images_and_print_as_in_the_literature_on_c_nmc() -> None:
    """Ids stand in the order of their characters (H10=H3), the pair with most images first."""
    found = links(["H3", "H10", "20", "21", "20", "21", "20"], ["a", "a", "b", "b", "c", "c", "b"])
    assert [str(link) for link in found] == ["20=21 (2)", "H10=H3 (1)"]


def test_an_image_without_digest_or_subject_links_nobody() -> None:
    """Two unreadable files are not the same picture, and an unlabelled copy belongs to nobody."""
    assert repeated(["", "", "a"]) == {}
    assert links(["1", "2", "3"], ["", "", "x"]) == ()
    assert links(["1", "", ""], ["x", "x", "x"]) == ()


def test_a_family_is_an_original_with_its_copies_and_their_doubles() -> None:
    """Siblings belong together even where their original is missing."""
    assert families("abcdef", ["", "a", "z", "z", "", ""], ["1", "2", "3", "4", "2", "5"]) == [0, 0, 1, 1, 0, 2]


def test_a_copy_joins_the_group_of_its_original() -> None:
    """By subject, by declaration, or by nothing but being a copy."""
    names = group_names("abcd", ["unknown"] * 4, [""] * 4, ["field 1", "", "", ""], ["", "a", "", "c"])
    assert names == ("field 1", "field 1", "c", "c")


def test_natural_order_counts() -> None:
    """H3 comes before H10, as a reader expects."""
    assert sorted(["H10", "H3", "2", "10"], key=natural) == ["2", "10", "H3", "H10"]
