"""A run on disk is whole, unchanged and ours, or it is refused."""

from __future__ import annotations

import json

import pytest

from leukfeat.errors import PredictionsError, RunError
from leukfeat.evaluation.runs import Run, find_runs


@pytest.fixture
def run(make):
    return Run(
        name="efficientnet_b0 → svm",
        predictions=make(["ALL", "HEM"], [0.1 + 0.2, 1 / 3]),
        candidate={"head": {"head": "svm"}},
        data={"dataset": "C-NMC", "images": 2},
        split={"kind": "grouped", "protection": "linked-subject", "digest": "0" * 64},
        notes=("2 linked pairs of subject ids",),
        folds=({"repeat": 0, "fold": 0, "seconds": {"fit": 1.5}},),
        seconds=2.5,
        environment={"python": "3.11"},
    )


def test_a_saved_run_comes_back_as_it_was(tmp_path, run):
    found = Run.load(run.save(tmp_path / "run"))
    assert found.predictions.digest == run.predictions.digest
    for name in ("name", "candidate", "data", "split", "notes", "folds", "seconds", "environment"):
        assert getattr(found, name) == getattr(run, name), name


def test_the_positive_class_may_be_restated(tmp_path, run):
    folder = run.save(tmp_path / "run")
    assert Run.load(folder).predictions.positive == "ALL"
    assert Run.load(folder, positive="HEM").predictions.positive == "HEM"


def test_a_bare_predictions_file_is_a_run_with_nothing_recorded(tmp_path, run):
    found = Run.load(run.predictions.save(tmp_path / "other-tool.csv"), positive="ALL")
    assert (found.name, found.notes, found.split) == ("other-tool", (), {})
    named_by_folder = Run.load(run.predictions.save(tmp_path / "theirs" / "predictions.csv"))
    assert named_by_folder.name == "theirs"


def test_changed_predictions_are_refused(tmp_path, run):
    # else the notes of one set of numbers would stand beside another
    folder = run.save(tmp_path / "run")
    file = folder / "predictions.csv"
    file.write_text(file.read_text().replace("HEM,HEM", "ALL,HEM"))
    with pytest.raises(RunError, match=r"predictions.csv is not the one run.json was written for"):
        Run.load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda facts: facts | {"schema": 99}, "schema 99"),
        (lambda facts: [facts], "schema None"),
        (lambda facts: {k: v for k, v in facts.items() if k != "split"}, "split is missing or of a wrong type"),
        (lambda facts: facts | {"notes": "none"}, "notes is missing or of a wrong type"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path, run, change, told):
    file = run.save(tmp_path / "run") / "run.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(RunError, match=told):
        Run.load(tmp_path / "run")


def test_what_is_no_run_is_refused_with_what_to_do(tmp_path, run):
    folder = run.save(tmp_path / "run")
    (folder / "run.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        Run.load(folder)
    (folder / "run.json").unlink()
    with pytest.raises(RunError, match=r"unfinished run.*run its command again"):
        Run.load(folder)
    with pytest.raises(RunError, match="not a run"):
        Run.load(tmp_path / "nowhere")


@pytest.fixture
def learned(study) -> Run:
    predictions, inner = study
    return Run(name="boosted", predictions=predictions, inner=inner)


def test_inner_predictions_are_kept_beside_the_others(tmp_path, learned):
    found = Run.load(learned.save(tmp_path / "run"))
    assert found.inner.digest == learned.inner.digest
    assert found.predictions.digest == learned.predictions.digest
    restated = Run.load(tmp_path / "run", positive="HEM")
    assert restated.inner.positive == restated.predictions.positive == "HEM"


def test_a_run_without_inner_predictions_has_none(tmp_path, run, learned):
    # written by a leukfeat that knew none, or over a run that had some
    folder = learned.save(tmp_path / "run")
    run.save(folder)
    assert Run.load(folder).inner is None
    assert not (folder / "inner.csv").exists()
    facts = json.loads((folder / "run.json").read_text())
    del facts["inner_digest"]
    (folder / "run.json").write_text(json.dumps(facts))
    assert Run.load(folder).inner is None


def test_changed_inner_predictions_are_refused(tmp_path, learned):
    # a threshold would be learned from them
    folder = learned.save(tmp_path / "run")
    file = folder / "inner.csv"
    file.write_text(file.read_text().replace("HEM,HEM", "ALL,HEM"))
    with pytest.raises(RunError, match=r"inner.csv is not the one run.json was written for"):
        Run.load(folder)
    file.unlink()
    with pytest.raises(PredictionsError, match=r"inner.csv: no such file"):
        Run.load(folder)


def test_only_finished_runs_are_found(tmp_path, run):
    for name in ("b", "a"):
        run.save(tmp_path / name)
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "predictions.csv").write_text("")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in find_runs(tmp_path)] == ["a", "b"]
    with pytest.raises(RunError, match="no finished run"):
        find_runs(tmp_path / "stopped")
