"""Studies are values: made from runs in any order of rows, kept as JSON, refused where runs do not belong together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leukfeat.errors import ComparisonError, RunError
from leukfeat.evaluation.intervals import Interval, intervals
from leukfeat.evaluation.leakage_meter import LeakageMeter, exposed
from leukfeat.evaluation.learning_curve import LearningCurve, SizedRun
from leukfeat.evaluation.metrics import score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters, Draws
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.site_matrix import Site, SiteMatrix
from leukfeat.evaluation.studies import Study
from leukfeat.evaluation.uncertainty import Uncertainty

FEW = Uncertainty(n_draws=200)


def predicted(seed: int = 0, *, n_subjects: int = 12, n_cells: int = 5, repeats: int = 1, skill: float = 1.0) -> Run:
    """Subjects tested whole, in three folds; ``skill`` is the distance between the classes' logits."""
    rng = np.random.default_rng(seed)
    subject = np.tile(np.repeat(np.arange(n_subjects), n_cells), repeats)
    repeat = np.repeat(np.arange(repeats), n_subjects * n_cells)
    cell = np.tile(np.arange(n_cells), n_subjects * repeats)
    side = np.where(subject % 2, 1.0, -1.0)
    logit = skill * side / 2 + rng.standard_normal(n_subjects)[subject] + rng.standard_normal(len(subject))
    p = 1 / (1 + np.exp(-logit))
    names = np.array([f"S{number}" for number in subject])
    predictions = Predictions(
        sample=np.array([f"{who}-{number}" for who, number in zip(names, cell, strict=True)]),
        subject=names,
        group=names,
        repeat=repeat,
        fold=subject // 2 % 3,
        y_true=np.where(side > 0, "ALL", "HEM"),
        proba=np.column_stack([p, 1 - p]),
        classes=("ALL", "HEM"),
        positive="ALL",
    )
    return Run(name="net → svm", predictions=predictions, data={"dataset": "cells"}, notes=("a note",))


def by_image(run: Run) -> Run:
    """The same predictions as if cells of a subject had been tested in different folds."""
    return replace(run, predictions=replace(run.predictions, fold=np.arange(len(run.predictions)) % 3))


def shuffled(run: Run, rows: NDArray[np.int64] | None = None) -> Run:
    order = np.random.default_rng(1).permutation(len(run.predictions)) if rows is None else rows
    return replace(run, predictions=run.predictions.take(order))


def meter(loose: Run, strict: Run, **options: Any) -> LeakageMeter:
    arms: Any = {"image-level": ("loose", loose), "subject-level": ("strict", strict)}
    return LeakageMeter.of(arms, resampling=FEW, **options)


def curve(small: Run, whole: Run, seeds: int) -> LearningCurve:
    return LearningCurve.of([SizedRun(4, 20, seeds, "small", small), SizedRun(8, 40, 1, "all", whole)], resampling=FEW)


def matrix(**runs: Run) -> SiteMatrix:
    sites = [Site(name, name, 60, 12, (("ALL", 30), ("HEM", 30)), 1.0, 0.6, 60) for name in "ab"]
    pairs = {(name[0], name[1]): (name, run) for name, run in runs.items()}
    return SiteMatrix.of(sites, pairs, resampling=FEW, warnings=["shift"], notes=["note"])


# ---------------------------------------------------------------------- what the numbers are


def test_a_difference_is_that_of_the_scores_whatever_the_order_of_rows() -> None:
    """Splits deal the same samples in different orders; they are paired by sample, not by place."""
    loose, strict = by_image(predicted(0, skill=2.5)), predicted(1, skill=0.5)
    found = meter(loose, strict)
    a, b = (score(run.predictions, ["auroc"])["auroc"].value for run in (loose, strict))
    assert found.optimism.estimate.value == pytest.approx(a - b, abs=1e-12)
    assert found.arms[0].measured.score.value == pytest.approx(a, abs=1e-12)
    assert meter(shuffled(loose), strict).to_dict() == found.to_dict()
    assert (
        found.arms[1].measured.interval
        == intervals(strict.predictions, ["auroc"], draws=Draws.of(Clusters.of(strict.predictions), 200, 0))["auroc"]
    )


def test_a_split_that_changes_nothing_has_no_optimism() -> None:
    found = meter(predicted(), predicted()).optimism
    assert found.estimate.value == 0
    assert "the same in every resample" in found.interval.reason


def test_exposed_counts_images_with_a_sibling_in_training() -> None:
    """Six images of three groups in two folds: only the group that is divided has siblings in training."""
    one = predicted(n_subjects=3, n_cells=2).predictions
    divided = replace(one, fold=np.array([0, 1, 0, 0, 1, 1]))
    assert exposed(divided) == pytest.approx(2 / 6)
    assert exposed(one) == 0
    twice = Predictions.concatenate([divided, replace(one, repeat=one.repeat + 1)])
    assert exposed(twice) == pytest.approx(2 / 12), "repeats are looked at one by one"


def test_a_size_that_was_drawn_once_stands_beside_those_drawn_often() -> None:
    """Repeating the run on all subjects changes neither its score nor its interval, only makes it comparable."""
    small, whole = predicted(2, repeats=3, skill=1.0), predicted(3, skill=2.5)
    found = curve(small, whole, 3)
    alone = Draws.of(Clusters.of(whole.predictions), 200, 0)
    assert found.points[1].measured.score == score(whole.predictions, ["auroc"])["auroc"]
    wanted = intervals(whole.predictions, ["auroc"], draws=alone)["auroc"]
    assert found.points[1].measured.interval.low == pytest.approx(wanted.low, abs=1e-6)
    drawn = [score(small.predictions.take(small.predictions.repeat == k), ["auroc"])["auroc"].value for k in range(3)]
    assert found.points[0].measured.score.value == pytest.approx(np.mean(drawn))
    assert found.points[0].between_seeds.value == pytest.approx(np.std(drawn, ddof=1))
    assert found.last_step.first == "8 subjects"
    assert found.last_step.estimate.value == pytest.approx(found.points[1].measured.score.value - np.mean(drawn))


def test_models_from_elsewhere_are_held_against_the_same_images_at_home() -> None:
    """Home is tested in every repeat of a cross-validation, the others once; each row meets its own sample."""
    home, away = predicted(4, repeats=2), predicted(5, skill=0.2)
    other = predicted(6)
    found = matrix(aa=home, ba=shuffled(away), ab=predicted(7), bb=other)
    cell = found.cell("b", "a")
    assert cell.measured.score.value == pytest.approx(score(away.predictions, ["auroc"])["auroc"].value, abs=1e-12)
    assert cell.change is not None
    at_home = score(home.predictions, ["auroc"])["auroc"].value
    assert cell.change.estimate.value == pytest.approx(cell.measured.score.value - at_home, abs=1e-12)
    assert (cell.unit, cell.n_clusters, cell.run) == ("subject", 12, "ba")


def test_a_site_knows_its_own_subjects() -> None:
    """A model trained where subjects are unknown is tested by subject all the same, where they are known."""
    away = predicted(5)
    nobody = replace(away.predictions, subject=np.full(len(away.predictions), "unknown"), group=away.predictions.sample)
    found = matrix(aa=predicted(4), ba=replace(away, predictions=nobody), ab=predicted(7), bb=predicted(6))
    assert found.cell("b", "a").unit == "subject"


# ---------------------------------------------------------------------- what does not belong together


def test_runs_on_different_images_are_not_held_against_each_other() -> None:
    whole = predicted()
    some = shuffled(whole, np.arange(5, len(whole.predictions)))
    with pytest.raises(ComparisonError, match="image-level and subject-level arms test different images"):
        meter(some, whole)
    with pytest.raises(ComparisonError, match="small and all test different images"):
        curve(some, whole, 1)
    with pytest.raises(ComparisonError, match=r"trained on b was not asked about 5 image\(s\) of a"):
        matrix(aa=whole, ba=some, ab=whole, bb=whole)
    with pytest.raises(ComparisonError, match="no run trained on b and tested on a"):
        matrix(aa=whole, ab=whole, bb=whole)
    with pytest.raises(ComparisonError, match="needs two splits, and has 1"):
        LeakageMeter.of({"image-level": ("one", whole)})
    with pytest.raises(ComparisonError, match="needs two sizes, and has 1"):
        LearningCurve.of([SizedRun(4, 20, 1, "one", whole)])


def test_what_is_undefined_has_a_reason() -> None:
    """One subject of a class: there is a number, and nothing can be said of its spread."""
    few = predicted(n_subjects=3)
    found = meter(by_image(few), few)
    assert found.arms[0].measured.score.defined
    assert "class 'ALL' has 1 subject" in found.arms[0].measured.interval.reason
    assert "class 'ALL' has 1 subject" in found.optimism.interval.reason
    assert not found.optimism.p.defined


# ---------------------------------------------------------------------- on disk


@pytest.mark.parametrize("kind", ["meter", "curve", "matrix"])
def test_a_study_outlives_its_process(kind: str, tmp_path: Path) -> None:
    """JSON and back is the same study, undefined numbers included, and readers of plain JSON find no NaN."""
    one, two = predicted(0, n_subjects=3), predicted(1, n_subjects=3)
    made: dict[str, Study] = {
        "meter": meter(by_image(one), two, notes=["said"]),
        "curve": curve(predicted(0), predicted(1), 1),
        "matrix": matrix(aa=predicted(0), ab=predicted(1), ba=predicted(2), bb=predicted(3)),
    }
    study = made[kind]
    file = study.save(tmp_path / study.file_name)
    again = type(study).load(file)
    assert again.to_dict() == study.to_dict()
    assert type(again) is type(study)
    json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    for one_kind in (LeakageMeter, LearningCurve, SiteMatrix):
        if one_kind is not type(study):
            with pytest.raises(RunError, match=f"a {one_kind.kind} of schema 1 is read here"):
                one_kind.load(file)


def test_a_kept_study_has_its_types_again(tmp_path: Path) -> None:
    study = matrix(aa=predicted(0), ab=predicted(1), ba=predicted(2), bb=predicted(3))
    again = SiteMatrix.load(study.save(tmp_path / "m.json"))
    assert isinstance(again.cells[0].measured.interval, Interval)
    assert isinstance(again.sites, tuple)
    assert again.sites[0].classes == (("ALL", 30), ("HEM", 30))
    assert again.cell("a", "a").change is None
    assert again.resampling == FEW
    with pytest.raises(KeyError):
        again.cell("a", "c")


def test_a_damaged_study_is_told_in_a_line(tmp_path: Path) -> None:
    study = meter(by_image(predicted(0)), predicted(1))
    file = tmp_path / "study.json"
    for change, words in (
        ({"arms": None}, "missing or of a wrong type"),
        ({"images": "many"}, "'many' is missing or of a wrong type"),
        ({"schema": 99}, "of schema 99"),
        ({"resampling": {"method": "guess", "level": 0.95, "n_draws": 200, "seed": 0}}, "'guess' is missing or of a"),
    ):
        file.write_text(json.dumps({**study.to_dict(), **change}))
        with pytest.raises(RunError, match=words):
            LeakageMeter.load(file)
    content = study.to_dict()
    del content["differences"]
    file.write_text(json.dumps(content))
    with pytest.raises(RunError, match="'differences' is missing"):
        LeakageMeter.load(file)
    for text in ("{", "[]"):
        file.write_text(text)
        with pytest.raises(RunError, match=r"study\.json"):
            LeakageMeter.load(file)
    with pytest.raises(RunError, match="cannot be read"):
        LeakageMeter.load(tmp_path / "none.json")
