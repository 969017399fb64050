"""Every figure is SVG whose text stays text, a PDF, and its numbers; the same figure twice is the same file."""

from __future__ import annotations

import csv
import warnings
import xml.etree.ElementTree as ElementTree

import pytest

from leukfeat.reports.contents import Note
from leukfeat.reports.drawing import cut, drawn, line_style, marker_style, put_legend, with_legend
from leukfeat.reports.table import Column, Table

TABLE = Table("numbers", (Column("run"), Column("x", form=".2f")), (("a", 0.5),))


def figure(label: str = "price $5 and $6"):
    made, axes = with_legend(3.0, 2.0, 0.6, 1)
    axes.plot([0, 1], [0, 1], label=label)
    put_legend(made, axes)
    return made


def texts(svg: str) -> list[ElementTree.Element]:
    return [node for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


def test_text_stays_text_and_dollars_are_no_formulas():
    svg = drawn("one", "One", "", figure, TABLE).svg
    assert "price $5 and $6" in [node.text for node in texts(svg)]


def test_the_same_figure_is_the_same_bytes():
    one, other = (drawn("one", "One", "", figure, TABLE) for _ in range(2))
    assert one.svg == other.svg
    assert one.pdf == other.pdf
    assert one.pdf.startswith(b"%PDF")


def test_a_drawing_is_saved_with_its_numbers_and_notes(tmp_path):
    written = drawn("one", "One", "", figure, TABLE).save(tmp_path, {"a": "mind this"})
    assert [path.name for path in written] == ["one.svg", "one.pdf", "one-data.csv"]
    with written[2].open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [{"run": "a", "x": "0.5", "notes": "mind this"}]


def test_names_in_any_script_are_drawn_without_a_warning():
    # the text stays text, so the reader's browser chooses a font that has these signs; pytest makes warnings errors
    assert "白血病細胞" in drawn("one", "One", "", lambda: figure("白血病細胞"), TABLE).svg


def test_other_warnings_of_drawing_are_heard():
    def loud():
        warnings.warn("something else", stacklevel=1)
        return figure()

    with pytest.raises(UserWarning, match="something else"):
        _ = drawn("one", "One", "", loud, TABLE).svg


def test_notes_stand_below_the_drawing_and_inside_the_figure():
    notes = [Note("many words of a note " * 9, ("a very long name of a run " * 5, "b")), Note("標" * 200)]
    svg, plain = (drawn("one", "One", "", figure, TABLE, some).svg for some in (notes, ()))
    footer = [node for node in texts(svg) if "6.5px" in node.get("style")]
    words = " ".join(node.text for node in footer)
    assert words.count("words of") >= 8
    assert words.count("標") == 200
    assert "and 1 more)" in words
    _, _, width, height = map(float, ElementTree.fromstring(svg).get("viewBox").split())
    bare = float(ElementTree.fromstring(plain).get("viewBox").split()[3])
    assert all(bare < float(node.get("y")) < height for node in footer)
    # a sign of this font is at most half its size wide on average, an East Asian one as wide as its size
    assert all(6.5 * sum(1 if sign == "標" else 0.55 for sign in node.text) < width for node in footer)
    assert "6.5px" not in plain


def test_no_two_of_28_lines_or_dots_look_alike():
    for style in (line_style, marker_style):
        assert len({tuple(style(number).items()) for number in range(28)}) == 28


def test_a_cut_name_keeps_both_ends_where_names_differ():
    assert cut("efficientnet_b0 → svm", 50) == "efficientnet_b0 → svm"
    short = cut("efficientnet_b0 (efficientnet_b0.ra_in1k) → svm", 20)
    assert len(short) == 20
    assert short.startswith("efficient")
    assert short.endswith("→ svm")
