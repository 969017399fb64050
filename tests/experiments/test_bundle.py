"""A bundle is whole or not there; what is damaged, foreign or newer is refused with the reason, and nothing is run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import RunError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.experiments import bundle
from leukfeat.experiments.bundle import BUNDLE_JSON, read_bundle, save_bundle
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.kept import Kept
from leukfeat.experiments.prediction import load
from leukfeat.features.table import Features
from leukfeat.heads.tuning import TunedHead

TINY = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(32))


@pytest.fixture(scope="module")
def candidate(cells: Manifest) -> HeadOnFeatures:
    """A head on given vectors: the quickest model there is."""
    X = np.random.default_rng(0).normal(size=(len(cells), 4)).astype(np.float32)
    return HeadOnFeatures((), TunedHead("tree", n_trials=0), features=Features(X, cells.sample, Seen(), {}))


@pytest.fixture(scope="module")
def saved(candidate: HeadOnFeatures, cells: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a head, and an encoder that has as many features as the head takes… by its own word."""
    kept = candidate.fit_all(cells).kept
    folder = tmp_path_factory.mktemp("saved") / "model"
    with_encoder = Kept(kept.classes, kept.facts, head=kept.head, encoders=(TINY,))
    return save_bundle(folder, with_encoder, {"backbones": [TINY.describe()]}, cells)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def resealed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change ``bundle.json`` as somebody would who knows about the digest."""
    facts = json.loads((folder / BUNDLE_JSON).read_text())
    facts.pop("digest")
    change(facts)
    facts["digest"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    (folder / BUNDLE_JSON).write_text(json.dumps(facts))


def test_what_it_says_is_what_went_in(candidate: HeadOnFeatures, cells: Manifest, tmp_path: Path) -> None:
    run = cross_validate(candidate, cells, SplitPlan.grouped(cells, 3))
    _, facts = read_bundle(save_bundle(tmp_path / "m", candidate.fit_all(cells).kept, candidate.describe(), cells, run))
    subjects = "\n".join(sorted(set(cells.subject)))
    assert facts["data"]["subjects"] == 12
    assert facts["data"]["subjects_digest"] == hashlib.sha256(subjects.encode()).hexdigest()
    assert facts["evaluation"]["split"]["protection"] == "linked-subject"
    assert facts["evaluation"]["by_image"]["accuracy"] == pytest.approx(
        float((run.predictions.y_true == run.predictions.y_pred).mean())
    )
    assert "trials" not in facts["fit"]


def test_subject_ids_stay_at_home(saved: Path, cells: Manifest) -> None:
    """A model is given away; who its patients were is not. Ids are in the weights of fine-tuned networks only."""
    ids = {json.dumps(subject) for subject in cells.subject}
    for file in (*saved.rglob("*.json"), *saved.rglob("*.md")):
        assert not [name for name in ids if name in file.read_text()], file.name


def test_saving_again_replaces_the_whole(candidate: HeadOnFeatures, cells: Manifest, tmp_path: Path) -> None:
    kept = candidate.fit_all(cells).kept
    save_bundle(tmp_path / "model", kept, {}, cells)
    (tmp_path / "model" / "stale").write_text("of an earlier model")
    save_bundle(tmp_path / "model", kept, {}, cells)
    assert not (tmp_path / "model" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing temporary is left"


def test_a_failure_leaves_the_earlier_bundle(
    candidate: HeadOnFeatures, cells: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = candidate.fit_all(cells).kept
    save_bundle(tmp_path / "model", kept, {}, cells)
    monkeypatch.setattr(bundle, "model_card", lambda facts: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_bundle(tmp_path / "model", kept, {}, cells)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    load(tmp_path / "model")


def test_a_run_folder_stands_for_its_model(folder: Path) -> None:
    assert load(folder.parent).classes == load(folder).classes


def test_no_folder_of_this_machine_is_named(
    saved: Path, candidate: HeadOnFeatures, cells: Manifest, tmp_path: Path
) -> None:
    described = {"backbones": [], "features": {"weights": str(tmp_path / "secret" / "mine.safetensors")}}
    folder = save_bundle(tmp_path / "model", candidate.fit_all(cells).kept, described, cells)
    text = (folder / BUNDLE_JSON).read_text()
    assert "mine.safetensors" in text
    assert str(tmp_path) not in text
    assert str(cells.root) not in (saved / BUNDLE_JSON).read_text()


@pytest.mark.parametrize(
    "name", ["MODEL_CARD.md", "seen.json", "head/parts.skops", "network-0/model.safetensors", "network-0/config.json"]
)
def test_a_file_that_is_missing_or_damaged_is_named(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match=f"{name} is damaged"):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        load(folder)


def test_weights_that_are_missing_are_called_weights(folder: Path) -> None:
    (folder / "network-0" / "model.safetensors").unlink()
    with pytest.raises(RunError, match="a model without its weights cannot predict"):
        load(folder)
    resealed(folder, lambda facts: facts["files"].pop("network-0/model.safetensors"))
    with pytest.raises(RunError, match=r"network-0/model\.safetensors is not among its files"):
        load(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "head/../../outside", "a\\..\\b"])
def test_a_bundle_that_names_files_outside_is_refused(name: str, folder: Path) -> None:
    (folder.parent / "outside").write_text("x")
    resealed(folder, lambda facts: facts["files"].update({name: hashlib.sha256(b"x").hexdigest()}))
    with pytest.raises(RunError, match="outside the bundle"):
        load(folder)


def test_what_is_no_bundle_of_ours_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a model bundle"):
        load(tmp_path / "nothing")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("data: {}")
    with pytest.raises(RunError, match="unfinished run"):
        load(tmp_path / "run")
    for text, reason in {
        "{": "cannot be read",
        "[" * 100_000: "cannot be read",
        "[]": "was not written by leukfeat",
        '{"schema": "2"}': "was not written by leukfeat",
        '{"schema": 1}': "schema 1; this leukfeat reads schema 2: run the command that made it again",
        '{"schema": 99}': "schema 99; this leukfeat reads schema 2: update leukfeat",
        '{"schema": 2}': "its digest differs",
    }.items():
        (folder / BUNDLE_JSON).write_text(text)
        with pytest.raises(RunError, match=reason):
            load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("files"),
        lambda facts: facts["model"].pop("networks"),
        lambda facts: facts["model"].update(kind="pickle"),
        lambda facts: facts["model"].update(kind="network"),
        lambda facts: facts["model"].update(classes=["ALL", "AML"]),
        lambda facts: facts.update(classes=["HEM", "ALL"]),
        lambda facts: facts.update(positive="AML"),
        lambda facts: facts.update(model="head"),
        lambda facts: facts.update(model={**facts["model"], "kind": "ensemble", "members": [], "rule": {"name": "x"}}),
    ],
)
def test_a_description_that_does_not_fit_is_refused(change: Callable[[dict[str, Any]], object], folder: Path) -> None:
    """Whoever wrote it knew how to seal it; still there is one clear error, and no traceback of another kind."""
    resealed(folder, change)
    with pytest.raises(RunError):
        load(folder)


def test_a_pickle_in_place_of_a_part_is_not_loaded(folder: Path) -> None:
    """Whatever the checksums say, only types that heads are made of are built."""
    import pickle
    import zipfile

    parts = folder / "head" / "parts.skops"
    with zipfile.ZipFile(parts, "w") as archive:
        node = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1, "protocol": 2}
        node |= {"content": {"module_path": "os", "function": "system"}, "_skops_version": "0.10"}
        archive.writestr("schema.json", json.dumps(node))
        archive.writestr("data.pkl", pickle.dumps({}))
    digest = hashlib.sha256(parts.read_bytes()).hexdigest()
    head = json.loads((folder / "head" / "head.json").read_text())
    head.pop("digest")
    head["files"]["parts.skops"] = digest
    head["digest"] = hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()
    (folder / "head" / "head.json").write_text(json.dumps(head))
    sealed = {
        "head/parts.skops": digest,
        "head/head.json": hashlib.sha256((folder / "head" / "head.json").read_bytes()).hexdigest(),
    }
    resealed(folder, lambda facts: facts["files"].update(sealed))
    with pytest.raises(RunError, match=r"which no head is made of|cannot be read"):
        load(folder)


def test_links_are_followed_because_the_checksum_is_of_what_they_lead_to(folder: Path, tmp_path: Path) -> None:
    """Stores of large files put links in place of them."""
    weights = folder / "network-0" / "model.safetensors"
    weights.rename(tmp_path / "blob")
    weights.symlink_to(tmp_path / "blob")
    load(folder)
    weights.unlink()
    weights.symlink_to(folder / "MODEL_CARD.md")
    with pytest.raises(RunError, match="damaged"):
        load(folder)
