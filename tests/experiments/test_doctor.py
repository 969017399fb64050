"""The check-up says what is wrong and never fails on what is merely absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukfeat.experiments import doctor
from leukfeat.experiments.doctor import examine
from leukfeat.experiments.environment import environment, version


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is looked for at an address where nobody answers."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://127.0.0.1:9")


def test_being_offline_or_without_gpu_is_no_fault(tmp_path: Path) -> None:
    found = {finding.topic: finding for finding in examine(tmp_path / "cache")}
    assert set(found) == {"python", "cpu", "packages", "gpu", "cache", "model hub"}
    assert all(finding.good for finding in found.values()), found
    assert "offline" in found["model hub"].found
    assert "--weights" in found["model hub"].found
    assert not (tmp_path / "cache").exists(), "looking makes nothing"


def test_a_cache_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = {finding.topic: finding for finding in examine(tmp_path / "file" / "cache")}
    assert not found["cache"].good
    assert "--cache" in found["cache"].found


def test_a_cache_in_a_folder_closed_to_us_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    assert doctor._writable(tmp_path / "cache").found.endswith(
        "cannot be written (Permission denied); choose another with --cache"
    )


def test_the_environment_names_versions_without_importing() -> None:
    about = environment()
    assert about["packages"]["numpy"] == version("numpy")
    assert version("no-such-package") is None
    assert about["cpu_count"]
