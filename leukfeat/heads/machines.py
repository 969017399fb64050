"""The support-vector machine with a Gaussian kernel, on squared distances that are computed once.

Two thirds of a fit of ``sklearn.svm.SVC`` are distances, one pair of rows after the other. A matrix product gives them
all, and they depend neither on C nor on gamma, so that all trials on the same rows share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted, validate_data

from leukfeat.heads import intelex

LARGEST = 512 * 2**20  # bytes of the distances within one set of rows; about 11,000 rows
_BLOCK = 64 * 2**20  # bytes of kernel values at a time, when predicting


@dataclass(frozen=True)
class Distances:
    """Squared distances that machines on the same rows share.

    Parameters
    ----------
    within : ndarray of shape (n, n), float32
        Among the rows to fit on.
    across : ndarray of shape (m, n), float32
        From the rows to judge on to those.
    y : ndarray of shape (n,), int64
        Classes of the rows to fit on.
    """

    within: NDArray[np.float32]
    across: NDArray[np.float32]
    y: NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Memory they take."""
        return self.within.nbytes + self.across.nbytes

    def part(self, fit: NDArray[np.int64], validation: NDArray[np.int64]) -> Distances:
        """Those of two parts of the rows to fit on."""
        return Distances(self.within[np.ix_(fit, fit)], self.within[np.ix_(validation, fit)], self.y[fit])

    def fit(self, model: GaussianMachine, weight: NDArray[np.float64] | None, _: object = None) -> None:
        """Fit a machine."""
        model.fit_distances(self.within, self.y, weight)

    def scores(self, model: GaussianMachine, _: object = None) -> NDArray[np.float64]:
        """Decision scores of shape (m, K) of the rows to judge on."""
        raw = model.decision_of(np.exp(-model.gamma * self.across[:, model.support_].astype(np.float64)))
        return np.column_stack([-raw, raw]) if raw.ndim == 1 else raw


def affordable(n_rows: int) -> bool:
    """Whether the distances among so many rows may be kept in memory."""
    return 4 * n_rows**2 <= LARGEST


def distances(X: NDArray[Any], X_validation: NDArray[Any], y: NDArray[np.int64]) -> Distances:
    """Distances to share, of rows that are not too many (:func:`affordable`)."""
    X, X_validation = X.astype(np.float32, copy=False), X_validation.astype(np.float32, copy=False)
    return Distances(squared_distances(X, X), squared_distances(X_validation, X), y)


def squared_distances(A: NDArray[Any], B: NDArray[Any]) -> NDArray[Any]:
    """|a - b|² of every pair of rows, of shape (len(A), len(B)), in the precision of the rows.

    By |a|² + |b|² - 2 ab, whose rounding (about 1e-6 of |a|²) is far below what moves a Gaussian kernel of scaled rows.
    """
    found: NDArray[Any] = A @ B.T
    found *= -2.0
    found += np.einsum("ij,ij->i", A, A)[:, None]
    found += np.einsum("ij,ij->i", B, B)
    np.maximum(found, 0.0, out=found)
    if A is B:
        np.fill_diagonal(found, 0.0)
    return found


class GaussianMachine(SVC):  # type: ignore[misc]  # scikit-learn is untyped
    """``sklearn.svm.SVC`` with a Gaussian kernel that is computed by matrix products; fitted, it is one.

    Parameters
    ----------
    C : float
        What a row on the wrong side costs.
    gamma : float
        Of the kernel exp(-gamma |a - b|²).
    """

    def __init__(self, *, C: float = 1.0, gamma: float = 1.0) -> None:
        super().__init__(C=C, gamma=gamma, kernel="rbf", cache_size=200)

    def fit(self, X: Any, y: Any, sample_weight: NDArray[np.float64] | None = None) -> Self:
        """Find the support vectors; many rows go row by row, through scikit-learn-intelex where it is installed."""
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        if affordable(len(X)):
            return self.fit_distances(distances(X, X[:0], y).within, y, sample_weight, X)
        if not intelex.available():
            super().fit(X, y, sample_weight)
            return self
        self._become(intelex.fitted_svc(self.C, self.gamma, X, y, sample_weight))
        return self

    def fit_distances(
        self,
        within: NDArray[Any],
        y: NDArray[np.int64],
        sample_weight: NDArray[np.float64] | None = None,
        X: NDArray[Any] | None = None,
    ) -> Self:
        """Fit on squared distances among the rows; without the rows themselves only :meth:`decision_of` works."""
        kernel = np.exp(within * within.dtype.type(-self.gamma)).astype(np.float64, copy=False)  # as libsvm wants it
        fitted = vars(SVC(C=self.C, kernel="precomputed", cache_size=200).fit(kernel, y, sample_weight))
        state = {name: value for name, value in fitted.items() if name not in self._parameters()}
        if X is not None:
            vectors = np.ascontiguousarray(X[fitted["support_"]], dtype=np.float64)
            state |= {"support_vectors_": vectors, "shape_fit_": X.shape, "n_features_in_": X.shape[1]}
        self._become({**state, "_gamma": float(self.gamma)})
        return self

    def _become(self, state: dict[str, Any]) -> None:
        """Take over what another machine has learned."""
        self.__dict__.update(state)

    @staticmethod
    def _parameters() -> set[str]:
        return set(SVC().get_params())

    def decision_of(self, kernel: NDArray[Any]) -> NDArray[np.float64]:
        """What ``decision_function`` says of rows whose kernel values with the support vectors are given.

        Parameters
        ----------
        kernel : ndarray of shape (m, s)
            Kernel values of m rows with the s support vectors.

        Returns
        -------
        ndarray of shape (m,) for two classes, else (m, K)
        """
        from sklearn.utils.multiclass import _ovr_decision_function

        pairs = kernel @ self._pair_weights() + self.intercept_
        if len(self.classes_) == 2:
            return np.asarray(pairs[:, 0])
        return np.asarray(_ovr_decision_function(pairs < 0, -pairs, len(self.classes_)))

    def _decision_function(self, X: Any) -> NDArray[np.float64]:
        """As scikit-learn's, for all support vectors at once: (m,) for two classes, else a column for each pair."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        rows = max(1, _BLOCK // (8 * max(1, len(self.support_))))
        pairs = np.concatenate(
            [
                np.exp(-self._gamma * squared_distances(X[start : start + rows], self.support_vectors_))
                @ self._pair_weights()
                + self.intercept_
                for start in range(0, len(X), rows)
            ]
        )
        return pairs[:, 0] if len(self.classes_) == 2 else pairs

    def _pair_weights(self) -> NDArray[np.float64]:
        """Weight of each support vector in the machine of each pair of classes, of shape (s, K (K - 1) / 2).

        libsvm keeps those of class i against class j in row j - 1 of the dual coefficients, and those of class j
        against class i in row i.
        """
        duals = np.asarray(self.dual_coef_, dtype=np.float64)  # (K - 1, s)
        ends = np.concatenate([[0], np.cumsum(self.n_support_)])
        n_classes = len(self.classes_)
        if n_classes == 2:
            return np.asarray(duals.T)
        weights = np.zeros((duals.shape[1], n_classes * (n_classes - 1) // 2))
        pair = 0
        for i in range(n_classes):
            for j in range(i + 1, n_classes):
                of_i, of_j = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
                weights[of_i, pair], weights[of_j, pair] = duals[j - 1, of_i], duals[i, of_j]
                pair += 1
        return weights
