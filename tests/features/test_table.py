"""A feature table is a finite matrix with one unique sample a row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError
from leukfeat.features.table import Features

X = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_row_and_sample(value: float) -> None:
    spoilt = X.copy()
    spoilt[1, 0] = value
    with pytest.raises(StoreError, match=r"row 1 .*'b'"):
        Features(spoilt, ("a", "b", "c"))


def test_a_sample_twice_is_refused() -> None:
    with pytest.raises(StoreError, match="'a' stands there more than once"):
        Features(X, ("a", "b", "a"))


@pytest.mark.parametrize("wrong", [X[0], X[None], np.array([["a"]])])
def test_what_is_no_matrix_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(StoreError, match="matrix"):
        Features(wrong, ("a",) * len(wrong))


def test_rows_and_ids_must_be_as_many() -> None:
    with pytest.raises(StoreError, match="3 rows but 2"):
        Features(X, ("a", "b"))


def test_rows_for_says_where_and_where_not(draw: Callable[..., Manifest]) -> None:
    manifest = draw("cells", range(4))
    features = Features(X, (manifest.sample[2], manifest.sample[0], "elsewhere"))
    rows = features.rows_for(manifest)
    assert rows.tolist() == [1, -1, 0, -1]
    assert rows.dtype == np.int64


def test_a_sample_without_a_vector_never_gets_that_of_another(draw: Callable[..., Manifest]) -> None:
    # -1 as an index would silently be the last row
    manifest = draw("cells", range(4))
    features = Features(X, (manifest.sample[2], manifest.sample[0], "elsewhere"))
    np.testing.assert_array_equal(features.X_for(manifest, [0, 2, 0]), X[[1, 0, 1]])
    assert features.X_for(manifest, np.array([], dtype=np.int64)).shape == (0, 2)
    with pytest.raises(StoreError, match=f"none for 2 of 3 samples of .*'{manifest.sample[3]}'"):
        features.X_for(manifest, [0, 3, 1])


def test_concatenation_joins_by_sample_and_not_by_position() -> None:
    first = Features(X, ("a", "b", "c"), Seen(images=frozenset({"1"})))
    second = Features(X[::-1] * 10, ("c", "b", "x"), Seen(unknown=True))
    both = Features.concatenate([first, second])
    assert both.sample_ids == ("b", "c")
    np.testing.assert_array_equal(both.X, [[2, 3, 20, 30], [4, 5, 40, 50]])
    assert both.seen == Seen(images=frozenset({"1"}), unknown=True)  # what one has seen, the whole has


def test_nothing_in_common_cannot_be_concatenated() -> None:
    with pytest.raises(StoreError, match="no sample in common"):
        Features.concatenate([Features(X, ("a", "b", "c")), Features(X, ("d", "e", "f"))])


def test_the_digest_follows_content() -> None:
    assert Features(X, ("a", "b", "c")).digest == Features(X.copy(), ("a", "b", "c")).digest
    assert Features(X, ("a", "b", "c")).digest != Features(X, ("a", "c", "b")).digest
    assert Features(X, ("a", "b", "c")).digest != Features(X + 1, ("a", "b", "c")).digest
