"""The Markdown report is made from the sections of the page, and escapes every name."""

from __future__ import annotations

import re

from leukfeat.reports.checklists import checklists
from leukfeat.reports.contents import Note
from leukfeat.reports.html import Head
from leukfeat.reports.markdown import render_markdown
from leukfeat.reports.sections import Picture, Section
from leukfeat.reports.table import Column, Table

EVIL = "<b onclick='x()'>|*a*\n# b"


def test_every_name_is_escaped_wherever_it_stands():
    section = Section(
        "one",
        EVIL,
        words=(EVIL,),
        points=(EVIL,),
        facts=((EVIL, EVIL),),
        commands=(EVIL,),
        tables=(Table(EVIL + "table", (Column(EVIL),), ((EVIL,),), (EVIL,)),),
        pictures=(Picture("evil", EVIL, EVIL, b"png"),),
        parts=(Section("part", EVIL, (EVIL,), folded=True),),
    )
    text = render_markdown(Head(EVIL, (EVIL,), (Note(EVIL, (EVIL,)),)), [section])
    # a command is code, which shows as it is; there a line would end the block only without its four spaces
    code = [line for line in text.splitlines() if line.startswith("    ")]
    assert code == ["    <b onclick='x()'>|*a*", "    # b"]
    rest = "\n".join(line for line in text.splitlines() if line not in code)
    assert not re.search(r"(?<!\\)<b", rest)
    assert not re.search(r"^# b", rest, flags=re.MULTILINE)
    assert rest.count("\\<b onclick") >= 17


def test_parts_stand_below_their_section_and_nothing_is_folded_away():
    deep = Section("c", "C", ("in c",), folded=True)
    text = render_markdown(Head("Report"), [Section("a", "A", parts=(Section("b", "B", parts=(deep,)),))])
    assert text == "# Report\n\n## A\n\n### B\n\n#### C\n\nin c\n"


def test_a_checklist_is_a_table_under_the_title_of_its_part():
    (first, *_) = checklists({"#cohort"}, ())
    part = Section(first.name, f"{first.title}: {first.summary}", checklists=(first,))
    text = render_markdown(Head("r"), [Section("checklists", "Checklists", parts=(part,))])
    assert text.count("### ") == 1, "the title of the table is that of the part, and not told twice"
    assert "author needed" in text
    assert text.count("\n| ") == len(first.answers) + 2


def test_figures_and_pictures_are_links_to_files_beside_the_report():
    section = Section("e", "Explanations", pictures=(Picture("explanations-1-worst", "Worst", "of svm", b"png"),))
    assert "![Worst](explanations-1-worst.png)" in render_markdown(Head("r"), [section])
