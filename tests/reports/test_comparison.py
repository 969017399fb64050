"""A comparison shows every number with the words that belong to it, and names do no harm."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.metrics import METRICS, score, score_by_fold
from leukfeat.evaluation.runs import Run
from leukfeat.reports.comparison import compare
from leukfeat.reports.inventory import INVENTORY

WORDS = (
    "image-level: optimistic",
    "subjects unknown: images of one patient may be on both sides",
    "40 groups of identical images",
    "what these weights were trained on is unknown",
    "3 of 43 images are missing (unreadable)",
)


class _Page(HTMLParser):
    """The tags and the visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_runs_are_ordered_by_the_main_metric(two):
    runs = [two("bad", gap=0.1), two("good", gap=2.0), two("fair", gap=0.8)]
    assert [run.name for run in compare(runs).runs] == ["good", "fair", "bad"]
    assert [run.name for run in compare(runs, main="log_loss").runs] == sorted(
        ("good", "fair", "bad"), key=lambda name: compare(runs).by_cell.scores[name]["log_loss"].value
    )
    with pytest.raises(UnknownNameError, match="did you mean 'auroc'"):
        compare(runs, main="auc-roc")


def test_the_table_holds_every_metric_at_both_levels(two):
    run = two()
    comparison = compare([run])
    for level in ("cell", "subject"):
        table = comparison.table(level)
        assert [column.title for column in table.columns] == ["run", *(metric.title for metric in METRICS.values())]
    assert tuple(cell.score for cell in comparison.table("cell").rows[0][1:]) == tuple(score(run.predictions).values())
    with pytest.raises(UnknownNameError):
        comparison.table("patient")


@pytest.fixture(scope="module")
def reported(four, tmp_path_factory):
    """The comparison of a run that much must be said of, and what it wrote."""
    comparison = compare([four])
    return comparison, comparison.save(tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("words", WORDS)
def test_the_words_stay_on_every_output(reported, words):
    comparison, written = reported
    outputs = {
        "terminal": " ".join("\n".join(comparison.lines()).split()),
        "markdown": comparison.to_markdown(),
        "html": _Page(written[0].read_text()).text,
    }
    for output, text in outputs.items():
        assert words.replace("(", "").replace(")", "") in text.replace("(", "").replace(")", ""), output


@pytest.mark.parametrize("words", WORDS)
def test_the_words_stay_on_every_file(reported, words):
    # a table or a figure is mailed without its page
    _, written = reported
    folder = written[0].parent
    for name in ("by-cell", "folds", "confusion", "cost"):
        with (folder / f"{name}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert list(rows[0])[-1] == "notes"
        assert all(words in row["notes"].split("; ") for row in rows), name
    figures = [path for path in written if path.suffix == ".svg"]
    assert {path.stem for path in figures} == {"flow", "roc", "precision-recall", "reliability", "confusion"}
    for path in figures:
        texts = [node.text or "" for node in ElementTree.parse(path).iter() if node.tag.endswith("}text")]
        assert words in " ".join(texts), path.name


def test_rows_and_figures_carry_the_words_of_their_own_runs(two, tmp_path):
    noted = replace(two("b"), notes=("what these weights were trained on is unknown",))
    comparison = compare([two("a"), noted])
    comparison.save(tmp_path)
    with (tmp_path / "by-cell.csv").open(newline="") as stream:
        assert {row["run"]: row["notes"] for row in csv.DictReader(stream)} == {
            "a": "",
            "b": "what these weights were trained on is unknown",
        }
    assert "is unknown (b)" in " ".join(ElementTree.fromstring(comparison.figures["roc"].svg).itertext())


def test_a_report_does_not_take_the_place_of_a_manifest(two, tmp_path):
    # "leukfeat compare -o ." beside the user's cells.csv
    (tmp_path / "cells.csv").write_text("path,label,subject\n")
    compare([two()]).save(tmp_path)
    assert (tmp_path / "cells.csv").read_text() == "path,label,subject\n"


def test_words_about_some_runs_name_them(two):
    noted = replace(two("b"), notes=("what these weights were trained on is unknown",))
    assert [str(note) for note in compare([two("a"), noted]).notes] == [
        "what these weights were trained on is unknown (b)"
    ]


def test_the_same_test_images_with_other_training_images_are_told(two):
    other = replace(two("b"), split={**two("b").split, "digest": "d" * 64})
    assert any("not trained on the same" in note.words for note in compare([two("a"), other]).notes)


def test_runs_of_different_manifests_are_told(two):
    # equal sample names may be other images or stand in other linked groups
    other = replace(two("b"), data={**two("b").data, "digest": "d" * 64})
    (note,) = compare([two("a"), other, replace(two("c"), data={})]).notes
    assert note.words.startswith("the manifests differ: aaaaaaaaaaaa of a; dddddddddddd of b")
    assert compare([two("a"), two("b")]).notes == ()


def test_the_spread_over_folds_is_that_of_the_single_folds(two, tmp_path):
    run = two()
    found = [scores["auroc"].value for scores in score_by_fold(run.predictions, ["auroc"]).values()]
    compare([run]).to_csv(tmp_path)
    with (tmp_path / "folds.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (int(row["folds"]), float(row["lowest"]), float(row["highest"])) == (3, min(found), max(found))
    assert min(found) < max(found)
    assert "AUROC over cells in single folds" in _Page(compare([run]).to_html(tmp_path / "r.html").read_text()).text


def test_folds_of_one_class_are_left_out_of_the_spread_and_counted(two):
    # with leave-one-subject-out every fold has one class, and that is no failure
    run = two()
    only = run.predictions.fold == 0
    y = np.where(only, "ALL", run.predictions.y_true)
    (row,) = compare([two(y_true=y)]).tables["folds"].rows
    assert row[1] == 2
    assert row[2].defined
    (row,) = compare([two(y_true=np.full(48, "ALL"))]).tables["folds"].rows
    assert row[1] == 0
    assert row[2].reason == row[3].reason == "one class only"


def test_declared_groups_are_not_called_subjects(two):
    run = two()
    nobody = replace(run, predictions=replace(run.predictions, subject=np.full(48, "unknown")))
    text = compare([nobody]).to_markdown()
    assert "declared groups are never divided" in text
    assert "subjects are never divided" not in text
    assert "linked subjects are never divided" in compare([run]).to_markdown()


def test_several_classes_name_their_averaging_everywhere(four, tmp_path):
    comparison = compare([four])
    assert "macro one-vs-rest" in "\n".join(comparison.lines())
    assert "sensitivity (macro one-vs-rest)" in comparison.to_markdown()
    assert "AUROC (macro one-vs-rest)" in _Page(comparison.to_html(tmp_path / "r.html").read_text()).text


def test_without_subjects_there_is_no_subject_level_and_it_says_why(four):
    comparison = compare([four])
    assert "By subject: none, subjects unknown" in comparison.lines()
    assert "None: subjects unknown" in comparison.to_markdown()
    assert comparison.table("subject").footnotes == ["None: subjects unknown"]


def test_a_report_leaves_nothing_of_an_earlier_one_in_its_folder(two, tmp_path):
    """The pairs of a report of two runs must not lie beside a report of one of them, as if they were its own."""
    compare([two("a"), two("b", gap=2.0)]).save(tmp_path)
    assert (tmp_path / "pairs.csv").is_file()
    (tmp_path / "mine.csv").write_text("x\n")
    written = compare([two("a")]).save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv", *(path.name for path in written)}
    assert not (tmp_path / "pairs.csv").exists()


def test_save_writes_what_it_says(two, tmp_path):
    written = compare([two("a"), two("b", gap=2.0)]).save(tmp_path / "report")
    assert {path.name for path in written} == {path.name for path in (tmp_path / "report").iterdir()}
    figures = ("flow", "differences", "roc", "precision-recall", "reliability", "decision", "confusion")
    figures = (*figures, "subject-accuracy")
    assert {path.name for path in written} == {
        *("report.html", "report.md"),
        *(f"{name}{end}" for name in figures for end in (".svg", ".pdf", "-data.csv")),
        *("cohort.csv", "by-cell.csv", "by-subject.csv", "folds.csv", "per-subject.csv", "confusion.csv", "cost.csv"),
        *("pairs.csv", "other-tests.csv", "equivalence.csv", "calibration.csv"),
        INVENTORY,
    }


def test_the_same_comparison_is_the_same_page(two, tmp_path):
    texts = [compare([two("a"), two("b", gap=2.0)]).to_html(tmp_path / name).read_text() for name in ("1", "2")]
    assert texts[0] == texts[1]


def test_csv_numbers_are_exact(two, tmp_path):
    run = two()
    compare([run]).to_csv(tmp_path)
    with (tmp_path / "by-cell.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert {name: float(row[METRICS[name].title]) for name in METRICS} == {
        name: one.value for name, one in score(run.predictions).items()
    }
    with (tmp_path / "cost.csv").open(newline="") as stream:
        (cost,) = csv.DictReader(stream)
    assert (cost["total (s)"], cost["features"], cost["predict (ms per image)"]) == ("12.25", "1280", "1.0")


def test_names_do_no_harm(two, tmp_path):
    hostile = "<script>alert(1)</script>"
    run = two()
    subject = np.char.replace(run.predictions.subject.astype("U16"), "S0", "=cmd()")
    evil = replace(run, name=hostile, predictions=replace(run.predictions, subject=subject, group=subject))
    evil = replace(evil, notes=('<img src="http://example.org/x.png">',), environment={"command": "</pre><b>"})
    comparison = compare([evil])
    written = {path.name: path for path in comparison.save(tmp_path)}
    page = _Page(written["report.html"].read_text())
    assert hostile in page.text
    assert [tag for tag, _ in page.tags].count("script") == 1  # the page's own
    assert hostile not in written["report.md"].read_text()
    with written["per-subject.csv"].open(newline="") as stream:
        assert "'=cmd()" in {row["subject"] for row in csv.DictReader(stream)}
    for name in ("roc.svg", "confusion.svg", "subject-accuracy.svg"):
        tags = {node.tag.rpartition("}")[2] for node in ElementTree.parse(written[name]).iter()}
        assert "script" not in tags


def test_the_page_needs_nothing_but_itself(two, tmp_path):
    text = compare([two("a"), two("b", gap=2.0)]).to_html(tmp_path / "r.html").read_text()
    for tag, attributes in _Page(text).tags:
        assert tag not in {"link", "iframe", "object", "embed"}
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
    assert not re.search(r"url\(|@import", text)


def test_figures_keep_their_text_as_text(two):
    figures = compare([two("price $5 and $6"), two("b", gap=2.0)]).figures
    for name in ("roc", "confusion", "subject-accuracy"):
        texts = [
            node.text or "" for node in ElementTree.fromstring(figures[name].svg).iter() if node.tag.endswith("}text")
        ]
        assert any("price $5" in text for text in texts), name


def test_one_class_only_is_reported_and_not_a_failure(two, tmp_path):
    run = two()
    only = replace(run, predictions=run.predictions.take(run.predictions.y_true == "ALL"))
    comparison = compare([only])
    comparison.save(tmp_path)
    assert "– one class only (AUROC" in "\n".join(comparison.lines())


def test_a_file_of_another_tool_joins_a_comparison(two, tmp_path):
    ours, theirs = two("ours"), two("theirs", gap=2.0)
    file = theirs.predictions.take(np.arange(47, -1, -1)).save(tmp_path / "theirs.csv")
    comparison = compare([ours, Run.load(file)])
    assert [run.name for run in comparison.runs] == ["theirs", "ours"]
    assert [str(note) for note in comparison.notes] == [
        "split not recorded: whether test subjects were trained on cannot be checked (theirs)"
    ]


def test_comparing_loads_neither_torch_nor_figures():
    # "leukfeat compare --help" and its refusals must not wait for them
    code = (
        "import sys, leukfeat.reports.comparison;"
        "print(sorted({'torch', 'xgboost', 'optuna', 'sklearn', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_programs_get_the_scores_the_words_and_the_reasons_as_json(two, four):
    run = two()
    facts = json.loads(json.dumps(compare([run]).to_dict(), allow_nan=False))
    assert facts["runs"][0]["cell"] == {name: one.value for name, one in score(run.predictions).items()}
    assert facts["runs"][0]["undefined"] == {}
    without = json.loads(
        json.dumps(compare([replace(run, predictions=replace(run.predictions, positive=None))]).to_dict())
    )
    assert without["runs"][0]["cell"]["sensitivity"] is None
    assert without["runs"][0]["undefined"]["subject.sensitivity"] == "positive class not stated: pass --positive"
    assert set(WORDS) <= set(compare([four]).to_dict()["notes"])
