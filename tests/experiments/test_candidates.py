"""What a head on features learns from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.experiments import candidates
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.encoders import Encoded
from leukfeat.features.table import Features
from leukfeat.heads.tuning import TunedHead


def _cells_with_a_test_part() -> Manifest:
    """24 subjects with 6 cells each; every third one stands in the official part ``prelim``."""
    rows = [(f"{'AH'[s % 2]}{s}", s, c) for s in range(24) for c in range(6)]
    names = tuple(f"{subject}_{c}" for subject, _, c in rows)
    return Manifest(
        sample=names,
        path=names,
        label=tuple("ALL" if subject.startswith("A") else "HEM" for subject, _, _ in rows),
        subject=tuple(subject for subject, _, _ in rows),
        official=tuple("prelim" if s % 3 == 0 else "fold_0" for _, s, _ in rows),
        sha256=tuple(f"{number:064x}" for number in range(1, len(rows) + 1)),
        positive="ALL",
    )


@pytest.mark.parametrize(("seed", "crossing"), [(0, False), (1, False), (2, False), (0, True)])
def test_a_head_does_not_learn_the_test_subjects_from_validation(seed: int, crossing: bool) -> None:
    """Features tell subjects apart and say nothing of the class, so whoever is right has met the subject.

    Somu et al. halve C-NMC's preliminary part by image for validation and test, and fit on the training part alone.
    One image that links a test subject to a training subject does not give the other test subjects away.
    """
    manifest = _cells_with_a_test_part()
    if crossing:
        digests = list(manifest.sha256)
        digests[manifest.sample.index("A2_0")] = digests[manifest.sample.index("A0_0")]  # A0 is tested, A2 trained on
        manifest = replace(manifest, sha256=tuple(digests))
    rng = np.random.default_rng(seed)
    of_subject = {subject: rng.normal(size=16) for subject in sorted(set(manifest.subject))}
    X = np.array([of_subject[subject] for subject in manifest.subject]) + 0.01 * rng.normal(size=(len(manifest), 16))
    features = Features(X.astype(np.float32), manifest.sample)
    plan = SplitPlan.fixed_test(manifest, "prelim", validation=0.5, validation_by="image", seed=seed)
    (fold,) = plan.folds
    head = TunedHead("knn", n_trials=1, inner_folds=2, params={"n_neighbors": 1, "reduction": "none"})
    fitted = HeadOnFeatures((), head, features=features).fit(manifest, fold)
    assert fitted.facts["n_train"] == len(fold.train)
    right = fitted.predict_proba(manifest, fold.test).argmax(axis=1) == np.array(
        [fitted.classes.index(manifest.label[row]) for row in fold.test]
    )
    assert right.mean() < 0.95, "chance is 0.5; 1.0 is what validation cells of the same subjects give away"


def test_a_head_learns_from_validation_that_keeps_to_its_own_subjects() -> None:
    """Rows that tell nothing about the test part are not wasted."""
    manifest = _cells_with_a_test_part()
    features = Features(np.random.default_rng(0).normal(size=(len(manifest), 4)).astype(np.float32), manifest.sample)
    (fold,) = SplitPlan.holdout(manifest, (60, 20, 20)).folds
    head = TunedHead("logistic", n_trials=1, inner_folds=2)
    fitted = HeadOnFeatures((), head, features=features).fit(manifest, fold)
    assert fitted.facts["n_train"] == len(fold.train) + len(fold.validation)


def test_threads_are_the_head_s_own_where_nobody_shares_them_out() -> None:
    """A head that was given all processors must not work on one without a word."""
    manifest = _cells_with_a_test_part()
    features = Features(np.random.default_rng(0).normal(size=(len(manifest), 4)).astype(np.float32), manifest.sample)
    candidate = HeadOnFeatures((), TunedHead("tree", n_trials=0, n_jobs=2), features=features)
    fold = SplitPlan.grouped(manifest, 3).folds[0]
    assert candidate.fit(manifest, fold).head.n_jobs == 2
    assert candidate.on_threads(3).fit(manifest, fold).head.n_jobs == 3


def test_inner_predictions_are_rows_of_the_training_part() -> None:
    """Numbered as in the manifest, whatever rows the head was given."""
    manifest = _cells_with_a_test_part()
    features = Features(np.random.default_rng(0).normal(size=(len(manifest), 4)).astype(np.float32), manifest.sample)
    head = TunedHead("logistic", n_trials=1, inner_folds=2)
    for fold in SplitPlan.grouped(manifest, 3).folds:
        fitted = HeadOnFeatures((), head, features=features).fit(manifest, fold)
        rows, proba = fitted.inner
        assert sorted(rows.tolist()) == fold.train.tolist()
        assert proba.shape == (len(rows), 2)
        assert fitted.facts["inner_seen"] is False
    (fold,) = SplitPlan.holdout(manifest, (60, 20, 20)).folds
    rows, _ = HeadOnFeatures((), head, features=features).fit(manifest, fold).inner
    assert sorted(rows.tolist()) == fold.validation.tolist(), "the validation part judged, so it was held out"


def test_inner_predictions_of_rows_an_encoder_was_fitted_on_are_left_out_or_said(monkeypatch) -> None:
    """Embeddings of images that trained the encoder look easier than those of new subjects."""
    manifest = _cells_with_a_test_part()
    features = Features(np.random.default_rng(0).normal(size=(len(manifest), 4)).astype(np.float32), manifest.sample)
    fold = SplitPlan.grouped(manifest, 3).folds[0]
    head = TunedHead("logistic", n_trials=1, inner_folds=2)
    label = np.asarray(manifest.label)

    def fitted_with(fitted_on: np.ndarray) -> tuple[set[int], bool]:
        monkeypatch.setattr(candidates, "_given", lambda given, fold: Encoded(given, fold, (), (), fitted_on))
        fitted = HeadOnFeatures((), head, features=features).fit(manifest, fold)
        return set(fitted.inner[0].tolist()), fitted.facts["inner_seen"]

    everybody = set(fold.train.tolist())
    first = fold.train[: len(fold.train) // 2]
    assert {str(name) for name in label[fold.train[len(first) :]]} == {"ALL", "HEM"}
    assert fitted_with(fold.train[:0]) == (everybody, False)
    assert fitted_with(first) == (everybody - set(first.tolist()), False)
    assert fitted_with(fold.train) == (everybody, True)
    assert fitted_with(fold.train[label[fold.train] == "ALL"]) == (everybody, True), "one class is not enough"


def test_the_same_vectors_by_an_encoder_that_saw_more_are_another_candidate() -> None:
    """Otherwise a run of an innocent encoder would be found finished, and the leak never looked at."""
    manifest = _cells_with_a_test_part()
    features = Features(np.zeros((len(manifest), 4), dtype=np.float32), manifest.sample)
    knowing = replace(features, seen=Seen(groups=frozenset({"A0"})))
    head = TunedHead("logistic", n_trials=1)
    one, two = (HeadOnFeatures((), head, features=each).identity(manifest) for each in (features, knowing))
    assert one != two


def test_the_model_to_keep_pays_for_no_inner_predictions() -> None:
    """They judge a test part; the model to keep has none, and each costs a fit an inner fold."""
    manifest = _cells_with_a_test_part()
    X = np.random.default_rng(0).normal(size=(len(manifest), 4)).astype(np.float32)
    head = TunedHead("knn", n_trials=1, inner_folds=2)
    candidate = HeadOnFeatures((), head, features=Features(X, manifest.sample))
    plan = SplitPlan.fixed_test(manifest, "prelim", validation=0.5, validation_by="image", seed=0)
    assert candidate.fit(manifest, plan.folds[0]).inner is not None
    assert candidate.fit_all(manifest).inner is None
