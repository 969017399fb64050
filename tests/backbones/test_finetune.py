"""What a recipe says about training has one form, and every wrong word is named."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from leukfeat.backbones.finetune import Augment, ClassifierSpec, FineTune, Schedule
from leukfeat.backbones.schedule import rate_factor, standing
from leukfeat.errors import UnknownNameError, UsageError

FULL = {
    "epochs": 20,
    "optimizer": "sgd",
    "lr": 1,
    "lr_of": {"layer1": 1e-6, "classifier": 0.01},
    "schedule": {"name": "plateau", "stop_after": 3},
    "multiply": {"HEM": 4, "ALL": 2},
    "augment": {"rotate": 45, "brightness": [0.2, 1.2], "hflip": 1},
    "classifier": {"hidden": [512, 128], "activation": "elu"},
    "loss": "bce",
    "class_weights": 2,
}


def test_a_description_is_json_and_reads_back_equal() -> None:
    """Keys of trained networks are made of it, so nothing may be lost or have two forms."""
    spec = FineTune.of(FULL)
    assert spec is not None
    again = FineTune.from_description(json.loads(json.dumps(spec.describe())))
    assert again == spec
    assert hash(again) == hash(spec)


def test_parts_have_one_form() -> None:
    """However they are written: bare names, mappings in any order, whole numbers, lists."""
    spec = FineTune.of(FULL)
    assert spec is not None
    assert spec.lr_of == (("classifier", 0.01), ("layer1", 1e-6))
    assert spec.augment.rotate == (-45.0, 45.0)
    assert spec.classifier.hidden == (512, 128)
    assert FineTune(schedule="plateau") == FineTune(schedule={"name": "plateau", "factor": 0.5, "patience": 1})
    assert FineTune(multiply={"a": 1, "b": 2}) == FineTune(multiply=[["b", 2.0], ["a", 1]])
    assert FineTune.of(None) is None
    assert FineTune.of(spec) is spec


def test_options_left_open_follow_the_optimiser() -> None:
    """Decay as each optimiser's authors and PyTorch have it: AdamW with, the others without."""
    assert FineTune().weight_decay == 0.01
    assert FineTune(optimizer="adam").weight_decay == 0
    assert FineTune(optimizer="sgd").momentum == 0.9
    assert FineTune(optimizer="adam").momentum is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epoch": 3}, "key of finetune 'epoch' is not known; did you mean 'epochs'"),
        ({"lr": "1e-3"}, r"finetune.lr is '1e-3'; give a number, above 0 \(YAML takes 1e-3 for text"),
        ({"lr": 0}, "finetune.lr is 0; give a number, above 0"),
        ({"lr": True}, "finetune.lr is True"),
        ({"lr": float("nan")}, "finetune.lr is nan"),
        ({"epochs": 1.5}, "finetune.epochs is 1.5; give a whole number, 1 or more"),
        ({"batch_size": 0}, "finetune.batch_size is 0"),
        ({"frozen_epochs": 4}, "finetune.frozen_epochs is 4; give a whole number, 0 … 3"),
        ({"optimizer": "adamv"}, "finetune.optimizer 'adamv' is not known"),
        ({"momentum": 0.9}, "finetune.momentum belongs to optimizer 'sgd', not to 'adamw'"),
        ({"schedule": "cosin"}, "finetune.schedule.name 'cosin' is not known; did you mean 'cosine'"),
        ({"schedule": {"factor": 0.5}}, "finetune.schedule.factor belongs to schedule 'plateau', 'step', not"),
        ({"schedule": {"name": "step", "every": 0}}, "finetune.schedule.every is 0"),
        ({"schedule": 3}, "finetune.schedule is 3; give a mapping"),
        ({"augment": {"rotate": [30, 20]}}, r"finetune.augment.rotate is \[30, 20\]; give the smaller number first"),
        ({"augment": {"brightness": 0.2}}, "finetune.augment.brightness is 0.2; give two numbers"),
        ({"augment": {"hflip": 2}}, "finetune.augment.hflip is 2; give a number, 0 or more, at most 1"),
        ({"augment": {"flip": 1}}, "key of finetune.augment 'flip' is not known"),
        ({"classifier": {"hidden": 256}}, "finetune.classifier.hidden is 256; give a list of whole numbers"),
        ({"classifier": {"dropout": 1}}, "finetune.classifier.dropout is 1; give a number, 0 or more, below 1"),
        ({"classifier": {"batch_norm": "yes"}}, "finetune.classifier.batch_norm is 'yes'; give true or false"),
        ({"multiply": ["ALL"]}, "finetune.multiply is .*; give a mapping"),
        ({"multiply": {"ALL": 0}}, "finetune.multiply.ALL is 0; give a number, above 0"),
        ({"multiply": {1: 2}}, "finetune.multiply has the key 1; a key is a name"),
        ({"multiply": {"ALL": 2}, "sampling": "class"}, "finetune.multiply beside sampling 'class'"),
        ({"class_weights": "positive"}, "finetune.class_weights is 'positive' with loss 'cross-entropy'"),
        ({"class_weights": "heavy"}, "finetune.class_weights 'heavy' is not known"),
        ({"loss_weights": [1, 1]}, "finetune.loss_weights belongs to loss 'symmetric'"),
        ({"loss": "symmetric", "label_smoothing": 0.1}, "finetune.label_smoothing with loss 'symmetric'"),
        ({"validation": 1}, "finetune.validation is 1; give a number, 0 or more, below 1"),
        ({"head_trains_on": "some"}, "finetune.head_trains_on 'some' is not known"),
        ({"seed": -1}, "finetune.seed is -1"),
        (3, "finetune is 3; give a mapping of its options"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_in_one_line(wrong: Any, words: str) -> None:
    """With its key, as it stands in a recipe."""
    with pytest.raises(UsageError, match=words) as caught:
        FineTune.of(wrong)
    assert "\n" not in str(caught.value)


def test_a_label_counts_epochs() -> None:
    """In words."""
    assert (FineTune(epochs=1).label, FineTune().label) == ("tuned 1 epoch", "tuned 3 epochs")


def test_an_augmentation_knows_what_it_does() -> None:
    """Nothing, mirroring alone (exact), or resampling."""
    assert (Augment().changes, Augment().warps) == (False, False)
    assert (Augment(hflip=0.5).changes, Augment(hflip=0.5).warps) == (True, False)
    assert (Augment(scale=(0.9, 1)).changes, Augment(scale=(0.9, 1)).warps) == (True, True)


def test_prellbergs_steps() -> None:
    """Rates x1 in epochs 0-1, x0.1 in 2-3, x0.01 in 4-5."""
    schedule = Schedule("step", factor=0.1, every=2)
    factors = [rate_factor(schedule, epoch + part, 0.5, 6) for epoch in range(6) for part in (0, 0.5)]
    assert factors == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 4)


def test_a_warm_up_rises_to_the_schedule() -> None:
    """Linearly, in the first step already above 0; the cosine begins where it ends."""
    schedule = Schedule("cosine", warmup=1.0)
    factors = [rate_factor(schedule, at / 4, 0.25, 3) for at in range(12)]
    assert factors[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert factors[8] == pytest.approx(0.5)
    assert factors[4:] == sorted(factors[4:], reverse=True)


def test_a_plateau_counts_as_keras_does() -> None:
    """Saeed's patience 1: each epoch without a better value halves the rate; three in a row end the training."""
    now = standing([0.9, 0.91, 0.90, 0.905, 0.89], higher=True, patience=1)
    assert (now.best, now.waited, now.reductions, now.in_a_row) == (1, 3, 3, 3)
    now = standing([0.9, 0.8, 0.95], higher=True, patience=1)
    assert (now.best, now.waited, now.reductions, now.in_a_row) == (2, 0, 1, 0)
    assert standing([1, 2, 2, 2, 2], higher=False, patience=2).reductions == 2
    assert standing([], higher=True).best == -1
    assert standing([0.5, 0.5], higher=True).best == 0  # of equal epochs the first


def test_a_recipe_costs_no_torch() -> None:
    """Reading `leukfeat --help` or a recipe must not load a deep-learning library."""
    code = "import leukfeat.backbones.finetune, sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_have_their_own_error() -> None:
    """A caller may offer the known ones."""
    with pytest.raises(UnknownNameError):
        ClassifierSpec(activation="swish")
