"""A network in a file: what comes back is what went in, and nothing that does not belong is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.network import ClassifyingNetwork
from leukfeat.backbones.network_files import embedding_dim, load_network, load_saved, save_network, with_classifier
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.exposure import Seen
from leukfeat.errors import LeukfeatError, UsageError, WeightsError

TINY = "test_efficientnet"
SEEN = Seen(frozenset({"a" * 64}), frozenset({"P1"}))


def classifying(spec: BackboneSpec, **classifier: object) -> tuple[ClassifyingNetwork, ClassifierSpec]:
    resolution = resolve(spec)
    built = ClassifierSpec(**classifier)  # type: ignore[arg-type]
    network = load_network(spec, resolution).network
    return with_classifier(network, resolution.inputs.size, 3, built, seed=1).eval(), built


RAW = Preprocess(64, "center", 40, scale="raw", mean=(1, 2, 3), std=(4, 5, 6))
SPECS = [
    BackboneSpec(TINY, "random", preprocess=Preprocess(64)),
    BackboneSpec(
        TINY, "random", preprocess=Preprocess(64, scale="raw", mean=(1, 2, 3), std=(4, 5, 6)), attention="cbam"
    ),
    BackboneSpec(TINY, "random", attention={"name": "eca", "after": "blocks"}, views="flips"),
    BackboneSpec(TINY, "random", attention="saeed", preprocess=Preprocess((64, 96), crop="none")),
    BackboneSpec("test_resnet", "random", pooling="flatten", layer="layer2", preprocess=Preprocess(64)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_what_is_saved_comes_back(spec: BackboneSpec, tmp_path: Path) -> None:
    model, built = classifying(spec, hidden=[5], activation="elu", batch_norm=True)
    resolution = resolve(spec)
    file = save_network(
        model, tmp_path / "net.safetensors", resolution=resolution, seen=SEEN, classes="abc", classifier=built,
        facts={"epochs": 3},
    )  # fmt: skip
    back = load_saved(file)
    x = torch.rand(2, 3, *resolution.inputs.size)
    assert torch.equal(back.model(x), model(x))
    assert (back.inputs, back.classes, back.seen) == (resolution.inputs, ("a", "b", "c"), SEEN)
    assert back.facts == {"epochs": 3}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_the_file_given_as_weights_is_the_same_encoder(spec: BackboneSpec, tmp_path: Path) -> None:
    """Attention, pooling, layer, inputs and what it has seen travel inside the file."""
    model, built = classifying(spec)
    resolution = resolve(spec)
    file = save_network(
        model, tmp_path / "net.safetensors", resolution=resolution, seen=SEEN, classes="abc", classifier=built
    )
    given = BackboneSpec(weights=str(file))
    found = resolve(given)
    assert found.seen == SEEN
    assert found.inputs == resolution.inputs
    assert found.attention == spec.attention
    assert found.attention_init == {}, "its attention is trained"
    x = torch.rand(2, 3, *resolution.inputs.size)
    assert torch.equal(load_network(given, found).network(x), model.network(x))


def test_untrained_attention_is_the_same_every_time_and_part_of_the_key() -> None:
    spec = BackboneSpec(TINY, "random", attention="cbam")
    resolution = resolve(spec)
    first, second = (load_network(spec, resolution).network.attention for _ in range(2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    other = spec.replace(seed=1)
    assert resolve(other).identity() != resolution.identity()
    assert resolve(spec.replace(attention=None)).identity() != resolution.identity()


def test_attention_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    spec = SPECS[1]
    model, built = classifying(spec)
    file = save_network(
        model, tmp_path / "net.safetensors", resolution=resolve(spec), seen=SEEN, classes="abc", classifier=built
    )
    with pytest.raises(UsageError, match="trained with"):
        resolve(BackboneSpec(weights=str(file), attention="eca"))
    with pytest.raises(UsageError, match="pooling 'max'"):
        resolve(BackboneSpec(weights=str(save_plain(tmp_path, pooling="avgmax")), pooling="max"))


def save_plain(folder: Path, pooling: str) -> Path:
    spec = BackboneSpec(TINY, "random", pooling=pooling)
    network = load_network(spec, resolve(spec)).network
    return save_network(network, folder / f"{pooling}.safetensors", resolution=resolve(spec), seen=SEEN)


def test_timm_reads_the_trunk_of_a_plain_encoder(tmp_path: Path) -> None:
    """The trunk's tensors keep timm's names, so other tools can use the file."""
    spec = BackboneSpec(TINY, "random")
    network = load_network(spec, resolve(spec)).network
    file = save_network(network, tmp_path / "net.safetensors", resolution=resolve(spec), seen=SEEN)
    trunk = timm.create_model(TINY, pretrained=True, pretrained_cfg_overlay={"file": str(file)})
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(trunk.eval().forward_features(x), network.trunk.forward_features(x))


def test_plain_weights_are_no_saved_network(weights_file) -> None:
    with pytest.raises(WeightsError, match="plain weights"):
        load_saved(weights_file())


def test_a_damaged_description_is_refused(weights_file) -> None:
    with pytest.raises(WeightsError, match="leukfeat_network"):
        load_saved(weights_file(leukfeat_network={"attention": None}))


def test_a_classifier_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    spec = SPECS[0]
    model, _ = classifying(spec, hidden=[5])
    wrong = ClassifierSpec(hidden=[6])  # type: ignore[arg-type]
    file = save_network(
        model, tmp_path / "net.safetensors", resolution=resolve(spec), seen=SEEN, classes="abc", classifier=wrong
    )
    with pytest.raises(WeightsError, match=r"its classifier does not fit: .*hidden"):
        load_saved(file)


@pytest.mark.parametrize("part", ["attention", "classifier"])
def test_a_part_whose_weights_are_missing_is_not_drawn_at_random(part: str, tmp_path: Path) -> None:
    """What the file says was trained must be in it; a random classifier answers as confidently as a trained one."""
    file = without_tensors(tmp_path, f"leukfeat.{part}.")
    with pytest.raises(WeightsError, match=f"has no weights of its {part}"):
        load_saved(file)
    given = BackboneSpec(weights=str(file))
    if part == "attention":
        with pytest.raises(WeightsError, match="has no weights of its attention"):
            load_network(given, resolve(given))
    else:
        assert load_network(given, resolve(given)), "an encoder needs no classifier"


def test_a_file_without_a_trunk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm takes an empty set of weights for none, and would fetch those of ImageNet in their place."""
    given = BackboneSpec(weights=str(without_tensors(tmp_path, "", but="leukfeat.")))
    monkeypatch.setattr("timm.create_model", lambda *_a, **_k: pytest.fail("looked for weights elsewhere"))
    with pytest.raises(WeightsError, match="no weights of test_efficientnet"):
        load_network(given, resolve(given))


def without_tensors(folder: Path, prefix: str, but: str = "\0") -> Path:
    """A saved network with attention and classifier, from which tensors were lost."""
    from safetensors.torch import load_file, save_file

    from leukfeat.backbones.weights import read_header

    spec = SPECS[1]
    model, built = classifying(spec)
    file = save_network(
        model, folder / "whole.safetensors", resolution=resolve(spec), seen=SEEN, classes="abc", classifier=built
    )
    kept = {k: v for k, v in load_file(file).items() if not k.startswith(prefix) or k.startswith(but)}
    save_file(kept, folder / "part.safetensors", dict(read_header(file).metadata))
    return folder / "part.safetensors"


def test_the_dimension_of_an_embedding_is_known_beforehand() -> None:
    spec = SPECS[3]
    network = load_network(spec, resolve(spec)).network
    assert (
        embedding_dim(network, (64, 96)) == network(torch.rand(1, 3, 64, 96)).shape[1] == 2 * network.trunk.num_features
    )


def test_a_size_that_does_not_pass_is_one_clear_line() -> None:
    spec = BackboneSpec("inception_v3", "random", preprocess=Preprocess(32))
    with pytest.raises(LeukfeatError, match="32 × 32"):
        load_network(spec, resolve(spec))
