"""What one tool writes another can read, and nothing is unpickled on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError, UnknownNameError, UsageError
from leukfeat.features.exchange import FORMATS, read_features, write_features
from leukfeat.features.foreign import FEATURE_NAMES, ID_NAMES
from leukfeat.features.hdf5_files import write_clam
from leukfeat.features.record import Record
from leukfeat.features.store import PROVENANCE, FeatureStore
from leukfeat.features.table import Features
from tests.features.rows import KEY, add, digests, vectors

SUFFIXES = [suffix for form in FORMATS.values() for suffix in form.suffixes]
X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@pytest.fixture
def manifest(draw: Callable[..., Manifest]) -> Manifest:
    return draw("zellen-ß", range(4))


@pytest.fixture
def features(manifest: Manifest) -> Features:
    seen = Seen(images=frozenset({"ab"}), groups=frozenset({"7"}))
    return Features(X, manifest.sample, seen, {"backbone": "tiny", "key": "cd"})


@pytest.mark.parametrize("suffix", SUFFIXES)
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


@pytest.mark.parametrize(
    ("name", "ids"), [*((name, ID_NAMES[0]) for name in FEATURE_NAMES), *((FEATURE_NAMES[0], ids) for ids in ID_NAMES)]
)
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
    monkeypatch.setattr("leukfeat.features.foreign._MAPPED_FROM", X.nbytes)
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
    monkeypatch.setattr("leukfeat.features.foreign._MAPPED_FROM", 0)
    monkeypatch.setattr("leukfeat.features.foreign._BLOCK", 45)  # two rows, or one of doubles: more than one block
    stored = (100 * X).astype(dtype)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_dataset("features", data=stored, **options)
        other["ids"] = ["a", "b", "c", "d"]
    found = read_features(tmp_path / "other.h5")
    assert not _is_mapped(found.X)
    np.testing.assert_array_equal(found.X, stored.astype(np.float32))


def test_a_matrix_behind_a_user_block_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leukfeat.features.foreign._MAPPED_FROM", 0)
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


@pytest.mark.parametrize("suffix", SUFFIXES)
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


def test_a_name_chooses_the_format_where_the_suffix_does_not(features: Features, tmp_path: Path) -> None:
    file = write_features(features, tmp_path / "out.bin", form="npz")
    with np.load(file) as found:
        np.testing.assert_array_equal(found["features"], X)
    with pytest.raises(UnknownNameError, match="did you mean 'clam'"):
        write_features(features, tmp_path / "out", form="clamm")


def test_a_format_never_replaces_a_file_of_another_kind(features: Features, tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text("path,label,subject\n")
    for name in ("cells.csv", "out.parquet"):
        with pytest.raises(UsageError, match=r"--format h5 is written to a file that ends in \.h5 or \.hdf5"):
            write_features(features, tmp_path / name, form="h5")
    assert (tmp_path / "cells.csv").read_text() == "path,label,subject\n"


def bags(folder: Path, subjects: list[str], labels: list[str]) -> Path:
    """Four cells as CLAM's bags."""
    record = Record(
        X,
        {"sample_ids": ("a", "b", "c", "d"), "paths": ("",) * 4, "labels": tuple(labels), "subject": tuple(subjects)},
        {"encoder": "tiny", "leukfeat_version": "0", "provenance": {"backbone": "tiny"}, "seen": Seen().describe()},
    )
    write_clam(folder, record)
    return folder


def test_clam_gets_a_bag_for_each_subject_and_label(tmp_path: Path) -> None:
    folder = bags(tmp_path / "bags", ["1", "2", "2", "1"], ["ALL", "ALL", "HEM", "ALL"])
    assert (folder / "dataset.csv").read_text().splitlines() == [
        "case_id,slide_id,label",
        "1,1,ALL",
        "2,2-ALL,ALL",
        "2,2-HEM,HEM",
    ]
    with h5py.File(folder / "h5_files" / "1.h5") as bag:
        np.testing.assert_array_equal(bag["features"], X[[0, 3]])
        assert bag["coords"].shape == (2, 2)
    assert read_features(folder).sample_ids == ("a", "d", "b", "c")


def test_no_subject_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder = bags(tmp_path / "in" / "bags", ["../../out", "..", "a/b", "ß"], ["x"] * 4)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "in"]
    files = [file.relative_to(folder / "h5_files").as_posix() for file in (folder / "h5_files").rglob("*")]
    assert len(files) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9a-f]{8}\.h5|-[0-9a-f]{8}\.h5", name) for name in files)


def test_a_clam_folder_is_whole_and_replaces_nothing(features: Features, manifest: Manifest, tmp_path: Path) -> None:
    folder = write_features(features, tmp_path / "bags", manifest, form="clam")
    assert len(list((folder / "h5_files").iterdir())) == 4
    with pytest.raises(StoreError, match="is there already"):
        write_features(features, folder, manifest, form="clam")
    assert not list(tmp_path.glob(".*"))


def test_anndata_reads_what_is_written_for_it(features: Features, manifest: Manifest, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    found = anndata.read_h5ad(write_features(features, tmp_path / "out.h5ad", manifest))
    np.testing.assert_array_equal(found.X, X)
    assert tuple(found.obs_names) == features.sample_ids
    assert tuple(found.obs["labels"]) == manifest.label
    assert tuple(found.obs["subject"]) == manifest.subject
    assert found.uns["encoder"] == "tiny"


def test_a_key_of_a_store_is_features_too(store: FeatureStore) -> None:
    add(store, range(3))
    add(store, range(2, 5))
    found = read_features(store.folder(KEY))
    assert found.sample_ids == tuple(f"sample {number}" for number in range(5))
    np.testing.assert_array_equal(found.X, vectors(range(5)))
    assert found.seen.unknown  # a store does not say what its encoder has seen
    assert found.provenance["inputs"]["architecture"] == "tiny"


def test_a_key_is_looked_up_by_image_and_not_by_name(store: FeatureStore, draw: Callable[..., Manifest]) -> None:
    # another data set may have the same names, and two samples may be one image
    seventh, second = digests(range(7, 8)) + digests(range(2, 3))
    ours = replace(draw("cells", range(3)), sha256=(seventh, second, second))
    store.append(KEY, digests(range(3)), vectors(range(3)), list(ours.sample), engine="eager", decoder="pillow")
    found = read_features(store.folder(KEY))
    assert found.rows_for(ours).tolist() == [-1, 2, 2]
    np.testing.assert_array_equal(found.X_for(ours, [2, 1]), vectors(range(2, 3)).repeat(2, axis=0))
    with pytest.raises(StoreError, match="none for 1 of 3 samples"):
        found.X_for(ours, range(3))
    assert found.take([ours.sample[2], ours.sample[0]]).rows_for(ours).tolist() == [-1, 0, 0]


def test_ids_that_a_tool_keeps_elsewhere_are_found(tmp_path: Path) -> None:
    # thingsvision: names beside the features, which may lie in pieces
    with h5py.File(tmp_path / "features.hdf5", "w") as pieces:
        pieces["features_01"], pieces["features_02"] = X[:3], X[3:]
    (tmp_path / "file_names.txt").write_text("a.png\nb.png\nc.png\nd.png\n")
    found = read_features(tmp_path / "features.hdf5")
    assert found.sample_ids == ("a.png", "b.png", "c.png", "d.png")
    np.testing.assert_array_equal(found.X, X)
    (tmp_path / "file_names.txt").write_text("a.png\n")
    with pytest.raises(StoreError, match="1 names for the 4 rows"):
        read_features(tmp_path / "features.hdf5")


def test_patches_are_called_after_slide_and_place(tmp_path: Path) -> None:
    # CLAM, TRIDENT (which writes a bag of one slide) and STAMP know a patch by its coordinates
    with h5py.File(tmp_path / "slide7.h5", "w") as slide:
        slide["feats"] = X.astype(np.float16)
        slide["coords"] = np.array([[0, 0], [256, 0], [0, 256], [256.0, 256.0]])
        slide.attrs["extractor"] = "uni2"
    found = read_features(tmp_path / "slide7.h5")
    assert found.sample_ids == ("slide7/0_0", "slide7/256_0", "slide7/0_256", "slide7/256_256")
    assert found.provenance["encoder"] == "uni2"
    with h5py.File(tmp_path / "patient1.h5", "w") as patient:
        patient["feats"] = X[0]
    assert read_features(tmp_path / "patient1.h5").sample_ids == ("patient1",)


def test_pieces_are_put_below_each_other_by_their_number(tmp_path: Path) -> None:
    # thingsvision numbers them with two digits at least, so that features_100 stands before features_11 in the alphabet
    numbers = (2, 11, 100, 101)
    with h5py.File(tmp_path / "features.h5", "w") as pieces:
        for row, number in enumerate(numbers):
            pieces[f"features_{number:02d}"] = X[row : row + 1]
        pieces["ids"] = ["a", "b", "c", "d"]
    np.testing.assert_array_equal(read_features(tmp_path / "features.h5").X, X)


def test_what_another_tool_calls_provenance_is_not_ours(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["features"], other["ids"] = X, ["a", "b", "c", "d"]
        other.attrs["provenance"] = "made on a Monday"
    assert read_features(tmp_path / "other.h5").seen.unknown


def test_a_folder_may_hold_files_of_either_suffix(tmp_path: Path) -> None:
    for name, rows in (("one.h5", X[:2]), ("two.hdf5", X[2:])):
        with h5py.File(tmp_path / name, "w") as slide:
            slide["features"], slide["coords"] = rows, np.arange(4).reshape(2, 2)
    assert read_features(tmp_path).sample_ids == ("one/0_1", "one/2_3", "two/0_1", "two/2_3")


def test_a_key_that_does_not_say_what_was_seen_is_one_line(store: FeatureStore) -> None:
    add(store, range(3))
    file = store.folder(KEY) / PROVENANCE
    file.write_text(json.dumps({**json.loads(file.read_text()), "seen": 5}))
    with pytest.raises(StoreError, match="does not say what the encoder has seen"):
        read_features(store.folder(KEY))


def test_a_small_parquet_file_does_not_stand_for_terabytes(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2**22, dtype=np.float32)), 2**12)
    pq.write_table(
        pa.table({"features": vectors, "ids": [str(row) for row in range(2**10)]}), tmp_path / "bomb.parquet"
    )
    assert 1032 * (tmp_path / "bomb.parquet").stat().st_size < 4 * 2**22
    with pytest.raises(StoreError, match=r"claims 1,024 × 4,096 numbers, more than a file of [\d,]+ bytes can hold"):
        read_features(tmp_path / "bomb.parquet")


@pytest.mark.parametrize(
    ("ids", "vectors", "said"),
    [
        (["a", None], [[1.0], [2.0]], "ids of row 1 is 'None', not an id"),
        (["a", "b"], [1.0, 2.0], "not lists of numbers"),
        (["a", "b"], [["x"], ["y"]], "lists of string, not of numbers"),
        (["a", "b"], [[1.0], None], "different lengths or gaps"),
    ],
)
def test_what_parquet_lacks_is_told(ids: list[str | None], vectors: list[object], said: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"features": vectors, "ids": ids}), tmp_path / "other.parquet")
    with pytest.raises(StoreError, match=said):
        read_features(tmp_path / "other.parquet")


def test_a_folder_without_features_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="neither HDF5 files nor a key"):
        read_features(tmp_path)
