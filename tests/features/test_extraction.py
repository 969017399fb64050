"""Each distinct image goes through the network once, ever; what cannot be read is listed and stops nothing."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leukfeat.backbones.engines.eager import EagerEngine
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data import pixels
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError, UnknownNameError, UsageError, WeightsError
from leukfeat.features import computation
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureKey, FeatureStore

Draw = Callable[..., Manifest]


def test_a_second_run_computes_nothing(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, forwards: list[int]
) -> None:
    manifest = draw("cells", range(10))
    first = extract(spec, manifest, store, batch_size=4)
    assert (first.samples, first.images, first.computed, first.hits, first.failed) == (10, 10, 10, 0, ())
    assert forwards == [4, 4, 2]
    second = extract(spec, manifest, store)
    assert (second.computed, second.hits, second.dim) == (0, 10, first.dim)
    assert forwards == [4, 4, 2]


def test_a_warm_run_does_not_import_torch(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(4))
    extract(spec, manifest, store)
    manifest.save(manifest.root / "cells.csv")
    script = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from leukfeat.backbones.spec import BackboneSpec\n"
        "from leukfeat.data.manifest import Manifest\n"
        "from leukfeat.features.extraction import extract, load_features\n"
        "from leukfeat.features.store import FeatureStore\n"
        "spec = BackboneSpec.from_description(json.loads(sys.argv[1]))\n"
        "manifest, store = Manifest.load(sys.argv[2]), FeatureStore(sys.argv[3])\n"
        "report = extract(spec, manifest, store)\n"
        "load_features(spec, manifest, store)\n"
        "print(report.computed, report.hits, sorted({'torch', 'timm', 'sklearn', 'pandas'} & set(sys.modules)))\n"
    )
    arguments = [json.dumps(spec.describe()), str(manifest.root / "cells.csv"), str(store.root)]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "0 4 []"


def test_new_images_only(spec: BackboneSpec, draw: Draw, store: FeatureStore, forwards: list[int]) -> None:
    extract(spec, draw("cells", range(6)), store)
    forwards.clear()
    report = extract(spec, draw("cells", range(16)), store)
    assert (report.computed, report.hits) == (10, 6)
    assert sum(forwards) == 10


def test_renamed_files_are_hits(spec: BackboneSpec, draw: Draw, store: FeatureStore, forwards: list[int]) -> None:
    manifest = draw("cells", range(4))
    extract(spec, manifest, store)
    for row in range(len(manifest)):
        manifest.file(row).rename(manifest.file(row).with_name(f"renamed-{row}.png"))
    forwards.clear()
    assert extract(spec, Manifest.open(manifest.root, subjects="unknown"), store).hits == 4
    assert forwards == []


def test_data_sets_share_rows(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    extract(spec, draw("one", range(6)), store)
    report = extract(spec, draw("two", range(4, 9)), store)
    assert (report.computed, report.hits) == (3, 2)


def test_identical_images_are_computed_once(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(4))
    shutil.copy(manifest.file(0), manifest.file(0).with_name("copy.png"))
    manifest = Manifest.open(manifest.root, subjects="unknown")
    report = extract(spec, manifest, store)
    assert (report.samples, report.images, report.computed) == (5, 4, 4)
    assert load_features(spec, manifest, store).X.shape[0] == 5


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"pooling": "max"}, {"layer": "blocks.1"}, {"preprocess": Preprocess(input_size=48, crop="none")}],
)
def test_whatever_changes_the_vectors_changes_the_key(
    changes: dict[str, object], spec: BackboneSpec, draw: Draw, store: FeatureStore
) -> None:
    manifest = draw("cells", range(3))
    plain = extract(spec, manifest, store)
    other = extract(spec.replace(**changes), manifest, store)
    assert other.key != plain.key
    assert other.computed == 3


def test_features_do_not_depend_on_the_batch(spec: BackboneSpec, draw: Draw, tmp_path: Path) -> None:
    manifest = draw("cells", range(7))
    alone, together = FeatureStore(tmp_path / "alone"), FeatureStore(tmp_path / "together")
    extract(spec, manifest, alone, batch_size=1, num_workers=1)
    extract(spec, manifest, together, batch_size=5, num_workers=3)
    one, other = load_features(spec, manifest, alone).X, load_features(spec, manifest, together).X
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
    assert np.ptp(other, axis=0).max() > 100 * np.abs(one - other).max()  # they do tell images apart


def test_rows_lie_under_their_own_sample(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(6))
    extract(spec, manifest, store, batch_size=4)
    whole = load_features(spec, manifest, store)
    chosen = load_features(spec, manifest, store, rows=[4, 1])
    assert chosen.sample_ids == (manifest.sample[4], manifest.sample[1])
    np.testing.assert_array_equal(chosen.X, whole.X[[4, 1]])


def test_rows_limit_the_work(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    report = extract(spec, draw("cells", range(6)), store, rows=[0, 3])
    assert (report.samples, report.computed) == (2, 2)


# ---------------------------------------------------------------------- what cannot be read


def test_bad_images_are_listed_and_good_ones_stored(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    good = draw("cells", range(4))
    folder = good.root / "a"
    (folder / "zero.png").touch()
    (folder / "text.png").write_text("not an image")
    (folder / "cut.png").write_bytes(good.file(0).read_bytes()[:300])
    (folder / "gone.png").write_bytes(b"soon deleted")
    grey = Image.new("L", (9, 9), 120)
    grey.save(folder / "grey.png")
    manifest = Manifest.open(good.root, subjects="unknown")
    (folder / "gone.png").unlink()
    report = extract(spec, manifest, store, batch_size=2)
    reasons = {sample: reason for sample, _, reason in report.failed}
    assert set(reasons) == {"a/zero.png", "a/text.png", "a/cut.png", "a/gone.png"}
    assert "empty file" in reasons["a/zero.png"]
    assert "not an image" in reasons["a/text.png"]
    assert "truncated" in reasons["a/cut.png"]
    assert "no such file" in reasons["a/gone.png"]
    assert report.computed == 5
    features = load_features(spec, manifest, store)
    assert len(features) == 5
    assert (features.rows_for(manifest) == -1).sum() == 4  # nothing stands in for a missing row


def test_a_file_changed_since_the_manifest_is_reported(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(3))
    Image.new("RGB", (40, 40), "red").save(manifest.file(1))
    report = extract(spec, manifest, store)
    ((sample, _, reason),) = report.failed
    assert sample == manifest.sample[1]
    assert "changed since the manifest" in reason


def test_a_changed_file_is_not_served_from_the_store(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(3))
    extract(spec, manifest, store)
    Image.new("RGB", (40, 40), "red").save(manifest.file(1))
    report = extract(spec, manifest, store)
    assert [(sample, "changed" in reason) for sample, _, reason in report.failed] == [(manifest.sample[1], True)]
    assert manifest.sample[1] not in load_features(spec, manifest, store).sample_ids


def test_a_missing_file_whose_features_are_stored_is_a_hit(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(3))
    extract(spec, manifest, store)
    shutil.rmtree(manifest.root)
    report = extract(spec, manifest, store)
    assert (report.hits, report.failed) == (3, ())


def test_a_copy_stands_in_for_a_missing_original(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(2))
    shutil.copy(manifest.file(0), manifest.file(0).with_name("copy.png"))
    manifest = Manifest.open(manifest.root, subjects="unknown")
    first = next(row for row, digest in enumerate(manifest.sha256) if manifest.sha256.count(digest) == 2)
    manifest.file(first).unlink()
    report = extract(spec, manifest, store)
    assert (report.computed, report.failed) == (2, ())
    assert load_features(spec, manifest, store).sample_ids == manifest.sample


def test_a_copy_does_not_stand_in_for_a_changed_original(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(2))
    shutil.copy(manifest.file(0), manifest.file(0).with_name("copy.png"))
    manifest = Manifest.open(manifest.root, subjects="unknown")
    first = next(row for row, digest in enumerate(manifest.sha256) if manifest.sha256.count(digest) == 2)
    Image.new("RGB", (40, 40), "red").save(manifest.file(first))
    report = extract(spec, manifest, store)
    assert (report.computed, [sample for sample, _, _ in report.failed]) == (2, [manifest.sample[first]])
    assert extract(spec, manifest, store).failed == report.failed  # and the second run says the same


def test_a_row_without_digest_is_failed_with_a_reason(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(2))
    manifest = replace(manifest, sha256=("", manifest.sha256[1]))
    ((_, _, reason),) = extract(spec, manifest, store).failed
    assert "run data prepare again" in reason


def test_no_network_is_loaded_for_bad_images(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, forwards: list[int]
) -> None:
    manifest = draw("cells", range(2))
    extract(spec, manifest, store)
    (manifest.root / "a" / "text.png").write_text("not an image")
    manifest = Manifest.open(manifest.root, subjects="unknown")
    forwards.clear()
    report = extract(spec, manifest, store)
    assert (report.hits, len(report.failed), forwards) == (2, 1, [])


def test_images_in_array_files(spec: BackboneSpec, store: FeatureStore, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 3), dtype=np.uint8)
    labels = np.arange(6)[:, None] % 2
    named = {
        f"{part}_{kind}": a for part in ("train", "val", "test") for kind, a in (("images", images), ("labels", labels))
    }
    np.savez(tmp_path / "bloodmnist.npz", **named)
    manifest = Manifest.open(tmp_path / "bloodmnist.npz", subjects="unknown")
    report = extract(spec, manifest, store)
    assert (report.samples, report.images, report.computed, report.failed) == (18, 6, 6, ())


def test_vectors_that_are_not_finite_are_failed_rows(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = EagerEngine.stream

    def spoil(self: EagerEngine, batches: Iterable[np.ndarray]) -> Generator[np.ndarray]:
        for X in real(self, batches):
            X[1] = np.nan
            yield X

    monkeypatch.setattr(EagerEngine, "stream", spoil)
    manifest = draw("cells", range(4))
    report = extract(spec, manifest, store)
    assert [(sample, "NaN" in reason) for sample, _, reason in report.failed] == [(manifest.sample[1], True)]
    assert len(load_features(spec, manifest, store)) == 3


# ---------------------------------------------------------------------- interruption


def test_an_interruption_keeps_what_is_finished(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, forwards: list[int]
) -> None:
    manifest = draw("cells", range(12))

    def interrupt(done: int, total: int, rate: float) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(spec, manifest, store, batch_size=4, progress=interrupt)
    forwards.clear()
    report = extract(spec, manifest, store)
    assert (report.computed, report.hits) == (4, 8)


def test_parts_are_written_on_the_way(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a kill loses no more than the part in hand
    monkeypatch.setattr(computation, "_SECONDS_A_PART", 0.0)
    monkeypatch.setattr(computation, "_FRACTION_A_PART", 0.0)
    extract(spec, draw("cells", range(12)), store, batch_size=4)
    assert len(list(store.root.glob("*/part-*.h5"))) == 3


def test_progress_ends_at_the_total(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    told: list[tuple[int, int]] = []
    extract(
        spec, draw("cells", range(5)), store, batch_size=2, progress=lambda done, total, _: told.append((done, total))
    )
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_an_engine_that_gives_up_loses_nothing_finished(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = EagerEngine.stream

    def give_up(self: EagerEngine, batches: Iterable[np.ndarray]) -> Generator[np.ndarray]:
        yield from itertools.islice(real(self, batches), 2)
        raise UsageError("a batch of 4 images does not fit into the memory; choose a smaller --batch-size")

    monkeypatch.setattr(EagerEngine, "stream", give_up)
    manifest = draw("cells", range(12))
    with pytest.raises(UsageError, match="smaller --batch-size"):
        extract(spec, manifest, store, batch_size=4)
    monkeypatch.undo()
    assert extract(spec, manifest, store).hits == 8


# ---------------------------------------------------------------------- requests


def test_unfitted_statistics_are_refused(draw: Draw, store: FeatureStore) -> None:
    unfitted = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(mean="train", std="train"))
    with pytest.raises(UsageError, match="fitted_to"):
        extract(unfitted, draw("cells", range(2)), store)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"num_workers": 0}])
def test_impossible_numbers_are_refused(
    options: dict[str, int], spec: BackboneSpec, draw: Draw, store: FeatureStore
) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        extract(spec, draw("cells", range(2)), store, **options)  # type: ignore[arg-type]


def test_unknown_engines_and_precisions_suggest(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(2))
    with pytest.raises(UnknownNameError, match="did you mean 'eager'"):
        extract(spec, manifest, store, engine="eagre")
    with pytest.raises(UnknownNameError, match="did you mean 'float16'"):
        extract(spec, manifest, store, amp_dtype="floats16")


def test_mixed_precision_is_for_cuda_and_has_a_key_of_its_own(
    spec: BackboneSpec, draw: Draw, store: FeatureStore
) -> None:
    manifest = draw("cells", range(2))
    extract(spec, manifest, store)
    with pytest.raises(UsageError, match="needs a CUDA device"):
        extract(spec, manifest, store, amp_dtype="float16", device="cpu")


def test_weights_that_are_not_those_remembered_are_refused(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, forwards: list[int]
) -> None:
    # rows of two networks under one key could never be told apart again
    manifest = draw("cells", range(2))
    extract(spec, manifest, store)
    (memory,) = store.resolved.iterdir()
    kept = json.loads(memory.read_text())
    kept["answer"]["weights_sha256"] = "0" * 64
    memory.write_text(json.dumps(kept))
    forwards.clear()
    with pytest.raises(WeightsError, match="run the command again"):
        extract(spec, manifest, store)
    assert forwards == []
    assert extract(spec, manifest, store).hits == 2


def test_features_name_the_engines_that_computed_them_and_no_others(
    spec: BackboneSpec, draw: Draw, store: FeatureStore
) -> None:
    """A store may hold rows of other data sets, which other machines have computed in other ways."""
    manifest = draw("cells", range(6))
    extract(spec, manifest, store, rows=range(3))
    X = load_features(spec, manifest, store).X
    key = FeatureKey(resolve(spec, store.resolved))
    store.append(key, manifest.sha256[3:], X, manifest.sample[3:], engine="another 1.0", decoder="another")
    ours, theirs, both = (
        load_features(spec, manifest, store, rows=rows).provenance["engines"] for rows in (range(3), range(3, 6), None)
    )
    assert theirs == ["another 1.0"]
    assert len(ours) == 1
    assert both == sorted(ours + theirs)


def test_loading_what_was_never_extracted_says_so(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    with pytest.raises(StoreError, match="run leukfeat extract first"):
        load_features(spec, draw("cells", range(2)), store)


def test_random_weights_have_seen_nothing(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    manifest = draw("cells", range(2))
    extract(spec, manifest, store)
    seen = load_features(spec, manifest, store).seen
    assert (seen.unknown, seen.images, seen.groups) == (False, frozenset(), frozenset())


def test_the_last_line_counts_everything(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    report = extract(spec, draw("cells", range(3)), store)
    assert report.describe().startswith(f"{spec.label}: 3 samples, 3 images: 3 computed, 0 hits, 0 failed, ")
    assert re.search(r"images/s: forward \d+%, waiting for images \d+%, writing \d+%, loading \d+%", report.describe())
    assert json.loads(json.dumps(report.to_dict()))["computed"] == 3
    assert "images/s" not in extract(spec, draw("cells", range(3)), store).describe()  # nothing was computed


def test_the_parts_of_the_time_fit_into_the_whole(spec: BackboneSpec, draw: Draw, store: FeatureStore) -> None:
    # decoding runs beside the rest and is counted by thread; everything else happens one after the other
    report = extract(spec, draw("cells", range(9)), store, batch_size=2)
    timing = report.timing
    assert all(seconds > 0 for seconds in (timing.loading, timing.forward, timing.writing, timing.decoding))
    assert timing.loading + timing.forward + timing.waiting + timing.writing <= report.seconds


@pytest.mark.parametrize("remembered", [True, False])
def test_a_file_that_is_known_is_not_hashed_again(
    remembered: bool,
    spec: BackboneSpec,
    draw: Draw,
    store: FeatureStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a file in the state in which it was hashed has the digest it had; --rehash trusts nothing
    manifest = draw("cells", range(4))
    for row in range(len(manifest)):
        os.utime(manifest.file(row), (1e9, 1e9))  # a file changed this very second is never remembered
    memo = HashMemo(tmp_path / "memo")
    memo.hash_files(manifest.file(row) for row in range(len(manifest)))
    hashed: list[int] = []

    def count(data: bytes) -> Any:
        hashed.append(len(data))
        return hashlib.sha256(data)

    monkeypatch.setattr(pixels, "hashlib", SimpleNamespace(sha256=count))
    extract(spec, manifest, store, memo=HashMemo(tmp_path / "memo", rehash=not remembered))
    assert len(hashed) == (0 if remembered else 4)


def test_a_file_replaced_since_it_was_hashed_is_found_out(
    spec: BackboneSpec, draw: Draw, store: FeatureStore, tmp_path: Path
) -> None:
    manifest = draw("cells", range(3))
    for row in range(len(manifest)):
        os.utime(manifest.file(row), (1e9, 1e9))
    memo = HashMemo(tmp_path / "memo")
    memo.hash_files(manifest.file(row) for row in range(len(manifest)))
    shutil.copy(manifest.file(0), manifest.file(1))
    report = extract(spec, manifest, store, memo=memo)
    assert [sample for sample, _, _ in report.failed] == [manifest.sample[1]]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@pytest.mark.real
@pytest.mark.slow
def test_real_weights_and_images(shared: Path, store: FeatureStore) -> None:
    manifest = Manifest.open(shared / "data" / "taleqani", subjects="unknown")
    spec = BackboneSpec(weights=str(shared / "weights" / "mobilenetv2_100.same_pad.safetensors"))
    rows = list(range(0, len(manifest), 200))
    report = extract(spec, manifest, store, rows=rows, batch_size=8)
    features = load_features(spec, manifest, store, rows=rows)
    assert (report.computed, features.dim) == (len(rows), 1280)
    assert features.seen.unknown  # nobody wrote down what these weights were trained on
