"""Every outcome of a test of several classes that agrees with figures as printed.

Per-class figures and their averages depend on the confusion matrix only through the diagonal TP and the column sums,
so an outcome is, for every class, TP and the number FP of images that are wrongly called so. Such numbers come from
some matrix exactly where the FP and the FN both sum to the errors E, and no class has more of FN + FP than E (Hall's
condition for a table whose diagonal is taken).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leukfeat.audit.claims import Count, Figure
from leukfeat.audit.matrices import LISTED, Band
from leukfeat.audit.measures import OTHER_NAMES, Counts, Values, share
from leukfeat.audit.printed import SLACK

_COMBINATIONS = 20_000  # of numbers over the classes
_EACH = {"sensitivity", "precision", "f1"}
CLASSWISE = frozenset({*_EACH, "accuracy"} | {f"{kind}_{of}" for kind in ("macro", "weighted") for of in _EACH})
"""Measures that are judged where there are more than two classes."""


@dataclass(frozen=True, eq=False)
class FoundClasses:
    """Outcomes that agree.

    Attributes
    ----------
    tp, fp : ndarray of shape (m, k), int64
        For each class.
    misfit : ndarray of shape (m,), float64
        The largest difference to what is printed, 0 where all of it would be printed so.
    complete : bool
        Whether every possibility was looked at.
    """

    tp: Counts
    fp: Counts
    misfit: Values
    complete: bool


def search_classes(
    supports: Sequence[int],
    figures: Sequence[tuple[Figure, str, int | None]],
    wrong: Mapping[int, Count],
    tolerance: float = 0.0,
) -> FoundClasses:
    """Find every outcome that agrees with all figures.

    Parameters
    ----------
    supports : sequence of int
        Test images of each class.
    figures : sequence of (Figure, str, int or None)
        A figure, its measure in :data:`CLASSWISE`, and the class it is about (``None``: all of them).
    wrong : mapping of int to Count
        Known numbers of misclassified images of a class.
    tolerance : float
        How far a value may be from a printed one where it would be printed otherwise.
    """
    support = np.asarray(supports, dtype=np.int64)
    n, k = int(support.sum()), len(support)
    judged = [(figure, _known_as(measure), of) for figure, measure, of in figures]
    bands = [(measure, of, figure.printed.band(tolerance)) for figure, measure, of in judged]
    most = min([n, *(_most_errors(n, band) for measure, _, band in bands if measure == "accuracy")])
    candidates = [
        _diagonals(
            int(support[c]), most, wrong.get(c), [band for m, of, band in bands if m == "sensitivity" and of == c]
        )
        for c in range(k)
    ]
    tps, complete = _sums([int(of_class) - each for of_class, each in zip(support, candidates, strict=True)], most)
    kept_tp, kept_fp, listed = [np.zeros((0, k), np.int64)], [np.zeros((0, k), np.int64)], 0
    for tp in support - tps:
        fp, whole = _columns(tp, support, bands)
        complete &= whole
        kept_tp.append(np.broadcast_to(tp, fp.shape))
        kept_fp.append(fp)
        listed += len(fp)
        if listed > LISTED:
            complete = False
            break
    tp, fp = np.concatenate(kept_tp), np.concatenate(kept_fp)
    inside = np.ones(len(tp), dtype=bool)
    misfit = np.zeros(len(tp))
    for figure, measure, of in judged:
        values = classwise(measure, of, tp, fp, support)
        low, high = figure.printed.band(tolerance)
        inside &= (values >= low - SLACK) & (values <= high + SLACK)
        misfit = np.maximum(misfit, figure.printed.misfit(values))
    return FoundClasses(tp[inside], fp[inside], misfit[inside], complete)


def classwise(measure: str, of: int | None, tp: Counts, fp: Counts, support: Counts) -> Values:
    """A measure of :data:`CLASSWISE` of outcomes of shape (m, k): one value each."""
    if measure == "accuracy":
        return share(tp.sum(axis=1), support.sum())
    kind, _, each = measure.rpartition("_")
    whole = {"sensitivity": support, "precision": tp + fp, "f1": (support + tp + fp) / 2}[each]
    values = share(tp, np.broadcast_to(whole, tp.shape))
    if of is not None:
        return values[:, of]
    weights = support / support.sum() if kind == "weighted" else np.full(len(support), 1 / len(support))
    return np.asarray((values * weights).sum(axis=1))


def _known_as(measure: str) -> str:
    """The name under which a measure is computed here."""
    if measure == "balanced_accuracy":
        return "macro_sensitivity"
    return OTHER_NAMES.get(measure, measure)


def _most_errors(n: int, band: Band) -> int:
    return math.floor(n * (1 - band[0]) + 1e-9)


def _diagonals(support: int, most: int, wrong: Count | None, bands: Sequence[Band]) -> Counts:
    """What TP of a class may be."""
    tp = np.arange(max(0, support - most), support + 1)
    recall = share(tp, support)
    for low, high in bands:
        kept = (recall >= low - SLACK) & (recall <= high + SLACK)
        tp, recall = tp[kept], recall[kept]
    if wrong is not None:
        tp = tp[(support - tp >= wrong.low) & (support - tp <= wrong.high)]
    return tp


def _columns(tp: Counts, support: Counts, bands: Sequence[tuple[str, int | None, Band]]) -> tuple[Counts, bool]:
    """Every FP that goes with a diagonal, of shape (m, k), and whether these are all."""
    errors = int(support.sum() - tp.sum())
    options = []
    for c, (right, of_class) in enumerate(zip(tp.tolist(), support.tolist(), strict=True)):
        fp = np.arange(errors - (of_class - right) + 1)  # FN + FP is at most E
        for measure, of, (low, high) in bands:
            if of == c and measure in ("precision", "f1"):
                whole = right + fp if measure == "precision" else (of_class + right + fp) / 2
                value = share(right, whole)
                fp = fp[(value >= low - SLACK) & (value <= high + SLACK)]
        options.append(fp)
    made, complete = _sums(options[:-1], errors)
    rest = errors - made.sum(axis=1)
    kept = np.isin(rest, options[-1])
    return np.concatenate([made[kept], rest[kept][:, None]], axis=1), complete


def _sums(options: Sequence[Counts], most: int) -> tuple[Counts, bool]:
    """Every choice of a number from each list with a sum up to ``most``, of shape (m, k), and whether these are all."""
    made, complete = np.zeros((1, 0), dtype=np.int64), True
    for numbers in options:
        made = np.concatenate([np.repeat(made, len(numbers), axis=0), np.tile(numbers, len(made))[:, None]], axis=1)
        made = made[made.sum(axis=1) <= most]
        complete &= len(made) <= _COMBINATIONS
        made = made[:_COMBINATIONS]
    return made, complete
