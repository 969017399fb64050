"""Features of other tools keep their ids, and are rows of a store like any other."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from leukfeat.errors import StoreError, UsageError
from leukfeat.features.exchange import read_features
from leukfeat.features.importing import import_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.upkeep import list_keys, verify

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


def slide(folder: Path, name: str, rows: slice, encoder: str = "uni") -> Path:
    file = folder / f"{name}.h5"
    with h5py.File(file, "w") as out:
        out["features"] = X[rows]
        out["coords"] = np.stack([np.arange(len(X[rows])), np.zeros(len(X[rows]))], axis=1)
        out.attrs["encoder"] = encoder
    return file


def test_what_is_imported_is_there_with_its_ids(store: FeatureStore, tmp_path: Path) -> None:
    files = [slide(tmp_path, "one", np.s_[:3]), slide(tmp_path, "two", np.s_[3:])]
    imported = import_features(files, store)
    assert (imported.encoder, imported.samples, imported.dim, imported.added) == ("uni", 4, 5, 4)
    found = read_features(imported.folder)
    np.testing.assert_array_equal(found.X, X)
    assert found.sample_ids == ("one/0_0", "one/1_0", "one/2_0", "two/0_0")
    assert found.seen.unknown
    (key,) = list_keys(store)
    assert (key.images, key.dim, key.origin) == (4, 5, "imported from one.h5, two.h5")
    assert verify(store).problems == ()


def test_the_same_files_again_add_nothing(store: FeatureStore, tmp_path: Path) -> None:
    files = [slide(tmp_path, "one", np.s_[:3])]
    import_features(files, store)
    assert import_features(files, store).added == 0
    assert verify(store).rows == 3


def test_other_files_are_another_key(store: FeatureStore, tmp_path: Path) -> None:
    # nobody can say that two files of one encoder were computed the same way
    first = import_features([slide(tmp_path, "one", np.s_[:3])], store)
    second = import_features([slide(tmp_path, "two", np.s_[3:])], store)
    assert first.folder != second.folder


def test_a_folder_of_slides_is_imported(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    slide(tmp_path / "slides", "one", np.s_[:3])
    slide(tmp_path / "slides", "two", np.s_[3:])
    imported = import_features([tmp_path / "slides"], store)
    assert (imported.samples, imported.encoder) == (4, "uni")


def test_vectors_of_different_encoders_are_not_put_below_each_other(store: FeatureStore, tmp_path: Path) -> None:
    """They have the same length, and nothing else in common; whoever knows better says so."""
    (tmp_path / "slides").mkdir()
    files = [slide(tmp_path / "slides", "one", np.s_[:3]), slide(tmp_path / "slides", "two", np.s_[3:], "conch")]
    for asked in (files, [tmp_path / "slides"]):
        with pytest.raises(StoreError, match=r"different encoders \(conch, uni\)"):
            import_features(asked, store)
        assert import_features(asked, store, encoder="mine").encoder == "mine"


def test_ids_that_were_put_right_are_another_key(store: FeatureStore, tmp_path: Path) -> None:
    """The file of the vectors is the same; rows under their wrong ids must not answer for the right ones."""
    with h5py.File(tmp_path / "features.h5", "w") as out:
        out["features"] = X
    (tmp_path / "file_names.txt").write_text("a\nb\nd\nc\n")
    wrong = import_features([tmp_path / "features.h5"], store)
    (tmp_path / "file_names.txt").write_text("a\nb\nc\nd\n")
    right = import_features([tmp_path / "features.h5"], store)
    assert right.folder != wrong.folder
    np.testing.assert_array_equal(read_features(right.folder).take(["a", "b", "c", "d"]).X, X)


def test_an_id_that_stands_there_twice_is_refused(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [slide(tmp_path, "one", np.s_[:3]), slide(tmp_path / "other", "one", np.s_[3:])]
    with pytest.raises(StoreError, match="'one/0_0' stands there more than once"):
        import_features(files, store)
    assert store.key_folders() == []


def test_nothing_to_import_is_told(store: FeatureStore) -> None:
    with pytest.raises(UsageError, match="no files to import"):
        import_features([], store)
