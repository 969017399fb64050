"""What a head on features learns from."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.experiments.candidates import HeadOnFeatures
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_head_does_not_learn_the_test_subjects_from_validation(seed: int) -> None:
    """Features tell subjects apart and say nothing of the class, so whoever is right has met the subject.

    Somu et al. halve C-NMC's preliminary part by image for validation and test, and fit on the training part alone.
    """
    manifest = _cells_with_a_test_part()
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
