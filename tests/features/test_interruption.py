"""A process may be killed at any moment: what was finished stays, and nothing half-written is believed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_three_kills_change_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "benchmarks" / "faults" / "kill_extract.py"), "--kills", "3", "--images", "80"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills, 80 images: 80 rows in the end" in done.stdout
