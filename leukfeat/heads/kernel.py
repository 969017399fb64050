"""Heads that compare rows with each other: the support-vector machine and nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leukfeat.heads.space import BALANCE, REDUCTION, SCALING, Choice, Number
from leukfeat.heads.spec import Frame, HeadSpec, Learned, Parts, Shared

# Distances in the network's own metric: standardising would give its faintest features as much to say as the others.
_SCALING = Choice("scaling", SCALING.values, default="overall")


def _build_svm(params: Mapping[str, Any], frame: Frame) -> Any:
    from leukfeat.heads.machines import GaussianMachine

    # Scaled features have variance 1 on average: squared distances are about 2 d, and gamma is in units of 1/d.
    return GaussianMachine(C=params["C"], gamma=params["gamma_times_d"] / frame.n_features)


def _fitted_by(n_rows: int) -> str:
    from leukfeat.heads import intelex, machines

    return "" if machines.affordable(n_rows) else intelex.named()


def _share_distances(X: Learned, y: Parts, frame: Frame) -> Shared | None:
    from leukfeat.heads.machines import affordable, distances

    return distances(X.fit[:], X.validation[:], y.fit) if affordable(len(y.fit)) else None


def _build_knn(params: Mapping[str, Any], frame: Frame) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    n_neighbors = min(params["n_neighbors"], frame.n_rows)
    return KNeighborsClassifier(n_neighbors=n_neighbors, weights=params["weights"], algorithm="brute")


SVM = HeadSpec(
    name="svm",
    summary="support-vector machine with a Gaussian kernel, calibrated",
    space=(
        Number("C", 0.3, 300.0, default=10.0, log=True),
        Number("gamma_times_d", 0.005, 1.0, default=0.1, log=True),
        _SCALING,
        REDUCTION,
        BALANCE,
    ),
    build=_build_svm,
    library="scikit-learn",
    runs="CalibratedClassifierCV(SVC(kernel=rbf), method=sigmoid)",
    faster=_fitted_by,
    share=_share_distances,
    calibrated=True,
)

KNN = HeadSpec(
    name="knn",
    summary="votes of the nearest neighbours",
    space=(
        Number("n_neighbors", 1, 50, default=5, log=True, whole=True),
        Choice("weights", ("uniform", "distance"), default="distance"),
        _SCALING,
        REDUCTION,
    ),
    build=_build_knn,
    library="scikit-learn",
    runs="KNeighborsClassifier",
)
