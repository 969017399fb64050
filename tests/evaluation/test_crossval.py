"""The one loop tests every image once, by a model that has not seen it, or stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold, SplitPlan
from leukfeat.errors import LeakageError, PredictionsError, SplitError
from leukfeat.evaluation.crossval import cross_validate


def _manifest(n_subjects: int = 8, **changes: Any) -> Manifest:
    rows = [
        (f"S{who}", f"S{who}/{cell}.png", "ALL" if who % 2 else "HEM") for who in range(n_subjects) for cell in (0, 1)
    ]
    columns = {
        "sample": tuple(name for _, name, _ in rows),
        "path": tuple(name for _, name, _ in rows),
        "label": tuple(label for _, _, label in rows),
        "subject": tuple(who for who, _, _ in rows),
        "sha256": tuple(f"{number:064x}" for number in range(len(rows))),
        "positive": "ALL",
        "dataset": "made up",
    }
    return Manifest(**columns | changes)


@dataclass(frozen=True)
class Fitted:
    """Tells the class from the row number, reproducibly."""

    classes: tuple[str, ...]
    seen: Seen
    facts: Mapping[str, Any]
    inner: Any = None

    def predict_proba(self, manifest, rows):
        p = (np.asarray(rows) * 37 % 100) / 100
        return np.column_stack([p, *([1 - p] if len(self.classes) == 2 else [])])


@dataclass(frozen=True)
class Fake:
    """A candidate of which every part can be chosen."""

    name: str = "fake"
    classes: tuple[str, ...] = ("HEM", "ALL")  # not the manifest's order
    seen: Seen = field(default_factory=Seen)
    unreadable: tuple[int, ...] = ()
    inner_rows: Callable[[Fold], Any] | None = None

    def available(self, manifest):
        return ~np.isin(np.arange(len(manifest)), self.unreadable)

    def fit(self, manifest, fold):
        assert not set(fold.train) & set(fold.test)
        rows = None if self.inner_rows is None else np.asarray(self.inner_rows(fold), dtype=np.int64)
        fitted = Fitted(self.classes, self.seen, {"n_train": len(fold.train), "repeat": "not mine to say"})
        return fitted if rows is None else replace(fitted, inner=(rows, fitted.predict_proba(manifest, rows)))

    def describe(self):
        return {"name": self.name}


def test_every_image_is_tested_once_a_repeat_with_its_own_columns():
    manifest = _manifest()
    run = cross_validate(Fake(), manifest, SplitPlan.grouped(manifest, n_folds=2, n_repeats=2))
    found = run.predictions
    for repeat in (0, 1):
        assert sorted(found.sample[found.repeat == repeat].tolist()) == sorted(manifest.sample)
    row_of = {sample: row for row, sample in enumerate(manifest.sample)}
    said = {name: found.proba[:, found.classes.index(name)] for name in found.classes}
    assert said["HEM"] == pytest.approx([row_of[sample] * 37 % 100 / 100 for sample in found.sample])
    assert (found.positive, found.classes) == ("ALL", manifest.classes)


def test_facts_of_a_fit_never_replace_the_number_of_the_fold():
    manifest = _manifest()
    run = cross_validate(Fake(), manifest, SplitPlan.grouped(manifest, n_folds=2))
    assert [(fold["repeat"], fold["fold"], fold["n_train"]) for fold in run.folds] == [(0, 0, 8), (0, 1, 8)]
    assert set(run.folds[0]["seconds"]) == {"fit", "predict"}


@pytest.mark.parametrize(
    "seen", [Seen(images=frozenset({f"{5:064x}"})), Seen(groups=frozenset({"S2"}))], ids=["by image", "by group"]
)
def test_an_encoder_that_saw_a_test_image_or_group_is_refused(seen):
    manifest = _manifest()
    with pytest.raises(LeakageError, match="took part in training"):
        cross_validate(Fake(seen=seen), manifest, SplitPlan.grouped(manifest, n_folds=2))


def test_an_encoder_that_saw_other_images_is_welcome():
    manifest = _manifest()
    elsewhere = Seen(images=frozenset({"f" * 64}), groups=frozenset({"somebody else"}))
    assert cross_validate(Fake(seen=elsewhere), manifest, SplitPlan.grouped(manifest, n_folds=2)).notes == ()


def test_unknown_weights_are_noted():
    manifest = _manifest()
    run = cross_validate(Fake(seen=Seen(unknown=True)), manifest, SplitPlan.grouped(manifest, n_folds=2))
    assert "what these weights were trained on is unknown" in run.notes


def test_missing_images_are_counted_and_never_guessed():
    manifest = _manifest()
    run = cross_validate(Fake(unreadable=(0, 5)), manifest, SplitPlan.grouped(manifest, n_folds=2))
    assert "2 of 16 images are missing (unreadable)" in run.notes
    assert run.data["missing"] == 2
    assert set(manifest.sample) - set(run.predictions.sample) == {manifest.sample[0], manifest.sample[5]}


def test_a_fold_without_any_readable_test_image_stops():
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, n_folds=4)
    with pytest.raises(SplitError, match="every test image"):
        cross_validate(Fake(unreadable=tuple(plan.folds[0].test.tolist())), manifest, plan)


def test_a_class_without_any_readable_training_image_stops():
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, n_folds=2)
    gone = tuple(int(row) for row in plan.folds[0].train if manifest.label[row] == "ALL")
    with pytest.raises(SplitError, match="class 'ALL' has no readable training image"):
        cross_validate(Fake(unreadable=gone), manifest, plan)


def test_a_plan_of_other_data_is_refused():
    plan = SplitPlan.grouped(_manifest(), n_folds=2)
    with pytest.raises(SplitError, match="another manifest"):
        cross_validate(Fake(), _manifest(positive="HEM"), plan)


def test_probabilities_of_a_wrong_shape_or_class_are_refused():
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, n_folds=2)
    with pytest.raises(PredictionsError, match="shape"):
        cross_validate(Fake(classes=("ALL", "HEM", "x")), manifest, plan)
    with pytest.raises(PredictionsError, match="predicts class 'blast'"):
        cross_validate(Fake(classes=("HEM", "blast")), manifest, plan)


def test_parallel_folds_give_the_same_run():
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, n_folds=4)
    here = cross_validate(Fake(), manifest, plan)
    ticks: list[tuple[int, int]] = []
    with ProcessPoolExecutor(2) as pool:
        there = cross_validate(
            Fake(), manifest, plan, map_folds=pool.map, progress=lambda done, total: ticks.append((done, total))
        )
    assert there.predictions.digest == here.predictions.digest
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_per_image_split_keeps_its_words():
    manifest = _manifest(subject=("unknown",) * 16)
    run = cross_validate(Fake(), manifest, SplitPlan.per_image(manifest, n_folds=2))
    assert run.notes[:2] == (
        "image-level: optimistic",
        "subjects unknown: images of one patient may be on both sides",
    )
    assert run.split["protection"] == "none"


def test_inner_predictions_belong_to_the_fold_they_train():
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, n_folds=2, n_repeats=2)
    inner = cross_validate(Fake(inner_rows=lambda fold: fold.train[:3]), manifest, plan).inner
    assert len(inner) == 4 * 3
    row_of = {sample: row for row, sample in enumerate(manifest.sample)}
    for fold in plan.folds:
        rows = fold.train[:3]
        part = inner.of_fold(fold.repeat, fold.number)
        assert part.sample.tolist() == [manifest.sample[row] for row in rows]
        assert part.y_true.tolist() == [manifest.label[row] for row in rows]
        said = part.proba[:, part.classes.index("HEM")]
        assert said == pytest.approx([row_of[sample] * 37 % 100 / 100 for sample in part.sample])


def test_a_candidate_may_have_no_inner_predictions():
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, n_folds=2)
    assert cross_validate(Fake(), manifest, plan).inner is None
    assert cross_validate(Fake(inner_rows=lambda fold: []), manifest, plan).inner is None


def test_inner_predictions_of_other_rows_than_the_training_part_are_refused():
    # what is learned from them would be learned from who is tested, or from who has no part in the fold
    manifest = _manifest(12)
    with pytest.raises(LeakageError, match=r"1 inner prediction\(s\) of fold 0 are not of its training part"):
        cross_validate(
            Fake(inner_rows=lambda fold: [*fold.train, fold.test[0]]), manifest, SplitPlan.grouped(manifest, n_folds=2)
        )


def test_validation_rows_of_test_subjects_are_nothing_to_learn_from():
    """Training keeps away from test subjects; a threshold learned from their other cells would not."""
    parts = tuple("prelim" if row < 12 else "fold_0" for row in range(24))
    manifest = _manifest(12, official=parts)
    plan = SplitPlan.fixed_test(manifest, "prelim", validation=0.5, validation_by="image")
    (fold,) = plan.folds
    assert np.isin(np.asarray(manifest.group)[fold.validation], np.asarray(manifest.group)[fold.test]).any()
    with pytest.raises(LeakageError, match="are of test subjects"):
        cross_validate(Fake(inner_rows=lambda fold: fold.validation), manifest, plan)
    assert len(cross_validate(Fake(inner_rows=lambda fold: fold.train), manifest, plan).inner) == 12


def test_a_split_by_image_has_inner_predictions_of_test_subjects_and_says_so_anyway():
    manifest = _manifest()
    run = cross_validate(Fake(inner_rows=lambda fold: fold.train), manifest, SplitPlan.per_image(manifest, n_folds=2))
    assert len(run.inner) == 16
    assert run.notes[0] == "image-level: optimistic"


def test_inner_probabilities_of_a_wrong_shape_are_refused():
    manifest = _manifest()

    class Odd(Fake):
        def fit(self, manifest, fold):
            return replace(super().fit(manifest, fold), inner=(fold.train, np.ones((2, 2)) / 2))

    with pytest.raises(PredictionsError, match=r"shape \(2, 2\) for 8 rows"):
        cross_validate(Odd(), manifest, SplitPlan.grouped(manifest, n_folds=2))
