"""Inner folds: who learns from what."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.errors import HeadError
from leukfeat.heads import reduction as reductions
from leukfeat.heads import transforms
from leukfeat.heads.bins import Bins
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.inner import InnerFits
from leukfeat.heads.pipeline import assemble
from leukfeat.heads.scoring import METRICS
from leukfeat.heads.space import Choice, Number, reduction_size
from leukfeat.heads.spec import Frame, Parts
from leukfeat.heads.table import Table, given_pairs, grouped_pairs, inner_folds

SPACE_SIZES = ("none", "pca-4", "pca-8", "forest-4", "forest-8")


def _table(cells, features: int | None = None) -> Table:
    X = cells.X if features is None else cells.X[:, :features]
    classes, y = np.unique(cells.y, return_inverse=True)
    _, groups = np.unique(cells.groups, return_inverse=True)
    return Table(X, y, groups, tuple(str(name) for name in classes))


def _fits(table: Table, head: str = "svm", seed: int = 0) -> InnerFits:
    pairs = grouped_pairs(table, 3, seed)
    folds = inner_folds(table, pairs, stops_early=HEADS[head].stops_early, seed=seed)
    return InnerFits(HEADS[head], table, folds, METRICS["auroc"], largest_reduction=10, seed=seed)


def _transformed(fits: InnerFits, number: int, params: dict[str, object]) -> Parts:
    rows, fold = fits.rows.of(number, params), fits.folds[number]
    return Parts(rows.take(fold.fit), rows.take(fold.stop), rows.take(fold.validation))


def _params(head: str, **given: object) -> dict[str, object]:
    return {dimension.name: dimension.default for dimension in HEADS[head].space} | given


@pytest.mark.parametrize("stops_early", [False, True])
def test_no_group_is_in_two_parts_of_an_inner_fold(cells, stops_early: bool) -> None:
    """Rows that stop a booster are training rows: were they those that judge it, the judgement would be flattering."""
    table = _table(cells)
    for seed in range(20):
        for fold in inner_folds(table, grouped_pairs(table, 4, seed), stops_early=stops_early, seed=seed):
            parts = [set(table.groups[rows]) for rows in (fold.fit, fold.stop, fold.validation)]
            assert sum(map(len, parts)) == len(set.union(*parts)) == 16
            assert bool(len(fold.stop)) == stops_early
            assert set(table.y[fold.fit]) == {0, 1}


def test_there_are_as_many_folds_as_the_rarest_class_allows(cells_of) -> None:
    table = _table(cells_of(subjects=6))
    assert len(grouped_pairs(table, 5, seed=0)) == 3


def test_a_class_with_one_subject_is_refused_by_name(cells_of) -> None:
    cells = cells_of(subjects=9, classes=3)
    one = cells.groups == cells.groups[cells.y == "other"][0]
    keep = (cells.y != "other") | one
    table = _table(type(cells)(cells.X[keep], cells.y[keep], cells.groups[keep]))
    with pytest.raises(HeadError, match=r"class 'other' has 1 subject.* at least 2 subjects"):
        grouped_pairs(table, 3, seed=0)


def test_a_training_part_with_one_subject_of_a_class_stops_nowhere(cells_of) -> None:
    """Then the booster has its default number of rounds, and still works."""
    table = _table(cells_of(subjects=4))
    folds = inner_folds(table, grouped_pairs(table, 2, seed=0), stops_early=True, seed=0)
    assert all(len(fold.stop) == 0 for fold in folds)
    fits = InnerFits(HEADS["xgboost"], table, folds, METRICS["auroc"], largest_reduction=4, seed=0)
    assert [rounds for _, rounds in fits.judge(_params("xgboost"))] == [150, 150]


@pytest.mark.parametrize("reduction", SPACE_SIZES)
@pytest.mark.parametrize("scaling", ["standard", "overall", "unit"])
def test_validation_rows_do_not_influence_what_is_learned(cells, scaling: str, reduction: str, monkeypatch) -> None:
    """Poisoned validation rows leave the other rows' transforms bit for bit as they were."""
    _use_small_reductions(monkeypatch)
    table = _table(cells)
    clean = _fits(table)
    X = table.X.copy()
    X[clean.folds[1].validation] = 1e4
    poisoned = _fits(Table(X, table.y, table.groups, table.classes))
    params = _params("svm", scaling=scaling, reduction=reduction)
    before, after = _transformed(clean, 1, params), _transformed(poisoned, 1, params)
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[2], after[2])
    assert not np.array_equal(_transformed(clean, 0, params)[0], _transformed(poisoned, 0, params)[0])


@pytest.mark.parametrize("reduction", SPACE_SIZES)
def test_stopping_rows_do_not_influence_transforms_or_trees_but_their_number(
    cells, reduction: str, monkeypatch
) -> None:
    _use_small_reductions(monkeypatch, "xgboost")
    table = _table(cells)
    clean = _fits(table, "xgboost")
    X = table.X.copy()
    X[clean.folds[0].stop] = -1e4
    poisoned = _fits(Table(X, table.y, table.groups, table.classes), "xgboost")
    params = _params("xgboost", reduction=reduction)
    assert np.array_equal(_transformed(clean, 0, params)[0], _transformed(poisoned, 0, params)[0])


@pytest.mark.parametrize("reduction", SPACE_SIZES)
@pytest.mark.parametrize("scaling", ["standard", "unit"])
def test_kept_transforms_are_those_of_the_pipeline(cells, scaling: str, reduction: str, monkeypatch) -> None:
    """Reuse between trials is a saving of time, not another model."""
    _use_small_reductions(monkeypatch)
    table = _table(cells)
    fits = _fits(table)
    params = _params("svm", scaling=scaling, reduction=reduction)
    _transformed(fits, 0, _params("svm", scaling="overall", reduction="pca-8"))
    fold = fits.folds[0]
    frame = Frame(len(fold.fit), table.X.shape[1], seed=0)
    pipeline = assemble(HEADS["svm"], params, frame).fit(table.X[fold.fit], table.y[fold.fit])
    fit, _, validation = _transformed(fits, 0, params)
    assert fit.shape[1] == (reduction_size(reduction) or table.X.shape[1])
    np.testing.assert_allclose(fit, pipeline[:-1].transform(table.X[fold.fit]), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(validation, pipeline[:-1].transform(table.X[fold.validation]), rtol=1e-3, atol=1e-4)


def test_transforms_are_learned_once_and_forgotten_under_a_limit(cells, monkeypatch) -> None:
    _use_small_reductions(monkeypatch)
    learned = []
    original = transforms.Transforms._reduction

    def counted(self, number, X, params):
        learned.append((number, params["reduction"]))
        return original(self, number, X, params)

    monkeypatch.setattr(transforms.Transforms, "_reduction", counted)
    fits = _fits(_table(cells))
    for reduction in ("pca-4", "pca-8", "pca-4"):
        _transformed(fits, 0, _params("svm", reduction=reduction))
    assert learned == [(0, "pca-8")]
    monkeypatch.setattr(transforms, "_room", lambda n_bytes: 1)
    for number in (1, 0):
        _transformed(fits, number, _params("svm", reduction="pca-4"))
    assert learned == [(0, "pca-8"), (1, "pca-8"), (0, "pca-8")]


def test_what_is_kept_of_some_folds_is_not_given_up_for_the_next(cells, monkeypatch) -> None:
    """Folds come round in one order: if the oldest left for the newest, none would ever be found again."""
    made = []
    original = Bins.made.__func__

    def counted(cls, kind, X, y, device):
        made.append(len(y.validation))
        return original(cls, kind, X, y, device)

    monkeypatch.setattr(Bins, "made", classmethod(counted))
    table = _table(cells)
    fits = _fits(table, "xgboost")
    params = [_params("xgboost", reduction=reduction) for reduction in ("none", "forest-4")]
    size = fits.rows.shared(0, params[0]).nbytes
    monkeypatch.setattr(transforms, "_room", lambda n_bytes: int(2.5 * size))
    folds = range(len(fits.folds))
    assert len(folds) > 2
    for _ in range(3):
        for number in folds:
            fits.rows.shared(number, params[0])
    assert len(made) == 2 + 3 * (len(folds) - 2)
    for number in folds:
        fits.rows.shared(number, params[1])
    made.clear()
    fits.rows.shared(0, params[1])
    assert not made, "what other parameters left behind makes room"


def test_many_rows_are_kept_in_proportion() -> None:
    gigabyte = 2**30
    assert transforms._room(gigabyte // 64) == gigabyte * 63 // 64
    assert transforms._room(4 * gigabyte) == 4 * gigabyte


def test_a_metric_of_probabilities_calibrates_inside_the_fitting_rows(cells) -> None:
    """A support-vector machine has none of its own; decision scores would make the log-loss meaningless."""
    table = _table(cells)
    folds = inner_folds(table, grouped_pairs(table, 2, seed=0), stops_early=False, seed=0)
    fits = InnerFits(HEADS["svm"], table, folds, METRICS["log_loss"], largest_reduction=5, seed=0)
    assert all(0 < score < np.log(2) for score, _ in fits.judge(_params("svm")))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "empty list"),
        ([([0, 1], [])], "non-empty"),
        ([([0.5], [1])], "row numbers"),
        ([(range(70), [80])], "from 0 to 79"),
        ([(range(73), range(73, 80))], "1 group.* on both sides"),
    ],
)
def test_given_folds_are_checked(cells, pairs, message: str) -> None:
    with pytest.raises(HeadError, match=message):
        given_pairs(_table(cells), pairs)


def test_given_folds_need_every_class_to_learn_and_two_to_judge(cells) -> None:
    table = _table(cells)
    ones, zeros = np.flatnonzero(table.y == 1), np.flatnonzero(table.y == 0)
    with pytest.raises(HeadError, match="class 'hem' has no training row"):
        given_pairs(table, [(zeros, ones)])
    with pytest.raises(HeadError, match="all of one class"):
        given_pairs(table, [(np.concatenate([zeros[:20], ones]), zeros[20:])])


def _use_small_reductions(monkeypatch, head: str = "svm") -> None:
    """The reductions of the catalogue are too large for small tables, and so is their forest."""
    monkeypatch.setattr(reductions, "_TREES", (20, 20))
    small = Choice("reduction", SPACE_SIZES, "none")
    space = tuple(small if d.name == "reduction" else d for d in HEADS[head].space)
    assert all(isinstance(d, Choice | Number) for d in space)
    monkeypatch.setitem(HEADS, head, type(HEADS[head])(**{**vars(HEADS[head]), "space": space}))
