"""The learning curve: more subjects, the same test; sizes are nested, and every class is at every size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import RecipeError, RunError, SplitError, UsageError
from leukfeat.evaluation.learning_curve import LearningCurve
from leukfeat.evaluation.runs import Run, find_runs
from leukfeat.experiments.arms import Runner
from leukfeat.experiments.learning_curve import learning_curve_of, measure_learning_curve
from leukfeat.experiments.run import run
from leukfeat.experiments.studies import make_studies

ONE = Runner(n_jobs=1)


def test_a_curve_rises_where_subjects_teach(planted: Any) -> None:
    """Subject effects average out over many training subjects and mislead where there are few."""
    curve = measure_learning_curve(planted(n_subjects=48, n_cells=3, of_class=0.35), sizes=3, runner=ONE)
    assert [point.subjects for point in curve.points] == [4, 11, 32]
    assert [point.images for point in curve.points] == [12, 33, 96]
    assert [point.seeds for point in curve.points] == [3, 3, 1]
    values = [point.measured.score.value for point in curve.points]
    assert values[0] < values[-1] - 0.1
    assert curve.last_step.estimate.value == pytest.approx(values[-1] - values[-2])
    assert all(point.measured.interval.defined for point in curve.points)
    assert all(point.between_seeds.value > 0 for point in curve.points[:-1])
    assert "one draw" in curve.points[-1].between_seeds.reason
    assert (curve.unit, curve.n_clusters) == ("subject", 48)


def test_every_size_tests_the_same_images_in_the_same_folds(planted: Any) -> None:
    """The test part of a fold stays; otherwise the curve would mix what is learned with what is asked."""
    recipe = planted(learning_curve={"sizes": 2, "seeds": 2})
    folders = run(recipe, n_jobs=1)
    (curve,) = make_studies(recipe, folders, runner=ONE)
    assert isinstance(curve, LearningCurve)
    small, whole = (Run.load(point.run) for point in curve.points)
    assert curve.points[-1].run == str(folders[0]), "all subjects are the run itself"
    assert find_runs(recipe.out) == folders
    fold_of = dict(zip(whole.predictions.sample.tolist(), whole.predictions.fold.tolist(), strict=True))
    assert len(small.predictions) == 2 * len(whole.predictions)
    for sample, fold in zip(small.predictions.sample.tolist(), small.predictions.fold.tolist(), strict=True):
        assert fold_of[sample] == fold
    assert small.split["protection"] == "linked-subject"
    assert LearningCurve.load(folders[0] / LearningCurve.file_name).to_dict() == curve.to_dict()


def test_validation_parts_grow_with_the_training_part(planted: Any) -> None:
    """A validation part is learned from, so its subjects are counted and drawn too."""
    split = {"kind": "holdout", "fractions": "60/20/20", "repeats": 2}
    curve = measure_learning_curve(planted(n_subjects=20, n_cells=2, split=split), sizes=2, seeds=1, runner=ONE)
    assert curve.points[0].subjects == 6, "two of each class to train on, one of each to choose on"
    small = Run.load(curve.points[0].run)
    manifest = Manifest.load(planted(n_subjects=20, n_cells=2).data.path)
    folds = SplitPlan.from_file(manifest, Path(curve.points[0].run) / "split.csv").folds
    assert [len(fold.validation) for fold in folds] == [4, 4]
    assert len(np.unique(small.predictions.repeat)) == 2
    assert any("validation parts" in note for note in curve.notes)


def test_a_split_that_announces_links_may_be_thinned(planted: Any) -> None:
    """Parts of a fold leak no more than the fold, which is allowed to; the audit does not stop them."""
    recipe = planted(split={"kind": "subject", "folds": 2}, shared={6 + k: k for k in range(6)})
    curve = measure_learning_curve(recipe, sizes=2, seeds=1, runner=ONE)
    assert len(curve.points) == 2


def test_what_has_no_curve_is_refused_in_a_line(planted: Any, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="too few subjects for a learning curve: the smallest training part has 4"):
        measure_learning_curve(planted(n_subjects=6, n_cells=2))
    with pytest.raises(SplitError, match="keeps none whole"):
        measure_learning_curve(planted(split={"kind": "per-image", "folds": 3}))
    with pytest.raises(UsageError, match="at least 2 sizes and 1 seed"):
        measure_learning_curve(planted(), sizes=1)
    with pytest.raises(RecipeError, match=r"learning_curve\.sizes"):
        planted(learning_curve={"sizes": 1})
    with pytest.raises(RunError, match=r"no recipe\.yaml"):
        learning_curve_of(tmp_path)
