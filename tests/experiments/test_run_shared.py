"""The same command in several processes: they share trials, one writes the run folder, and no password is shown."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from leukfeat.errors import HeadError
from leukfeat.evaluation.runs import RUN_JSON, Run
from leukfeat.experiments.arms import Runner
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.run import run
from leukfeat.experiments.stages import Watcher
from leukfeat.features.store import FeatureStore
from leukfeat.heads.storage import opened
from leukfeat.heads.tuning import TunedHead

URL = "postgresql+psycopg://ann:s3cret@127.0.0.1:1/studies"


def _finished(storage: Path) -> list[int]:
    """Finished trials of each study."""
    with opened(storage) as journal:
        return [
            sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in journal.get_all_trials(study._study_id))
            for study in journal.get_all_studies()
        ]


def test_who_comes_second_does_trials_and_leaves_the_folder_to_the_first(recipe: Any, tmp_path: Path) -> None:
    """Here the first one, which holds the folder, does nothing and goes; so the second writes the folder after all."""
    (alone,) = run(recipe(out=str(tmp_path / "alone")), n_jobs=1)
    storage = tmp_path / "trials.journal"
    lines: list[str] = []
    folder = tmp_path / "shared" / alone.name
    (tmp_path / "shared" / ".leukfeat").mkdir(parents=True)
    first = FileLock(tmp_path / "shared" / ".leukfeat" / f"{alone.name}.lock")
    second = threading.Thread(
        target=run,
        args=(recipe(out=str(tmp_path / "shared")),),
        kwargs={"n_jobs": 1, "storage": str(storage), "watcher": Watcher(told=lines.append)},
    )
    with first:
        second.start()
        ends = time.monotonic() + 600
        while not storage.is_file() or _finished(storage) != [3, 3, 3, 3]:
            assert time.monotonic() < ends
            assert second.is_alive()
            time.sleep(0.1)
        assert not (folder / RUN_JSON).exists()
    second.join(600)
    assert any("another process writes it; this one shares its trials" in line for line in lines)
    assert Run.load(folder).predictions.digest == Run.load(alone).predictions.digest
    assert _finished(storage) == [3, 3, 3, 3]


def test_a_storage_that_cannot_be_opened_is_told_before_anything_is_computed(recipe: Any, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed (leukfeat[postgres])")
    with pytest.raises(HeadError, match=r"ann:\*\*\*@127\.0\.0\.1:1/studies cannot be opened: .*refused"):
        run(recipe(out=str(tmp_path / "out")), n_jobs=1, storage=URL)
    assert not (tmp_path / "out").exists()


def test_nothing_that_a_log_may_show_holds_a_password(tmp_path: Path) -> None:
    """Dask writes the arguments of a task that failed into its log."""
    from leukfeat.backbones.spec import BackboneSpec

    spec = BackboneSpec("test_efficientnet", "random")
    candidate = HeadOnFeatures(spec, TunedHead("tree", storage=URL), FeatureStore(tmp_path), storage=URL)
    for thing in (candidate, candidate.describe(), Runner(storage=URL)):
        assert "s3cret" not in repr(thing)
