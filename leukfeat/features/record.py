"""Features as files of any format hold them: a matrix, text columns, and facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Record:
    """What is written to a file, or was read from one.

    Attributes
    ----------
    X : ndarray of shape (n, d), float32
        Vectors.
    columns : mapping of str to tuple of str
        ``sample_ids`` and, when written, ``paths``, ``labels``, ``subject``; one entry a row.
    facts : mapping
        ``encoder``, ``leukfeat_version``, ``provenance``, ``seen``; JSON types.
    """

    X: NDArray[np.float32]
    columns: Mapping[str, tuple[str, ...]]
    facts: Mapping[str, Any]

    def rows(self, rows: NDArray[np.int64]) -> Record:
        """Some of the rows."""
        columns = {name: tuple(column[row] for row in rows) for name, column in self.columns.items()}
        return Record(self.X[rows], columns, self.facts)
