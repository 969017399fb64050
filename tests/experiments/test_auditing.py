"""Audits around a run: nothing is computed on a leak, and what was accepted stays in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leukfeat.audit.findings import Finding
from leukfeat.audit.measurements import Measurements
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import LeakageError, RecipeError, UnknownNameError
from leukfeat.evaluation.caveats import caveats
from leukfeat.evaluation.runs import Run
from leukfeat.experiments.audited_runs import run_findings
from leukfeat.experiments.auditing import (
    AUDIT_JSON,
    MEASUREMENTS_CSV,
    NOT_AUDITED,
    Audit,
    audit_as_told,
    audit_basic,
    audit_full,
    findings_of,
    has_images,
)
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.run import run


@pytest.fixture
def divided(cells: Manifest, tmp_path: Path) -> Path:
    """A split file that somebody drew by image: 11 of 12 subjects are on both sides."""
    return SplitPlan.per_image(cells, n_folds=2).save(tmp_path / "divided.csv")


def test_a_leaking_split_file_stops_a_run_before_any_work(
    recipe: Callable[..., Recipe], divided: Path, tmp_path: Path
) -> None:
    wanted = recipe(split={"kind": "file", "file": str(divided)})
    with pytest.raises(LeakageError, match=r"subject-across-folds: 11 subject.*--allow subject-across-folds"):
        run(wanted)
    assert not list((tmp_path / "runs").glob("*/*"))
    assert not (tmp_path / "cache").exists()


def test_what_was_allowed_is_in_the_run_and_beside_its_numbers(recipe: Callable[..., Recipe], divided: Path) -> None:
    wanted = recipe(split={"kind": "file", "file": str(divided)}, audit={"allow": "subject-across-folds"})
    done = Run.load(run(wanted, n_jobs=1)[0])
    assert done.audit["allowed"] == ["subject-across-folds"]
    assert "subject-across-folds" in {one.code for one in findings_of(done.audit)}
    assert any(note.startswith("leak allowed by --allow subject-across-folds: 11 subject") for note in caveats(done))


def test_an_audit_that_was_switched_off_is_said_beside_every_number(
    recipe: Callable[..., Recipe], divided: Path
) -> None:
    wanted = recipe(split={"kind": "file", "file": str(divided)}, audit={"level": "none"})
    done = Run.load(run(wanted, n_jobs=1)[0])
    assert done.audit == {"level": "none", "allowed": [], "findings": []}
    assert NOT_AUDITED in caveats(done)


def test_a_sound_run_says_what_was_checked_and_needs_no_note(recipe: Callable[..., Recipe], cells: Manifest) -> None:
    folder = run(recipe(), n_jobs=1)[0]
    done = Run.load(folder)
    assert done.audit["level"] == "basic"
    assert [one.code for one in findings_of(done.audit)] == ["one-class-subjects"]
    assert not any("leak" in note or "audit" in note for note in done.notes)
    assert [one.code for one in run_findings(cells, folder)] == []


def test_a_run_of_an_older_version_loads_without_an_audit(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("sample,y_true,proba_ALL,proba_HEM\na,ALL,.9,.1\nb,HEM,.2,.8\n")
    Run.load(tmp_path / "p.csv").save(tmp_path / "old")
    facts = json.loads((tmp_path / "old" / "run.json").read_text())
    del facts["audit"]
    (tmp_path / "old" / "run.json").write_text(json.dumps(facts | {"seconds": 1.0}))
    assert Run.load(tmp_path / "old").audit == {}


def test_predictions_with_divided_subjects_are_found_out(recipe: Callable[..., Recipe], cells: Manifest) -> None:
    """A predictions file of another tool, which says nothing of a split."""
    plan = recipe(split={"kind": "per-image", "folds": 2})
    folder = run(plan, n_jobs=1)[0]
    assert all(one.declared for one in run_findings(cells, folder) if one.severity == "leak")
    alone = run_findings(cells, folder / "predictions.csv")
    assert [one.code for one in alone if one.stops] == ["subject-across-folds"]


def test_predictions_of_one_fold_are_not_called_sound(cells: Manifest, tmp_path: Path) -> None:
    """Nobody knows what their model was trained on, so silence would be a verdict without a look."""
    rows = [row for row, label in enumerate(cells.label) if label]
    lines = [f"{cells.sample[row]},{cells.label[row]},0.5,0.5" for row in rows]
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("\n".join(["sample,y_true,proba_ALL,proba_HEM", *lines]) + "\n")
    assert "training-unknown" in [one.code for one in run_findings(cells, foreign)]


def test_a_code_that_does_not_exist_is_refused_where_it_stands(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match=r"audit\.allow: finding 'subject-across' is not known; did you mean"):
        recipe(audit={"allow": ["subject-across"]})
    with pytest.raises(RecipeError, match="unknown key 'levle' in audit; did you mean 'level'"):
        recipe(audit={"levle": "full"})
    with pytest.raises(UnknownNameError):
        Audit("cells", "basic", allowed=("everything",))


def test_a_full_audit_finds_the_size_confound_and_probes_an_embedding(cells: Manifest, tmp_path: Path) -> None:
    """The generator's positive cells are larger: the audit must say so, and keep what it found."""
    plan = SplitPlan.grouped(cells, n_folds=2)
    subject = np.unique(np.asarray(cells.subject), return_inverse=True)[1]
    rng = np.random.default_rng(0)
    telling = np.eye(subject.max() + 1)[subject] + 0.01 * rng.standard_normal((len(cells), subject.max() + 1))
    told: list[str] = []
    audit = audit_full(cells, plan, embeddings=telling, progress=lambda what, done, total: told.append(what))
    found = {one.code for one in audit.findings}
    assert {"shortcut-size", "subject-probe"} <= found
    steps = {"images", "measurements", "baselines", "probes"}
    assert steps <= set(told) <= {*steps, "pairs"}, "no silence while anything is fitted"
    assert "near-duplicate-across-folds" not in found
    assert audit.leaks == ()
    written = audit.save(tmp_path, cells)
    facts = json.loads((tmp_path / AUDIT_JSON).read_text())
    assert {one["code"] for one in facts["findings"]} == found
    assert "area" in {one["baseline"] for one in facts["shortcuts"]}
    assert written[0] == tmp_path / AUDIT_JSON
    areas = Measurements.load(tmp_path / MEASUREMENTS_CSV).area  # what the report draws scores against
    assert set(areas) == set(cells.sample)


def test_a_list_of_checksums_is_audited_as_far_as_it_goes(make_list: Path) -> None:
    manifest = Manifest.open(make_list)
    audit = audit_full(manifest, SplitPlan.official(manifest))
    codes = {one.code: one for one in audit.findings}
    assert "no image of 8 is there" in codes["unread-images"].words
    assert codes["identical-across-folds"].declared
    assert audit.save(make_list.parent / "audit", manifest) == [make_list.parent / "audit" / AUDIT_JSON]


@pytest.fixture
def make_list(tmp_path: Path) -> Path:
    """Names and digests in the layout of C-NMC, one image twice under two ids."""
    names = [
        f"training_data/fold_{fold}/{label}/UID_{'H' if label == 'hem' else ''}{fold + 1}_{image}_1_{label}.bmp"
        for fold in (0, 1)
        for label in ("all", "hem")
        for image in (1, 2)
    ]
    digests = [f"{number:064x}" for number in range(len(names))]
    digests[4] = digests[0]
    file = tmp_path / "files.tsv"
    file.write_text("path\tsha256\n" + "".join(f"{n}\t{d}\n" for n, d in zip(names, digests, strict=True)))
    return file


def test_the_record_of_a_run_stays_small(cells: Manifest) -> None:
    """A run file is read whenever runs are compared; a thousand cases belong into audit.json."""
    audit = audit_as_told(cells, SplitPlan.per_image(cells, n_folds=8), "basic", ())
    crossing = next(one for one in audit.record()["findings"] if one["code"] == "subject-across-folds")
    assert crossing["cases"] == 8
    assert len(crossing["evidence"]) == 5
    assert [one.code for one in findings_of(audit.record())] == [one.code for one in audit.findings]


def test_people_are_told_what_to_do(cells: Manifest, divided: Path) -> None:
    audit = audit_basic(cells, SplitPlan.from_file(cells, divided))
    lines = audit.lines()
    assert lines[0] == "audit (basic): 2 finding(s), 1 of them leaks that stop a run"
    assert any(line.strip() == "use '--split grouped'" for line in lines)


def test_sheets_of_what_was_mended_do_not_stay(cells: Manifest, tmp_path: Path) -> None:
    """Who mends the data and audits again must not find the pictures of the old fault."""
    names = [*cells.sample[:2]]
    finding = Finding.of("near-duplicates", "1 group", [{"samples": names}])
    Audit("cells", "full", (finding, finding)).save(tmp_path, cells)
    (tmp_path / "mine.png").write_bytes(b"png")
    assert (tmp_path / "near-duplicates-2.png").is_file()
    Audit("cells", "full").save(tmp_path, cells)
    assert sorted(file.name for file in tmp_path.iterdir()) == [AUDIT_JSON, "mine.png"]


def test_images_are_looked_for_beyond_the_first_rows(tmp_path: Path) -> None:
    """The first subject's folder may be the one that is not on this disk."""
    rows = "".join(f"{number}.png,ALL,S{number % 4},{number:064x}\n" for number in range(60))
    (tmp_path / "cells.csv").write_text(f"path,label,subject,sha256\n{rows}")
    manifest = Manifest.load(tmp_path / "cells.csv")
    assert not has_images(manifest)
    (tmp_path / "59.png").write_bytes(b"x")
    assert has_images(manifest)
