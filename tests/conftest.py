"""Shared by every test: one thread a worker, where the real data is, and a cache of file hashes not the user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# pytest-xdist keeps every processor busy with a worker of its own; where each of them starts as many threads and
# processes again, they wait for one another, and a network trains at half the speed. Read when torch is imported.
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # processes only where a test asks for them with --jobs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take long come first: begun last, one of them would keep one worker busy and the others waiting."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("slow", "real")))


@pytest.fixture(autouse=True)
def _private_user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own memo of file hashes."""
    # a folder for each test, and not in its tmp_path, which some tests read as a folder of images
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user-cache")))


@pytest.fixture
def shared() -> Path:
    """The folder with real images and weights; the test is skipped where there is none."""
    named = os.environ.get("LEUKFEAT_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder} (set LEUKFEAT_TEST_DATA)")
    return folder
