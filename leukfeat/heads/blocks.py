"""Many rows for XGBoost, which takes them in blocks."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.heads.spec import Matrix

_LARGE = 64 * 2**20  # bytes of rows from which on they are taken in blocks
_BLOCK = 16 * 2**20  # bytes of a block


def quantized(X: Matrix, y: NDArray[np.int64], **how: Any) -> Any:
    """An ``xgboost.QuantileDMatrix``; of many rows some at a time, so that they need not all be copied.

    Parameters
    ----------
    X : Matrix of shape (n, d)
        Features.
    y : ndarray of shape (n,)
        Classes.
    **how
        As ``xgboost.QuantileDMatrix`` takes it. The bins are the same either way.
    """
    import xgboost

    if X.nbytes < _LARGE:
        return xgboost.QuantileDMatrix(X[:], y, **how)
    blocks = _iterator()(X, y, max(1, _BLOCK * X.shape[0] // max(1, X.nbytes)))
    try:
        return xgboost.QuantileDMatrix(blocks, **how)
    finally:
        blocks.X = blocks.y = None  # the iterator and what XGBoost makes of it hold each other for a while


@cache
def _iterator() -> type:
    """XGBoost's iterator over blocks of rows; a class of its own library, which is imported when it is needed."""
    import xgboost

    class Blocks(xgboost.DataIter):  # type: ignore[misc]  # xgboost is untyped
        def __init__(self, X: Matrix, y: NDArray[np.int64], size: int) -> None:
            self.X, self.y, self.size, self.done = X, y, size, 0
            super().__init__(release_data=True)

        def reset(self) -> None:
            self.done = 0

        def next(self, input_data: Any) -> bool:
            if self.done >= len(self.y):
                return False
            part = slice(self.done, self.done + self.size)
            input_data(data=self.X[part], label=self.y[part])
            self.done += self.size
            return True

    return Blocks
