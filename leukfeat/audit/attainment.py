"""Rows of two classes: which matrices give them, what tolerance they need, and what else they may mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.claims import Claim, Count, Row
from leukfeat.audit.judgement import Judgement, Status
from leukfeat.audit.matrices import Constraint, Found, Rectangles, every, search
from leukfeat.audit.measures import MEASURES, Counts
from leukfeat.audit.printed import SLACK, Printed, difference
from leukfeat.audit.readings import Reading, as_labelled, beyond_counts, otherwise
from leukfeat.audit.shares import positive_share

_WIDEST = 0.256  # beyond this tolerance figures say nothing
_FEW = 300_000  # matrices that are looked at one by one
_SHOWN = 100  # of more matrices no example is given
_FOR_OTHERS = 200_000  # pairs (P, TP) that are looked at for a reading that contradicts the labels


@dataclass(frozen=True, eq=False)
class Attained:
    """How a row can be attained under one reading, and the tolerance it needs: infinite where none helps."""

    reading: Reading
    found: Found
    needs: float

    def within(self, tolerance: float) -> bool:
        """Whether a tolerance is enough."""
        return self.needs <= tolerance + SLACK


def judge_row(claim: Claim, row: Row) -> tuple[Judgement, NDArray[np.bool_] | None]:
    """Judge a row of two classes.

    Returns
    -------
    Judgement
        What can be said.
    ndarray of shape (g,), bool, or None
        Which of ``claim.test.pairs()`` fit as labelled; None where none does, or not all of them were looked at.
    """
    readings = [_counted(claim, row, reading) for reading in as_labelled(claim, row)]
    left_out = beyond_counts(row)
    rectangles = _rectangles(claim, row)
    if not readings[0].constraints:
        told = f"{', '.join(left_out)} cannot be checked by counts" if left_out else "no figures"
        return Judgement("row", row.name, "undetermined", told, facts={"left_out": left_out}), None
    allowed = max(claim.tolerance, *(0.0 if c.exact else c.printed.unit / 2 for c in readings[0].constraints), 0.0)
    if rectangles is None:
        return _without_size(claim, row, readings[0], allowed), None
    attained = [attain(rectangles, reading) for reading in readings]
    best = min(attained, key=lambda each: each.needs)
    needs = best.needs if best.found.n_matrices else None
    facts: dict[str, Any] = {"test": claim.test.describe(), "left_out": left_out}
    if not best.within(claim.tolerance):
        status, words, more = _contradicted(claim, row, rectangles, attained, best)
        return Judgement("row", row.name, status, words, allowed, needs, facts | more), None
    found = _found_within(rectangles, best, claim.tolerance)
    able = [each for each in attained if each is not best and each.within(claim.tolerance)]
    fits = np.logical_or.reduce([found.fits, *(_found_within(rectangles, each, claim.tolerance).fits for each in able)])
    facts |= _facts(rectangles.positives[fits], found)
    words = f"{_fitting(claim, facts)}{_doubt(best, found)}"
    complete = all(_settled(rectangles, each, claim.tolerance) for each in attained)
    return Judgement("row", row.name, "attainable", words, allowed, needs, facts), fits if complete else None


def _contradicted(
    claim: Claim, row: Row, rectangles: Rectangles, attained: Sequence[Attained], best: Attained
) -> tuple[Status, str, dict[str, Any]]:
    """Status, words and facts of a row that is not attainable as labelled."""
    others = [attain(rectangles, _counted(claim, row, reading), limit=_FOR_OTHERS) for reading in otherwise(claim, row)]
    near = sorted((each for each in others if each.found.n_matrices), key=lambda each: each.needs)
    facts = {"readings": [_told(each) for each in near[:3]]}
    labelled = _needing(best)
    if not all(_settled(rectangles, each, claim.tolerance) for each in attained):
        return "undetermined", f"too many possibilities to look at all of them; {labelled}", facts
    if fitting := [each for each in near if each.within(claim.tolerance)]:
        words = "; or if ".join(f"{each.reading.words} ({_matrix(each.found.best)})" for each in fitting[:3])
        return "only if", f"fits if {words}; {labelled}", facts
    words = labelled
    if near and near[0].needs < best.needs - SLACK:
        words += f"; nearest if {near[0].reading.words}, which needs {difference(near[0].needs)}"
    if not all(_settled(rectangles, each, claim.tolerance) for each in others):
        words += "; other readings leave too many possibilities to look at all of them"
    return "impossible", words, facts


def _found_within(rectangles: Rectangles, attained: Attained, tolerance: float) -> Found:
    """What a tolerance allows; without one it has been found already."""
    return search(rectangles, attained.reading.constraints, tolerance) if tolerance else attained.found


def _settled(rectangles: Rectangles, attained: Attained, tolerance: float) -> bool:
    """Whether every possibility within a tolerance was looked at."""
    return attained.found.complete or search(rectangles, attained.reading.constraints, tolerance).complete


def fits_as_labelled(claim: Claim, row: Row) -> bool:
    """Whether any matrix gives a row within the tolerance of the claim."""
    rectangles = _rectangles(claim, row)
    return rectangles is None or any(
        search(rectangles, _counted(claim, row, reading).constraints, claim.tolerance).n_matrices
        for reading in as_labelled(claim, row)
    )


def attain(rectangles: Rectangles, reading: Reading, *, limit: int | None = None) -> Attained:
    """Find the smallest tolerance at which a row becomes attainable.

    Where there are few matrices all of them are looked at. Where there are many, a tolerance that is too small is
    doubled until there are some, and the nearest of these tells the smallest tolerance.
    """
    if rectangles.size <= _FEW:
        found = every(rectangles, reading.constraints)
        return Attained(reading, found, float(found.misfit.min(initial=math.inf)))
    found = search(rectangles, reading.constraints, limit=limit)
    if found.n_matrices:
        return Attained(reading, found, 0.0)
    units = [constraint.printed.unit for constraint in reading.constraints if not constraint.exact]
    tolerance = min(units, default=_WIDEST)
    while tolerance <= _WIDEST:
        found = search(rectangles, reading.constraints, tolerance, limit=limit)
        if found.n_matrices:
            return Attained(reading, found, float(found.misfit.min()))
        tolerance *= 2
    return Attained(reading, found, math.inf)


def _rectangles(claim: Claim, row: Row) -> Rectangles | None:
    pairs = claim.test.pairs()
    if pairs is None:
        return None
    positives, negatives = pairs
    first, second = claim.test.classes
    (tp_low, tp_high), (tn_low, tn_high) = (
        _right(row, name, other, total)
        for name, other, total in ((first, second, positives), (second, first, negatives))
    )
    return Rectangles(positives, negatives, tp_low, tp_high, tn_low, tn_high)


def _right(row: Row, name: str, other: str, total: Counts) -> tuple[Counts, Counts]:
    """How many images of a class may be classified rightly."""
    low, high = np.zeros_like(total), total
    if (right := row.answers.get((name, name))) is not None:
        low, high = np.maximum(low, right.low), np.minimum(high, right.high)
    for wrong in (row.answers.get((name, other)), row.errors.get(name)):
        if wrong is not None:
            low, high = np.maximum(low, total - wrong.high), np.minimum(high, total - wrong.low)
    return low, high


def _counted(claim: Claim, row: Row, reading: Reading) -> Reading:
    """A reading with the number of all errors, as an accuracy that allows no tolerance."""
    errors, size = row.errors.get(""), claim.test.size
    if errors is None or size is None or not size.known:
        return reading
    middle, width = (errors.low + errors.high) / 2, errors.high - errors.low
    told = Constraint("accuracy", Printed(1 - middle / size.low, width / size.low), exact=True)
    return replace(reading, constraints=(*reading.constraints, told))


def _without_size(claim: Claim, row: Row, reading: Reading, allowed: float) -> Judgement:
    first = claim.test.classes[0]
    shares = positive_share(reading.constraints, claim.tolerance)
    facts: dict[str, Any] = {"test": claim.test.describe(), "left_out": beyond_counts(row)}
    if shares is None:
        words = "no test part of any size gives these figures together"
        return Judgement("row", row.name, "impossible", words, allowed, None, facts)
    if shares[1] - shares[0] > 0.5:
        words = "n is not stated, and figures so few fit almost any test part"
        return Judgement("row", row.name, "undetermined", words, allowed, None, facts)
    low, high = (f"{100 * share:.1f}" for share in shares)
    words = f"n is not stated; the figures agree where {low} to {high} % of the images are {first}"
    return Judgement("row", row.name, "attainable", words, allowed, None, facts | {"positive_share": list(shares)})


def _facts(positives: Counts, found: Found) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "matrices": found.n_matrices,
        "complete": found.complete,
        "nearest": dict(zip(("tp", "fn", "fp", "tn"), found.best, strict=True)),
        "positives": [int(positives.min()), int(positives.max())],
    }
    if found.whole:
        implied = {name: MEASURES[name](*found.cells.T) for name in ("accuracy", "weighted_f1", "macro_f1")}
        facts["implied"] = {name: [float(values.min()), float(values.max())] for name, values in implied.items()}
    return facts


def _fitting(claim: Claim, facts: Mapping[str, Any]) -> str:
    first = claim.test.classes[0]
    number, (low, high) = facts["matrices"], facts["positives"]
    given = claim.test.counts[0]
    range_ = "" if given is not None and given.known else f", with {Count(low, high)} {first}"
    matrix = _matrix(tuple(facts["nearest"].values()))
    if number == 1:
        return f"one matrix fits{range_}: {matrix}"
    return f"{number:,} matrices fit{range_}" + (f", e.g. {matrix}" if number <= _SHOWN else "")


def _doubt(best: Attained, found: Found) -> str:
    told = f"; if {best.reading.words}" if best.reading.words else ""
    needed = f"; rounding alone does not do, it needs {difference(best.needs)}" if best.needs else ""
    return told + needed + ("" if found.complete else "; more may fit than were looked at")


def _matrix(cells: Sequence[int]) -> str:
    """The cells under their usual names; TP counts the first class."""
    return ", ".join(f"{name} {cell:,}" for name, cell in zip(("TP", "FN", "FP", "TN"), cells, strict=True))


def _needing(best: Attained) -> str:
    if not best.found.n_matrices:
        return "no matrix comes near the figures as labelled"
    bound = "" if best.found.whole else "at most "
    return f"as labelled it needs a tolerance of {bound}{difference(best.needs)}"


def _told(attained: Attained) -> dict[str, Any]:
    cells = dict(zip(("tp", "fn", "fp", "tn"), attained.found.best, strict=True))
    return {"if": attained.reading.words, "needs": attained.needs, "nearest": cells}
