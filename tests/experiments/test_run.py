"""A recipe becomes run folders: finished ones are kept, stopped ones go on, results do not depend on workers."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from leukfeat.errors import MissingImagesError, RecipeError, RunError, UnknownNameError
from leukfeat.evaluation.runs import RUN_JSON, Run
from leukfeat.experiments.prediction import load
from leukfeat.experiments.recipe import load_recipe
from leukfeat.experiments.run import run
from leukfeat.experiments.stages import Watcher, extract_recipe
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureStore


def _told(recipe: Any, **how: Any) -> tuple[list[Path], list[str]]:
    lines: list[str] = []
    return run(recipe, watcher=Watcher(told=lines.append), **how), lines


def test_a_run_folder_holds_everything(recipe: Any) -> None:
    (folder,), lines = _told(recipe(), n_jobs=1)
    assert {path.name for path in folder.iterdir()} >= {
        "predictions.csv", "run.json", "recipe.yaml", "split.csv", "trials.csv", "model",
    }  # fmt: skip
    done = Run.load(folder)
    assert len(done.predictions) == 48
    assert done.predictions.positive == "ALL"
    assert done.environment["packages"]["scikit-learn"]
    assert done.split["protection"] == "linked-subject"
    with (folder / "trials.csv").open() as stream:
        trials = list(csv.DictReader(stream))
    assert len(trials) == 3 * (3 + 1), "three trials for each of three folds and the model to keep"
    assert any("linked subjects are never divided" in line for line in lines)


def test_a_finished_run_is_not_repeated(recipe: Any) -> None:
    (folder,), _ = _told(recipe(), n_jobs=1)
    before = (folder / RUN_JSON).stat().st_mtime_ns
    (again,), lines = _told(recipe(), n_jobs=1)
    assert again == folder
    assert (folder / RUN_JSON).stat().st_mtime_ns == before
    assert any("already finished" in line for line in lines)
    _told(recipe(), n_jobs=1, overwrite=True)
    assert (folder / RUN_JSON).stat().st_mtime_ns > before


def test_the_number_of_workers_changes_nothing(recipe: Any, tmp_path: Path) -> None:
    """Folds share nothing, so it cannot matter which process fits them."""
    head = {"name": "xgboost", "trials": 3, "inner_folds": 2, "params": {"reduction": "none"}}
    (alone,), _ = _told(recipe(head=head), n_jobs=1)
    (several,), _ = _told(recipe(head=head, out=str(tmp_path / "other")), n_jobs=2)
    assert alone.name == several.name
    assert Run.load(alone).predictions.digest == Run.load(several).predictions.digest


def test_the_saved_recipe_repeats_the_run(recipe: Any, tmp_path: Path) -> None:
    (folder,), _ = _told(recipe(), n_jobs=1)
    saved = load_recipe(folder / "recipe.yaml").model_copy(update={"out": tmp_path / "again"})
    (again,), _ = _told(saved, n_jobs=1)
    assert again.name == folder.name
    assert Run.load(again).predictions.digest == Run.load(folder).predictions.digest


def test_the_kept_model_predicts_after_loading(recipe: Any, cells: Any, tmp_path: Path) -> None:
    made = recipe(head={"name": "lightgbm", "trials": 2, "inner_folds": 2})
    (folder,), _ = _told(made, n_jobs=1)
    bundle = load(folder / "model")
    features = load_features(made.backbone[0][0], cells, FeatureStore(tmp_path / "cache"))
    proba = bundle.head.predict_proba(features.X)
    assert proba.shape == (48, 2)
    assert bundle.classes == ("ALL", "HEM")
    assert bundle.positive == "ALL"


def test_every_backbone_meets_every_head(recipe: Any) -> None:
    made = recipe(
        backbone=[{"name": "test_efficientnet", "weights": "random"}, {"name": "test_vit", "weights": "random"}],
        head=[{"name": "knn", "trials": 1}, {"name": "tree", "trials": 1}],
    )
    folders, _ = _told(made, n_jobs=1)
    assert len({folder.name for folder in folders}) == 4
    reports = extract_recipe(made)
    assert [report.computed for report in reports] == [0, 0], "features are shared by heads and by extract"


def test_concatenated_backbones_have_both_embeddings(recipe: Any) -> None:
    together = {
        "concatenate": [{"name": "test_efficientnet", "weights": "random"}, {"name": "test_vit", "weights": "random"}]
    }
    (folder,), _ = _told(recipe(backbone=[together]), n_jobs=1)
    dims = [report.dim for report in extract_recipe(recipe(backbone=together["concatenate"]))]
    assert Run.load(folder).folds[0]["n_features"] == sum(dim or 0 for dim in dims)


def test_statistics_of_training_images_are_learned_inside_the_fold(recipe: Any, cells: Any, tmp_path: Path) -> None:
    """Each fold has its own mean and SD, so its own features; the encoder has then seen the training part."""
    spec = {"name": "test_efficientnet", "weights": "random", "preprocess": {"mean": "train", "std": "train"}}
    (folder,), _ = _told(recipe(backbone=spec), n_jobs=1)
    assert len(Run.load(folder).predictions) == 48
    keys = {path.name for path in (tmp_path / "cache").iterdir() if path.name not in ("resolved", "trained")}
    assert len(keys) == 3 + 1, "three folds, the model to keep"


def test_a_holdout_validates_on_its_validation_part(recipe: Any) -> None:
    (folder,), _ = _told(recipe(split={"kind": "holdout", "fractions": "50/25/25"}), n_jobs=1)
    done = Run.load(folder)
    assert len(done.predictions) < 24
    assert done.folds[0]["n_train"] > 24, "the final fit takes training and validation rows together"


def test_a_holdout_by_image_validates_though_subjects_are_shared(recipe: Any) -> None:
    """As the papers do: declared by the split, said on every output, and not refused halfway."""
    (folder,), lines = _told(recipe(split={"kind": "per-image-holdout", "fractions": "60/20/20"}), n_jobs=1)
    assert any("image-level: optimistic" in note for note in Run.load(folder).notes)
    assert any("image-level: optimistic" in line for line in lines)


def test_missing_images_stop_a_run_unless_they_are_accepted(recipe: Any, cells: Any, tmp_path: Path) -> None:
    manifest = cells.save(cells.root / "broken.csv")
    broken = cells.root / cells.path[5]
    whole = broken.read_bytes()
    text = manifest.read_text().replace(cells.sha256[5], "0" * 64)
    manifest.write_text(text)
    try:
        with pytest.raises(MissingImagesError, match=cells.sample[5]):
            run(recipe(data={"path": str(manifest)}), n_jobs=1)
        accepted = recipe(data={"path": str(manifest)}, extraction={"skip_errors": True})
        (folder,), _ = _told(accepted, n_jobs=1)
        done = Run.load(folder)
        assert len(done.predictions) == 47
        assert any("1 of 48 images are missing" in note for note in done.notes)
    finally:
        broken.write_bytes(whole)


def test_mistakes_are_found_before_any_work(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'xgboost'"):
        run(recipe(head="xgbost"))
    with pytest.raises(RecipeError, match="no head given"):
        run(recipe(head=[]))
    with pytest.raises(RecipeError, match="no backbone given"):
        run(recipe(backbone=[]))
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(recipe: Any, tmp_path: Path) -> None:
    """kill -9 in the middle of tuning, then the same command: the same predictions as without."""
    head = {"name": "random-forest", "trials": 4, "inner_folds": 2, "params": {"reduction": "none"}}
    (undisturbed,), _ = _told(recipe(head=head), n_jobs=1)
    made = recipe(head=head, out=str(tmp_path / "killed"))
    file = made.save(tmp_path / "recipe.yaml")
    command = [sys.executable, "-m", "leukfeat", "run", str(file), "--jobs", "1"]
    study = tmp_path / "killed" / undisturbed.name / "studies" / "r0-f1.journal"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if study.exists() and study.read_bytes().count(b"\n") > 8:  # in the middle of the second fold's study
                break
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert study.exists()
    assert not (tmp_path / "killed" / undisturbed.name / RUN_JSON).exists(), "it was killed before it had finished"
    (folder,), _ = _told(load_recipe(file), n_jobs=1)
    assert folder == tmp_path / "killed" / undisturbed.name
    assert Run.load(folder).predictions.digest == Run.load(undisturbed).predictions.digest
    assert _tried(folder) == _tried(undisturbed), "whichever trial won"


def _tried(folder: Path) -> list[tuple[str, ...]]:
    """What was tried in every fold, in order, and its score; not how long it took."""
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [tuple(row[name] for name in ("fold", "value", "params")) for row in rows if row["state"] == "complete"]


def test_two_processes_never_work_on_one_run(recipe: Any) -> None:
    """They would feed each other's tuning, and each would report numbers that the other replaced."""
    (folder,), _ = _told(recipe(), n_jobs=1)
    with (
        FileLock(folder.parent / ".leukfeat" / f"{folder.name}.lock"),
        pytest.raises(RunError, match="another process"),
    ):
        _told(recipe(), n_jobs=1, overwrite=True)
    assert (folder / RUN_JSON).is_file()


def test_a_run_says_which_weights_and_inputs_made_its_features(recipe: Any) -> None:
    """Names of weights are not enough: a file may change, and learned statistics exist nowhere else."""
    spec = {"name": "test_efficientnet", "weights": "random", "preprocess": {"mean": "train", "std": "train"}}
    (folder,), _ = _told(recipe(backbone=spec), n_jobs=1)
    folds = Run.load(folder).folds
    inputs = [fold["features"]["inputs"] for fold in folds]
    assert len({str(found["inputs"]["mean"]) for found in inputs}) == len(folds), "each fold learned its own"
    assert all(len(found["weights_sha256"]) == 64 for found in inputs)
    kept = load(folder / "model").facts["fit"]["features"]["inputs"]
    assert isinstance(kept["inputs"]["mean"], list)


def test_overwriting_keeps_the_finished_run_until_the_new_one_is_whole(
    recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,), _ = _told(recipe(), n_jobs=1)
    monkeypatch.setattr("leukfeat.experiments.run.save_bundle", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        _told(recipe(), n_jobs=1, overwrite=True)
    waiting = folder.parent / ".leukfeat" / f"{folder.name}.replaced"
    assert len(Run.load(waiting).predictions) == 48
    monkeypatch.undo()
    _told(recipe(), n_jobs=1)
    assert (folder / RUN_JSON).is_file()
    assert not waiting.exists()


def test_features_from_a_file_take_the_place_of_a_backbone(recipe: Any, cells: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal_ = np.array([label == "ALL" for label in cells.label])[:, None] * 2.0
    np.savez(
        tmp_path / "given.npz",
        features=(rng.normal(size=(48, 5)) + signal_).astype(np.float32),
        sample_ids=np.array(cells.sample),
    )
    (folder,), _ = _told(recipe(backbone=[], features=str(tmp_path / "given.npz")), n_jobs=1)
    done = Run.load(folder)
    assert done.folds[0]["n_features"] == 5
    assert (done.predictions.y_pred == done.predictions.y_true).mean() > 0.9


def test_extract_alone_reports_each_backbone(recipe: Any, cells: Any, tmp_path: Path) -> None:
    (report,) = extract_recipe(recipe())
    assert (report.samples, report.images, report.computed, report.failed) == (48, 48, 48, ())
    again = extract(recipe().backbone[0][0], cells, FeatureStore(tmp_path / "cache"))
    assert (again.computed, again.hits) == (0, 48)
