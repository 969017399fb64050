"""What a request comes to is known before any forward pass, and remembered without ever being wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leukfeat.backbones import resolution as module
from leukfeat.backbones.resolution import Resolution, resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.hashing import HashMemo
from leukfeat.errors import UnknownNameError, WeightsError

TINY = "test_efficientnet"


def test_inputs_come_with_the_weights_file(weights_file: Callable[..., Path]) -> None:
    file = weights_file(mean=[0.1, 0.2, 0.3], std=[1, 2, 3], input_size=[3, 48, 48])
    inputs = resolve(BackboneSpec(weights=str(file))).inputs
    assert (inputs.size, inputs.mean, inputs.std) == ((48, 48), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))


def test_what_the_file_does_not_state_comes_from_timm(weights_file: Callable[..., Path]) -> None:
    from_file = resolve(BackboneSpec(weights=str(weights_file())))
    assert from_file.inputs == resolve(BackboneSpec(TINY, "random")).inputs


def test_a_file_must_agree_with_the_name(weights_file: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match="weights are for test_efficientnet, not for resnet18"):
        resolve(BackboneSpec("resnet18", str(weights_file())))


def test_a_file_without_architecture_needs_a_name(weights_file: Callable[..., Path]) -> None:
    file = str(weights_file(architecture=None))
    with pytest.raises(WeightsError, match="--backbone NAME"):
        resolve(BackboneSpec(weights=file))
    assert resolve(BackboneSpec(TINY, file)).architecture == TINY


@pytest.mark.parametrize("args", [{"checkpoint_path": "evil.pth"}, {"pretrained": True}, {"pretrained_cfg": {}}])
def test_a_file_cannot_make_timm_load_something_else(
    weights_file: Callable[..., Path], args: dict[str, object]
) -> None:
    # checkpoint_path would unpickle whatever it names
    with pytest.raises(WeightsError, match="may not"):
        resolve(BackboneSpec(weights=str(weights_file(model_args=args))))


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("efficentnet_b0", "efficientnet_b0"), ("efficientnet_b0.ra_in1", "efficientnet_b0.ra_in1k")],
)
def test_unknown_names_suggest(name: str, suggestion: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{suggestion}'"):
        resolve(BackboneSpec(name, "random"))


def test_fixed_size_networks_are_built_for_the_size_asked() -> None:
    spec = BackboneSpec("test_vit", "random", preprocess=Preprocess(input_size=64))
    assert resolve(spec).model_args == {"img_size": [64, 64]}


def test_identity_changes_with_whatever_changes_the_vectors(weights_file: Callable[..., Path]) -> None:
    plain = BackboneSpec(TINY, "random")
    requests = [
        plain,
        plain.replace(seed=1),
        plain.replace(pooling="max"),
        plain.replace(layer="blocks.0"),
        plain.replace(preprocess=Preprocess(crop="none")),
        plain.replace(preprocess=Preprocess(mean=(0, 0, 0))),
        BackboneSpec(weights=str(weights_file("other.safetensors", seed=9))),
    ]
    assert len({str(resolve(request).identity()) for request in requests}) == len(requests)


def test_the_name_of_a_file_does_not_matter(weights_file: Callable[..., Path]) -> None:
    one, other = (BackboneSpec(weights=str(weights_file(name))) for name in ("a.safetensors", "b.safetensors"))
    assert resolve(one).identity() == resolve(other).identity()


def test_a_description_can_be_read_again() -> None:
    answer = resolve(BackboneSpec(TINY, "random"))
    assert Resolution.from_description(answer.describe()) == answer


def test_a_remembered_answer_needs_no_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = BackboneSpec(TINY, "random")
    answer = resolve(spec, tmp_path)
    monkeypatch.setitem(sys.modules, "timm.data", None)  # importing it would fail now
    assert resolve(spec, tmp_path) == answer
    with pytest.raises(ImportError):
        resolve(spec.replace(seed=1), tmp_path)


def test_other_weights_under_the_same_name_are_noticed(weights_file: Callable[..., Path], tmp_path: Path) -> None:
    memory, memo = tmp_path / "memory", HashMemo(tmp_path / "memo")
    spec = BackboneSpec(weights=str(weights_file(seed=0)))
    before = resolve(spec, memory, memo=memo)
    weights_file(seed=1)
    assert resolve(spec, memory, memo=memo).weights_sha256 != before.weights_sha256


@pytest.mark.parametrize("library", ["timm", "torch"])
def test_another_version_is_another_question(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = BackboneSpec(TINY, "random")
    resolve(spec, tmp_path)
    version = module.importlib.metadata.version
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "99.0" if name == library else version(name))
    assert resolve(spec, tmp_path).versions[library] == "99.0"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"question": 1, "answer": 2}'])
def test_a_spoilt_memory_is_as_good_as_none(content: str, tmp_path: Path) -> None:
    spec = BackboneSpec(TINY, "random")
    answer = resolve(spec, tmp_path)
    for file in tmp_path.iterdir():
        file.write_text(content)
    assert resolve(spec, tmp_path) == answer
    assert resolve(spec, tmp_path) == answer


def test_an_answer_to_another_question_is_not_used(tmp_path: Path) -> None:
    spec = BackboneSpec(TINY, "random")
    answer = resolve(spec, tmp_path)
    (file,) = tmp_path.iterdir()
    kept = json.loads(file.read_text())
    kept["question"]["timm"] = "0.1"
    kept["answer"]["weights_sha256"] = "0" * 64
    file.write_text(json.dumps(kept))
    assert resolve(spec, tmp_path) == answer
