"""The classifier on an embedding is built as its description says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from leukfeat.backbones.classifier import ACTIVATIONS, Classifier
from leukfeat.backbones.finetune import ACTIVATION_NAMES, ClassifierSpec
from leukfeat.errors import UsageError


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_without_options_it_is_one_linear_layer() -> None:
    torch.manual_seed(0)
    classifier = Classifier(5, 3)
    x = torch.randn(4, 5)
    assert n_parameters(classifier) == 5 * 3 + 3
    assert torch.equal(classifier(x), x @ classifier.last.weight.T + classifier.last.bias)


@pytest.mark.parametrize(
    ("dim", "n_classes", "spec", "parameters"),
    [
        # Saeed: BN, 256 with ELU, 2 classes, on the 2 x 1280 numbers of EfficientNetV2S
        (2560, 2, ClassifierSpec((256,), "elu", batch_norm=True), 2 * 2560 + 2560 * 256 + 256 + 256 * 2 + 2),
        # Sajon: BN, 512 and 128 with ReLU, dropout, 4 classes, on DenseNet201's map of 7 x 7 x 1920, flattened
        (
            94080,
            4,
            ClassifierSpec((512, 128), "relu", batch_norm=True, dropout=0.25),
            2 * 94080 + 94080 * 512 + 512 + 512 * 128 + 128 + 128 * 4 + 4,
        ),
        # Ullah: the fully connected layers of VGG16 on its map of 7 x 7 x 512
        (25088, 2, ClassifierSpec((4096, 4096)), 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 2 + 2),
    ],
    ids=["saeed", "sajon", "ullah"],
)
def test_the_papers_classifiers_have_the_parameters_of_their_layers(
    dim: int, n_classes: int, spec: ClassifierSpec, parameters: int
) -> None:
    with torch.device("meta"):
        assert n_parameters(Classifier(dim, n_classes, spec)) == parameters


def test_layers_come_in_the_order_of_the_papers() -> None:
    """Batch normalisation before the first layer, dropout before the last, an activation after each hidden one."""
    classifier = Classifier(6, 2, ClassifierSpec((5, 4), "elu", batch_norm=True, dropout=0.5)).eval()
    x = torch.randn(7, 6)
    h = (x - classifier.norm.running_mean) / (classifier.norm.running_var + 1e-5).sqrt()
    for linear in (classifier.hidden[0], classifier.hidden[2]):
        h = torch.nn.functional.elu(linear(h))
    torch.testing.assert_close(classifier(x), classifier.last(h))


def test_dropout_is_for_training_only() -> None:
    classifier = Classifier(64, 2, ClassifierSpec(dropout=0.5))
    x = torch.ones(1, 64)
    assert not torch.equal(classifier.train()(x), classifier(x))
    assert torch.equal(classifier.eval()(x), classifier(x))


def test_dropout_stands_directly_before_the_last_layer() -> None:
    """Where next to everything is dropped there, nothing is left but the last layer's bias."""
    torch.manual_seed(0)
    classifier = Classifier(6, 2, ClassifierSpec((5,), dropout=1 - 1e-9)).train()
    torch.testing.assert_close(classifier(torch.randn(1, 6)), classifier.last.bias.unsqueeze(0))


def test_every_activation_that_may_be_asked_for_exists() -> None:
    assert set(ACTIVATIONS) == set(ACTIVATION_NAMES)


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match="at least two"):
        Classifier(5, 1)
