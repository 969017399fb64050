"""How a network is trained: frozen, hashable, and torch-free, so that a recipe can be read without a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leukfeat.backbones.augmentation_spec import Augment
from leukfeat.backbones.schedule import Schedule
from leukfeat.backbones.settings import (
    check_choice,
    check_flag,
    check_number,
    check_pair,
    check_pairs,
    check_whole,
    check_wholes,
    described,
    fill_defaults,
    part_of,
)
from leukfeat.errors import UsageError

__all__ = ["Augment", "ClassifierSpec", "FineTune", "Schedule"]

OPTIMIZER_NAMES = ("adam", "adamax", "adamw", "sgd")
LOSS_NAMES = ("bce", "cross-entropy", "symmetric")
CLASS_WEIGHT_NAMES = ("balanced", "none", "positive")
SAMPLING_NAMES = ("class", "shuffle", "subject")
METRIC_NAMES = ("accuracy", "auroc", "balanced_accuracy", "loss")
SELECT_NAMES = ("best", "last")
HEAD_NAMES = ("all", "unseen")
BATCH_NORM_NAMES = ("frozen", "update")
ACTIVATION_NAMES = ("elu", "gelu", "relu", "silu", "tanh")

_OPTIMIZER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "adam": {"weight_decay": 0.0},
    "adamax": {"weight_decay": 0.0},
    "adamw": {"weight_decay": 1e-2},
    "sgd": {"weight_decay": 0.0, "momentum": 0.9},
}


@dataclass(frozen=True)
class ClassifierSpec:
    """What stands between the embedding and the logits in training.

    Attributes
    ----------
    hidden : tuple of int
        Widths of hidden layers, first to last; empty for one linear layer.
    activation : str
        After each hidden layer.
    batch_norm : bool
        Whether the embedding is normalised before the first layer.
    dropout : float
        Before the last layer.

    Raises
    ------
    UnknownNameError
        No such activation.
    UsageError
        A value that means nothing.
    """

    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        key = "finetune.classifier"
        check_wholes(self, key, "hidden", low=1)
        check_choice(self, key, "activation", ACTIVATION_NAMES)
        check_flag(self, key, "batch_norm")
        check_number(self, key, "dropout", low=0, high=1, open_high=True)

    @classmethod
    def of(cls, value: ClassifierSpec | Mapping[str, Any] | None) -> ClassifierSpec:
        """A classifier, its description, or None for one linear layer."""
        return cls() if value is None else part_of(cls, "finetune.classifier", value)

    from_description = of

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return described(self)


@dataclass(frozen=True)
class FineTune:
    """How a network is trained on the training part of a fold; every part may be given as a plain mapping.

    Attributes
    ----------
    epochs : int
        At most this many.
    batch_size, accumulate : int
        Images in a forward pass, and forward passes to one step of the optimiser.
    optimizer : str
        ``"adamw"``, ``"adam"``, ``"adamax"`` or ``"sgd"``.
    lr : float
        Base learning rate.
    lr_of : mapping of str to float
        Rates of groups of parameters: ``"classifier"``, ``"attention"``, or a module of the trunk (``"layer1"``,
        ``"blocks.0"``), the longest name counting; 0 leaves a group as it is. Kept as sorted pairs.
    momentum, weight_decay : float or None
        None for the optimiser's default: momentum 0.9 (``sgd`` only), decay 0.01 for ``adamw`` and 0 for the others.
    schedule : Schedule
        How the rate changes.
    frozen_epochs : int
        So many epochs at the start the trunk stays as it is, the statistics of its BatchNorm layers too.
    batch_norm : str
        ``"update"``, or ``"frozen"``: BatchNorm layers of the trunk keep their statistics in all epochs. Weights whose
        normalisation is folded into the convolutions need that.
    loss : str
        ``"cross-entropy"``, ``"bce"`` (two classes: on the difference of their logits) or ``"symmetric"``.
    loss_weights : (float, float) or None
        alpha and beta of ``symmetric``; (0.1, 1) where None.
    label_smoothing : float
        Share of a label that is spread over all classes.
    class_weights : str or float
        ``"none"``, ``"balanced"`` (n / (K n_c)), ``"positive"`` (``bce``: the positive class weighs
        n_negative / n_positive) or that weight as a number.
    sampling : str
        ``"shuffle"`` (every image once an epoch), ``"class"`` or ``"subject"`` (as many showings, balanced between
        classes, or between the subjects of each class as well).
    multiply : mapping of str to float
        How often an image of a class is shown an epoch, each time augmented anew. Kept as sorted pairs.
    augment : Augment
        What is done to images.
    classifier : ClassifierSpec
        What is put on the embedding.
    validation : float
        Share of the training part's groups that choose the epoch; 0 for none.
    select : str
        Weights that are kept: of the ``"best"`` epoch by ``metric``, or of the ``"last"``.
    metric : str
        ``"loss"``, ``"accuracy"``, ``"balanced_accuracy"`` or ``"auroc"``, on the validation rows.
    patience : int or None
        Training ends after so many epochs in a row without a better value.
    head_trains_on : str
        A head on the features is fitted on ``"all"`` training rows, or on ``"unseen"`` ones, kept from this training.
    unseen_share : float
        Share of the groups that is kept from this training for the head.
    clip_norm : float or None
        Largest norm of the gradient.
    seed : int
        Of new weights, order, augmentation and dropout.

    Raises
    ------
    UnknownNameError
        A name that is in none of the tables above.
    UsageError
        A value that means nothing, or options that contradict each other.
    """

    epochs: int = 3
    batch_size: int = 32
    accumulate: int = 1
    optimizer: str = "adamw"
    lr: float = 5e-4
    lr_of: tuple[tuple[str, float], ...] = ()
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: Schedule = field(default_factory=Schedule)
    frozen_epochs: int = 0
    batch_norm: str = "update"
    loss: str = "cross-entropy"
    loss_weights: tuple[float, float] | None = None
    label_smoothing: float = 0.0
    class_weights: str | float = "none"
    sampling: str = "shuffle"
    multiply: tuple[tuple[str, float], ...] = ()
    augment: Augment = field(default_factory=Augment)
    classifier: ClassifierSpec = field(default_factory=ClassifierSpec)
    validation: float = 0.2
    select: str = "best"
    metric: str = "loss"
    patience: int | None = None
    head_trains_on: str = "all"
    unseen_share: float = 0.5
    clip_norm: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, part in (("schedule", Schedule), ("augment", Augment), ("classifier", ClassifierSpec)):
            object.__setattr__(self, name, part.of(getattr(self, name)))
        for name, known in _CHOICES.items():
            check_choice(self, "finetune", name, known)
        fill_defaults(self, "finetune", "optimizer", self.optimizer, _OPTIMIZER_DEFAULTS)
        if isinstance(self.class_weights, str):
            check_choice(self, "finetune", "class_weights", CLASS_WEIGHT_NAMES)
        for name, low in (("epochs", 1), ("batch_size", 1), ("accumulate", 1), ("patience", 1), ("seed", 0)):
            check_whole(self, "finetune", name, low=low)
        check_whole(self, "finetune", "frozen_epochs", low=0, high=self.epochs)
        for name in ("lr", "clip_norm", "class_weights"):
            check_number(self, "finetune", name, low=0, open_low=True)
        for name in ("momentum", "label_smoothing", "validation"):
            check_number(self, "finetune", name, low=0, high=1, open_high=True)
        check_number(self, "finetune", "weight_decay", low=0)
        check_number(self, "finetune", "unseen_share", low=0, high=1, open_low=True, open_high=True)
        check_pairs(self, "finetune", "lr_of", low=0)
        check_pairs(self, "finetune", "multiply", low=0, open_low=True)
        self._check_loss()
        if self.multiply and self.sampling != "shuffle":
            raise UsageError(
                f"finetune.multiply beside sampling {self.sampling!r}: both say how often an image is shown; give one"
            )

    def _check_loss(self) -> None:
        if self.loss == "symmetric" and self.loss_weights is None:
            object.__setattr__(self, "loss_weights", (0.1, 1.0))  # Wang et al. 2019, on CIFAR-10
        if self.loss_weights is not None:
            check_pair(self, "finetune", "loss_weights", low=0, ordered=False)
            if self.loss != "symmetric":
                raise UsageError(f"finetune.loss_weights belongs to loss 'symmetric', not to {self.loss!r}")
        if self.loss == "symmetric" and self.label_smoothing:
            raise UsageError(
                "finetune.label_smoothing with loss 'symmetric': that loss has its own remedy; set it to 0"
            )
        if self.loss != "bce" and (self.class_weights == "positive" or isinstance(self.class_weights, float)):
            raise UsageError(
                f"finetune.class_weights is {self.class_weights!r} with loss {self.loss!r}; a weight of the positive"
                " class belongs to loss 'bce', here give 'balanced' or 'none'"
            )

    @classmethod
    def of(cls, value: FineTune | Mapping[str, Any] | None) -> FineTune | None:
        """A fine-tune, its description, or None for none."""
        return None if value is None else part_of(cls, "finetune", value)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> FineTune:
        """The fine-tune that :meth:`describe` described."""
        return part_of(cls, "finetune", description)

    def replace(self, **changes: Any) -> FineTune:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return described(self)

    @property
    def label(self) -> str:
        """Short words for tables, e.g. ``tuned 3 epochs``."""
        return f"tuned {self.epochs} epoch{'s' if self.epochs != 1 else ''}"


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "optimizer": OPTIMIZER_NAMES,
    "batch_norm": BATCH_NORM_NAMES,
    "loss": LOSS_NAMES,
    "sampling": SAMPLING_NAMES,
    "select": SELECT_NAMES,
    "metric": METRIC_NAMES,
    "head_trains_on": HEAD_NAMES,
}
