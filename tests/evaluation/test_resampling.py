"""What is drawn: whole clusters, within their class, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from leukfeat.evaluation.resampling import Clusters, Draws
from tests.evaluation.conftest import MakePredictions


@pytest.fixture
def clusters(make: MakePredictions) -> Clusters:
    return Clusters.of(
        make(
            ["ALL"] * 4 + ["HEM"] * 5,
            [0.5] * 9,
            subject=["1", "1", "2", "3", "H1", "H1", "H2", "H2", "H3"],
            group=["1", "1", "2", "2", "H1", "H1", "H2", "H2", "H3"],
        )
    )


def test_linked_subjects_are_one_cluster(clusters: Clusters) -> None:
    assert clusters.names == ("1", "2", "H1", "H2", "H3")
    assert clusters.unit == "linked subject"
    assert clusters.per_stratum.tolist() == [2, 3]


def test_every_draw_has_as_many_clusters_of_each_class_as_the_study(clusters: Clusters) -> None:
    counts = Draws.of(clusters, n=300, seed=1).counts
    assert (counts[:, :2].sum(axis=1) == 2).all()
    assert (counts[:, 2:].sum(axis=1) == 3).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.15)
    assert len(np.unique(counts, axis=0)) > 20


def test_a_seed_gives_its_draws_again(clusters: Clusters) -> None:
    np.testing.assert_array_equal(Draws.of(clusters, 20, 7).counts, Draws.of(clusters, 20, 7).counts)
    assert (Draws.of(clusters, 20, 7).counts != Draws.of(clusters, 20, 8).counts).any()


def test_the_jackknife_leaves_out_each_cluster_once(clusters: Clusters) -> None:
    counts = Draws.leaving_out(clusters).counts
    np.testing.assert_array_equal(counts, 1 - np.eye(5))
    blocks = Draws.leaving_out(clusters, most=2).counts
    np.testing.assert_array_equal((1 - blocks).sum(axis=0), np.ones(5))
    assert ((1 - blocks)[:, :2].sum(axis=1) == 1).all()  # each block has its share of each class


def test_images_are_the_unit_where_subjects_are_unknown(make: MakePredictions) -> None:
    assert Clusters.of(make(["ALL", "HEM"], [0.5, 0.5])).unit == "image"
    fields = make(["ALL", "ALL", "HEM"], [0.5] * 3, group=["a", "a", "b"])
    assert Clusters.of(fields).units == "groups of images"


def test_one_subject_of_a_class_is_too_few(make: MakePredictions) -> None:
    two = Clusters.of(make(["ALL", "HEM"], [0.5, 0.5], subject=["1", "2"], group=["1", "2"]))
    assert "class 'ALL' has 1 subject" in two.too_few


def test_a_few_clusters_that_hold_most_rows_leave_fewer_degrees_of_freedom(make: MakePredictions) -> None:
    """Ten subjects of equal size are ten; where one has nearly all cells they are not."""

    def freedom(sizes: list[int]) -> float:
        names = np.repeat([f"s{k}" for k in range(20)], [*sizes, *[5] * 10])
        y = ["ALL"] * sum(sizes) + ["HEM"] * 50
        return Clusters.of(make(y, [0.5] * len(y), subject=names, group=names)).freedom

    assert freedom([5] * 10) == pytest.approx(9)
    assert freedom([200] + [1] * 9) < 3
