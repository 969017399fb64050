"""Which sections a report has: those with something to show, in an order, findings first."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from leukfeat.audit.findings import Finding
from leukfeat.audit.measurements import COLUMNS, Measurements
from leukfeat.evaluation.inner import InnerPredictions
from leukfeat.evaluation.leakage_meter import LeakageMeter
from leukfeat.evaluation.learning_curve import LearningCurve, SizedRun
from leukfeat.reports.comparison import Comparison, compare
from leukfeat.reports.page.order import SECTIONS, head_of
from leukfeat.reports.page.record import card_parts
from leukfeat.reports.sections import all_of, anchors
from leukfeat.reports.table import markdown_safe

FINDINGS = (
    Finding.of("linked-across-folds", "94 groups cross the folds", [{"samples": ["a", "b"]}] * 3, declared=True),
    Finding.of("shortcut-size", "size alone: AUROC 0.780"),
    Finding.of("identical-images", "106 groups of identical images", [{"samples": ["<i>a", "b"]}]),
)


@pytest.fixture(scope="module")
def plain(two) -> Comparison:
    return compare([two("svm"), two("forest", gap=2.0)])


@pytest.fixture(scope="module")
def full(two, tmp_path_factory) -> Comparison:
    """Two runs of folders that hold everything there can be, but sites."""
    out = tmp_path_factory.mktemp("runs")
    runs, paths = [], []
    for run in (two("svm", gap=1.0), two("forest", gap=0.5)):
        audit = {"level": "full", "allowed": [], "findings": [{**one.to_dict(), "cases": 9} for one in FINDINGS]}
        run = replace(run, audit=audit, inner=inner_of(run))
        folder = run.save(out / run.name)
        (folder / "model").mkdir()
        (folder / "model" / "MODEL_CARD.md").write_text("# Model card: x\n\n## Output\n\n- A **probability**.\n")
        for name in ("model/bundle.json", "split.csv", "trials.csv"):
            (folder / name).write_text("{}")
        (folder / "recipe.yaml").write_text("paper: {title: Cells}\nreported: {accuracy: 0.85, f1: 0.9}\n")
        (folder / "explanations").mkdir()
        (folder / "explanations" / "explanations.json").write_text('{"seed": 0}')
        (folder / "explanations" / "random.png").write_bytes(b"\x89PNG")
        samples = run.predictions.sample.tolist()
        table = {name: np.arange(1.0, 49.0) for name in COLUMNS}
        Measurements(tuple(samples), table, ("black",) * 48, ("",) * 48).save(folder / "measurements.csv")
        sizes = [SizedRun(4, 16, 1, "a", two("a")), SizedRun(8, 32, 1, "b", two("b", gap=2.0))]
        LearningCurve.of(sizes).save(folder / LearningCurve.file_name)
        arms = {"image-level": ("a", two("a", gap=2.0)), "subject-level": ("b", two("b"))}
        LeakageMeter.of(arms).save(folder / LeakageMeter.file_name)
        runs.append(run)
        paths.append(folder)
    return compare(runs, paths=paths, command="leukfeat compare runs/*")


def inner_of(run) -> InnerPredictions:
    """As if every row of a training part had been predicted by models that had not seen it."""
    rows = run.predictions
    parts = []
    for fold in np.unique(rows.fold).tolist():
        part = rows.take(rows.fold != fold)
        columns = {name: getattr(part, name) for name in ("sample", "subject", "group", "repeat", "y_true", "proba")}
        parts.append(
            InnerPredictions(**columns, fold=np.full(len(part), fold), classes=rows.classes, positive=rows.positive)
        )
    return InnerPredictions.concatenate(parts)


def names(comparison: Comparison) -> list[str]:
    return [section.name for section in comparison.sections]


def section(comparison: Comparison, name: str):
    return next(one for one in all_of(comparison.sections) if one.name == name)


def test_a_full_report_has_every_section_in_order(full):
    assert names(full) == [
        *("cohort", "by-cell", "by-subject", "differences", "folds", "curves", "reliability", "decision", "operating"),
        *("subjects", "verdicts", "area", "learning-curve", "confusion", "cost", "audit", "explanations"),
        *("leakage-meter", "paper", "checklists", "model-card", "runs", "versions", "reproduce"),
    ]
    assert len(names(full)) == len(SECTIONS)  # sites are missing, checklists are no entry of the table


def test_the_markdown_report_has_everything_that_the_page_has(full):
    text = full.to_markdown()
    for section in all_of(full.sections):
        assert f"# {markdown_safe(section.title)}\n" in text, section.title
        for words in (*section.words, *section.points, *(note for table in section.tables for note in table.footnotes)):
            assert markdown_safe(words) in text, words
        for table in section.tables:
            assert table.to_markdown().rstrip("\n") in text, table.title
    for note in head_of(full._material).notes:
        assert markdown_safe(str(note)) in text


def test_every_file_that_the_markdown_names_is_written(full, tmp_path):
    names = {path.name for path in full.save(tmp_path)}
    named = set(re.findall(r"\]\(([^)]+)\)", full.to_markdown()))
    assert {"flow.svg", "flow-data.csv", "leakage-meter.svg", "explanations-1-random.png"} <= named
    assert named <= names


def test_what_is_not_there_has_no_section(plain):
    absent = {"area", "learning-curve", "audit", "explanations", "leakage-meter", "sites", "paper", "model-card"}
    assert not absent & set(names(plain))
    assert "operating" not in names(plain), "there are no inner predictions, so nothing was operated"


def test_leaks_and_warnings_are_said_first_and_notes_of_an_audit_are_not(full):
    first = [note.words for note in head_of(full._material).notes]
    assert "94 groups cross the folds [linked-across-folds]" in first
    assert "size alone: AUROC 0.780 [shortcut-size]" in first
    assert not any("identical-images" in words for words in first)


def test_a_finding_that_a_note_already_tells_is_not_told_twice(two):
    audit = {"level": "basic", "allowed": [], "findings": [{**FINDINGS[1].to_dict(), "cases": 0}]}
    noted = replace(two(), audit=audit, notes=("shortcut-size: size alone: AUROC 0.780",))
    assert len([note for note in head_of(compare([noted])._material).notes if "size alone" in note.words]) == 1


def test_a_finding_of_another_version_stops_no_report(two):
    facts = [{**FINDINGS[0].to_dict(), "cases": 3}, {"code": "of-the-future", "severity": "leak"}]
    run = replace(two(), audit={"level": "basic", "allowed": [], "findings": facts})
    (table,) = section(compare([run]), "audit").tables
    assert [row[1] for row in table.rows] == ["linked-across-folds"]


def test_a_finding_of_one_run_names_it(two):
    audit = {"level": "basic", "allowed": [], "findings": [{**FINDINGS[1].to_dict(), "cases": 0}]}
    notes = head_of(compare([two("a"), replace(two("b"), audit=audit)])._material).notes
    assert [note.runs for note in notes if "size alone" in note.words] == [("b",)]


def test_every_finding_stands_with_its_evidence_and_the_number_of_its_cases(full):
    (table,) = section(full, "audit").tables
    assert [row[1] for row in table.rows] == [one.code for one in FINDINGS]
    assert table.rows[0][0] == "leak, declared"
    evidence = section(full, "evidence-1")
    assert evidence.title == "Evidence: linked-across-folds (9)"
    assert evidence.tables[0].words == ("the first 3 of 9 cases",)


def test_a_run_that_was_not_audited_is_not_said_to_be_clean(two):
    run = replace(two(), audit={"level": "none", "allowed": [], "findings": []})
    assert "audit" not in names(compare([run]))


def test_the_papers_number_stands_beside_ours(full):
    rows = section(full, "paper").tables[0].rows
    accuracy = next(row for row in rows if row[:2] == ("svm", "accuracy"))
    assert accuracy[2] == 0.85
    assert accuracy[3] == full.by_cell.estimate("svm", "accuracy")
    assert accuracy[4] == ("yes" if 0.85 in full.by_cell.estimate("svm", "accuracy").interval else "no")
    assert next(row for row in rows if row[1] == "f1")[3] is None, "a statistic of another name is not guessed"


def test_every_pointer_of_the_checklists_leads_somewhere(full):
    there = anchors(full.sections)
    places = {
        p for one in section(full, "checklists").parts for c in one.checklists for a in c.answers for p in a.places
    }
    assert {place for place in places if place.startswith("#")} <= there
    assert {"#curves", "#model-card", "#figure-flow", "split.csv"} <= places
    assert len({one.name for one in all_of(full.sections)}) == len(list(all_of(full.sections))), "anchors are unique"


def test_files_that_one_run_lacks_are_no_evidence(full, two, tmp_path):
    folder = full.folders["svm"].path
    comparison = compare([two("svm"), two("forest", gap=2.0)], paths=[folder, tmp_path / "predictions.csv"])
    lists = section(comparison, "tripod-ai").checklists
    assert not any(place == "split.csv" for answer in lists[0].answers for place in answer.places)


def test_the_flow_counts_every_image_once(two):
    run = two()
    partly = replace(run, data={**run.data, "images": 60, "missing": 5})
    table = compare([partly]).figures["flow"].table
    counts = {(row[0], row[2]) for row in table.rows}
    assert ("made up", "60 labelled images of the split") in counts
    assert ("made up", "5 images unreadable") in counts
    assert ("Usable", "7 images for training only") in counts
    assert ("Tested", "48 images of 12 subjects") in counts
    tested = [row[2] for row in table.rows if row[0].startswith("Test ") and row[2].endswith("images")]
    assert tested == ["16 images"] * 3


def test_commands_and_digests_are_there_to_repeat_it(full):
    reproduce = section(full, "reproduce")
    assert reproduce.commands == ("leukfeat run quick.yaml", "leukfeat compare runs/*")
    assert dict(reproduce.facts)["data digest"] == "a" * 16


def test_a_model_card_keeps_its_words_and_loses_its_marks():
    output, limits = card_parts("# Card\n\n## Output\n\n- A **`p`**\n  each.\n- Two.\n\n## Limits\n\nMany\nlines.\n", 1)
    assert (output.title, output.points) == ("Output", ("A p each.", "Two."))
    assert limits.words == ("Many lines.",)


def test_a_report_of_four_classes_without_subjects_can_be_made(four, tmp_path):
    comparison = compare([four])
    text = comparison.to_html(tmp_path / "report.html").read_text()
    assert "decision" not in names(comparison)
    assert "None: subjects unknown." in text
    assert "macro one-vs-rest" in comparison.figures["roc"].svg


def test_every_figure_is_in_the_page_and_every_name_once(full, tmp_path):
    text = full.to_html(tmp_path / "report.html").read_text()
    assert len(full.figures) == 13
    for name in full.figures:
        assert text.count(f'id="figure-{name}"') == 1


def test_scores_among_cells_of_equal_size_stand_beside_the_plot(full):
    """What is left of a model where size cannot help it."""
    (table,) = section(full, "area").tables
    assert [row[0] for row in table.rows] == [run.name for run in full.runs]
    assert "at most 5%" in table.words[0]
