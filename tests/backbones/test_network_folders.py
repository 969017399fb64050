"""A network as a folder: timm reads the trunk, we read the whole, and no tensor is there twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open

from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.network import ClassifyingNetwork
from leukfeat.backbones.network_files import load_network, save_network, with_classifier
from leukfeat.backbones.network_folders import (
    ADDED,
    CONFIG,
    MODEL,
    licence_of,
    load_from_folder,
    save_encoder,
    save_in_folder,
)
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.exposure import Seen

SEEN = Seen(frozenset({"a" * 64}), frozenset({"P1"}))
SPECS = [
    BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(64)),
    BackboneSpec("test_vit", "random", pooling="cls", preprocess=Preprocess(64)),
    BackboneSpec("test_resnet", "random", attention={"name": "cbam", "after": "blocks"}, preprocess=Preprocess(64)),
]


def classifying(spec: BackboneSpec, file: Path) -> ClassifyingNetwork:
    resolution, built = resolve(spec), ClassifierSpec(hidden=(5,))
    model = with_classifier(load_network(spec, resolution).network, resolution.inputs.size, 2, built, seed=1).eval()
    save_network(model, file, resolution=resolution, seen=SEEN, classes="ab", classifier=built, facts={"epochs": 3})
    return model


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_timm_loads_the_trunk(spec: BackboneSpec, tmp_path: Path) -> None:
    model = classifying(spec, tmp_path / "net.safetensors")
    save_in_folder(tmp_path / "net.safetensors", folder := made(tmp_path))
    trunk = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    x = torch.rand(2, 3, 64, 64)
    # attention after the blocks is hooked into our trunk, and is no part of timm's
    ours = load_network(spec.replace(attention=None, seed=0), resolve(spec.replace(attention=None))).network.trunk
    assert torch.equal(trunk.forward_features(x), ours.forward_features(x))
    assert list(trunk.pretrained_cfg["input_size"]) == [3, 64, 64]
    assert model.network.attention_spec == spec.attention


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_the_whole_comes_back_and_is_stored_once(spec: BackboneSpec, tmp_path: Path) -> None:
    model = classifying(spec, tmp_path / "net.safetensors")
    save_in_folder(tmp_path / "net.safetensors", folder := made(tmp_path))
    back = load_from_folder(folder, added=True)
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(back.model(x), model(x))
    assert (back.classes, back.seen, back.facts) == (("a", "b"), SEEN, {"epochs": 3})
    names = []
    for name in (MODEL, ADDED):
        with safe_open(folder / name, framework="pt") as stored:
            names += list(stored.keys())
    assert len(names) == len(set(names)) == len(model.state_dict())


def test_the_trunk_alone_promises_nothing_that_is_elsewhere(tmp_path: Path) -> None:
    """Given back as weights it is an encoder without attention, and still knows what it has seen."""
    classifying(SPECS[2], tmp_path / "net.safetensors")
    save_in_folder(tmp_path / "net.safetensors", folder := made(tmp_path))
    resolution = resolve(BackboneSpec(weights=str(folder / MODEL)))
    assert resolution.attention is None
    assert resolution.seen == SEEN
    assert resolution.inputs == resolve(SPECS[2]).inputs


def test_an_encoder_is_one_file(tmp_path: Path) -> None:
    spec = SPECS[0].replace(pooling="avgmax", layer="blocks.1")
    save_encoder(spec, folder := made(tmp_path))
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, MODEL]
    network = load_network(spec, resolve(spec)).network
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(load_from_folder(folder, added=False).model(x), network(x))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"], "nothing temporary is left"


def test_a_trunk_of_ours_has_no_configuration_for_timm(tmp_path: Path) -> None:
    save_encoder(BackboneSpec("sajon_cnn", "random", preprocess=Preprocess(64)), folder := made(tmp_path))
    assert not (folder / CONFIG).exists()
    load_from_folder(folder, added=False)


def test_the_configuration_names_no_place(tmp_path: Path) -> None:
    save_encoder(SPECS[0], folder := made(tmp_path))
    config = json.loads((folder / CONFIG).read_text())
    assert config["architecture"] == "test_efficientnet"
    assert str(tmp_path) not in json.dumps(config)


def test_licences_are_those_that_timm_states() -> None:
    assert licence_of(BackboneSpec("vgg16")) == "bsd-3-clause"
    assert licence_of(BackboneSpec("vgg16", "random")) is None, "nobody's weights"
    assert licence_of(BackboneSpec(weights="mine.safetensors")) is None
    assert licence_of(BackboneSpec("vgg16.no_such_tag")) is None


def made(folder: Path) -> Path:
    (folder / "folder").mkdir()
    return folder / "folder"
