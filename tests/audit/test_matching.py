"""Cells of equal size: what is left of an AUROC when size cannot help."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leukfeat.audit.matching import area_matched
from leukfeat.evaluation.intervals import intervals
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Draws


def predictions(y: np.ndarray, p: np.ndarray, group: np.ndarray | None = None, repeat: int = 0) -> Predictions:
    """Of two classes, ``p`` the probability of the positive one."""
    names = np.array([f"cell {number}" for number in range(len(y))])
    who = names if group is None else group.astype(str)
    zeros = np.zeros(len(y), dtype=np.int64)
    proba = np.column_stack([1 - p, p])
    return Predictions(names, who, who, zeros + repeat, zeros, np.where(y, "b", "a"), proba, ("a", "b"), "b")


def areas_of(one: Predictions, area: np.ndarray) -> dict[str, float]:
    return dict(zip(one.sample.tolist(), area.tolist(), strict=True))


def cells(n: int = 300, seed: int = 0, texture: float = 0.0, size: float = 1.0) -> tuple[Predictions, np.ndarray]:
    """Cells of 30 subjects whose score is of their size and their texture; positive cells are larger."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % 30
    y = group % 2 == 1
    log_area = 0.2 * y + 0.2 * rng.normal(size=n)
    score = 4 * size * log_area + texture * y + 0.5 * rng.normal(size=n)
    return predictions(y, 1 / (1 + np.exp(-score)), group), np.exp(9 + log_area)


def by_hand(y: np.ndarray, p: np.ndarray, area: np.ndarray, tolerance: float) -> tuple[float, int]:
    """Every pair looked at, one by one."""
    right = n = 0.0
    for i in np.flatnonzero(y):
        for j in np.flatnonzero(~y):
            if max(area[i], area[j]) <= (1 + tolerance) * min(area[i], area[j]):
                n += 1
                right += (p[i] > p[j]) + 0.5 * (p[i] == p[j])
    return right / n, int(n)


@pytest.mark.parametrize("tolerance", [0.01, 0.05, 0.3])
def test_it_is_the_share_of_matched_pairs_in_the_right_order(tolerance: float) -> None:
    """The definition, with ties in scores and in areas."""
    rng = np.random.default_rng(1)
    y, p, area = rng.random(80) < 0.4, rng.integers(1, 9, 80) / 10, rng.integers(90, 130, 80).astype(float)
    one = predictions(y, p)
    found = area_matched(one, areas_of(one, area), tolerance=tolerance, n_draws=100)
    value, pairs = by_hand(y, p, area, tolerance)
    assert found.pairs == pairs
    assert found.auroc.value == pytest.approx(value, abs=1e-12)
    assert found.area.value == pytest.approx(by_hand(y, area, area, tolerance)[0], abs=1e-12)


def test_areas_that_differ_by_exactly_the_tolerance_are_matched() -> None:
    """Five per cent is five per cent, whatever rounding says; and it is the same whichever cell is larger."""
    one = predictions(np.array([True, False]), np.array([0.9, 0.1]))
    for area in ([100.0, 105.0], [105.0, 100.0]):
        assert area_matched(one, areas_of(one, np.array(area))).pairs == 1
    assert area_matched(one, areas_of(one, np.array([100.0, 105.1]))).pairs == 0


def test_without_a_limit_it_is_the_plain_auroc() -> None:
    """And its interval is that of the plain AUROC: matching is all that is new."""
    one, area = cells()
    found = area_matched(one, areas_of(one, area), tolerance=1e6)
    assert found.auroc.value == pytest.approx(roc_auc_score(one.y_true == "b", one.proba[:, 1]))
    assert found.auroc.value == pytest.approx(found.plain.value)
    plain = intervals(one, ["auroc"])["auroc"]
    assert (found.interval.low, found.interval.high) == pytest.approx((plain.low, plain.high), abs=1e-3)
    assert found.cells == len(one)


def test_a_model_that_sees_size_only_falls_to_chance() -> None:
    """And one that sees texture does not: this is what the figure is for."""
    seen_size, area = cells(texture=0.0)
    found = area_matched(seen_size, areas_of(seen_size, area))
    assert found.plain.value > 0.7
    assert 0.5 in found.interval
    assert found.area.value == pytest.approx(0.5, abs=0.05)
    seen_texture, area = cells(texture=2.0, size=0.0)
    found = area_matched(seen_texture, areas_of(seen_texture, area))
    assert found.interval.low > 0.9
    assert found.auroc.value == pytest.approx(found.plain.value, abs=0.02)


def test_resamples_count_pairs_as_often_as_their_clusters_are_drawn() -> None:
    """The interval's replicates are the AUROC of a table in which each subject's cells stand several times."""
    from leukfeat.audit.matching import _auroc, _Cells, _Pairs
    from leukfeat.evaluation.resampling import Clusters
    from leukfeat.evaluation.scored import Scored

    one, area = cells(120)
    clusters = Clusters.of(one)
    scored = Scored.of(one)
    table = _Pairs.of(
        _Cells(scored.y_true == 1, scored.ranking(1), np.log(area), clusters.of_row), math.log(1.05), len(clusters)
    )
    draws = Draws.of(clusters, 5, seed=3)
    values = _auroc([table], draws.counts.astype(np.float64))
    for counts, value in zip(draws.counts.astype(int), values, strict=True):
        rows = np.repeat(np.arange(len(one)), counts[clusters.of_row])
        assert value == pytest.approx(by_hand(one.y_true[rows] == "b", one.proba[rows, 1], area[rows], 0.05)[0])


def test_intervals_are_by_subject() -> None:
    """Cells of one subject are alike: told as one subject each, they make the interval too narrow."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 15)
    y = group % 2 == 1
    score = 1.0 * y + rng.normal(size=20)[group] + 0.3 * rng.normal(size=300)
    p = 1 / (1 + np.exp(-score))
    area = np.exp(0.1 * rng.normal(size=300))
    widths = []
    for who in (group, None):
        one = predictions(y, p, who)
        interval = area_matched(one, areas_of(one, area)).interval
        widths.append(interval.high - interval.low)
    assert widths[0] > 2 * widths[1]


def test_repeats_are_averaged_and_pairs_counted_once() -> None:
    """As every metric does with the repeats of a split."""
    one, area = cells(120)
    rng = np.random.default_rng(5)
    p = rng.random(len(one))
    other = predictions(one.y_true == "b", p, one.group, repeat=1)
    alone = [area_matched(each, areas_of(one, area)) for each in (one, other)]
    both = area_matched(Predictions.concatenate([one, other]), areas_of(one, area))
    assert both.auroc.value == pytest.approx(np.mean([each.auroc.value for each in alone]))
    assert (both.pairs, both.cells) == (alone[0].pairs, alone[0].cells)


def test_several_classes_are_compared_each_with_the_others() -> None:
    """The mean over classes, as the plain AUROC of several is."""
    rng = np.random.default_rng(0)
    names = np.array([f"cell {number}" for number in range(150)])
    y = rng.integers(0, 3, 150)
    proba = rng.dirichlet(np.ones(3), 150)
    area = np.exp(0.1 * rng.normal(size=150))
    zeros = np.zeros(150, dtype=np.int64)
    one = Predictions(names, names, names, zeros, zeros, np.array(list("abc"))[y], proba, ("a", "b", "c"))
    found = area_matched(one, areas_of(one, area))
    each = [by_hand(y == k, proba[:, k], area, 0.05) for k in range(3)]
    assert found.auroc.value == pytest.approx(np.mean([value for value, _ in each]))
    assert found.pairs == sum(pairs for _, pairs in each)


def test_cells_without_an_area_are_counted_and_left_out() -> None:
    """No foreground, or no measurement at all."""
    one, area = cells()
    table = areas_of(one, area)
    table["cell 3"] = math.nan
    del table["cell 4"]
    found = area_matched(one, table)
    assert found.without_area == 2
    assert found.auroc.defined


def test_no_pair_is_no_number() -> None:
    """Each case with its reason."""
    one = predictions(np.array([True, False] * 4), np.linspace(0.1, 0.9, 8))
    apart = area_matched(one, areas_of(one, np.array([100.0, 200.0] * 4)))
    assert (apart.auroc.reason, apart.pairs) == ("no cells of both classes have areas within 5%", 0)
    assert area_matched(one, {}).auroc.reason == "no area is known"
    assert apart.finding().words.endswith("is undefined: no cells of both classes have areas within 5%")
    assert apart.to_dict()["auroc"] is None


def test_one_subject_of_a_class_has_a_value_but_no_interval() -> None:
    """As everywhere: resampling one subject shows no variation."""
    y = np.array([True] * 5 + [False] * 10)
    one = predictions(y, np.linspace(0.9, 0.1, 15), np.array([0] * 5 + [1, 2] * 5))
    found = area_matched(one, areas_of(one, np.ones(15)))
    assert found.auroc.value == 1
    assert "1 subject" in found.interval.reason


def test_the_finding_is_a_note_with_all_numbers() -> None:
    """It stands beside the plain AUROC; a low value is a fact, not a fault."""
    one, area = cells()
    finding = area_matched(one, areas_of(one, area)).finding()
    assert (finding.code, finding.severity) == ("area-matched", "note")
    assert {"auroc", "low", "high", "plain", "area", "pairs"} <= set(finding.evidence[0])


def test_more_pairs_than_fit_at_once_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same result, whatever the size of a part."""
    one, area = cells(200)
    whole = area_matched(one, areas_of(one, area), n_draws=100)
    monkeypatch.setattr("leukfeat.audit.matching._PAIRS", 50)
    parts = area_matched(one, areas_of(one, area), n_draws=100)
    assert (parts.auroc.value, parts.pairs, parts.cells) == (whole.auroc.value, whole.pairs, whole.cells)
