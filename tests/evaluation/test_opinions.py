"""Second opinions are asked only where they fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leukfeat.evaluation.opinions import equivalence, second_opinions
from tests.evaluation.test_intervals import as_images, cells


def test_opinions_agree_with_each_other_about_who_is_ahead() -> None:
    first, second = cells(shift=2.5), cells(shift=0.5, noise=2)
    found = second_opinions(first, second, "auroc")
    assert len(found) == 4
    assert all(opinion.outcome.difference > 0 for opinion in found)


def test_unknown_subjects_give_no_opinion_on_subjects() -> None:
    first, second = as_images(cells()), as_images(cells(noise=1))
    assert "accuracy of subjects" not in {opinion.about for opinion in second_opinions(first, second, "auroc")}


def test_a_hold_out_gives_no_opinion_on_folds() -> None:
    """What it trained on is not among its predictions, so folds cannot be corrected for their overlap."""
    held = [replace(one, fold=np.zeros(len(one))) for one in (cells(), cells(noise=1))]
    assert not any("fold" in opinion.about for opinion in second_opinions(*held, "auroc"))
    assert equivalence(*held, "auroc", 0.01) is None


def test_better_means_lower_where_lower_is_better() -> None:
    good, bad = cells(shift=2.5), cells(shift=0.2, noise=4)
    posterior = equivalence(good, bad, "log_loss", 0.001)
    assert posterior is not None
    assert posterior.better > posterior.worse
