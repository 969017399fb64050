"""The leakage meter: subjects on both sides flatter, linked ids flatter too, and nothing is run twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.data.words import IMAGE_LEVEL
from leukfeat.errors import RecipeError, RunError, SplitError
from leukfeat.evaluation.leakage_meter import LeakageMeter
from leukfeat.evaluation.runs import Run, find_runs
from leukfeat.experiments.arms import Runner
from leukfeat.experiments.leakage_meter import leakage_meter_of, measure_leakage
from leukfeat.experiments.run import run
from leukfeat.experiments.stages import Watcher
from leukfeat.experiments.studies import make_studies

ONE = Runner(n_jobs=1)


def test_subjects_on_both_sides_flatter(planted: Any) -> None:
    """Subjects differ far more than classes do, so knowing a test subject's other cells gives its class away."""
    meter = measure_leakage(planted(n_subjects=24), runner=ONE)
    loose, strict = meter.arms
    assert (loose.name, strict.name) == ("image-level", "subject-level")
    assert loose.measured.score.value > strict.measured.score.value + 0.1
    assert meter.optimism.estimate.value == pytest.approx(loose.measured.score.value - strict.measured.score.value)
    assert meter.optimism.interval.low > 0
    assert (loose.exposed, strict.exposed) == (1.0, 0.0)
    assert IMAGE_LEVEL in loose.notes
    assert IMAGE_LEVEL not in strict.notes
    assert (meter.unit, meter.n_clusters, meter.images) == ("subject", 24, 144)


def test_without_subject_effects_there_is_little_to_leak(planted: Any) -> None:
    """The meter must not call a difference a leak where cells of one subject are as different as any others."""
    meter = measure_leakage(planted(of_subject=0.0, n_subjects=16, seed=1), runner=ONE)
    assert abs(meter.optimism.estimate.value) < 0.05
    assert 0 in meter.optimism.interval


def test_linked_ids_are_an_arm_of_their_own(planted: Any) -> None:
    """Ids of one person who stand apart as subjects flatter as well; only the linked split keeps them together."""
    # subjects 6 to 11 are 0 to 5 again under other ids
    meter = measure_leakage(planted(shared={6 + k: k for k in range(6)}, n_cells=8), runner=ONE)
    assert [arm.name for arm in meter.arms] == ["image-level", "subject-level", "linked-subject-level"]
    _, subject, linked = meter.arms
    assert subject.exposed > 0
    assert linked.exposed == 0
    assert any("links that cross" in note for note in subject.notes)
    assert subject.measured.score.value > linked.measured.score.value
    assert (meter.unit, meter.n_clusters) == ("linked subject", 6)
    pairs = [(one.first, one.second) for one in meter.differences]
    assert pairs[0] == ("image-level", "linked-subject-level"), "the largest step is told first"
    assert len(pairs) == 3


def test_of_a_run_folder_only_the_other_arms_are_run(planted: Any) -> None:
    """The run's own split is an arm already; the others stand apart, so that runs/* stays comparable."""
    recipe = planted()
    (folder,) = run(recipe, n_jobs=1)
    made_at = (folder / "run.json").stat().st_mtime_ns
    meter = leakage_meter_of(folder, runner=ONE)
    assert meter.arms[-1].run == str(folder)
    assert (folder / "run.json").stat().st_mtime_ns == made_at
    assert find_runs(recipe.out) == [folder]
    assert LeakageMeter.load(folder / LeakageMeter.file_name).to_dict() == meter.to_dict()
    assert Run.load(meter.arms[0].run).split["kind"] == "per-image"
    lines: list[str] = []
    leakage_meter_of(folder, watcher=Watcher(told=lines.append))
    assert not [line for line in lines if line.startswith("wrote")], "a finished meter is only read"


def test_a_recipe_asks_for_it_by_a_key(planted: Any) -> None:
    recipe = planted(leakage_meter=True)
    (made,) = make_studies(recipe, run(recipe, n_jobs=1), runner=ONE)
    assert isinstance(made, LeakageMeter)
    assert make_studies(planted(), [], runner=ONE) == []


def test_declared_groups_stand_in_for_unknown_subjects(planted: Any, tmp_path: Path) -> None:
    """A set without subject ids whose fields are known: image-level against the fields, and the words say so."""
    recipe = planted()
    known = Manifest.load(recipe.data.path)
    columns = {name: getattr(known, name) for name in ("sample", "path", "label", "sha256", "positive", "root")}
    unknown = ("unknown",) * len(known)
    Manifest(**columns, subject=unknown, declared_group=known.subject).save(tmp_path / "fields.csv")
    meter = measure_leakage(recipe.on(tmp_path / "fields.csv"), runner=ONE)
    assert [arm.name for arm in meter.arms] == ["image-level", "group-level"]
    assert meter.unit == "group of images"
    assert any("subjects unknown" in note for note in meter.notes)
    Manifest(**columns, subject=unknown).save(tmp_path / "nothing.csv")
    with pytest.raises(SplitError, match="nothing to hold image-level splits against"):
        measure_leakage(recipe.on(tmp_path / "nothing.csv"), runner=ONE)


def test_what_cannot_be_measured_is_refused_in_a_line(planted: Any, tmp_path: Path) -> None:
    heads = [{"name": "logistic", "trials": 1}, {"name": "knn", "trials": 1}]
    with pytest.raises(RecipeError, match="about one candidate, and this recipe names 2"):
        measure_leakage(planted(head=heads))
    with pytest.raises(RunError, match=r"no recipe\.yaml"):
        leakage_meter_of(tmp_path)
