"""A small network and a few images of its size, and engines that are opened on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from leukfeat.backbones.engines import ENGINES, Engine, open_engine
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import Network
from leukfeat.backbones.network_files import load_network
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess

SMALL = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=32, crop="none"))


@pytest.fixture
def network() -> Network:
    return load_network(SMALL, resolve(SMALL)).network


@pytest.fixture
def inputs() -> Inputs:
    return resolve(SMALL).inputs


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def exported_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the small network stays exported for all tests."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def opened(network: Network, inputs: Inputs, exported_once: Path) -> Callable[..., Engine]:
    """Open an engine on the small network, on the CPU; the test is skipped where its libraries are missing."""

    def make(name: str, precision: str = "fp32", **options: Any) -> Engine:
        options = {"identity": "small", "models": exported_once, **options}
        if name in ENGINES and ENGINES[name].missing:
            pytest.skip(f"{', '.join(ENGINES[name].missing)} not installed")
        return open_engine(name, network, inputs, torch.device("cpu"), precision, **options)

    return make
