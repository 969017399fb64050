"""Logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leukfeat.heads.space import BALANCE, REDUCTION, SCALING, Number
from leukfeat.heads.spec import Frame, HeadSpec


def _build_logistic(params: Mapping[str, Any], frame: Frame) -> Any:
    from sklearn.linear_model import LogisticRegression

    # Scaled features have variance 1 on average, so that the penalty is given in units of the number of features.
    return LogisticRegression(C=params["C_times_d"] / frame.n_features, solver="lbfgs", max_iter=1000, tol=1e-4)


LOGISTIC = HeadSpec(
    name="logistic",
    summary="logistic regression with a quadratic penalty",
    space=(Number("C_times_d", 1.0, 3000.0, default=300.0, log=True), SCALING, REDUCTION, BALANCE),
    build=_build_logistic,
    library="scikit-learn",
    runs="LogisticRegression(solver=lbfgs)",
)
