"""Only like is compared with like; what differs is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.runs import Run
from leukfeat.reports.alignment import align


def _changed(run, **columns):
    return replace(run, predictions=replace(run.predictions, **columns))


def test_row_and_column_order_do_not_matter(two):
    first, second = two("a"), two("b", gap=2.0)
    rng = np.random.default_rng(0)
    mixed = replace(second, predictions=second.predictions.take(rng.permutation(48)).with_classes(("HEM", "ALL")))
    _, aligned = align([first, mixed])
    assert aligned.predictions.digest == second.predictions.digest


def test_other_samples_are_refused_with_counts_and_examples(two):
    run = two("a")
    fewer = replace(run, name="b", predictions=run.predictions.take(np.arange(2, 48)))
    with pytest.raises(
        ComparisonError, match=r"'a' and 'b'.*2 sample\(s\) only in 'a', e.g. S0/0.bmp \(46 in common\)"
    ):
        align([run, fewer])
    sample = run.predictions.sample.copy()
    sample[3] = "other.bmp"
    with pytest.raises(ComparisonError, match=r"1 sample\(s\) only in 'a', e.g. S0/3.bmp; 1 sample\(s\) only in 'b'"):
        align([run, replace(_changed(run, sample=sample), name="b")])


def test_other_repeats_are_refused(two):
    run = two("a")
    again = replace(run.predictions, repeat=np.ones(48))
    twice = replace(run, name="b", predictions=run.predictions.concatenate([run.predictions, again]))
    with pytest.raises(ComparisonError, match="differ in repeats: 1 against 2"):
        align([run, twice])
    with pytest.raises(ComparisonError, match="number their repeats differently"):
        align([run, replace(run, name="b", predictions=again)])


def test_other_true_labels_are_refused(two):
    run = two("a")
    y = run.predictions.y_true.copy()
    y[5] = "ALL"
    with pytest.raises(
        ComparisonError, match=r"1 of 48 rows carry another true label, e.g. S1/1.bmp .*HEM against ALL"
    ):
        align([run, replace(_changed(run, y_true=y), name="b")])


def test_other_folds_are_refused(two):
    run = two("a")
    fold = run.predictions.fold.copy()
    fold[:4] = 2
    with pytest.raises(
        ComparisonError, match=r"4 of 48 rows were tested in another fold, .*0 against 2\); evaluate both"
    ):
        align([run, replace(_changed(run, fold=fold), name="b")])


def test_the_same_folds_under_other_numbers_are_refused_with_a_hint(two):
    run = two("a")
    with pytest.raises(ComparisonError, match="the same under other numbers; number them alike"):
        align([run, replace(_changed(run, fold=run.predictions.fold + 1), name="b")])


def test_other_classes_are_refused(two, four):
    with pytest.raises(ComparisonError, match="different classes: ALL, HEM against a, b, c, d"):
        align([two("a"), four])


def test_other_positive_classes_are_refused_unless_one_is_stated(two):
    runs = [two("a"), two("b", positive="HEM")]
    with pytest.raises(ComparisonError, match=r"ALL \(run 'a'\) against HEM \(run 'b'\); state one with --positive"):
        align(runs)
    assert {run.predictions.positive for run in align(runs, positive="HEM")} == {"HEM"}


def test_other_subjects_are_refused(two):
    run = two("a")
    with pytest.raises(ComparisonError, match="4 of 48 rows name another subject"):
        align([run, replace(_changed(run, subject=np.char.replace(run.predictions.subject, "S11", "T")), name="b")])


def test_a_file_without_subjects_learns_them_and_says_so(two):
    run = two("a")
    bare = replace(
        _changed(run, subject=["unknown"] * 48, group=run.predictions.sample, positive=None), name="b", notes=()
    )
    _, aligned = align([run, bare])
    assert aligned.predictions.subject.tolist() == run.predictions.subject.tolist()
    assert aligned.predictions.positive == "ALL"
    assert aligned.notes == ("subjects taken from a",)


def _foldless(run, rows=slice(None)):
    """The run as a file of another tool without a fold column tells it."""
    predictions = run.predictions.take(np.arange(len(run.predictions))[rows])
    zeros = np.zeros(len(predictions))
    return Run("theirs", replace(predictions, fold=zeros, repeat=zeros))


def test_a_file_without_folds_takes_them_from_the_others_and_says_so(two):
    run = two("a")
    ours, theirs = align([run, _foldless(run, slice(None, None, -1))])
    assert theirs.predictions.digest == ours.predictions.digest == run.predictions.digest
    assert theirs.notes == ("folds not stated; taken from the other runs",)
    first, second = align([_foldless(run), run])
    assert np.array_equal(first.predictions.fold, run.predictions.fold)
    assert (first.notes, second.notes) == (("folds not stated; taken from the other runs",), run.notes)


def test_a_recorded_split_of_one_fold_is_not_a_lacking_column(two):
    # its folds are known and others, so what it was trained on differs too
    run = two("a")
    single = replace(_foldless(run), name="b", split=run.split)
    with pytest.raises(ComparisonError, match="32 of 48 rows were tested in another fold"):
        align([run, single])


def test_files_without_folds_are_compared_as_one_fold(two):
    assert [one.notes for one in align([_foldless(two("a")), _foldless(two("b", gap=2.0))])] == [(), ()]


def test_a_file_without_folds_has_none_to_take_from_several_repeats(two):
    run = two("a")
    again = replace(run.predictions, repeat=np.ones(48))
    twice = replace(run, predictions=run.predictions.concatenate([run.predictions, again]))
    for runs in ([twice, _foldless(run)], [_foldless(run), twice]):
        with pytest.raises(ComparisonError, match=r"differ in repeats.*'theirs' has no fold column"):
            align(runs)
    repeated = Run("theirs", replace(twice.predictions, fold=np.zeros(96)))
    with pytest.raises(ComparisonError, match=r"tested in another fold.*'theirs' has no fold column"):
        align([twice, repeated])


def test_other_samples_are_told_before_lacking_folds(two):
    run = two("a")
    with pytest.raises(ComparisonError, match=r"2 sample\(s\) only in 'a'"):
        align([run, _foldless(run, slice(2, None))])
    fewer = replace(run, predictions=run.predictions.take(np.arange(2, 48)))
    with pytest.raises(ComparisonError, match=r"2 sample\(s\) only in 'theirs'"):
        align([fewer, _foldless(run)])


def test_equal_names_are_told_apart(two):
    runs = align([two("svm"), two("svm"), two("svm (1)"), two("knn")])
    assert [run.name for run in runs] == ["svm (2)", "svm (3)", "svm (1)", "knn"]


def test_nothing_cannot_be_compared():
    with pytest.raises(ComparisonError, match="no runs"):
        align([])


def test_links_between_subjects_hold_for_every_run_whoever_stands_first(two):
    """A tool that does not know of links must not make 12 independent subjects of 6 pairs."""
    linked = two("linked")
    pairs = np.array([f"pair {int(subject[1:]) // 4}" for subject in linked.predictions.subject])
    linked = replace(linked, predictions=replace(linked.predictions, group=pairs))
    for runs in ([linked, two("plain", gap=2.0)], [two("plain", gap=2.0), linked]):
        aligned = align(runs)
        assert all(set(run.predictions.group) == set(pairs) for run in aligned)
        (plain,) = (run for run in aligned if run.name == "plain")
        assert plain.notes[-1] == "links between subjects taken from linked"
