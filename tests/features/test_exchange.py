"""What one tool writes another can read, and nothing is unpickled on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError, UnknownNameError
from leukfeat.features.exchange import FEATURE_NAMES, FORMATS, ID_NAMES, read_features, write_features
from leukfeat.features.table import Features

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@pytest.fixture
def manifest(draw: Callable[..., Manifest]) -> Manifest:
    return draw("zellen-ß", range(4))


@pytest.fixture
def features(manifest: Manifest) -> Features:
    seen = Seen(images=frozenset({"ab"}), groups=frozenset({"7"}))
    return Features(X, manifest.sample, seen, {"backbone": "tiny", "key": "cd"})


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read(suffix: str, features: Features, manifest: Manifest, tmp_path: Path) -> None:
    file = write_features(features, tmp_path / f"out{suffix}", manifest)
    again = read_features(file)
    np.testing.assert_array_equal(again.X, features.X)
    assert again.sample_ids == features.sample_ids
    assert again.seen == features.seen  # a fine-tuned encoder's features stay marked
    assert again.provenance == features.provenance
    assert not list(tmp_path.glob(".*"))


def test_hdf5_has_what_other_readers_look_for(features: Features, manifest: Manifest, tmp_path: Path) -> None:
    with h5py.File(write_features(features, tmp_path / "out.h5", manifest)) as found:
        np.testing.assert_array_equal(found["features"], X)
        np.testing.assert_array_equal(found["feats"], X)
        assert found["coords"].shape == (4, 2)
        assert not found["coords"][()].any()
        assert tuple(found["paths"].asstr()[()]) == manifest.path
        assert tuple(found["labels"].asstr()[()]) == manifest.label
        assert tuple(found["subject"].asstr()[()]) == manifest.subject
        assert found.attrs["encoder"] == "tiny"
        assert "leukfeat_version" in found.attrs
        assert json.loads(found.attrs["provenance"]) == features.provenance


@pytest.mark.parametrize("name", FEATURE_NAMES)
@pytest.mark.parametrize("ids", ID_NAMES)
def test_other_tools_files_are_read_and_their_encoder_is_unknown(name: str, ids: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other[name] = X[None].astype(np.float64)  # a bag of one slide
        other[ids] = ["a", "b", "c", "d"]
    found = read_features(tmp_path / "other.h5")
    assert found.sample_ids == ("a", "b", "c", "d")
    assert found.X.dtype == np.float32
    assert found.seen.unknown


def _is_mapped(X: np.ndarray) -> bool:
    backing: object = X
    while backing is not None and not isinstance(backing, np.memmap):
        backing = getattr(backing, "base", None)
    return backing is not None


def test_a_large_matrix_is_mapped_and_a_small_one_is_read(
    features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # processes that fit folds share the pages of a mapped file; a file that is read may be written over meanwhile
    file = write_features(features, tmp_path / "out.h5")
    assert not _is_mapped(read_features(file).X)
    monkeypatch.setattr("leukfeat.features.exchange._MAPPED_FROM", X.nbytes)
    mapped = read_features(file)
    assert _is_mapped(mapped.X)
    np.testing.assert_array_equal(mapped.X, X)
    assert mapped.digest == features.digest


@pytest.mark.parametrize(
    ("dtype", "options"),
    [("<f4", {"chunks": (1, 5)}), ("<f4", {"compression": "gzip"}), ("<f8", {}), (">f4", {}), ("<f2", {}), ("i4", {})],
)
def test_what_cannot_be_mapped_is_read_in_blocks(
    dtype: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the bytes of the file are not the matrix: mapping them would give other numbers, and no error
    monkeypatch.setattr("leukfeat.features.exchange._MAPPED_FROM", 0)
    monkeypatch.setattr("leukfeat.features.exchange._BLOCK", 45)  # two rows, or one of doubles: more than one block
    stored = (100 * X).astype(dtype)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_dataset("features", data=stored, **options)
        other["ids"] = ["a", "b", "c", "d"]
    found = read_features(tmp_path / "other.h5")
    assert not _is_mapped(found.X)
    np.testing.assert_array_equal(found.X, stored.astype(np.float32))


def test_a_matrix_behind_a_user_block_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leukfeat.features.exchange._MAPPED_FROM", 0)
    with h5py.File(tmp_path / "other.h5", "w", userblock_size=512) as other:
        other["features"] = X
        other["ids"] = ["a", "b", "c", "d"]
    np.testing.assert_array_equal(read_features(tmp_path / "other.h5").X, X)


def test_lists_in_parquet_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"embeddings": X.tolist(), "ids": ["a", "b", "c", "d"]}), tmp_path / "other.parquet")
    np.testing.assert_array_equal(read_features(tmp_path / "other.parquet").X, X)
    pq.write_table(pa.table({"embeddings": [[1.0], [1.0, 2.0]], "ids": ["a", "b"]}), tmp_path / "ragged.parquet")
    with pytest.raises(StoreError, match="different lengths"):
        read_features(tmp_path / "ragged.parquet")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_file_is_told(suffix: str, features: Features, tmp_path: Path) -> None:
    file = write_features(features, tmp_path / f"out{suffix}")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(StoreError, match="cannot be read"):
        read_features(file)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "out.npz", features=X, ids=np.array(["a", "b", "c", None], dtype=object))
    with pytest.raises(StoreError, match="allow_pickle"):
        read_features(tmp_path / "out.npz")


def test_missing_things_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "out.npz", features=X)
    with pytest.raises(StoreError, match="has no sample ids; looked for sample_ids"):
        read_features(tmp_path / "out.npz")
    with pytest.raises(StoreError, match="no such feature file"):
        read_features(tmp_path / "none.h5")
    with pytest.raises(UnknownNameError, match=r"\.csv"):
        read_features(tmp_path / "out.csv")


def test_nan_names_file_and_sample(tmp_path: Path) -> None:
    spoilt = X.copy()
    spoilt[2, 1] = np.nan
    np.savez(tmp_path / "out.npz", features=spoilt, ids=np.array(["a", "b", "c", "d"]))
    with pytest.raises(StoreError, match=r"out\.npz.*row 2 \(sample 'c'\)"):
        read_features(tmp_path / "out.npz")


def test_features_of_other_data_are_not_labelled(
    features: Features, draw: Callable[..., Manifest], tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="has no sample"):
        write_features(features, tmp_path / "out.h5", draw("other", range(10, 12)))
    assert not (tmp_path / "out.h5").exists()


def test_encoders_side_by_side_are_all_named(features: Features, tmp_path: Path) -> None:
    both = Features.concatenate([features, features])
    with h5py.File(write_features(both, tmp_path / "out.h5")) as found:
        assert found.attrs["encoder"] == "tiny + tiny"
