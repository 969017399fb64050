"""A request is complete, hashable and refused when it contradicts itself."""

from __future__ import annotations

import pytest

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.errors import UnknownNameError, UsageError, WeightsError


def test_equal_requests_are_one() -> None:
    lists = BackboneSpec("efficientnet_b0", preprocess=Preprocess(input_size=[96, 96], mean=[0, 0, 0], std=[1, 1, 1]))  # type: ignore[arg-type]
    tuples = BackboneSpec("efficientnet_b0", preprocess=Preprocess(input_size=96, mean=(0.0, 0, 0), std=(1, 1.0, 1)))
    assert lists == tuples
    assert {lists: 1}[tuples] == 1
    assert lists.digest == tuples.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "resnet18"},
        {"weights": "random"},
        {"pooling": "max"},
        {"layer": "blocks.4"},
        {"preprocess": Preprocess(crop="none")},
        {"preprocess": Preprocess(mean="train")},
    ],
)
def test_every_change_changes_digest_and_label(changes: dict[str, object]) -> None:
    # two columns of a table with one name would be taken for the same thing
    plain = BackboneSpec("efficientnet_b0")
    changed = plain.replace(**changes)
    assert changed.digest != plain.digest
    assert changed.label != plain.label


def test_a_description_can_be_read_again() -> None:
    spec = BackboneSpec(
        "vgg16",
        "random",
        "max",
        "features.3",
        Preprocess((32, 48), "center", 448, scale="raw", mean="train", std="train"),
        7,
    )
    assert BackboneSpec.from_description(spec.describe()) == spec


def test_labels() -> None:
    assert BackboneSpec("efficientnet_b0").label == "efficientnet_b0"
    assert BackboneSpec("efficientnet_b0", "random").label == "efficientnet_b0 (random)"
    assert BackboneSpec(weights="some/where/tiny.safetensors").label == "tiny"
    assert BackboneSpec("resnet18", "tiny.safetensors", pooling="max").label == "resnet18 (tiny, max)"


def test_a_hub_name_is_weights() -> None:
    assert BackboneSpec("hf-hub:org/model") == BackboneSpec(weights="hf-hub:org/model")


def test_unknown_pooling_suggests() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'avg'"):
        BackboneSpec("resnet18", pooling="avgg")


@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.PT", "w.ckpt"])
def test_pickled_weights_are_refused(name: str) -> None:
    with pytest.raises(WeightsError, match="never loaded"):
        BackboneSpec("resnet18", name)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("imagnet", "weights 'imagnet' is not known; did you mean 'imagenet'?"),
        ("weights.h5", "known: FILE.safetensors, hf-hub:org/model, imagenet, random"),
        ("hf-hub:model", "hf-hub:organisation/model"),
    ],
)
def test_weights_of_no_kind_are_an_error_of_usage(weights: str, told: str) -> None:
    # nothing was looked for yet, so it is the request that is wrong, as with any other name
    with pytest.raises(UsageError) as caught:
        BackboneSpec("resnet18", weights)
    assert told in str(caught.value)


def test_someone_must_name_the_architecture() -> None:
    with pytest.raises(UsageError, match="no backbone named"):
        BackboneSpec()


@pytest.mark.parametrize(
    "fields",
    [
        {"crop": "middle"},
        {"crop": "center"},
        {"crop_size": 448},
        {"cell_margin": 0.1},
        {"crop": "cell", "cell_margin": -1},
        {"input_size": 0},
        {"input_size": (1, 2, 3)},
        {"interpolation": "cubic"},
        {"scale": "raw"},
        {"scale": "255"},
        {"mean": (1, 2)},
        {"mean": "training"},
        {"mean": ("a", "b", "c")},
        {"std": (1, 1, 0)},
    ],
)
def test_preprocessing_that_means_nothing_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Preprocess(**fields)  # type: ignore[arg-type]
