"""The page is made from plain parts; it does not know who puts them together."""

from __future__ import annotations

import sys
from pathlib import Path

from leukfeat.reports import html
from leukfeat.reports.contents import Note, cohort_table, confusion_table, cost_table, fold_table, subject_table


def test_a_page_needs_no_comparison(two):
    run = two()
    tables = {
        "cohort": cohort_table(run.predictions),
        "by-cell": confusion_table([run]),
        "by-subject": subject_table([run]),
        "folds": fold_table([run], "auroc"),
        "cost": cost_table([run]),
    }
    text = html.render([run], [Note("mind <this>", ("svm",))], tables, {}, main="auroc")
    assert "mind &lt;this&gt;" in text
    assert "(svm)" in text


def test_comparison_and_page_do_not_import_each_other():
    assert "reports.comparison" not in Path(str(sys.modules[html.__name__].__file__)).read_text(encoding="utf-8")
