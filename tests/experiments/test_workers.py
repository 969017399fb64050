"""Processors are shared out so that many features are not copied into many processes."""

from __future__ import annotations

import pytest

from leukfeat.experiments.workers import Share


@pytest.mark.parametrize("n_processors", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("n_fits", [2, 6, 51])
@pytest.mark.parametrize("n_bytes", [0, 17_000_000, 300_000_000, 512_000_000, 10**11])
def test_a_share_never_asks_for_more_than_there_is(n_processors: int, n_fits: int, n_bytes: int) -> None:
    share = Share.of(n_processors, n_fits, n_bytes)
    assert 1 <= share.processes <= n_fits
    assert share.threads >= 1
    assert share.processes * share.threads <= n_processors
    # one process there must be; the others together may copy half a gigabyte
    assert share.processes == 1 or share.processes * n_bytes <= 500_000_000


def test_processes_come_before_threads() -> None:
    # folds need nothing of each other, while threads wait for the slowest inner fold
    assert Share.of(4, 6, 17_000_000) == Share(4, 1)


def test_many_features_are_worked_on_by_threads() -> None:
    # 100,000 x 1,280 floats: a second process would copy them once more
    assert Share.of(4, 6, 512_000_000) == Share(1, 4)
