"""Row weights that make classes, or subjects within classes, count equally."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced_weights(balance: str, y: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Weights with mean 1.

    ``class``: w_i = n / (K n_c), each class has the same total weight. ``subject``: w_i = n / (K S_c n_s), each class
    has the same total weight, and within a class each of its S_c subjects, whatever its number of rows n_s. The mean
    is 1 because limits such as XGBoost's ``min_child_weight`` are in units of a row.

    Parameters
    ----------
    balance : {"none", "class", "subject"}
        What shall count equally.
    y : ndarray of shape (n,)
        Class of each row.
    groups : ndarray of shape (n,)
        Subject of each row. One with rows of several classes counts as a subject of each.

    Returns
    -------
    ndarray of shape (n,), float64, or None
        None for ``none``.

    Examples
    --------
    >>> balanced_weights("subject", np.array([0, 0, 0, 1]), np.array([5, 5, 6, 7])).tolist()
    [0.5, 0.5, 1.0, 2.0]
    """
    if balance == "none":
        return None
    classes, y_index = np.unique(y, return_inverse=True)
    if balance == "class":
        return len(y) / (len(classes) * np.bincount(y_index)[y_index])
    pairs, pair_of_row, rows = np.unique(
        np.column_stack([y_index, groups]), axis=0, return_inverse=True, return_counts=True
    )
    pair_of_row = pair_of_row.reshape(-1)
    subjects = np.bincount(pairs[:, 0])  # of each class
    return len(y) / (len(classes) * subjects[y_index] * rows[pair_of_row])
