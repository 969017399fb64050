"""Candidates ranked on many data sets: Friedman, Iman and Davenport, Nemenyi, and a critical-difference diagram's bars.

The observations are data sets. Folds of one data set are not: they share training images, so their ranks agree more
than those of independent data sets would, and every candidate looks significantly different from every other.

References
----------
Demšar, J., Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006, section 3.2.
Friedman, M., The use of ranks to avoid the assumption of normality implicit in the analysis of variance, JASA 32(200),
1937, doi:10.1080/01621459.1937.10503522.
Iman, R. L. and Davenport, J. M., Approximations of the critical region of the Friedman statistic, Communications in
Statistics A 9(6), 1980, doi:10.1080/03610928008827904.
Nemenyi, P. B., Distribution-free multiple comparisons, PhD thesis, Princeton University, 1963.
Conover, W. J., Practical Nonparametric Statistics, 3rd edition, 1999, section 5.8 (ties, and complete agreement).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukfeat.errors import ComparisonError, UsageError

Floats = NDArray[np.float64]

FRIEDMAN = "Friedman test (Friedman 1937)"
IMAN_DAVENPORT = "Friedman test with the F of Iman and Davenport (1980)"
NEMENYI = "Nemenyi test (Nemenyi 1963; Demšar 2006)"

FEWEST_DATA_SETS = 5
"""Below this, ranks can show next to nothing (Demšar 2006 asks for more than 10 where there are few candidates)."""

_PART = re.compile(r"[\s/#:_.,(\[-]*(fold|repeat|split|seed|run|cv)[\s/#:_.=-]*\d+[)\]]*$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates ranked on data sets, or the reason why nothing can be said.

    Attributes
    ----------
    candidates : tuple of str
        The k candidates.
    data_sets : tuple of str
        The N data sets.
    ranks : ndarray of shape (k,), float64
        Mean rank of each candidate; 1 is best, ties share their mean.
    chi_square, chi_p : float
        Friedman's statistic with k - 1 degrees of freedom, and its p value.
    f, f_p : float
        Iman and Davenport's statistic with k - 1 and (k - 1)(N - 1) degrees of freedom, less conservative, and its p.
    level : float
        Significance level of the critical difference.
    critical_difference : float
        Mean ranks that differ by at least this differ significantly (Nemenyi).
    pairwise : ndarray of shape (k, k), float64
        Nemenyi's p values; 1 on the diagonal.
    reason : str
        Why all of this is undefined (then NaN); empty where it is defined.
    """

    candidates: tuple[str, ...]
    data_sets: tuple[str, ...]
    ranks: Floats = field(default_factory=lambda: np.empty(0))
    chi_square: float = math.nan
    chi_p: float = math.nan
    f: float = math.nan
    f_p: float = math.nan
    level: float = math.nan
    critical_difference: float = math.nan
    pairwise: Floats = field(default_factory=lambda: np.empty((0, 0)))
    reason: str = ""

    @property
    def defined(self) -> bool:
        """Whether anything can be said."""
        return not self.reason

    @property
    def differ(self) -> bool:
        """Whether the candidates differ at all at the level (Iman and Davenport); pairs are looked at only then."""
        return self.defined and self.f_p < self.level

    @property
    def order(self) -> tuple[str, ...]:
        """The candidates, best first."""
        return tuple(self.candidates[k] for k in np.argsort(self.ranks, kind="stable").tolist())

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Candidates that a critical-difference diagram joins by a bar: no two of a group differ significantly.

        Each group has at least two candidates, best first, and is part of no other group.
        """
        ranks, names = np.sort(self.ranks, kind="stable"), self.order
        found: list[tuple[str, ...]] = []
        reached = 0
        for start in range(len(names)):
            end = int(np.searchsorted(ranks, ranks[start] + self.critical_difference, side="left"))
            if end > reached and end - start > 1:
                found.append(names[start:end])
            reached = max(reached, end)
        return tuple(found)


def rank(
    scores: ArrayLike,
    *,
    data_sets: Sequence[str],
    candidates: Sequence[str],
    direction: Literal["higher", "lower"] = "higher",
    level: float = 0.05,
    correct_ties: bool = True,
) -> Ranking:
    """Rank candidates on every data set and test whether their mean ranks differ.

    With ranks rᵢⱼ and mean ranks Rⱼ of k candidates on N data sets, Friedman's χ² = 12N/(k(k+1)) Σ (Rⱼ - (k+1)/2)²,
    F = (N-1)χ² / (N(k-1) - χ²), and the critical difference is q √(k(k+1)/6N), q being the quantile of the
    studentised range over √2.

    Parameters
    ----------
    scores : array of shape (N, k), float
        One value a data set and candidate, e.g. the AUROC over all folds; NaN where it is undefined.
    data_sets : sequence of N str
        Whose rows these are; each once.
    candidates : sequence of k str
        Whose columns these are; each once.
    direction : ``"higher"`` or ``"lower"``
        Which scores are better.
    level : float
        Significance level of the critical difference.
    correct_ties : bool
        Divide χ² by what ties take from the spread of the ranks (Conover), as scipy and R do; False is the formula
        that Demšar prints, which is smaller where there are ties.

    Returns
    -------
    Ranking
        Undefined, with the reason, where rows are folds of one data set, for fewer than 2 candidates or
        5 data sets, where a score is undefined, or where all candidates tie everywhere.

    Raises
    ------
    ComparisonError
        Names that do not fit the shape of the scores, or a candidate that stands twice.
    UsageError
        ``level`` is not between 0 and 1.
    """
    values = np.asarray(scores, dtype=np.float64)
    names, rows = tuple(candidates), tuple(data_sets)
    if values.shape != (len(rows), len(names)):
        raise ComparisonError(f"scores {values.shape} for {len(rows)} data sets and {len(names)} candidates: name each")
    if len(set(names)) < len(names):
        raise ComparisonError(f"candidate {Counter(names).most_common(1)[0][0]!r} stands twice; give each a name")
    if not 0 < level < 1:
        raise UsageError(f"a significance level of {level}: give a number between 0 and 1, e.g. 0.05")
    reason = one_data_set(rows) or _unfit(values, rows, names)
    if reason:
        return Ranking(names, rows, reason=reason)
    return _ranking(values if direction == "lower" else -values, rows, names, level, correct_ties)


def one_data_set(data_sets: Sequence[str]) -> str:
    """Why these names are not those of different data sets; empty where they are.

    Examples
    --------
    >>> one_data_set(["cnmc fold 0", "cnmc fold 1"])
    "'cnmc fold 0' and 'cnmc fold 1' are parts of one data set, which share training images: their ranks are not\
 independent; test folds with the corrected resampled t test"
    >>> one_data_set(["cnmc", "taleqani"])
    ''
    """
    seen: dict[str, str] = {}
    for name in data_sets:
        whole = _PART.sub("", name).strip().casefold()
        if whole in seen:
            return (
                f"{seen[whole]!r} and {name!r} are parts of one data set, which share training images: their ranks are"
                " not independent; test folds with the corrected resampled t test"
            )
        seen[whole] = name
    return ""


def _unfit(values: Floats, data_sets: Sequence[str], candidates: Sequence[str]) -> str:
    if len(candidates) < 2:
        return f"{len(candidates)} candidate{'s' * (len(candidates) != 1)}; at least 2 are needed"
    if len(data_sets) < FEWEST_DATA_SETS:
        return f"{len(data_sets)} data set{'s' * (len(data_sets) != 1)}; at least {FEWEST_DATA_SETS} are needed"
    missing = np.argwhere(np.isnan(values))
    if len(missing):
        row, column = missing[0].tolist()
        return f"undefined for {candidates[column]!r} on {data_sets[row]!r}"
    return "all candidates tie on every data set" if (values == values[:, :1]).all() else ""


def _ranking(
    losses: Floats, data_sets: tuple[str, ...], candidates: tuple[str, ...], level: float, correct_ties: bool
) -> Ranking:
    from scipy.stats import chi2, f, rankdata, studentized_range

    n, k = losses.shape
    single = rankdata(losses, axis=1)
    ranks = single.mean(axis=0)
    middle = (k + 1) / 2
    # without ties the ranks of one data set spread by k(k+1)/12
    spread = ((single - middle) ** 2).sum() / (n * (k - 1)) if correct_ties else k * (k + 1) / 12
    chi_square = float(n * ((ranks - middle) ** 2).sum() / spread)
    error = math.sqrt(k * (k + 1) / (6 * n))
    apart = np.abs(ranks[:, None] - ranks) / error
    left = n * (k - 1) - chi_square
    agree = bool((single == single[0]).all()) and left <= 1e-9 * n * k
    # where every data set ranks alike F is infinite and the p value is that of this one arrangement (Conover)
    ratio = math.inf if agree else (n - 1) * chi_square / left
    tied = np.unique(single[0], return_counts=True)[1].tolist()
    arrangements = math.factorial(k) // math.prod(math.factorial(number) for number in tied)
    return Ranking(
        candidates=candidates,
        data_sets=data_sets,
        ranks=ranks,
        chi_square=chi_square,
        chi_p=float(chi2.sf(chi_square, k - 1)),
        f=ratio,
        f_p=arrangements ** (1.0 - n) if agree else float(f.sf(ratio, k - 1, (k - 1) * (n - 1))),
        level=level,
        critical_difference=float(studentized_range.ppf(1 - level, k, np.inf)) / math.sqrt(2) * error,
        pairwise=np.where(np.eye(k, dtype=bool), 1.0, studentized_range.sf(apart * math.sqrt(2), k, np.inf)),
    )
