"""Rows that come in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.heads.tuning import TunedHead


@pytest.mark.parametrize("balance", ["none", "subject"])
def test_rows_that_are_binned_in_blocks_fall_into_the_same_bins(balance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows come in blocks to save memory; every tree is the one that all rows at once would give."""
    rng = np.random.default_rng(3)
    groups, y = np.arange(600) // 10, np.arange(600) // 10 % 2
    X = rng.normal(size=(600, 9)).astype(np.float32) + 0.4 * y[:, None].astype(np.float32)
    probabilities = []
    for large in (2**62, 0):
        monkeypatch.setattr("leukfeat.heads.blocks._LARGE", large)
        monkeypatch.setattr("leukfeat.heads.threads._LARGE", large)
        monkeypatch.setattr("leukfeat.heads.blocks._BLOCK", 36 * 70)  # seventy rows of nine floats
        head = TunedHead("xgboost", n_trials=1, params={"balance": balance}, n_jobs=2, random_state=0)
        probabilities.append(head.fit(X, y, groups).predict_proba(X))
    assert np.array_equal(*probabilities)
