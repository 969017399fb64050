"""Mean and SD of training images are those of the pixels the network sees, and of no other images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.backbones.statistics import fitted_to
from leukfeat.data.manifest import Manifest
from leukfeat.errors import ManifestError

SPEC = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(16, "none", mean="train", std="train"))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    rng = np.random.default_rng(0)
    for number in range(6):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 40 * (number + 1), (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return Manifest.open(tmp_path, subjects="unknown")


def pixels(manifest: Manifest, rows: list[int]) -> np.ndarray:
    return np.concatenate([np.asarray(Image.open(manifest.file(row))).reshape(-1, 3) for row in rows]) / 255


def test_numbers_are_those_of_numpy(manifest: Manifest) -> None:
    found = fitted_to(SPEC, manifest, [0, 2, 3]).preprocess
    expected = pixels(manifest, [0, 2, 3])
    np.testing.assert_allclose(found.mean, expected.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, expected.std(axis=0), rtol=1e-9)


def test_rows_left_out_change_nothing(manifest: Manifest) -> None:
    # test images must not reach the preprocessing
    before = fitted_to(SPEC, manifest, [0, 1])
    Image.new("RGB", (16, 16), "white").save(manifest.file(5))
    assert fitted_to(SPEC, manifest, [0, 1]) == before


def test_order_and_threads_change_no_bit(manifest: Manifest) -> None:
    assert fitted_to(SPEC, manifest, [0, 1, 2, 3], num_workers=1) == fitted_to(
        SPEC, manifest, [3, 1, 0, 2], num_workers=3
    )


def test_raw_pixels_have_raw_statistics(manifest: Manifest) -> None:
    raw = SPEC.replace(preprocess=SPEC.preprocess.replace(scale="raw"))
    np.testing.assert_allclose(
        fitted_to(raw, manifest, [0]).preprocess.mean, 255 * np.array(fitted_to(SPEC, manifest, [0]).preprocess.mean)
    )


def test_only_what_is_asked_is_learned(manifest: Manifest) -> None:
    half = SPEC.replace(preprocess=SPEC.preprocess.replace(std=(1, 1, 1)))
    assert fitted_to(half, manifest, [0]).preprocess.std == (1, 1, 1)
    plain = SPEC.replace(preprocess=Preprocess())
    assert fitted_to(plain, manifest, [0]) is plain


def test_no_readable_image_is_an_error(manifest: Manifest) -> None:
    manifest.file(0).unlink()
    with pytest.raises(ManifestError, match="none of 1 training images"):
        fitted_to(SPEC, manifest, [0])
