"""kill -9 in the middle of training, then the same command: the weights of a training that nobody disturbed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leukfeat.cli import main
from leukfeat.data.manifest import Manifest
from leukfeat.evaluation.runs import Run, find_runs
from leukfeat.features.store import TRAINED


def _digests(cache: Path) -> dict[str, str]:
    """The weights themselves, without the seconds that each training took."""
    from safetensors.torch import load_file

    found = {}
    for file in sorted((cache / TRAINED).glob("*.safetensors")):
        seal = hashlib.sha256()
        for name, tensor in sorted(load_file(file).items()):
            seal.update(name.encode() + tensor.numpy().tobytes())
        found[file.name] = seal.hexdigest()
    return found


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Sums are added in one order, in this process as in the one that is killed."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _leukfeat(words: list[str]) -> None:
    """Run a command in this process, which has torch already."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert not caught.value.code


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
def test_a_killed_training_goes_on_to_the_same_weights(cells: Manifest, tmp_path: Path) -> None:
    def command(name: str) -> list[str]:
        return [
            "fit-net", str(cells.root / "cells.csv"),
            "--backbone", "test_efficientnet", "--weights", "random", "--attention", "cbam",
            "--epochs", "4", "--finetune", "batch_size=4",
            "--finetune", "augment={rotate: 45, hflip: 0.5}", "--finetune", "classifier={dropout: 0.3}",
            "--finetune", "schedule=cosine", "--folds", "2",
            "--cache", str(tmp_path / name / "cache"), "--out", str(tmp_path / name / "runs"),
        ]  # fmt: skip

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    _leukfeat(command("calm"))
    process = subprocess.Popen(
        [sys.executable, "-m", "leukfeat", *command("killed")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )
    folder = tmp_path / "killed" / "cache" / TRAINED
    try:
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline and not list(folder.glob("*.checkpoint/*")):
            time.sleep(0.002)
        time.sleep(0.05)  # somewhere in the epoch after the first that was kept
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = list(folder.glob("*.checkpoint/*"))
    assert kept, "it was killed after an epoch had been kept"
    assert len(list(folder.glob("*.safetensors"))) < 3, "and before everything was trained"
    _leukfeat(command("killed"))
    calm, killed = _digests(tmp_path / "calm" / "cache"), _digests(tmp_path / "killed" / "cache")
    assert len(calm) == 3
    assert killed == calm
    (a,), (b,) = (find_runs(tmp_path / name / "runs") for name in ("calm", "killed"))
    assert Run.load(a).predictions.digest == Run.load(b).predictions.digest
    assert not list(folder.glob("*.checkpoint")), "what is finished needs no checkpoint"
