"""A shortcut that is there is found, one that is not there is not, and nothing is learned outside the fold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from leukfeat.audit.baselines import BASELINES, ShortcutCandidate
from leukfeat.audit.findings import CODES
from leukfeat.audit.measurements import COLUMNS, Measurements, measure_rows
from leukfeat.audit.shortcuts import ShortcutReport, shortcut_suite
from leukfeat.audit.silhouette import CORNERS
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.data.synthetic import synthesize
from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.evaluation.metrics import score


def cohort(subjects: int = 24, cells: int = 5, classes: int = 2) -> Manifest:
    """Subjects of several classes in turn, without image files."""
    owner = np.repeat(np.arange(subjects), cells)
    sample = tuple(f"{number:04d}.png" for number in range(len(owner)))
    label = tuple("abcd"[who % classes] for who in owner)
    digests = tuple(f"{number:064x}" for number in range(len(owner)))
    return Manifest(sample, sample, label, tuple(f"S{who:02d}" for who in owner), digests, positive="a")


def measured(manifest: Manifest, **scalars: np.ndarray) -> Measurements:
    """Measurements that are the same for every image, but for those given."""
    n = len(manifest)
    values: Mapping[str, np.ndarray] = {name: np.full(n, 7.0) for name in COLUMNS} | scalars
    return Measurements(
        sample=manifest.sample,
        scalars=values,
        rule=("black",) * n,
        reason=("",) * n,
        outline=np.zeros((n, 256), np.uint8),
        corners=np.full((n, 4, 192), 200, np.uint8),
    )


def told_by(manifest: Manifest, noise: float, seed: int = 0) -> np.ndarray:
    """A number of each image that goes with its class, more or less."""
    rng = np.random.default_rng(seed)
    return np.array([manifest.classes.index(label) for label in manifest.label]) + noise * rng.normal(
        size=len(manifest)
    )


def suite(manifest: Manifest, table: Measurements, *names: str) -> ShortcutReport:
    return shortcut_suite(
        manifest, SplitPlan.grouped(manifest, 4), names=names or None, measurements=table, n_draws=200
    )


def codes(report: ShortcutReport) -> list[str]:
    return [finding.code for finding in report.findings]


def test_every_baseline_has_a_code_that_is_explained() -> None:
    """A finding without a meaning and an action helps nobody."""
    assert {baseline.code for baseline in BASELINES.values()} <= set(CODES)


@pytest.mark.parametrize("seed", range(3))
def test_the_size_confound_of_generated_cells_is_found_when_it_is_there(seed: int, tmp_path: Path) -> None:
    """The generator can make positive cells larger, or not; everything else is drawn alike."""
    found = {}
    for confound in (True, False):
        manifest = synthesize(tmp_path / str(confound), 40, 4, seed=seed, size=40, size_confound=confound)
        names = ("area", "box", "background", "file", "corners")
        report = shortcut_suite(manifest, SplitPlan.grouped(manifest, 5), names=names, n_draws=500)
        found[confound] = codes(report)
        assert report.measurements.sample == manifest.sample
    # and nothing else is: the generator gives the label away by no other way
    assert found == {True: ["shortcut-size"], False: []}


def test_a_scale_bar_is_found_in_its_corner() -> None:
    """Which corner it is tells a bar from a slide that is shown by all of them."""
    manifest = cohort()
    table = measured(manifest)
    assert table.corners is not None
    bar = told_by(manifest, 0.4) > 0.5
    table.corners[bar, CORNERS.index("lower-right"), 100:120] = 0
    report = suite(manifest, table)
    assert codes(report) == ["shortcut-corner"]
    assert {case["baseline"] for case in report.findings[0].evidence} == {"corner-lower-right", "corners"}
    assert report.shortcuts["corner-upper-left"].auroc.value == 0.5


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ("background_green_50", "shortcut-background"),
        ("foreground_blue", "shortcut-colour"),
        ("file_bytes", "shortcut-file"),
        ("image_width", "shortcut-file"),
        ("box_height", "shortcut-size"),
    ],
)
def test_each_measurement_speaks_for_one_code(column: str, code: str) -> None:
    """So that a finding says what to change."""
    manifest = cohort()
    report = suite(manifest, measured(manifest, **{column: 9 + told_by(manifest, 0.5)}))
    assert codes(report) == [code]
    assert report.findings[0].severity == "warning"


def test_a_shortcut_among_several_classes_is_found() -> None:
    """One class among four that has its own background."""
    manifest = cohort(subjects=32, classes=4)
    report = suite(manifest, measured(manifest, background_red_50=told_by(manifest, 0.6)), "background")
    assert codes(report) == ["shortcut-background"]
    assert "macro one-vs-rest" in report.findings[0].words


def test_a_shortcut_without_any_error_is_found() -> None:
    """It has no interval, because every resample says the same; that is no reason to keep silent."""
    manifest = cohort()
    report = suite(manifest, measured(manifest, file_bytes=1000 + 10 * told_by(manifest, 0.0)), "file")
    assert report.shortcuts["file"].auroc.value == 1
    assert not report.shortcuts["file"].interval.defined
    assert codes(report) == ["shortcut-file"]


def test_what_is_constant_is_at_chance_exactly() -> None:
    """Folds of other class shares must not be ranked by them, as the folds of a forest are."""
    whole = cohort(subjects=30)
    manifest = whole.take([row for row in range(len(whole)) if whole.label[row] == "a" or row % 3])
    report = suite(manifest, measured(manifest))
    assert {one.auroc.value for one in report.shortcuts.values()} == {0.5}
    assert report.findings == ()


def test_noise_is_not_found() -> None:
    """A measurement that is alike within subjects but says nothing of their class seldom beats chance.

    Of 300 seeds 2.3 % did, as a one-sided interval of 97.5 % should; five of 40 would not be chance.
    """
    manifest, alarms = cohort(), 0
    owner = np.unique(manifest.subject, return_inverse=True)[1]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = 50 + rng.normal(size=24)[owner] + rng.normal(size=len(manifest))
        alarms += suite(manifest, measured(manifest, area=noise), "area").shortcuts["area"].found
    assert alarms <= 4


def test_area_ranks_images_as_area_does() -> None:
    """One measurement, however it is fitted: in each fold the AUROC is that of the measurement itself."""
    manifest = cohort()
    area = 100 + 20 * told_by(manifest, 0.7)
    run = suite(manifest, measured(manifest, area=area), "area").runs["area"]
    row = {sample: number for number, sample in enumerate(manifest.sample)}
    for fold in range(4):
        own = run.predictions.take(run.predictions.fold == fold)
        # the positive class "a" has the smaller cells
        order = np.argsort(-area[[row[sample] for sample in own.sample]], kind="stable")
        assert (np.diff(own.proba[order, 0]) >= 0).all()


def test_nothing_is_learned_from_the_test_part() -> None:
    """Other measurements and labels of tested rows change neither the scaling, nor the filling, nor the classifier."""
    manifest = cohort()
    fold = SplitPlan.grouped(manifest, 4).folds[0]
    X = told_by(manifest, 1.0)[:, None].copy()
    X[fold.train[:5]] = np.nan
    usable = np.ones(len(manifest), dtype=bool)
    other = X.copy()
    other[fold.test] = 1e6
    other_labels = list(manifest.label)
    for row in fold.test:
        other_labels[row] = "a"
    relabelled = Manifest(
        manifest.sample, manifest.path, tuple(other_labels), manifest.subject, manifest.sha256, positive="a"
    )
    fits = [
        ShortcutCandidate("area", X, usable).fit(manifest, fold),
        ShortcutCandidate("area", other, usable).fit(relabelled, fold),
    ]
    first, second = (dict(fit.model.named_steps) for fit in fits)
    assert first["simpleimputer"].statistics_ == second["simpleimputer"].statistics_
    assert first["standardscaler"].mean_ == second["standardscaler"].mean_
    np.testing.assert_array_equal(first["logisticregression"].coef_, second["logisticregression"].coef_)


def test_images_without_foreground_are_tested_too() -> None:
    """They are filled in with the training part's median: a shortcut suite must not test on fewer cells than a run."""
    manifest = cohort()
    area = 50 + told_by(manifest, 0.5)
    area[:7] = np.nan
    run = suite(manifest, measured(manifest, area=area), "area").runs["area"]
    assert sorted(run.predictions.sample.tolist()) == sorted(manifest.sample)


def test_what_cannot_be_measured_is_said() -> None:
    """Images inside an array file have no file size; a baseline that is missing without a word looks harmless."""
    manifest = cohort()
    nothing = np.full(len(manifest), np.nan)
    table = measured(manifest, file_bytes=nothing, image_height=nothing, image_width=nothing)
    report = suite(manifest, table, "area", "file")
    assert list(report.shortcuts) == ["area"]
    assert report.unmeasured == {"file": "undefined in every image"}
    assert codes(report) == ["shortcuts-unmeasured"]
    assert report.findings[0].words == "file: undefined in every image"


def test_too_few_subjects_are_said() -> None:
    """One subject of a class: its size may be its own. No interval, no warning, but a word."""
    manifest = cohort(subjects=2, cells=12)
    plan = SplitPlan.per_image(manifest, 3)
    table = measured(manifest, area=9 + told_by(manifest, 0.1))
    report = shortcut_suite(manifest, plan, names=["area"], measurements=table)
    assert not report.shortcuts["area"].found
    assert codes(report) == ["shortcuts-unmeasured"]
    assert "1 subject" in report.findings[0].words


def test_a_weak_shortcut_is_a_note() -> None:
    """With enough subjects an AUROC of 0.55 is beyond chance, and explains nobody's 0.95."""
    manifest = cohort(subjects=400, cells=2)
    report = suite(manifest, measured(manifest, foreground_red=told_by(manifest, 4.0)), "colour")
    assert 0.5 < report.shortcuts["colour"].auroc.value < 0.6
    assert [(one.code, one.severity) for one in report.findings] == [("shortcut-colour", "note")]


def test_a_baseline_is_a_run_like_any_other() -> None:
    """The same samples, folds and labels as another candidate on the plan, so that they can be compared."""
    manifest = cohort()
    plan = SplitPlan.grouped(manifest, 4)
    table = measured(manifest, area=9 + told_by(manifest, 0.5))
    run = shortcut_suite(manifest, plan, names=["area"], measurements=table).runs["area"]
    X = told_by(manifest, 0.3, seed=1)[:, None]
    other = cross_validate(ShortcutCandidate("other", X, np.ones(len(manifest), dtype=bool)), manifest, plan)
    for name in ("sample", "fold", "repeat", "y_true", "group"):
        np.testing.assert_array_equal(getattr(run.predictions, name), getattr(other.predictions, name))
    assert run.split["digest"] == plan.digest


def test_an_unknown_name_is_refused() -> None:
    """With the names there are."""
    manifest = cohort()
    with pytest.raises(UnknownNameError, match="did you mean 'area'"):
        suite(manifest, measured(manifest), "aera")


@pytest.mark.real
def test_cell_area_alone_predicts_the_label_of_c_nmc(shared: Path) -> None:
    """AUROC about 0.78, as in a public sample of 52 cells: what every network has to be compared with."""
    manifest = Manifest.open(shared / "data" / "cnmc" / "C-NMC_Leukemia")
    table = measure_rows(manifest, manifest.labelled)
    assert set(table.rule) == {"black"}
    report = shortcut_suite(manifest, SplitPlan.grouped(manifest, 5), names=["area", "background"], measurements=table)
    assert report.shortcuts["area"].auroc.value == pytest.approx(0.78, abs=0.03)
    assert score(report.runs["background"].predictions, ["auroc"])["auroc"].value == 0.5
    assert codes(report) == ["shortcut-size"]
