"""Losses against their equations in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.losses import Loss, make_loss

RNG = np.random.default_rng(0)
Y = np.array([0, 1, 1, 0, 1])
TWO, THREE = RNG.normal(0, 2, (5, 2)), RNG.normal(0, 2, (5, 3))


def loss_of(spec: FineTune, counts: tuple[int, ...], positive: str | None = None) -> Loss:
    return make_loss(spec, list("abc")[: len(counts)], counts, positive, torch.device("cpu"))


def mean(loss: Loss, logits: np.ndarray) -> float:
    each = loss.each(torch.from_numpy(logits).float(), torch.from_numpy(Y))
    return float(each.sum() / loss.weight(torch.from_numpy(Y)))


def p(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def test_cross_entropy_with_smoothing_and_weights() -> None:
    """-Σ q_k log p_k with q = (1 - ε) one-hot + ε / K; balanced weights n / (K n_c) and their mean."""
    one_hot = np.eye(3)[Y]
    q = 0.9 * one_hot + 0.1 / 3
    assert mean(loss_of(FineTune(label_smoothing=0.1), (2, 3, 1)), THREE) == pytest.approx(
        -(q * np.log(p(THREE))).sum(axis=1).mean(), rel=1e-5
    )
    w = (6 / (3 * np.array([2, 3, 1])))[Y]
    expected = (w * -np.log(p(THREE)[np.arange(5), Y])).sum() / w.sum()
    assert mean(loss_of(FineTune(class_weights="balanced"), (2, 3, 1)), THREE) == pytest.approx(expected, rel=1e-5)


def test_symmetric_cross_entropy() -> None:
    """alpha · CE + beta · RCE, where log 0 is -4: RCE = 4 (1 - p_y), written out over all classes."""
    log_q = np.where(np.eye(3)[Y] == 1, 0.0, -4.0)
    reverse = -(p(THREE) * log_q).sum(axis=1)
    forward = -np.log(p(THREE)[np.arange(5), Y])
    spec = FineTune(loss="symmetric", loss_weights=(0.3, 2))
    assert mean(loss_of(spec, (2, 3, 1)), THREE) == pytest.approx((0.3 * forward + 2 * reverse).mean(), rel=1e-5)


def test_bce_is_the_cross_entropy_of_two_classes() -> None:
    """On the difference of the logits, whichever class is positive, smoothed or not."""
    for smoothing in (0.0, 0.2):
        plain = mean(loss_of(FineTune(label_smoothing=smoothing), (2, 3)), TWO)
        for positive in ("a", "b", None):
            spec = FineTune(loss="bce", label_smoothing=smoothing)
            assert mean(loss_of(spec, (2, 3), positive), TWO) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(("weights", "weight"), [("positive", 7 / 3), (2.5, 2.5)])
def test_the_positive_class_weighs_what_the_other_outnumbers_it_by(weights: str | float, weight: float) -> None:
    """Prellberg's pos_weight = n_negative / n_positive, on the positive class's term alone, the mean over images."""
    spec = FineTune(loss="bce", class_weights=weights)
    z = TWO[:, 0] - TWO[:, 1]  # 'a' is positive
    expected = np.where(Y == 0, weight * np.log1p(np.exp(-z)), np.log1p(np.exp(z))).mean()
    assert mean(loss_of(spec, (3, 7), "a"), TWO) == pytest.approx(expected, rel=1e-5)
