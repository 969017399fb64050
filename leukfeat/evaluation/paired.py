"""How much better one model is than another on the same subjects: the paired clustered bootstrap.

Both models are scored on the same resamples of subjects, so what a subject does to both of them cancels. The interval
and the p value of a difference come from one standard error and one Student's t, to which every class lends its degrees
of freedom (see :mod:`leukfeat.evaluation.intervals`). So they never contradict each other: p is below 5 % where the
95 % t interval leaves out 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.intervals import DIFFERENCE, LEVEL, Interval, Method, Replicates
from leukfeat.evaluation.metrics import Score

PAIRED_BOOTSTRAP = "paired bootstrap over {units} (t)"


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the same resamples.

    Attributes
    ----------
    first, second : str
        Names of the models; the difference is first less second.
    metric : str
        Name in ``METRICS``.
    estimate : Score
        First less second.
    interval : Interval
        Of the difference.
    p : Score
        Two-sided, of no difference; undefined with the reason.
    """

    first: str
    second: str
    metric: str
    estimate: Score
    interval: Interval
    p: Score


def difference(
    first: Replicates,
    second: Replicates,
    *,
    names: tuple[str, str] = ("first", "second"),
    metric: str = "",
    method: Method = "t",
    level: float = LEVEL,
) -> Difference:
    """Compare a metric of two models.

    Parameters
    ----------
    first, second : Replicates
        Made from the same draws.
    names : pair of str
        Of the models.
    metric : str
        Its name, for tables.
    method, level
        Of the interval.

    Raises
    ------
    ComparisonError
        The two come from different draws.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 8.4 and chapter 16 (paired resampling).
    """
    if first.clusters is not second.clusters or len(first.drawn) != len(second.drawn):
        raise ComparisonError(f"{names[0]} and {names[1]} were resampled apart; make both from the same draws")
    lacking = next((one.estimate for one in (first, second) if not one.estimate.defined), None)
    both = Replicates(
        estimate=lacking or Score(first.estimate.value - second.estimate.value),
        drawn=first.drawn - second.drawn,
        clusters=first.clusters,
        scale=DIFFERENCE,
        pooled=True,
        left_out=None if first.left_out is None or second.left_out is None else first.left_out - second.left_out,
    )
    p = Score.undefined(both.undefined) if both.undefined else Score(both.p_value())
    return Difference(*names, metric, both.estimate, both.interval(method, level), p)


def differences(
    runs: Mapping[str, Mapping[str, Replicates]],
    metric: str,
    *,
    reference: str | None = None,
    method: Method = "t",
    level: float = LEVEL,
) -> tuple[Difference, ...]:
    """Every pair of runs, or every run against a reference.

    Parameters
    ----------
    runs : mapping of str to mapping of str to Replicates
        By run and metric, all from the same draws, in the order in which pairs are told.
    metric : str
        What is compared.
    reference : str or None
        The run that all others are compared with; None compares every pair.

    Raises
    ------
    ComparisonError
        The reference is not among the runs, or runs were resampled apart.
    """
    names = list(runs)
    if reference is not None and reference not in runs:
        raise ComparisonError(f"reference {reference!r} is not among the runs: {', '.join(names)}")
    if reference is None:
        pairs = [(one, other) for k, one in enumerate(names) for other in names[k + 1 :]]
    else:
        pairs = [(name, reference) for name in names if name != reference]
    return tuple(
        difference(
            runs[one][metric], runs[other][metric], names=(one, other), metric=metric, method=method, level=level
        )
        for one, other in pairs
    )
