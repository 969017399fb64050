"""Many processes may write, join and read one store at once: every row is there in the end, once, and right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_many_writers_lose_nothing() -> None:
    script = CHECKOUT / "benchmarks" / "faults" / "writers.py"
    done = subprocess.run(
        [sys.executable, str(script), "--seconds", "3", "--images", "2000", "--writers", "4", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["rows"] >= figures["images"] > 0
    assert figures["problems"] == []
