"""Differences between two models fold by fold: folds share training rows, so they are not independent.

Both tests correct the variance of the mean difference for the overlap of the training parts, with the same factor
1/J + n_test/n_train over J folds. Rows of one subject are no fresh evidence, so n counts subjects.

References
----------
Nadeau, C. and Bengio, Y., Inference for the generalization error, Machine Learning 52, 2003,
doi:10.1023/A:1024068626366.
Corani, G. and Benavoli, A., A Bayesian approach for comparing cross-validated algorithms on multiple data sets,
Machine Learning 100, 2015, doi:10.1007/s10994-015-5486-z.
Benavoli, A., Corani, G., Demšar, J. and Zaffalon, M., Time for a change: a tutorial for comparing multiple classifiers
through Bayesian analysis, JMLR 18(77), 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukfeat.errors import PredictionsError, UsageError
from leukfeat.evaluation.outcome import Outcome

RESAMPLED_T = "corrected resampled t test (Nadeau and Bengio 2003)"
CORRELATED_T = "Bayesian correlated t test (Corani and Benavoli 2015)"

ROPE = 0.01
"""Half-width of the region of practical equivalence where nobody says otherwise."""

SURE = 0.95
"""Posterior probability from which a verdict is given."""

_NO_SPREAD = 1e-12  # a standard deviation below is rounding of equal differences


class Folds(NamedTuple):
    """The folds' differences boiled down.

    Attributes
    ----------
    mean : float
        Mean difference.
    error : float
        Corrected standard error of the mean.
    freedom : int
        Folds less one.
    basis : str
        What it rests on.
    reason : str
        Why nothing can be said; empty where something can.
    """

    mean: float
    error: float
    freedom: int
    basis: str
    reason: str


@dataclass(frozen=True)
class Posterior:
    """How probable it is that the first model is worse, practically equivalent or better, or why nobody can say.

    Attributes
    ----------
    test : str
        Name of the test with its reference.
    basis : str
        What it rests on.
    worse, equivalent, better : float
        Posterior probabilities that the true mean difference is below, within or above the region of practical
        equivalence; they sum to 1. NaN where they are undefined.
    rope : float
        Half-width of the region.
    difference, scale : float
        Centre and scale of the posterior, a Student t.
    freedom : int
        Its degrees of freedom.
    reason : str
        Why it is undefined; empty where it is defined.
    """

    test: str
    basis: str
    rope: float
    worse: float = math.nan
    equivalent: float = math.nan
    better: float = math.nan
    difference: float = math.nan
    scale: float = math.nan
    freedom: int = 0
    reason: str = ""

    @property
    def defined(self) -> bool:
        """Whether there is a posterior."""
        return not self.reason

    @property
    def verdict(self) -> str:
        """``"worse"``, ``"equivalent"`` or ``"better"`` where that is at least 95 % probable, else ``"undecided"``."""
        found = {"worse": self.worse, "equivalent": self.equivalent, "better": self.better}
        return next((name for name, probability in found.items() if probability >= SURE), "undecided")

    def __str__(self) -> str:
        if not self.defined:
            return f"undefined: {self.reason}"
        return f"P(worse) {self.worse:.2f}, P(equivalent) {self.equivalent:.2f}, P(better) {self.better:.2f}"


def corrected_resampled_t(first: ArrayLike, second: ArrayLike, n_test: ArrayLike, n_train: ArrayLike) -> Outcome:
    """Test whether the mean difference over folds is 0.

    t = d̄ / √((1/J + n_test/n_train) s²) with J - 1 degrees of freedom (Nadeau and Bengio 2003, section 3).

    Parameters
    ----------
    first, second : array of shape (J,), float
        A metric of both models in the same J folds (of all repeats); NaN where it is undefined in a fold.
    n_test, n_train : array of shape (J,) or one number
        Subjects in the test and in the training part of each fold (images, where subjects are unknown).

    Returns
    -------
    Outcome
        Undefined, with the reason, for fewer than two folds, where the metric is undefined in a fold, or where all
        folds differ by the same amount.

    Raises
    ------
    PredictionsError
        Shapes that do not fit, or a part without subjects.
    """
    from scipy.special import stdtr

    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    folds = _folds(one, two, n_test, n_train)
    if folds.reason:
        known = one.size and np.isfinite(one).all() and np.isfinite(two).all()
        estimates = (float(one.mean()), float(two.mean())) if known else (math.nan, math.nan)
        return Outcome.undefined(RESAMPLED_T, folds.basis, folds.reason, estimates)
    statistic = folds.mean / folds.error
    return Outcome(
        test=RESAMPLED_T,
        basis=folds.basis,
        estimates=(float(one.mean()), float(two.mean())),
        difference=folds.mean,
        standard_error=folds.error,
        symbol="t",
        statistic=statistic,
        freedom=folds.freedom,
        p=float(2 * stdtr(folds.freedom, -abs(statistic))),
    )


def correlated_t(
    first: ArrayLike, second: ArrayLike, n_test: ArrayLike, n_train: ArrayLike, *, rope: float = ROPE
) -> Posterior:
    """The posterior of the mean difference over folds, against a region of practical equivalence.

    The posterior is Student's t with J - 1 degrees of freedom, centre d̄ and scale √((1/J + ρ/(1-ρ)) s²), where the
    correlation of two folds is taken as ρ = n_test / (n_test + n_train) (Corani and Benavoli 2015, section 3).

    Parameters
    ----------
    first, second, n_test, n_train
        As in :func:`corrected_resampled_t`; of a metric where higher is better, or "better" reads "higher".
    rope : float
        Differences of this size or less make no difference in practice.

    Returns
    -------
    Posterior
        Undefined where :func:`corrected_resampled_t` is.

    Raises
    ------
    PredictionsError
        As in :func:`corrected_resampled_t`.
    UsageError
        ``rope`` is negative or no number.
    """
    from scipy.special import stdtr

    if not (math.isfinite(rope) and rope >= 0):
        raise UsageError(f"a region of practical equivalence of ±{rope}: give 0 or more, e.g. {ROPE}")
    folds = _folds(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64), n_test, n_train)
    if folds.reason:
        return Posterior(CORRELATED_T, folds.basis, rope, reason=folds.reason)
    worse = float(stdtr(folds.freedom, (-rope - folds.mean) / folds.error))
    better = float(stdtr(folds.freedom, (folds.mean - rope) / folds.error))
    return Posterior(
        test=CORRELATED_T,
        basis=folds.basis,
        rope=rope,
        worse=worse,
        equivalent=max(0.0, 1 - worse - better),
        better=better,
        difference=folds.mean,
        scale=folds.error,
        freedom=folds.freedom,
    )


def _folds(first: NDArray[np.float64], second: NDArray[np.float64], n_test: ArrayLike, n_train: ArrayLike) -> Folds:
    if first.ndim != 1 or first.shape != second.shape:
        raise PredictionsError(f"two models in folds {first.shape} and {second.shape}: give the same folds of both")
    n = len(first)
    counts = [np.asarray(part, dtype=np.float64) for part in (n_test, n_train)]
    if any(part.shape not in ((), (n,)) for part in counts) or any((part < 1).any() for part in counts):
        raise PredictionsError(
            f"n_test {counts[0].tolist()} and n_train {counts[1].tolist()}: give numbers of subjects, at least"
            f" 1, of each of {n} folds"
        )
    basis = f"{n} folds"
    lost = int((~np.isfinite(first) | ~np.isfinite(second)).sum())
    if n < 2:
        return Folds(math.nan, math.nan, 0, basis, f"{n} fold{'s' * (n != 1)}; at least 2 are needed")
    if lost:
        return Folds(math.nan, math.nan, 0, basis, f"undefined in {lost} of {n} folds")
    difference = first - second
    spread = float(difference.std(ddof=1))
    if spread <= _NO_SPREAD * max(1.0, float(np.abs(difference).max())):
        return Folds(math.nan, math.nan, 0, basis, f"the same difference ({difference.mean():+.3f}) in every fold")
    # over the folds of a k-fold split the totals have the ratio 1/(k-1) exactly, whatever the sizes of single folds
    ratio = float(np.broadcast_to(counts[0], n).sum() / np.broadcast_to(counts[1], n).sum())
    return Folds(float(difference.mean()), spread * math.sqrt(1 / n + ratio), n - 1, basis, "")
