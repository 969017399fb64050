"""What stands beside predictions is taken where it is there, and stops nothing where it cannot be read."""

from __future__ import annotations

import json

import numpy as np

from leukfeat.audit.measurements import COLUMNS, Measurements
from leukfeat.evaluation.learning_curve import LearningCurve, SizedRun
from leukfeat.reports.folders import CARD, RunFolder


def test_an_empty_folder_has_nothing_and_no_problem(tmp_path):
    found = RunFolder.read(tmp_path)
    assert (found.files, found.reported, found.card, found.areas, found.problems) == ((), {}, "", {}, ())
    assert found.learning_curve is None
    assert found.picture("random") == b""


def test_a_paper_and_its_numbers_are_read_from_the_recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "paper: {title: Cells, doi: 10.1/x}\nreported: {accuracy: 0.85, note: text}\nunstated: [How it was split.]\n"
    )
    found = RunFolder.read(tmp_path)
    assert found.paper["title"] == "Cells"
    assert found.reported == {"accuracy": 0.85}
    assert found.unstated == ("How it was split.",)
    assert found.files == ("recipe.yaml",)


def test_everything_else_is_read_too(two, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / CARD).write_text("# Model card\n")
    (tmp_path / "explanations").mkdir()
    (tmp_path / "explanations" / "explanations.json").write_text(json.dumps({"seed": 3}))
    (tmp_path / "explanations" / "random.png").write_bytes(b"png")
    blank = {name: np.array([7.0, np.nan]) for name in COLUMNS}
    Measurements(("a.bmp", "b.bmp"), blank, ("black",) * 2, ("", "")).save(tmp_path / "measurements.csv")
    curve = LearningCurve.of([SizedRun(4, 16, 1, "a", two("a")), SizedRun(8, 32, 1, "b", two("b", gap=2.0))])
    curve.save(tmp_path / LearningCurve.file_name)
    found = RunFolder.read(tmp_path)
    assert found.card == "# Model card\n"
    assert found.explanations == {"seed": 3}
    assert (found.picture("random"), found.picture("worst")) == (b"png", b"")
    assert found.areas["a.bmp"] == 7.0
    assert found.learning_curve == curve
    assert found.problems == ()


def test_damaged_files_are_told_and_stop_nothing(tmp_path):
    (tmp_path / "recipe.yaml").write_text("paper: [unclosed\n")
    (tmp_path / "learning-curve.json").write_text("{")
    (tmp_path / "measurements.csv").write_text("x\n1\n")
    (tmp_path / "explanations").mkdir()
    (tmp_path / "explanations" / "explanations.json").write_text("nothing")
    found = RunFolder.read(tmp_path)
    assert len(found.problems) == 4
    for name in ("recipe.yaml", "learning-curve.json", "measurements.csv", "explanations.json"):
        assert any(name in problem for problem in found.problems), name
    assert all("\n" not in problem for problem in found.problems)


def test_a_recipe_cannot_run_anything(tmp_path):
    (tmp_path / "recipe.yaml").write_text("paper: !!python/object/apply:os.system ['true']\n")
    assert len(RunFolder.read(tmp_path).problems) == 1
