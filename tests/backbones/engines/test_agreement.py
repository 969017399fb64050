"""An engine that computes something else is refused, also where rows of all images point the same way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from leukfeat.backbones.engines import Engine, open_engine
from leukfeat.backbones.engines.agreement import check_agreement, lowest_cosine
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import Network
from leukfeat.errors import EngineError


class Changed:
    """An engine whose vectors are changed on the way out."""

    name, details, batch_size, in_flight = "changed", "", None, 1

    def __init__(self, engine: Engine, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._engine, self._change = engine, change

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._change(self._engine.embed(images))


def test_pytorch_agrees_with_itself(opened: Callable[..., Engine]) -> None:
    check_agreement(opened("eager"), opened("eager"), (32, 32))
    check_agreement(Changed(opened("eager"), lambda X: X * np.float32(1 + 1e-6)), opened("eager"), (32, 32))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda X: -X,
        lambda X: X[::-1],
        lambda X: X * 1.1,
        lambda X: X * np.nan,
        lambda X: X * 0,
        lambda X: X[:, :-1],
        lambda X: X + np.linspace(0, 0.01, X.shape[1], dtype=np.float32) * np.abs(X).max(),
    ],
    ids=["sign", "order", "scale", "nan", "zero", "length", "shift"],
)
def test_other_vectors_are_refused(
    opened: Callable[..., Engine], change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    with pytest.raises(EngineError, match="engine changed"):
        check_agreement(Changed(opened("eager"), change), opened("eager"), (32, 32))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["mean", "std"])
def test_another_normalisation_is_refused(network: Network, inputs: Inputs, field: str) -> None:
    other = Inputs.from_description({**inputs.describe(), field: [0.4, 0.4, 0.4]})
    found, expected = (open_engine("eager", network, how, torch.device("cpu")) for how in (other, inputs))
    with pytest.raises(EngineError, match="does not agree"):
        check_agreement(found, expected, inputs.size)


def test_the_lowest_cosine_of_rows() -> None:
    a = np.array([[1, 0], [1, 1], [0, 0]], dtype=np.float32)
    b = np.array([[2, 0], [1, 0], [0, 0]], dtype=np.float32)
    assert lowest_cosine(a, b) == pytest.approx(np.sqrt(0.5))
    assert lowest_cosine(a, a) == pytest.approx(1.0)
    assert lowest_cosine(a, a * np.float32(0)) == 0.0
