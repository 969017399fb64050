"""Are two models right equally often on the same rows? The exact McNemar test, and its form for clusters.

References
----------
McNemar, Q., Note on the sampling error of the difference between correlated proportions or percentages,
Psychometrika 12(2), 1947, doi:10.1007/BF02295996.
Durkalski, V. L., Palesch, Y. Y., Lipsitz, S. R. and Rust, P. F., Analysis of clustered matched-pair data, Statistics
in Medicine 22(15), 2003, doi:10.1002/sim.1438.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.outcome import Outcome

EXACT_MCNEMAR = "exact McNemar test (McNemar 1947)"
CLUSTERED_MCNEMAR = "clustered McNemar test (Durkalski et al. 2003)"


def mcnemar(first: ArrayLike, second: ArrayLike) -> Outcome:
    """The exact test: of the rows that one model alone tells right, is either model's share more than half?

    Every row is taken as independent of all others. Cells of one subject are not; for them see
    :func:`clustered_mcnemar`.

    Parameters
    ----------
    first, second : array of shape (n,), bool
        Whether each model is right on the same n rows.

    Returns
    -------
    Outcome
        Estimates are accuracies. Undefined where no row is told right by one model only.

    Raises
    ------
    PredictionsError
        Shapes that do not fit, or no booleans.
    """
    one, two = _checked(first, second)
    only_first, only_second = int((one & ~two).sum()), int((two & ~one).sum())
    basis = f"{only_first + only_second} of {len(one)} rows, which one model alone tells right"
    if not len(one):
        return Outcome.undefined(EXACT_MCNEMAR, basis, "no rows")
    estimates = (float(one.mean()), float(two.mean()))
    if only_first + only_second == 0:
        return Outcome.undefined(EXACT_MCNEMAR, basis, "both are right on the same rows", estimates)
    return Outcome(
        test=EXACT_MCNEMAR,
        basis=basis,
        estimates=estimates,
        difference=(only_first - only_second) / len(one),
        p=_two_sided(only_first, only_second),  # rows on which the two agree do not enter
    )


def clustered_mcnemar(first: ArrayLike, second: ArrayLike, clusters: ArrayLike) -> Outcome:
    """Durkalski's test: clusters are independent, and each counts the same however many rows it has.

    Of cluster k, bₖ of nₖ rows are told right by the first model only and cₖ by the second only:
    χ² = (Σ (bₖ−cₖ)/nₖ)² / Σ ((bₖ−cₖ)/nₖ)², with one degree of freedom. It cannot exceed the number of clusters, so
    fewer than four of them never reject at 5 %. With one row a cluster it is McNemar's χ² without correction.

    Parameters
    ----------
    first, second : array of shape (n,), bool
        Whether each model is right on the same n rows.
    clusters : array of shape (n,), int
        Which rows belong together.

    Returns
    -------
    Outcome
        Estimates are means over clusters of the accuracy within them, not the accuracy of the pooled rows. Undefined
        where there is one cluster, or where both models are right equally often in each.

    Raises
    ------
    PredictionsError
        Shapes that do not fit, or no booleans.
    """
    from scipy.special import chdtrc

    one, two = _checked(first, second)
    numbers = np.asarray(clusters)
    if numbers.shape != one.shape:
        raise PredictionsError(f"clusters {numbers.shape} for {len(one)} rows: give one number a row")
    cluster = np.unique(numbers, return_inverse=True)[1]
    size = np.bincount(cluster)
    basis = f"{len(size)} clusters"
    if not len(size):
        return Outcome.undefined(CLUSTERED_MCNEMAR, basis, "no rows")
    of_first, of_second = (np.bincount(cluster, weights=right) / size for right in (one, two))
    estimates = (float(of_first.mean()), float(of_second.mean()))
    if len(size) < 2:
        return Outcome.undefined(CLUSTERED_MCNEMAR, basis, "1 cluster; at least 2 are needed", estimates)
    # counts are subtracted before dividing: equal counts differ by exactly 0
    difference = (np.bincount(cluster, weights=one) - np.bincount(cluster, weights=two)) / size
    spread = float((difference**2).sum())
    if spread == 0:
        return Outcome.undefined(CLUSTERED_MCNEMAR, basis, "both are right equally often in every cluster", estimates)
    statistic = float(difference.sum()) ** 2 / spread
    return Outcome(
        test=CLUSTERED_MCNEMAR,
        basis=basis,
        estimates=estimates,
        difference=float(difference.mean()),
        standard_error=math.sqrt(spread) / len(size),
        symbol="χ²",
        statistic=statistic,
        freedom=1,
        p=float(chdtrc(1, statistic)),
    )


def _two_sided(heads: int, tails: int) -> float:
    """Probability of a fair coin to fall at least as unevenly."""
    from scipy.special import bdtr

    return 1.0 if abs(heads - tails) < 2 else float(2 * bdtr(min(heads, tails), heads + tails, 0.5))


def _checked(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or one.ndim != 1:
        raise PredictionsError(f"two models on rows {one.shape} and {two.shape}: give the same rows of both")
    if one.dtype != np.bool_ or two.dtype != np.bool_:
        raise PredictionsError(f"rows of {one.dtype} and {two.dtype}: give booleans, e.g. y_true == y_pred")
    return one, two
