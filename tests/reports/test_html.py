"""The page is made from plain sections; it does not know who puts them together."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from leukfeat.evaluation.intervals import Interval
from leukfeat.evaluation.metrics import Score
from leukfeat.evaluation.uncertainty import Estimate
from leukfeat.reports import html
from leukfeat.reports.checklists import checklists
from leukfeat.reports.contents import Note
from leukfeat.reports.sections import Picture, Section
from leukfeat.reports.table import Column, Table

EVIL = "<b onclick='x()'>&"


def test_every_name_is_escaped_wherever_it_stands():
    table = Table(EVIL, (Column(EVIL),), ((EVIL,),), (EVIL,))
    part = Section("part", EVIL, (EVIL,), folded=True)
    section = Section(
        "one",
        EVIL,
        words=(EVIL,),
        points=(EVIL,),
        facts=((EVIL, EVIL),),
        commands=(EVIL,),
        tables=(table,),
        pictures=(Picture("evil", EVIL, EVIL, b"png"),),
        parts=(part,),
    )
    text = html.render(html.Head(EVIL, (EVIL,), (Note(EVIL, (EVIL,)),)), [section])
    assert "<b onclick" not in text
    assert text.count("&lt;b onclick") >= 18


def test_an_interval_stands_below_its_number_and_sorts_by_the_number():
    cell = Estimate(Score(0.91234), Interval(0.85, 0.96))
    undefined = Estimate(Score.undefined("one class only"), Interval.undefined("one class only"))
    table = Table("t", (Column("run"), Column("AUROC", form=".3f")), (("a", cell), ("b", undefined)))
    text = html.render(html.Head("t"), [Section("s", "S", tables=(table,))])
    assert re.search(r'data-sort="0.91234">0.912<span class="span">\(0.850–0.960\)</span>', text)
    assert 'data-sort="">–</td>' in text
    assert "– one class only" in text


def test_a_table_without_rows_says_why_and_draws_no_box():
    table = Table("t", (Column("run"),), (), ("None: there is one run only",))
    text = html.render(html.Head("t"), [Section("s", "S", tables=(table,))])
    assert "None: there is one run only" in text
    assert "<table" not in text


def test_places_of_the_page_are_links_and_files_are_not():
    lists = checklists({"#cohort"}, {"split.csv"})
    text = html.render(html.Head("t"), [Section("cohort", "C"), Section("checklists", "L", checklists=lists)])
    assert '<a href="#cohort">cohort</a>, <code>split.csv</code>' in text


def test_comparison_and_page_do_not_import_each_other():
    assert "reports.comparison" not in Path(str(sys.modules[html.__name__].__file__)).read_text(encoding="utf-8")
