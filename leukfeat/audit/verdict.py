"""The judgement of a whole claim: its rows, its rows together, its split, its means and sums."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.arithmetic import honest_sizes, judge_split, judge_sum, judge_summary
from leukfeat.audit.attainment import fits_as_labelled, judge_row
from leukfeat.audit.claims import Claim, Count, Row, TestPart
from leukfeat.audit.classwise import FoundClasses, search_classes
from leukfeat.audit.judgement import Judgement, Status
from leukfeat.audit.measures import BEYOND_COUNTS
from leukfeat.audit.printed import difference

_WIDEST = 0.256  # beyond this tolerance figures say nothing


@dataclass(frozen=True)
class Verdict:
    """A claim and what can be said of its parts."""

    claim: Claim
    judgements: tuple[Judgement, ...]

    @property
    def possible(self) -> bool:
        """Whether no part of it is impossible."""
        return all(judgement.possible for judgement in self.judgements)


def judge(claim: Claim, tolerance: float | None = None) -> Verdict:
    """Judge everything that a claim says.

    Parameters
    ----------
    claim : Claim
        The claim.
    tolerance : float or None
        In place of the claim's own.

    Raises
    ------
    UsageError
        The test part leaves too many possibilities.

    Examples
    --------
    >>> from leukfeat.audit.printed import Printed
    >>> from leukfeat.audit.claims import Figure
    >>> half = Row("a", (Figure("accuracy", Printed.of("0.50")),))
    >>> [verdict] = judge(Claim("Table 1", TestPart(n=Count(3, 3)), (half,))).judgements
    >>> verdict.status, verdict.words
    ('impossible', 'as labelled it needs a tolerance of 0.17')
    """
    if tolerance is not None:
        claim = replace(claim, tolerance=tolerance)
    judgements: list[Judgement] = []
    masks: dict[str, NDArray[np.bool_]] = {}
    for row in claim.rows:
        if claim.test.binary:
            judgement, mask = judge_row(claim, row)
            if mask is not None:
                masks[row.name] = mask
        else:
            judgement = judge_classes(claim, row)
        judgements.append(_with_averages(claim, row, _with_left_out(judgement)))
    if len(masks) > 1 and not _counts_known(claim.test):
        judgements.append(_together(claim, masks))
    if claim.split is not None:
        judgement = judge_split(claim, claim.split)
        judgements.append(
            _with_honest(claim, judgement) if judgement.status in ("only if", "impossible") else judgement
        )
    size = claim.test.size
    for summary in claim.summaries:
        shares = summary.column == "accuracy" and size is not None and size.known
        judgements.append(judge_summary(summary, size.low if shares and size is not None else None))
    judgements += [judge_sum(claimed) for claimed in claim.sums]
    return Verdict(claim, tuple(judgements))


def judge_classes(claim: Claim, row: Row) -> Judgement:
    """Judge a row of more than two classes; their supports have to be known."""
    known = [count.low for count in claim.test.counts if count is not None and count.known]
    left_out = [figure.column for figure in row.figures if figure.column in BEYOND_COUNTS]
    if len(known) < len(claim.test.classes):
        words = "how many images of each class were tested is not stated"
        return Judgement("row", row.name, "undetermined", words, facts={"left_out": left_out})
    figures = [
        (figure, meaning, claim.test.classes.index(figure.of) if figure.of else None)
        for figure in row.figures
        if figure.column not in BEYOND_COUNTS
        for meaning in claim.columns.get(figure.column, (figure.column,))[:1]
    ]
    wrong = {claim.test.classes.index(name): count for name, count in row.errors.items() if name}
    found, tolerance = search_classes(known, figures, wrong, claim.tolerance), claim.tolerance
    allowed = max([claim.tolerance, *(figure.printed.unit / 2 for figure, _, _ in figures)])
    attainable, complete = bool(len(found.tp)), found.complete
    while not len(found.tp) and tolerance <= _WIDEST:
        tolerance = max(2 * tolerance, 0.0005)
        found = search_classes(known, figures, wrong, tolerance)
    needs = float(found.misfit.min()) if len(found.tp) else None
    facts: dict[str, Any] = {"test": claim.test.describe(), "left_out": left_out}
    if not attainable:
        status: Status = "impossible" if complete else "undetermined"
        words = "no outcome comes near the figures" if needs is None else f"it needs a tolerance of {difference(needs)}"
        return Judgement("row", row.name, status, words, allowed, needs, facts)
    return Judgement(
        "row", row.name, "attainable", _outcomes(claim, found, known), allowed, needs, facts | _right(found, known)
    )


def _right(found: FoundClasses, supports: Sequence[int]) -> dict[str, Any]:
    right = found.tp.sum(axis=1)
    return {
        "outcomes": len(found.tp),
        "complete": found.complete,
        "right": [int(right.min()), int(right.max())],
        "n": sum(supports),
    }


def _outcomes(claim: Claim, found: FoundClasses, supports: Sequence[int]) -> str:
    facts = _right(found, supports)
    low, high = facts["right"]
    some = "one outcome fits" if facts["outcomes"] == 1 else f"{facts['outcomes']:,} outcomes fit"
    return f"{some}: {Count(low, high)} of {facts['n']:,} right"


def _counts_known(test: TestPart) -> bool:
    return all(count is not None and count.known for count in test.counts)


def _together(claim: Claim, masks: dict[str, NDArray[np.bool_]]) -> Judgement:
    """Whether rows that are attainable alone are so on one and the same test part."""
    pairs = claim.test.pairs()
    all_rows = np.logical_and.reduce(list(masks.values()))
    names = ", ".join(masks)
    if pairs is not None and all_rows.any():
        positives = pairs[0][all_rows]
        count = Count(int(positives.min()), int(positives.max()))
        words = f"{names}: true together with {count} {claim.test.classes[0]}"
        facts = {"rows": list(masks), "positives": [count.low, count.high]}
        return Judgement("together", "rows together", "attainable", words, facts=facts)
    against = [f"{a} and {b}" for a, b in itertools.combinations(masks, 2) if not (masks[a] & masks[b]).any()]
    words = f"cannot all be true of one test part: {'; '.join(against) or names}"
    return Judgement("together", "rows together", "impossible", words, facts={"rows": list(masks)})


def _with_honest(claim: Claim, judgement: Judgement) -> Judgement:
    """Say whether the rows could come from a test part of the stated share."""
    if claim.split is None or not claim.test.binary or not claim.rows:
        return judgement
    low, high = honest_sizes(claim.split)
    honest = replace(claim, test=replace(claim.test, n=Count(low, high), counts=(None, None)))
    fits = [row.name for row in claim.rows if fits_as_labelled(honest, row)]
    size = Count(low, high)
    words = f"of the rows {', '.join(fits)} would fit {size} images" if fits else f"no row fits {size} images"
    return replace(
        judgement, words=f"{judgement.words}; {words}", facts={**judgement.facts, "rows_that_would_fit": fits}
    )


def _with_left_out(judgement: Judgement) -> Judgement:
    """Say which figures no count determines, beside those that were judged."""
    left_out = judgement.facts.get("left_out")
    if not left_out or judgement.status == "undetermined":
        return judgement
    return replace(judgement, words=f"{judgement.words}; {', '.join(left_out)} not judged, as counts do not tell it")


def _with_averages(claim: Claim, row: Row, judgement: Judgement) -> Judgement:
    """Averages that follow from figures of each class as printed, over every support that is possible."""
    counts = [count for count in claim.test.counts if count is not None]
    columns = dict.fromkeys(figure.column for figure in row.figures if figure.of)
    if not columns or len(counts) < len(claim.test.classes):
        return judgement
    supports = np.array(list(itertools.product(*({count.low, count.high} for count in counts))), dtype=np.float64)
    supports /= supports.sum(axis=1, keepdims=True)
    averages: dict[str, list[float]] = {}
    for column in columns:
        values = {figure.of: figure.printed.value for figure in row.figures if figure.column == column}
        if set(values) == set(claim.test.classes):
            ordered = np.array([values[name] for name in claim.test.classes])
            weighted = supports @ ordered
            averages[f"macro_{column}"] = [float(ordered.mean())] * 2
            averages[f"weighted_{column}"] = [float(weighted.min()), float(weighted.max())]
    words = judgement.words
    if "weighted_f1" in averages:
        low, high = (f"{value:.3f}" for value in averages["weighted_f1"])
        words += f"; the printed F1 of the classes make a weighted F1 of {low if low == high else f'{low}–{high}'}"
    return replace(judgement, words=words, facts={**judgement.facts, "averages_as_printed": averages})
