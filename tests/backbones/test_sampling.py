"""How often an image is shown, in which order, and in which batches."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.sampling import batched, epoch_order, n_batches, showings
from leukfeat.errors import UsageError

LABELS = ["a"] * 6 + ["b"] * 3
GROUPS = ["1"] * 4 + ["2"] * 2 + ["3", "3", "4"]


def counts(spec: FineTune, epochs: int = 1) -> np.ndarray:
    times = showings(spec, LABELS, GROUPS)
    return np.mean([np.bincount(epoch_order(times, 0, epoch), minlength=9) for epoch in range(epochs)], axis=0)


def test_an_epoch_shows_every_image_once() -> None:
    """Unless something else is asked for."""
    assert counts(FineTune()).tolist() == [1] * 9


def test_multiplied_classes_are_shown_as_often_as_said() -> None:
    """Ullah's ALL x2, HEM x4; a share of a showing is given to another image each epoch."""
    assert counts(FineTune(multiply={"a": 2, "b": 4})).tolist() == [2] * 6 + [4] * 3
    once = counts(FineTune(multiply={"b": 1.5}))
    assert once[:6].tolist() == [1] * 6
    assert set(once[6:]) <= {1, 2}
    assert counts(FineTune(multiply={"b": 1.5}), epochs=400)[6:] == pytest.approx([1.5] * 3, abs=0.1)


def test_a_class_that_is_hardly_ever_shown_is_refused() -> None:
    """Epochs would pass without it, and an epoch of nothing teaches nothing."""
    with pytest.raises(UsageError, match=r"class 'b' 0\.9 times an epoch.*give 0\.334 or more"):
        counts(FineTune(multiply={"b": 0.3}))
    assert counts(FineTune(multiply={"b": 0.4}))[6:].sum() in (1, 2)


@pytest.mark.parametrize("sampling", ["class", "subject"])
def test_balanced_sampling_gives_equal_shares(sampling: str) -> None:
    """To classes, and to the subjects of a class, within one image an epoch and as many images as there are."""
    one = counts(FineTune(sampling=sampling))
    assert one.sum() == 9
    shown = counts(FineTune(sampling=sampling), epochs=400)
    assert shown[:6].sum() == pytest.approx(4.5, abs=0.1)
    of_subjects = [shown[:4].sum(), shown[4:6].sum(), shown[6:8].sum(), shown[8].sum()]
    expected = [2.25] * 4 if sampling == "subject" else [3, 1.5, 3, 1.5]
    assert of_subjects == pytest.approx(expected, abs=0.12)
    assert (np.abs(one - showings(FineTune(sampling=sampling), LABELS, GROUPS)) < 1).all()


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    """And another one each epoch."""
    times = np.ones(50)
    assert epoch_order(times, 1, 2).tolist() == epoch_order(times, 1, 2).tolist()
    orders = {tuple(epoch_order(times, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("n", range(12))
@pytest.mark.parametrize("size", [1, 2, 4])
def test_batches_lose_nothing_and_none_is_too_small(n: int, size: int) -> None:
    """Whatever the number of items; what is planned is what comes."""
    for least in (1, 2):
        batches = list(batched(range(n), size, least))
        assert [item for batch in batches for item in batch] == list(range(n))
        assert len(batches) == n_batches(n, size, least)
        if size >= least:
            assert all(len(batch) >= least for batch in batches) or n < least
            assert all(len(batch) < size + least for batch in batches)
