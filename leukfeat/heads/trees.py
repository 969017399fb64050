"""A random forest that grows through scikit-learn-intelex where it is installed, and is scikit-learn's either way."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils.validation import validate_data

from leukfeat.heads import intelex


class Forest(RandomForestClassifier):  # type: ignore[misc]  # scikit-learn is untyped
    """``sklearn.ensemble.RandomForestClassifier`` whose threads are for growing only.

    Threads that predict would add up the trees as they finish, in an order that changes the last bit.

    Parameters
    ----------
    n_estimators, max_depth, min_samples_leaf, max_features, random_state
        As in ``sklearn.ensemble.RandomForestClassifier``.
    fit_jobs : int
        Threads that grow trees; the forest does not depend on it.
    """

    def __init__(
        self,
        *,
        n_estimators: int = 150,
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        max_features: int | str = "sqrt",
        random_state: int = 0,
        fit_jobs: int = 1,
    ) -> None:
        super().__init__(
            n_estimators,
            max_depth=max_depth,
            min_samples_leaf=min_samples_leaf,
            max_features=max_features,
            random_state=random_state,
            n_jobs=1,
        )
        self.fit_jobs = fit_jobs

    def fit(self, X: Any, y: Any, sample_weight: NDArray[np.float64] | None = None) -> Self:
        """Grow the trees."""
        settings = {name: value for name, value in self.get_params().items() if name != "fit_jobs"}
        if intelex.available():
            X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
            learned = intelex.fitted_forest(settings, X, y, sample_weight, self.fit_jobs)
            if learned is not None:
                self.__dict__.update(learned)
                return self
        stock = RandomForestClassifier(**settings, n_jobs=self.fit_jobs).fit(X, y, sample_weight)
        self.__dict__.update({name: value for name, value in vars(stock).items() if name not in stock.get_params()})
        return self
