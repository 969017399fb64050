"""What papers compute from a two-class confusion matrix, as a table.

Every measure has the law that the search rests on: for fixed numbers of positives and negatives it never falls when a
wrong answer becomes right. A share of nothing (precision where nothing is called positive) is 0, as most tools print.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
Measure = Callable[[Counts, Counts, Counts, Counts], Values]  # true positives, false negatives, false positives, …


def share(part: ArrayLike, whole: ArrayLike) -> Values:
    """``part / whole``, 0 where there is no whole."""
    above, below = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    return np.asarray(np.divide(above, below, out=np.zeros(above.shape), where=below != 0))


# A share of sums of cells: weights of (TP, FN, FP, TN) above and below the line. These are linear in each cell, so
# they can also be judged where the number of images is unknown.
RATIOS: Mapping[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int]]] = MappingProxyType(
    {
        "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
        "sensitivity": ((1, 0, 0, 0), (1, 1, 0, 0)),
        "specificity": ((0, 0, 0, 1), (0, 0, 1, 1)),
        "precision": ((1, 0, 0, 0), (1, 0, 1, 0)),
        "npv": ((0, 0, 0, 1), (0, 1, 0, 1)),
        "f1": ((2, 0, 0, 0), (2, 1, 1, 0)),
    }
)


def _ratio(name: str) -> Measure:
    above, below = RATIOS[name]

    def measure(tp: Counts, fn: Counts, fp: Counts, tn: Counts) -> Values:
        cells = (tp, fn, fp, tn)
        return share(_weighed(above, cells), _weighed(below, cells))

    return measure


def _weighed(weights: tuple[int, ...], cells: tuple[Counts, ...]) -> Counts:
    terms = [cell if weight == 1 else weight * cell for weight, cell in zip(weights, cells, strict=True) if weight]
    return functools.reduce(operator.add, terms)


def _averaged(of: str, *, weighted: bool) -> Measure:
    """Mean of a measure over both classes, each in turn the positive one."""
    measure = _ratio(of)

    def averaged(tp: Counts, fn: Counts, fp: Counts, tn: Counts) -> Values:
        positives, negatives = (tp + fn, fp + tn) if weighted else (np.ones_like(tp), np.ones_like(tn))
        both = positives * measure(tp, fn, fp, tn) + negatives * measure(tn, fp, fn, tp)
        return share(both, positives + negatives)

    return averaged


def _matthews(tp: Counts, fn: Counts, fp: Counts, tn: Counts) -> Values:
    """Correlation of truth and answer (Matthews 1975); 0 where one of them has one class only."""
    margins = np.sqrt((tp + fn) * (fp + tn) * 1.0) * np.sqrt((tp + fp) * (fn + tn) * 1.0)
    return share(tp * tn - fp * fn, margins)


def _kappa(tp: Counts, fn: Counts, fp: Counts, tn: Counts) -> Values:
    """Agreement beyond chance (Cohen 1960)."""
    beyond = (tp + fn) * (fn + tn) + (tp + fp) * (fp + tn)
    return share(2 * (tp * tn - fn * fp), beyond)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        **{name: _ratio(name) for name in RATIOS},
        "balanced_accuracy": _averaged("sensitivity", weighted=False),
        "macro_precision": _averaged("precision", weighted=False),
        "macro_f1": _averaged("f1", weighted=False),
        "weighted_precision": _averaged("precision", weighted=True),
        "weighted_f1": _averaged("f1", weighted=True),
        "mcc": _matthews,
        "kappa": _kappa,
    }
)
"""Name to function of the cells."""

OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {"recall": "sensitivity", "ppv": "precision", "macro_recall": "balanced_accuracy", "weighted_recall": "accuracy"}
)
"""Names under which papers print the same measures."""

BEYOND_COUNTS = frozenset({"auroc", "auprc", "log_loss", "brier", "ece"})
"""Figures that need scores; no confusion matrix says what they are."""
