"""The classifier that is trained on top of an embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

from torch import Tensor, nn

from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.errors import UsageError

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {"elu": nn.ELU, "gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
)


class Classifier(nn.Module):
    """From the embedding to logits: batch normalisation, hidden layers, dropout, one linear layer.

    Parameters
    ----------
    dim : int
        d, the length of the embedding.
    n_classes : int
        K, at least 2.
    spec : ClassifierSpec
        Which of these there are. Weights are drawn from torch's current random state.

    Raises
    ------
    UsageError
        Fewer than two classes.
    """

    def __init__(self, dim: int, n_classes: int, spec: ClassifierSpec | None = None) -> None:
        super().__init__()
        if n_classes < 2:
            raise UsageError(f"a classifier for {n_classes} class(es); it tells at least two apart")
        spec = ClassifierSpec() if spec is None else spec
        self.norm = nn.BatchNorm1d(dim) if spec.batch_norm else nn.Identity()
        widths = (dim, *spec.hidden)
        self.hidden = nn.Sequential()
        for n_in, n_out in pairwise(widths):
            self.hidden.append(nn.Linear(n_in, n_out))
            self.hidden.append(ACTIVATIONS[spec.activation]())
        self.dropout = nn.Dropout(spec.dropout)
        self.last = nn.Linear(widths[-1], n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits: (B, d) -> (B, K)."""
        return self.last(self.dropout(self.hidden(self.norm(x))))  # type: ignore[no-any-return]
