"""A bundle that somebody made up, every checksum right: it is refused in one line, and does nothing."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import RunError
from leukfeat.experiments.bundle import save_bundle
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.kept import Kept
from leukfeat.experiments.prediction import load
from leukfeat.features.table import Features
from leukfeat.heads.tuning import TunedHead

TINY = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(32))


@pytest.fixture(scope="module", params=["tree"])
def saved(request: pytest.FixtureRequest, cells: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a head of each way of being kept, and an encoder."""
    X = np.random.default_rng(0).normal(size=(len(cells), 4)).astype(np.float32)
    params = None if request.param == "tree" else {"n_estimators": 3}
    head = TunedHead(request.param, n_trials=0, params=params)
    kept = HeadOnFeatures((), head, features=Features(X, cells.sample, Seen(), {})).fit_all(cells).kept
    whole = Kept(kept.classes, kept.facts, head=kept.head, encoders=(TINY,))
    return save_bundle(tmp_path_factory.mktemp("saved") / request.param, whole, {"backbones": [TINY.describe()]}, cells)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / saved.name))


def seal(folder: Path) -> None:
    """Make every checksum right, as somebody would who knows how."""
    for file in (folder / "head/head.json", folder / "bundle.json"):
        facts = json.loads(file.read_text())
        facts.pop("digest")
        facts["files"] = {
            name: hashlib.sha256((file.parent / name).read_bytes()).hexdigest() for name in facts["files"]
        }
        facts["digest"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        file.write_text(json.dumps(facts))


def change_json(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        facts = json.loads((folder / name).read_text())
        change(facts)
        (folder / name).write_text(json.dumps(facts))

    return make


def change_parts(change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change what skops says the head is made of."""

    def make(folder: Path) -> None:
        file = folder / "head/parts.skops"
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        schema = json.loads(parts["schema.json"])
        change(schema)
        parts["schema.json"] = json.dumps(schema).encode()
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)

    return make


def change_weights(change: Callable[[dict[str, str]], object]) -> Callable[[Path], None]:
    """Change what the weights say about themselves."""

    def make(folder: Path) -> None:
        file = folder / "network-0/model.safetensors"
        content = file.read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + length])
        change(header["__metadata__"])
        new = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])

    return make


def _first(schema: Any) -> Any:
    return schema["content"]["content"]


def _replace_first(schema: Any, **node: str) -> None:
    _first(schema).clear()
    _first(schema).update(node)


HOSTILE: dict[str, Callable[[Path], None]] = {
    "a function of the system": change_parts(
        lambda schema: _replace_first(schema, __loader__="FunctionNode", __module__="os", __class__="system")
    ),
    "a function that skops trusts": change_parts(
        lambda schema: _replace_first(schema, __loader__="FunctionNode", __module__="numpy", __class__="save")
    ),
    "an estimator that no head has": change_parts(
        lambda schema: schema.update(
            __module__="sklearn.ensemble._hist_gradient_boosting.gradient_boosting",
            __class__="HistGradientBoostingClassifier",
        )
    ),
    "an operator": change_parts(
        lambda schema: schema.update(
            __loader__="OperatorFuncNode", __module__="operator", __class__="methodcaller", attrs={}
        )
    ),
    "no schema": change_parts(lambda schema: schema.clear()),
    "weights that load others": change_weights(
        lambda about: about.update(model_args=json.dumps({"checkpoint_path": "/etc/hostname"}))
    ),
    "weights that fetch others": change_weights(
        lambda about: about.update(model_args=json.dumps({"pretrained": True}))
    ),
    "weights that need not fit": change_weights(
        lambda about: about.update(model_args=json.dumps({"pretrained_strict": False}))
    ),
    "an architecture elsewhere": change_weights(lambda about: about.update(architecture="hf-hub:somebody/model")),
    "an architecture in a folder": change_weights(lambda about: about.update(architecture="local-dir:/etc")),
    "a file name of 5,000 letters": change_json("bundle.json", lambda facts: facts["files"].update({"x" * 5000: "0"})),
    "a file name that is no text": change_json("bundle.json", lambda facts: facts["files"].update({"\ud800": "0"})),
    "kinds without end": change_json("bundle.json", lambda facts: facts["model"].update(kind=["head"])),
    "settings nobody knows": change_json("head/head.json", lambda facts: facts["settings"].update(storage_="x")),
    "a study to connect to": change_json("head/head.json", lambda facts: facts["settings"].update(head="os.system")),
    "features without end": change_json("head/head.json", lambda facts: facts["fitted"].update(n_features_in_=10**12)),
    "classes of objects": change_json("head/head.json", lambda facts: facts["classes"].update(dtype="|O")),
}


EVERY_WAY = pytest.mark.parametrize("saved", ["tree", "lightgbm", "xgboost"], indirect=True)


@EVERY_WAY
def test_a_bundle_whose_checksums_were_made_anew_is_one_like_others(folder: Path) -> None:
    """Else the tests below would see nothing but wrong checksums."""
    seal(folder)
    assert load(folder).classes == ("ALL", "HEM")


@pytest.mark.parametrize("what", HOSTILE)
def test_a_made_up_bundle_is_refused_in_one_line(what: str, folder: Path) -> None:
    HOSTILE[what](folder)
    try:
        seal(folder)
    except (OSError, UnicodeEncodeError):  # what it names is no file: it stays unsealed inside
        facts = json.loads((folder / "bundle.json").read_text())
        facts.pop("digest")
        facts["digest"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        (folder / "bundle.json").write_text(json.dumps(facts))
    with pytest.raises(RunError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_text_that_nests_without_end_is_refused(folder: Path) -> None:
    for name in ("bundle.json", "head/head.json", "seen.json"):
        copy = folder.parent / name.replace("/", "-")
        shutil.copytree(folder, copy)
        (copy / name).write_text("[" * 100_000)
        if name != "bundle.json":
            facts = json.loads((copy / "bundle.json").read_text())
            facts.pop("digest")
            facts["files"][name] = hashlib.sha256((copy / name).read_bytes()).hexdigest()
            facts["digest"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
            (copy / "bundle.json").write_text(json.dumps(facts))
        with pytest.raises(RunError):
            load(copy)


@EVERY_WAY
def test_trees_that_point_elsewhere_are_refused(folder: Path) -> None:
    """They would end the process, or keep it walking in a circle for ever."""
    booster = folder / "head/booster.txt"
    if booster.exists():
        booster.write_text(booster.read_text().replace("left_child=", "left_child=9"))
    elif (folder / "head/booster.ubj").exists():
        content = (folder / "head/booster.ubj").read_bytes()
        at = content.index(b"left_children")
        begin = content.index(b"#L", at) + 10
        (folder / "head/booster.ubj").write_bytes(content[: begin + 3] + b"\x63" + content[begin + 4 :])
    else:
        _turn_a_tree_into_a_circle(folder / "head/parts.skops")
    seal(folder)
    with pytest.raises(RunError, match=r"cannot be read.*a tree"):
        load(folder)


def _turn_a_tree_into_a_circle(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = 0
    for name, part in parts.items():
        array = np.load(io.BytesIO(part), allow_pickle=False) if name.endswith(".npy") else None
        if array is not None and array.dtype.names and "left_child" in array.dtype.names:
            array["left_child"][0] = 0
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=False)
            parts[name], changed = stream.getvalue(), changed + 1
    assert changed
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
