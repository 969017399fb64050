"""Candidates are ranked over data sets; folds are refused with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.uncertainty import Uncertainty
from leukfeat.reports.grid import grid

QUICK = Uncertainty(n_draws=100)


@pytest.fixture
def runs(two):
    """Three candidates on six data sets, the first always best and the last always worst."""
    return [
        replace(two(name, gap=gap + 0.01 * number), data={"dataset": f"set {chr(65 + number)}"})
        for number in range(6)
        for name, gap in (("svm", 2.5), ("tree", 0.1), ("knn", 1.0))
    ]


def test_the_best_of_every_data_set_ranks_first_and_is_told_from_the_worst(runs):
    found = grid(runs, how=QUICK)
    assert found.ranking.order == ("svm", "knn", "tree")
    assert "svm ranks higher than tree" in " ".join(found.sentences)
    assert found.tables["ranks"].rows[0][:2] == ("svm", 1.0)
    assert len(found.tables["grid"].rows) == 6
    assert found.to_dict()["critical_difference"] == pytest.approx(2.344 * (3 * 4 / 36) ** 0.5, abs=0.01)


def test_files_hold_scores_and_ranks(runs, tmp_path):
    written = grid(runs, how=QUICK).save(tmp_path)
    pages = ["grid.html", "grid.md"]
    diagram = ["ranks.svg", "ranks.pdf", "ranks-data.csv"]
    assert [path.name for path in written] == [*pages, *diagram, "grid.csv", "ranks.csv"]
    assert all("Nemenyi" in path.read_text() for path in written[:2])


def test_few_data_sets_give_a_reason_in_place_of_ranks(runs):
    few = grid(runs[:6], how=QUICK)
    assert "at least 5 are needed" in few.sentences[0]
    assert few.to_dict()["ranks"] is None


def test_runs_of_one_data_set_are_no_grid(runs):
    with pytest.raises(ComparisonError, match="folds share training images and are no data sets"):
        grid(runs[:3])


def test_gaps_and_doubles_are_named(runs):
    with pytest.raises(ComparisonError, match="knn was not run on set F"):
        grid(runs[:-1])
    with pytest.raises(ComparisonError, match="knn was run twice on set F"):
        grid([*runs, runs[-1]])
    with pytest.raises(ComparisonError, match="data set is not recorded"):
        grid([*runs, replace(runs[0], data={})])
