"""Small images, a small network, and a count of what goes through it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from leukfeat.backbones.engines.eager import EagerEngine
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.manifest import Manifest
from leukfeat.features.store import FeatureStore

SPEC = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=32, crop="none"))


@pytest.fixture
def spec() -> BackboneSpec:
    return SPEC


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Manifest]:
    """Write noise images into a folder and open it: one image a seed, the same seed the same bytes."""

    def make(folder: str, seeds: range) -> Manifest:
        for seed in seeds:
            place = tmp_path / folder / ("a" if seed % 2 else "b")
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{seed:03d}.png")
        return Manifest.open(tmp_path / folder, subjects="unknown")

    return make


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that went through a network."""
    sizes: list[int] = []
    real = EagerEngine.stream

    def count(self: EagerEngine, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        def counted() -> Iterator[NDArray[np.uint8]]:
            for images in batches:
                sizes.append(len(images))
                yield images

        return real(self, counted())

    monkeypatch.setattr(EagerEngine, "stream", count)
    return sizes
