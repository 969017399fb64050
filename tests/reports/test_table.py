"""A table says the same in every form, and a name in it can do no harm."""

from __future__ import annotations

import csv

import pytest

from leukfeat.evaluation.metrics import Score
from leukfeat.reports.table import Column, Table
from leukfeat.textfiles import printable

TABLE = Table(
    "Scores",
    (Column("run"), Column("AUROC", form=".3f"), Column("sensitivity", "sens", ".3f")),
    (("svm", Score(2 / 3), Score.undefined("one class only")), ("a | b", Score(-0.5), Score(1.0))),
)


def test_csv_holds_numbers_to_the_last_digit_and_the_reason(tmp_path):
    with TABLE.to_csv(tmp_path / "t.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[1] == ["svm", repr(2 / 3), "", "one class only"]
    assert float(rows[2][1]) == -0.5  # a negative number is no formula


def test_undefined_scores_are_dashes_with_a_footnote():
    assert TABLE.texts[0] == ["svm", "0.667", "–"]
    assert TABLE.footnotes == ["– one class only (sensitivity)"]
    assert TABLE.to_lines()[-1] == "– one class only (sensitivity)"


def test_markdown_shows_names_as_they_are():
    assert r"a \| b" in TABLE.to_markdown()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_plain_text_keeps_to_the_width_and_both_ends_of_a_name(width):
    name = "convnext_tiny.in12k_ft_in1k_384 + efficientnet_b0.ra_in1k (weights from a file) → random-forest"
    long = Table(TABLE.title, TABLE.columns, ((name, Score(0.5), Score(0.5)),))
    lines = long.to_lines(width)
    assert max(map(len, lines)) <= width
    assert lines[-1].startswith("convnext")
    assert "forest " in lines[-1]


@pytest.mark.parametrize(
    ("name", "first"),
    [("=cmd()", "'"), ("+1+1", "'"), ("-1+cmd", "'"), ("@SUM(A1)", "'"), ("\t=1", "\N{REPLACEMENT CHARACTER}")],
)
def test_no_name_is_a_formula(name, first, tmp_path):
    """An apostrophe makes it a text; where a control character stood in front, its replacement does."""
    file = Table("", (Column(name), Column("n", form=".2f")), ((name, -0.5),)).to_csv(tmp_path / "t.csv", [name])
    with file.open(newline="") as stream:
        head, row = csv.reader(stream)
    assert [cell[:1] for cell in (head[0], row[0], row[2])] == [first, first, first]
    assert row[1] == "-0.5", "a number stays a number"


def test_control_characters_do_not_reach_a_terminal():
    assert "\x1b" not in printable("\x1b[31mred")
    assert "\x1b" not in "".join(Table("", (Column("run"),), (("\x1b[2J",),)).to_lines())


def test_a_name_with_a_line_end_stays_in_its_row(tmp_path):
    file = Table("", (Column("run"), Column("n", form="d")), (("a\rb\nc", 1),)).to_csv(tmp_path / "t.csv")
    with file.open(newline="") as stream:
        assert len(list(csv.reader(stream))) == 2
