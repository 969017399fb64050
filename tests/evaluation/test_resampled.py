"""A metric under weights is the metric of the rows repeated that often; otherwise the intervals are about nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.metrics import METRICS, score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampled import resampled
from leukfeat.evaluation.resampling import Clusters, Draws


def random_predictions(
    seed: int, *, classes: int = 2, subjects: int = 8, levels: int = 0, repeats: int = 1
) -> Predictions:
    """Cells of subjects of one class each; ``levels`` rounds scores, so that there are ties."""
    rng = np.random.default_rng(seed)
    names = tuple("ABCD"[:classes])
    cells = rng.integers(1, 6, subjects)
    owner = np.repeat(np.arange(subjects), cells)
    y = owner % classes
    scores = rng.normal(size=(len(owner), classes)) + np.eye(classes)[y] + rng.normal(size=(subjects, classes))[owner]
    if levels:
        scores = np.round(scores * levels) / levels
    pieces = []
    for repeat in range(repeats):
        odds = np.exp(scores + 0.3 * repeat * np.eye(classes)[0])
        pieces.append(
            Predictions(
                sample=np.array([f"cell-{row}" for row in range(len(owner))]),
                subject=np.array([f"s{number}" for number in owner]),
                group=np.array([f"s{number}" for number in owner]),
                repeat=np.full(len(owner), repeat),
                fold=owner % 2,
                y_true=np.array([names[k] for k in y]),
                proba=odds / odds.sum(axis=1, keepdims=True),
                classes=names,
                positive="A" if classes == 2 else None,
            )
        )
    return Predictions.concatenate(pieces)


def repeated(predictions: Predictions, counts: np.ndarray) -> Predictions:
    """The rows of each cluster as often as it was drawn, under names of their own."""
    times = counts[Clusters.of(predictions).of_row].astype(int)
    rows = np.repeat(np.arange(len(predictions)), times)
    return Predictions(
        **{
            name: getattr(predictions, name)[rows] for name in ("subject", "group", "repeat", "fold", "y_true", "proba")
        },
        sample=np.array([f"{row}-{number}" for number, row in enumerate(rows)]),
        classes=predictions.classes,
        positive=predictions.positive,
    )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), classes=st.integers(2, 4), levels=st.sampled_from([0, 1, 2]), repeats=st.integers(1, 2)
)
def test_a_resample_scores_like_its_rows_written_out(seed: int, classes: int, levels: int, repeats: int) -> None:
    predictions = random_predictions(seed, classes=classes, levels=levels, repeats=repeats)
    draws = Draws.of(Clusters.of(predictions), n=4, seed=seed)
    found = resampled(predictions, draws)
    assert list(found) == list(METRICS)
    for number, counts in enumerate(draws.counts):
        for name, expected in score(repeated(predictions, counts)).items():
            value = found[name][number]
            if expected.defined:
                assert value == pytest.approx(expected.value, abs=1e-9), name
            else:
                assert np.isnan(value), name


def test_chunks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = random_predictions(3)
    draws = Draws.of(Clusters.of(predictions), n=50)
    whole = resampled(predictions, draws, ["auroc", "auprc"])
    monkeypatch.setattr("leukfeat.evaluation.resampling._CHUNK", 3 * len(predictions))
    for name, values in resampled(predictions, draws, ["auroc", "auprc"]).items():
        np.testing.assert_array_equal(values, whole[name])


def test_an_unknown_metric_is_named() -> None:
    predictions = random_predictions(3)
    with pytest.raises(UnknownNameError, match="did you mean 'auroc'"):
        resampled(predictions, Draws.of(Clusters.of(predictions), n=2), ["auroq"])
