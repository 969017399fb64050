"""Rows that say which image they are of: vector and digest are the image's number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.resolution import Resolution
from leukfeat.features.store import FeatureKey, FeatureStore

KEY = FeatureKey(
    Resolution(
        architecture="tiny",
        model_args={},
        weights_sha256="ab" * 32,
        origin="test",
        pooling="avg",
        layer=None,
        inputs=Inputs((8, 8), "none", 0.0, "bilinear", "unit", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )
)


def digests(numbers: range) -> list[str]:
    return [f"{number:064x}" for number in numbers]


def vectors(numbers: range, dim: int = 4) -> np.ndarray:
    return np.array([[number] * dim for number in numbers], dtype=np.float32)


def add(store: FeatureStore, numbers: range, engine: str = "eager") -> Path:
    names = [f"sample {number}" for number in numbers]
    return store.append(KEY, digests(numbers), vectors(numbers), names, engine=engine, decoder="pillow")
