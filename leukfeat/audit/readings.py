"""Other things that a table may mean: the other class is positive, or columns hold what stands above others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from leukfeat.audit.claims import Claim, Row
from leukfeat.audit.matrices import Constraint
from leukfeat.audit.measures import BEYOND_COUNTS, OTHER_NAMES

# What is said of the columns, and which measure each of them then holds.
EXCHANGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "": {},
        "sensitivity, specificity and precision hold PPV, NPV and recall": {
            "sensitivity": "precision",
            "specificity": "npv",
            "precision": "sensitivity",
        },
        "sensitivity and precision are exchanged": {"sensitivity": "precision", "precision": "sensitivity"},
        "sensitivity and specificity are exchanged": {"sensitivity": "specificity", "specificity": "sensitivity"},
        "specificity holds NPV": {"specificity": "npv"},
        "precision, recall and F1 are means over the classes": {
            "precision": "macro_precision",
            "sensitivity": "balanced_accuracy",
            "f1": "macro_f1",
        },
        "precision, recall and F1 are means weighted by class": {
            "precision": "weighted_precision",
            "sensitivity": "accuracy",
            "f1": "weighted_f1",
        },
    }
)


@dataclass(frozen=True)
class Reading:
    """What the figures of a row mean.

    Attributes
    ----------
    words : str
        What has to be true for it; empty where the row is taken as it is labelled.
    constraints : tuple of Constraint
        The figures, the first class of the test part being the one that TP counts.
    """

    words: str
    constraints: tuple[Constraint, ...]


def as_labelled(claim: Claim, row: Row) -> list[Reading]:
    """The readings that the labels of a row allow: one, unless columns or the positive class are open."""
    return [
        Reading(words, constraints)
        for swapped in ((False, True) if claim.test.either else (False,))
        for words, constraints in _meanings(claim, row, {}, swapped=swapped)
    ]


def otherwise(claim: Claim, row: Row) -> list[Reading]:
    """Readings that contradict the labels, each different set of figures once."""
    first, second = claim.test.classes
    seen = {frozenset(reading.constraints) for reading in as_labelled(claim, row)}
    readings = []
    for (words, exchange), swapped in itertools.product(EXCHANGES.items(), (False, True)):
        named = any(figure.of for figure in row.figures)
        turned = f"{first} and {second} are exchanged" if named else f"positive is {second}"
        told = " and ".join([turned] * swapped + [words] * bool(words))
        for more, constraints in _meanings(claim, row, exchange, swapped=swapped):
            if frozenset(constraints) not in seen:
                seen.add(frozenset(constraints))
                readings.append(Reading("; ".join(filter(None, (told, more))), constraints))
    return readings


def beyond_counts(row: Row) -> list[str]:
    """Columns of a row that no confusion matrix determines."""
    return [figure.column for figure in row.figures if figure.column in BEYOND_COUNTS]


def _meanings(
    claim: Claim, row: Row, exchange: Mapping[str, str], *, swapped: bool
) -> Iterator[tuple[str, tuple[Constraint, ...]]]:
    open_ = {figure.column: claim.columns[figure.column] for figure in row.figures if figure.column in claim.columns}
    for meanings in itertools.product(*open_.values()):
        meant = dict(zip(open_, meanings, strict=True))
        constraints = []
        for figure in row.figures:
            if figure.column in BEYOND_COUNTS:
                continue
            measure = meant.get(figure.column, figure.column)
            measure = OTHER_NAMES.get(measure, measure)
            if not figure.of:
                measure = exchange.get(measure, measure)
            other = figure.of == claim.test.classes[1]
            constraints.append(Constraint(measure, figure.printed, swapped != other))
        several = {column: measure for column, measure in meant.items() if len(open_[column]) > 1}
        yield ", ".join(f"{column} is {measure}" for column, measure in several.items()), tuple(constraints)
