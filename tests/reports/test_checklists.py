"""Nothing is called reported without a place to see it."""

from __future__ import annotations

import itertools

import pytest

from leukfeat.reports.checklists import CLAIM, TRIPOD_AI, Answer, Item, checklists
from leukfeat.reports.folders import FILES

EVERYTHING = {place for item in (*TRIPOD_AI, *CLAIM) for place in item.shown_by}


def test_both_lists_are_whole():
    # 27 items of TRIPOD+AI, some in parts; 42 of CLAIM in 2020
    numbers = [int("".join(filter(str.isdigit, item.number))) for item in TRIPOD_AI]
    assert sorted(set(numbers)) == list(range(1, 28))
    assert numbers == sorted(numbers)
    assert [item.number for item in CLAIM] == [str(number) for number in range(1, 43)]
    parts = {"3": "abc", "5": "ab", "6": "abc", "8": "abc", "9": "abc", "12": "abcdefg", "18": "abcdef", "20": "abc"}
    for number, letters in (parts | {"23": "ab", "27": "abc"}).items():
        assert [f"{number}{letter}" for letter in letters] == [
            item.number for item in TRIPOD_AI if item.number.rstrip("abcdefg") == number
        ]


@pytest.mark.parametrize("places", [set(), {"#cohort"}, EVERYTHING - {"#by-cell"}, EVERYTHING])
def test_reported_means_that_every_place_is_there_and_nothing_is_left_to_add(places):
    for answer in itertools.chain.from_iterable(one.answers for one in checklists(places)):
        assert set(answer.places) <= places
        if answer.state == "reported":
            assert answer.places == answer.item.shown_by != ()
            assert not answer.lacking
        elif answer.state == "partial":
            assert answer.places
            assert answer.lacking
        else:
            assert not answer.places


def test_without_a_place_the_author_is_needed():
    assert {answer.state for one in checklists(()) for answer in one.answers} == {"author needed"}


def test_a_place_that_is_missing_is_named():
    item = Item("12e", "measures", ("#by-cell", "#decision"), "what else")
    assert Answer(item, ("#by-cell",)).lacking == "not here: decision; what else"
    assert Answer(item, ("#by-cell",)).state == "partial"


def test_only_an_author_knows_ethics_funding_and_interpretation():
    authors = {item.number for item in TRIPOD_AI if not item.shown_by}
    assert {"1", "2", "3a", "4", "17", "18a", "18b", "18c", "18d", "19", "25", "26"} <= authors
    assert {str(number) for number in (12, 14, 15, 16, 17, 18, 42)} <= {
        item.number for item in CLAIM if not item.shown_by
    }


def test_every_file_that_is_pointed_to_is_looked_for():
    assert {place for place in EVERYTHING if not place.startswith("#")} <= set(FILES)


def test_the_table_of_a_checklist_has_every_item():
    (tripod, claim) = checklists({"#cohort"}, {"split.csv"})
    assert len(tripod.table().rows) == len(TRIPOD_AI)
    assert ("20", "how data were assigned to partitions", "reported", "#cohort, split.csv", None) in claim.table().rows
    assert tripod.summary.endswith("author needed")
