"""What training makes small: a loss for each image, and the weight with which it enters the mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from leukfeat.backbones.finetune import FineTune
from leukfeat.errors import UsageError

_LOG_OF_0 = -4.0  # A of symmetric cross-entropy


@dataclass(frozen=True)
class Loss:
    """A loss, ready for a data set.

    Attributes
    ----------
    each : callable(logits (B, K), y (B,)) -> (B,)
        Loss of each image, its weight included.
    class_weights : tensor of shape (K,)
        By which the mean over a batch divides, as PyTorch's losses with class weights do; ones without them.
    """

    each: Callable[[Tensor, Tensor], Tensor]
    class_weights: Tensor

    def weight(self, y: Tensor) -> Tensor:
        """What the sum over a batch is divided by."""
        return self.class_weights[y].sum()


def make_loss(
    finetune: FineTune, classes: Sequence[str], counts: Sequence[int], positive: str | None, device: torch.device
) -> Loss:
    """The loss a fine-tune means, for classes of known size.

    Parameters
    ----------
    finetune : FineTune
        ``loss``, ``loss_weights``, ``label_smoothing`` and ``class_weights`` count.
    classes : sequence of str
        In the order of the logits.
    counts : sequence of int
        Training images of each class, at least one.
    positive : str or None
        The positive class.
    device : torch.device
        Where the logits are.

    Raises
    ------
    UsageError
        ``bce`` for more than two classes, or a weight for a positive class that nobody named.
    """
    n, k = sum(counts), len(classes)
    balanced = finetune.class_weights == "balanced"
    weights = torch.tensor([n / (k * count) if balanced else 1.0 for count in counts], device=device)
    if finetune.loss == "bce":
        each = _bce(finetune, classes, counts, positive, weights)
    else:
        each = _LOSSES[finetune.loss](finetune, weights)
    return Loss(each, weights)


def _cross_entropy(finetune: FineTune, weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    smoothing = finetune.label_smoothing
    return lambda logits, y: functional.cross_entropy(
        logits, y, weight=weights, label_smoothing=smoothing, reduction="none"
    )


def _symmetric(finetune: FineTune, weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """alpha · CE + beta · RCE, where RCE = -Σ p_k log q_k with log 0 = A, which comes to -A (1 - p_y).

    References
    ----------
    Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", 2019, doi:10.1109/ICCV.2019.00041.
    """
    alpha, beta = finetune.loss_weights or (0.1, 1.0)

    def each(logits: Tensor, y: Tensor) -> Tensor:
        forward = functional.cross_entropy(logits, y, reduction="none")
        own = logits.softmax(dim=1).gather(1, y[:, None]).squeeze(1)  # p_y
        return weights[y] * (alpha * forward - beta * _LOG_OF_0 * (1 - own))

    return each


_LOSSES: Mapping[str, Callable[[FineTune, Tensor], Callable[[Tensor, Tensor], Tensor]]] = MappingProxyType(
    {"cross-entropy": _cross_entropy, "symmetric": _symmetric}
)


def _bce(
    finetune: FineTune, classes: Sequence[str], counts: Sequence[int], positive: str | None, weights: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """Binary cross-entropy on z_positive - z_negative; without a weight it is the cross-entropy of two classes."""
    if len(classes) != 2:
        raise UsageError(f"finetune.loss 'bce' is for two classes, and there are {len(classes)}; use 'cross-entropy'")
    if positive not in classes and finetune.class_weights not in ("none", "balanced"):
        raise UsageError(
            f"finetune.class_weights {finetune.class_weights!r} weighs the positive class, and none is named;"
            f" name it with --positive ({' or '.join(classes)})"
        )
    one = classes.index(positive) if positive in classes else 1
    asked = finetune.class_weights
    ratio = counts[1 - one] / counts[one] if asked == "positive" else 1.0 if isinstance(asked, str) else asked
    weight = torch.tensor(ratio, dtype=torch.float32, device=weights.device)
    smoothing = finetune.label_smoothing

    def each(logits: Tensor, y: Tensor) -> Tensor:
        odds = logits[:, one] - logits[:, 1 - one]  # (B, 2) -> (B,)
        target = (y == one).to(odds.dtype) * (1 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(odds, target, pos_weight=weight, reduction="none")
        return weights[y] * losses

    return each
