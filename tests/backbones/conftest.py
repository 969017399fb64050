"""Small weights files of timm's smallest network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = "test_efficientnet"


@pytest.fixture
def weights_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a safetensors file of the tiny network, with whatever metadata."""

    def make(name: str = "tiny.safetensors", *, seed: int = 0, drop: str = "", **metadata: Any) -> Path:
        from safetensors.torch import save_file

        from leukfeat.backbones.trunks import random_trunk

        state = {key: value.contiguous() for key, value in random_trunk(TINY, {}, seed).state_dict().items()}
        state = {key: value for key, value in state.items() if key != drop}
        file = tmp_path / name
        stated = {"architecture": TINY, **metadata}
        save_file(
            state, file, {k: v if isinstance(v, str) else json.dumps(v) for k, v in stated.items() if v is not None}
        )
        return file

    return make
