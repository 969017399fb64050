"""Nothing of the test part reaches a prediction, through any stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import LeakageError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.evaluation.metrics import score
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.features.table import Features
from leukfeat.heads.tuning import TunedHead


def _manifest(n_subjects: int = 12, n_cells: int = 4) -> Manifest:
    """Rows without images: subjects alternate between the classes."""
    rows = [(f"{'AH'[s % 2]}{s}", c) for s in range(n_subjects) for c in range(n_cells)]
    names = tuple(f"{subject}_{cell}" for subject, cell in rows)
    return Manifest(
        sample=names,
        path=names,
        label=tuple("ALL" if subject.startswith("A") else "HEM" for subject, _ in rows),
        subject=tuple(subject for subject, _ in rows),
        sha256=tuple(f"{number:064x}" for number in range(1, len(rows) + 1)),
        positive="ALL",
    )


def _features(manifest: Manifest, seed: int = 0, seen: Seen | None = None) -> Features:
    """Vectors with a weak class signal and strong subject effects."""
    rng = np.random.default_rng(seed)
    subjects = sorted(set(manifest.subject))
    effect = {subject: rng.normal(scale=2, size=6) for subject in subjects}
    X = np.array([effect[subject] for subject in manifest.subject]) + rng.normal(size=(len(manifest), 6))
    X[:, 0] += np.array([label == "ALL" for label in manifest.label])
    return Features(X.astype(np.float32), manifest.sample, seen or Seen(), {})


def _candidate(features: Features, head: str = "logistic") -> HeadOnFeatures:
    return HeadOnFeatures((), TunedHead(head, n_trials=2, inner_folds=2), features=features)


def test_features_of_an_encoder_that_saw_a_test_subject_are_refused() -> None:
    """The features of one fold's fine-tuned encoder cannot be offered to another fold."""
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, 3)
    of_fold_0 = _features(manifest, seen=Seen.of_rows(manifest, plan.folds[0].train))
    with pytest.raises(LeakageError, match="took part in training"):
        cross_validate(_candidate(of_fold_0), manifest, plan)
    only_its_own = replace(plan, folds=plan.folds[:1])
    assert len(cross_validate(_candidate(of_fold_0), manifest, only_its_own).predictions) == len(plan.folds[0].test)


def test_an_image_level_split_declares_what_it_shares() -> None:
    """Encoders trained on their own fold's training part are no leak beyond the one such a split announces."""
    manifest = _manifest()
    plan = SplitPlan.per_image(manifest, 3)
    of_fold_0 = _features(manifest, seen=Seen.of_rows(manifest, plan.folds[0].train))
    cross_validate(_candidate(of_fold_0), manifest, replace(plan, folds=plan.folds[:1]))
    with pytest.raises(LeakageError):
        cross_validate(_candidate(of_fold_0), manifest, plan)


def test_labels_of_the_test_part_change_no_prediction() -> None:
    """If they did, something would have been fitted on them."""
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, 3)
    fold = plan.folds[0]
    swapped = {"ALL": "HEM", "HEM": "ALL"}
    label = [swapped[name] if row in set(fold.test) else name for row, name in enumerate(manifest.label)]
    other = replace(manifest, label=tuple(label))
    plain = _candidate(_features(manifest)).fit(manifest, fold).predict_proba(manifest, fold.test)
    blind = _candidate(_features(manifest)).fit(other, fold).predict_proba(other, fold.test)
    np.testing.assert_array_equal(plain, blind)


def test_vectors_of_the_test_part_change_no_fit() -> None:
    """Scaling, selection and tuning see training rows only: other test vectors, the same model."""
    manifest = _manifest()
    fold = SplitPlan.grouped(manifest, 3).folds[0]
    features = _features(manifest)
    X = features.X.copy()
    X[fold.test] = 1e6
    plain = _candidate(features).fit(manifest, fold)
    poisoned = _candidate(replace(features, X=X)).fit(manifest, fold)
    assert plain.facts["params"] == poisoned.facts["params"]
    rows = fold.train
    np.testing.assert_array_equal(plain.predict_proba(manifest, rows), poisoned.predict_proba(manifest, rows))


def test_the_validation_part_chooses_but_the_test_part_does_not() -> None:
    manifest = _manifest(18)
    fold = SplitPlan.holdout(manifest, (50, 25, 25)).folds[0]
    assert len(fold.validation)
    features = _features(manifest)
    X = features.X.copy()
    X[fold.test] = -1e6
    plain = _candidate(features).fit(manifest, fold).facts
    poisoned = _candidate(replace(features, X=X)).fit(manifest, fold).facts
    strip = [[{k: v for k, v in t.items() if k != "seconds"} for t in facts["trials"]] for facts in (plain, poisoned)]
    assert strip[0] == strip[1]


def test_input_statistics_are_those_of_the_training_images(tmp_path: Path) -> None:
    """Mean and SD learned in a fold do not move when the test images change."""
    from leukfeat.backbones.statistics import fitted_to
    from leukfeat.data.synthetic import synthesize

    cells = synthesize(tmp_path / "cells", n_subjects=8, n_cells=2, size=40)
    fold = SplitPlan.grouped(cells, 2).folds[0]
    spec = BackboneSpec("test_efficientnet", weights="random", preprocess=Preprocess(mean="train", std="train"))
    learned = fitted_to(spec, cells, fold.train).preprocess
    for row in fold.test:
        (cells.root / cells.path[row]).write_bytes(b"gone")
    assert fitted_to(spec, cells, fold.train).preprocess == learned
    assert isinstance(learned.mean, tuple)
    everything: Any = fitted_to(spec, cells, fold.train[: len(fold.train) // 2]).preprocess
    assert everything.mean != learned.mean, "the statistics depend on which images are given"


def test_a_storage_of_the_head_itself_is_used(tmp_path: Path) -> None:
    """A study that the user asked to keep must not silently live in memory."""
    manifest = _manifest()
    head = TunedHead("logistic", n_trials=1, inner_folds=2, storage=str(tmp_path / "kept.journal"))
    candidate = HeadOnFeatures((), head, features=_features(manifest))
    candidate.fit(manifest, SplitPlan.grouped(manifest, 3).folds[0])
    assert (tmp_path / "kept.journal").stat().st_size


def test_a_foreign_encoder_is_called_unknown_in_the_run() -> None:
    manifest = _manifest()
    done = cross_validate(
        _candidate(_features(manifest, seen=Seen(unknown=True))), manifest, SplitPlan.grouped(manifest, 3)
    )
    assert any("unknown" in note for note in done.notes)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["logistic", "knn", "tree"])
def test_labels_permuted_between_subjects_give_chance(head: str) -> None:
    """Through split, tuning and evaluation: subjects differ strongly, but not with their (shuffled) class."""
    areas = []
    for seed in range(20):
        manifest = _manifest(60, 2)
        subjects = sorted(set(manifest.subject))
        shuffled = np.random.default_rng(seed).permutation([subject[0] for subject in subjects])
        label_of = {s: {"A": "ALL", "H": "HEM"}[name] for s, name in zip(subjects, shuffled, strict=True)}
        manifest = replace(manifest, label=tuple(label_of[subject] for subject in manifest.subject))
        rng = np.random.default_rng(1000 + seed)
        effect = {subject: rng.normal(scale=2, size=6) for subject in subjects}
        X = np.array([effect[subject] for subject in manifest.subject]) + rng.normal(size=(len(manifest), 6))
        features = Features(X.astype(np.float32), manifest.sample, Seen(), {})
        done = cross_validate(_candidate(features, head), manifest, SplitPlan.grouped(manifest, 4, seed=seed))
        areas.append(score(done.predictions, ["auroc"])["auroc"].value)
    error = np.std(areas, ddof=1) / np.sqrt(len(areas))
    assert abs(np.mean(areas) - 0.5) < 3 * error, (np.mean(areas), error)


def test_fine_tuning_on_random_labels_gives_chance(tmp_path: Path) -> None:
    """An encoder trained on labels that mean nothing must know nothing about the patients it is tested on.

    Labels are dealt out to whole subjects at random; any way for a test image to reach training would show as an AUROC
    above a half, since the network is trained until it knows its own images.
    """
    from leukfeat.backbones.finetune import FineTune
    from leukfeat.data.synthetic import synthesize
    from leukfeat.features.store import FeatureStore

    cells = synthesize(tmp_path / "cells", n_subjects=60, n_cells=2, seed=3, size=32)
    values = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        subjects = sorted(set(cells.subject))
        drawn = dict(zip(subjects, rng.permutation(["ALL", "HEM"] * 30), strict=True))
        shuffled = replace(cells, label=tuple(drawn[subject] for subject in cells.subject))
        training = FineTune(epochs=4, lr=3e-3, batch_size=16, head_trains_on=("all", "unseen")[seed % 2], seed=seed)
        backbone = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(32), finetune=training)
        head = TunedHead("logistic", n_trials=1, inner_folds=2, params={"reduction": "none"}, random_state=seed)
        candidate = HeadOnFeatures(backbone, head, FeatureStore(tmp_path / "cache"))
        run = cross_validate(candidate, shuffled, SplitPlan.grouped(shuffled, 2, seed=seed))
        values.append(score(run.predictions, ["auroc"])["auroc"].value)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values) - 0.5) < 3 * error, values
    assert error < 0.06, "a wider error would find nothing"


@pytest.mark.parametrize("before_splitting", [False, True], ids=["after splitting", "before splitting"])
def test_augmentation_comes_after_splitting(
    before_splitting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No augmented sibling of a test image is learned from; with the order swapped the same measure finds many."""
    from leukfeat.backbones import stream
    from leukfeat.backbones.augmentation import augmented
    from leukfeat.backbones.finetune import Augment, FineTune
    from leukfeat.data.copies import copies_of
    from leukfeat.data.synthetic import synthesize
    from leukfeat.data.words import COPIES_LEAK
    from leukfeat.experiments.networks import EndToEnd
    from leukfeat.features.store import FeatureStore

    turned = Augment(rotate=45, hflip=0.5)
    cells = synthesize(tmp_path / "cells", n_subjects=8, n_cells=3, seed=0, size=32)
    if before_splitting:
        cells = copies_of(cells, 36, tmp_path / "copies", lambda image, number: augmented(image, turned, 0, number))
    plan = SplitPlan.per_image(cells, 2, seed=0)
    assert any(COPIES_LEAK in note for note in plan.notes) == before_splitting
    read: set[int] = set()
    plain = stream.read_picture

    def watched(manifest: Manifest, row: int, *known: Any) -> Any:
        read.add(row)
        return plain(manifest, row, *known)

    monkeypatch.setattr(stream, "read_picture", watched)
    fold = plan.folds[0]
    training = FineTune(epochs=2, batch_size=8, augment=turned, validation=0.2)
    spec = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(32), finetune=training)
    EndToEnd(spec, FeatureStore(tmp_path / "cache")).fit(cells, fold)
    assert read == set(fold.train.tolist()), "every training image, and no other"
    original = [copy or sample for copy, sample in zip(cells.copy_of, cells.sample, strict=True)]
    siblings = {original[row] for row in read} & {original[row] for row in fold.test}
    assert bool(siblings) == before_splitting
