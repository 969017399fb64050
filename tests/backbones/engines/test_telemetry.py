"""Nothing is sent anywhere, and nothing is written to the home folder, by an engine at work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leukfeat.backbones.engines import Engine
from leukfeat.backbones.engines import exported as exported_module
from leukfeat.backbones.inputs import Inputs

PROGRAM = """
import sys
from pathlib import Path

reached = []
EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
sys.addaudithook(lambda event, args: reached.append((event, args[1:])) if event in EVENTS else None)

import numpy as np
import torch
from leukfeat.backbones.engines import ENGINES
from leukfeat.backbones.engines.protocol import Kept
from leukfeat.backbones.inputs import Inputs

inputs = Inputs((32, 32), "none", 0.0, "bicubic", "unit", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
kept = Kept(Path(sys.argv[1]), "small")
for name in ("onnxruntime", "openvino"):
    if ENGINES[name].available():
        engine = ENGINES[name].build(None, inputs, torch.device("cpu"), "fp32", kept)
        engine.embed(np.zeros((2, 32, 32, 3), np.uint8))
assert not reached, reached
loaded = [name for name in sys.modules if "openvino_telemetry" in name]
assert not loaded, loaded
"""


def test_engines_keep_to_themselves(opened: Callable[..., Engine], exported_once: Path, tmp_path: Path) -> None:
    opened("openvino")
    content = next(exported_once.iterdir()).read_bytes()
    folder, home = tmp_path / "engines", tmp_path / "home"
    plain = Inputs((32, 32), "none", 0.0, "bicubic", "unit", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported_module, "_export", lambda network, inputs: content)
        exported_module.exported(None, plain, folder, "small")  # type: ignore[arg-type]
    home.mkdir()
    # outside of CI, where OpenVINO's telemetry would not start
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", "GITHUB_ACTIONS", "TF_BUILD"}}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={**environment, "HOME": str(home), "USERPROFILE": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert not list(home.iterdir())
