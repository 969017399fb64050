"""Scores of an epoch agree with scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from leukfeat.backbones.scores import scores_of


@pytest.mark.parametrize("n_classes", [2, 4])
def test_scores_are_those_of_scikit_learn(n_classes: int) -> None:
    """With ties among the logits, too."""
    rng = np.random.default_rng(n_classes)
    y = rng.integers(0, n_classes, 80)
    noisy = np.eye(n_classes)[y] + rng.normal(0, 1, (80, n_classes))
    logits = ((8 * noisy).round() / 8).astype(np.float32)  # exact in binary, so that ties are ties
    scores = scores_of(logits, y, 0.25)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    expected = roc_auc_score(y, logits[:, 1] - logits[:, 0] if n_classes == 2 else p, multi_class="ovr")
    assert scores.auroc == pytest.approx(expected, abs=1e-9)
    assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, logits.argmax(axis=1)))
    assert (scores.loss, scores.accuracy) == (0.25, pytest.approx((logits.argmax(axis=1) == y).mean()))


def test_there_is_no_auroc_without_all_classes() -> None:
    """It would be of another task."""
    assert scores_of(np.zeros((3, 3), np.float32), np.array([0, 1, 1]), 1.0).auroc is None
