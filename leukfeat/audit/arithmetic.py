"""Splits, sums and means: what can be checked without a confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from leukfeat.audit.claims import Claim, Split, Sum, Summary
from leukfeat.audit.judgement import Judgement, Status
from leukfeat.audit.printed import SLACK, Printed
from leukfeat.audit.spread import ends_of, mean_range, sd_range

_ORDER: tuple[Status, ...] = ("attainable", "only if", "impossible")  # from the best to the worst


def honest_sizes(split: Split) -> tuple[int, int]:
    """Sizes of a test part that is the stated share of the stated total, rounded down and up."""
    exact = split.share * sum(split.of)
    return math.floor(exact + 1e-9), math.ceil(exact - 1e-9)


def judge_split(claim: Claim, split: Split) -> Judgement:
    """Whether the test part is the share that it is said to be."""
    total, size = sum(split.of), claim.test.size
    low, high = honest_sizes(split)
    stated = f"{split.share * 100:.3g} % of {total:,} is {low:,}" + ("" if low == high else f" or {high:,}")
    facts = {"share": split.share, "total": total, "expected": [low, high]}
    if size is None:
        return Judgement("split", "test part", "undetermined", f"{stated}; n is not stated", facts=facts)
    facts["n"] = [size.low, size.high]
    if size.low <= high and low <= size.high:
        return Judgement("split", "test part", "attainable", f"{stated}, and n is {size}", facts=facts)
    words = f"{stated}, but n is {size}"
    if split.augmented is not None:
        of_all = split.share * split.augmented
        if size.low - 1 < of_all < size.high + 1:
            words += f", which is {split.share * 100:.3g} % of the {split.augmented:,} after augmentation"
            words += ": copies were made first and divided then"
            return Judgement("split", "test part", "only if", words, facts=facts)
    if len(split.of) > 1:
        off = [
            f"{name} {count} for {split.share * whole:.1f}"
            for name, count, whole in zip(claim.test.classes, claim.test.counts, split.of, strict=True)
            if count is not None and not count.low - 1 < split.share * whole < count.high + 1
        ]
        if not off:
            return Judgement(
                "split", "test part", "attainable", f"{words}, as rounding in every class can give", facts=facts
            )
        words += f"; no rounding in every class gives it either ({', '.join(off)})"
    return Judgement("split", "test part", "impossible", words, facts=facts)


def judge_sum(claimed: Sum) -> Judgement:
    """Whether parts sum to their total."""
    exact = all(part.unit == 1 for part in (*claimed.parts, claimed.total))
    ends = [(part.value, part.value) if exact else part.band() for part in claimed.parts]
    low, high = (sum(end) for end in zip(*ends, strict=True))
    total = (claimed.total.value, claimed.total.value) if exact else claimed.total.band()
    agrees = low <= total[1] + SLACK and total[0] <= high + SLACK
    added = sum(part.value for part in claimed.parts)
    words = f"the parts sum to {added:,.6g}" + ("" if agrees else f", not to {claimed.total.value:,.6g}")
    status: Status = "attainable" if agrees else "impossible"
    return Judgement("sum", claimed.name, status, words, facts={"sum": added, "total": claimed.total.value})


def judge_summary(summary: Summary, n: int | None = None) -> Judgement:
    """Whether a mean and a standard deviation can be those of the values.

    Parameters
    ----------
    summary : Summary
        The claim.
    n : int or None
        Images of the test part, where each value is a number of right answers among them.
    """
    ends = ends_of(summary.values, 1 / n if n else 0.0)
    values = [value.value for value in summary.values]
    statuses: list[Status] = ["attainable"]
    words, facts = [], {}
    if summary.mean is not None:
        found = mean_range(ends)
        facts["mean"] = {"as_printed": float(np.mean(values)), "range": list(found)}
        statuses.append(_fit(found, summary.mean))
        words.append(f"mean {np.mean(values):.4f}, by rounding {_range(found)}; printed {summary.mean.value:g}")
    if summary.sd is not None:
        fits = []
        for ddof in (1, 0) if summary.ddof is None else (summary.ddof,):
            found = sd_range(ends, ddof)
            of_printed = float(np.std(values, ddof=ddof))
            facts[f"sd_ddof{ddof}"] = {"as_printed": of_printed, "range": list(found)}
            fits.append(_fit(found, summary.sd))
            words.append(f"SD {of_printed:.4f}, by rounding {_range(found)} with ddof {ddof}")
        statuses.append(min(fits, key=_ORDER.index))
        words[-1] += f"; printed {summary.sd.value:g}"
    worst = max(statuses, key=_ORDER.index)
    if worst == "only if":
        words.append("fits only if digits were cut off")
    if n:
        words.append(f"values taken as numbers of {n:,} images")
    return Judgement("summary", summary.name, worst, "; ".join(words), facts=facts)


def _fit(found: tuple[float, float], printed: Printed) -> Status:
    """Whether some value of a range would be printed so, rounded or cut off."""
    if _overlap(found, printed.band()):
        return "attainable"
    cut_off = replace(printed, rounding="truncated").band()
    return "only if" if _overlap(found, cut_off) else "impossible"


def _overlap(found: Sequence[float], printed: Sequence[float]) -> bool:
    return found[0] <= printed[1] + SLACK and printed[0] <= found[1] + SLACK


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{end:.4f}" for end in ends)
    return low if low == high else f"{low}–{high}"
