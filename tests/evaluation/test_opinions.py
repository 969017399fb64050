"""Second opinions are asked only where they fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.evaluation.mcnemar import CLUSTERED_MCNEMAR, EXACT_MCNEMAR
from leukfeat.evaluation.metrics import score
from leukfeat.evaluation.opinions import Opinion, SecondOpinions
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampled_t import Posterior
from tests.evaluation.test_intervals import as_images, cells


def second_opinions(first: Predictions, second: Predictions, metric: str) -> tuple[Opinion, ...]:
    return SecondOpinions({"first": first, "second": second}, metric).of("first", "second")


def equivalence(first: Predictions, second: Predictions, metric: str, rope: float) -> Posterior | None:
    return SecondOpinions({"first": first, "second": second}, metric).equivalence("first", "second", rope)


def test_opinions_agree_with_each_other_about_who_is_ahead() -> None:
    first, second = cells(shift=2.5), cells(shift=0.5, noise=2)
    found = second_opinions(first, second, "auroc")
    assert len(found) == 4
    assert all(opinion.outcome.difference > 0 for opinion in found)


def test_opinions_of_a_pair_do_not_depend_on_the_other_runs() -> None:
    runs = {"a": cells(shift=2.5), "b": cells(shift=0.5, noise=2), "c": cells(noise=1)}
    among, alone = SecondOpinions(runs, "auroc"), second_opinions(runs["c"], runs["a"], "auroc")
    assert among.of("c", "a") == alone
    assert among.equivalence("c", "a", 0.01) == equivalence(runs["c"], runs["a"], "auroc", 0.01)


def test_areas_are_the_means_of_repeats_also_where_probabilities_round_to_one() -> None:
    """Those of the table of metrics: rows are ranked within their repeat, and by both columns."""
    runs = {"first": _in_two_repeats(2.5, 0), "second": _in_two_repeats(0.5, 2)}
    assert all((one.proba[:, 0] == 1).sum() > 20 for one in runs.values()), "some are rounded"
    opinion = SecondOpinions(runs, "auroc").of("first", "second")[0]
    assert opinion.about == "AUROC of cells"
    expected = [score(one, ["auroc"])["auroc"].value for one in runs.values()]
    assert opinion.outcome.estimates == pytest.approx(expected)


def _in_two_repeats(shift: float, noise: int) -> Predictions:
    """All nearly certain; the second repeat is of a worse model and lacks cells of a class: pooling is no averaging."""
    first, second = cells(shift=shift, noise=noise), cells(shift=shift / 4, noise=5)
    fewer = second.take((second.y_true == "ALL") | (np.arange(len(second)) % 3 == 0))
    parts = []
    for repeat, rows in enumerate((first, fewer)):
        logit = np.log(rows.proba[:, 0] / rows.proba[:, 1]) + 36
        proba = np.column_stack([1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(logit))])
        parts.append(replace(rows, proba=proba, repeat=np.full(len(rows), repeat)))
    return Predictions.concatenate(parts)


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


def test_verdicts_on_linked_subjects_are_tested_by_their_groups() -> None:
    """Ids that share images are probably one person: counted one by one they would double the evidence."""
    first, second = cells(shift=2.5), cells(shift=0.2, noise=4)
    names = {opinion.about: opinion.outcome for opinion in second_opinions(first, second, "auroc")}
    assert names["accuracy of subjects"].test == EXACT_MCNEMAR
    subjects = np.unique(first.subject)
    pair = {who: f"P{k // 2}" for k, who in enumerate(subjects.tolist())}
    linked = [replace(one, group=np.array([pair[who] for who in one.subject.tolist()])) for one in (first, second)]
    found = {opinion.about: opinion.outcome for opinion in second_opinions(*linked, "auroc")}["accuracy of subjects"]
    assert found.test == CLUSTERED_MCNEMAR
    assert found.basis == f"{(len(subjects) + 1) // 2} clusters"
