"""Baselines that never look at texture: size, outline, colour, background, file or corners alone.

Each is a candidate like any other, tested on the same folds as the networks, so that it has the same numbers and
intervals, and can stand beside them in a comparison.

The classifier is a logistic regression on standardised measurements, balanced over classes, with a penalty that grows
with their number. On one measurement it ranks images as the measurement itself does, so that ``area`` gives the AUROC
that area has in the literature, and on a constant one it is at chance exactly; a forest does neither (on constant
columns its AUROC was 0.43, because folds differ by their bootstrap). It understates shortcuts that are not monotone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.measurements import Measurements
from leukfeat.audit.silhouette import CORNERS, SCALARS
from leukfeat.data.exposure import Seen
from leukfeat.data.folds import Fold
from leukfeat.data.manifest import Manifest

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """Something that an image shows besides its texture.

    Attributes
    ----------
    title : str
        For people.
    code : str
        Of the finding, where it predicts the label.
    features : callable
        From measurements to a matrix (n, d), NaN where something is undefined.
    """

    title: str
    code: str
    features: Callable[[Measurements], Matrix]


def _scalars(*names: str) -> Callable[[Measurements], Matrix]:
    return lambda measured: np.column_stack([measured.scalars[name] for name in names])


def _logarithms(*names: str) -> Callable[[Measurements], Matrix]:
    """Of sizes, which vary by proportion."""
    return lambda measured: np.log(_scalars(*names)(measured))


def _outline(measured: Measurements) -> Matrix:
    if measured.outline is None:
        return np.full((len(measured), 1), np.nan)
    return np.where(np.isnan(measured.scalars["area"])[:, None], np.nan, measured.outline)


def _corners(*numbers: int) -> Callable[[Measurements], Matrix]:
    def features(measured: Measurements) -> Matrix:
        if measured.corners is None:
            return np.full((len(measured), 1), np.nan)
        return measured.corners[:, numbers].reshape(len(measured), -1).astype(np.float64)

    return features


BASELINES: Mapping[str, Baseline] = {
    "area": Baseline("cell area", "shortcut-size", _logarithms("area")),
    "box": Baseline("bounding box", "shortcut-size", _logarithms("box_height", "box_width")),
    "silhouette": Baseline("silhouette", "shortcut-silhouette", _outline),
    "colour": Baseline(
        "mean colour of the cell", "shortcut-colour", _scalars(*(n for n in SCALARS if n.startswith("foreground_")))
    ),
    "background": Baseline(
        "background", "shortcut-background", _scalars(*(n for n in SCALARS if n.startswith("background_")))
    ),
    "file": Baseline("file and image size", "shortcut-file", _logarithms("file_bytes", "image_height", "image_width")),
    "corners": Baseline("the four corners", "shortcut-corner", _corners(*range(len(CORNERS)))),
    # corners that show the slide alike differ by what is burnt into one of them
    **{
        f"corner-{name}": Baseline(f"{name} corner", "shortcut-corner", _corners(number))
        for number, name in enumerate(CORNERS)
    },
}
"""Every shortcut that is tried."""


@dataclass(frozen=True, eq=False)
class ShortcutCandidate:
    """A small classifier on a few measurements; one of :class:`leukfeat.evaluation.crossval.Candidate`.

    Attributes
    ----------
    name : str
        A key of :data:`BASELINES`.
    X : ndarray of shape (rows of the manifest, d), float64
        NaN where something is undefined; filled with the median of the fold's training part.
    usable : ndarray of shape (rows of the manifest,), bool
        Rows whose image could be read.
    """

    name: str
    X: Matrix
    usable: NDArray[np.bool_]

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Which rows can be used."""
        return self.usable

    def fit(self, manifest: Manifest, fold: Fold) -> FittedShortcut:
        """Fit on training and validation rows: nothing is chosen, so nothing needs to be held back."""
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        rows = np.concatenate([fold.train, fold.validation])
        X, y = self.X[rows], np.array([manifest.label[row] for row in rows])
        model = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(C=1 / X.shape[1], class_weight="balanced", max_iter=2000),
        )
        return FittedShortcut(tuple(np.unique(y).tolist()), self.X, model.fit(X, y))

    def describe(self) -> Mapping[str, Any]:
        """What it is; JSON types."""
        return {"kind": "shortcut", "shortcut": self.name, "measurements": int(self.X.shape[1])}


@dataclass(frozen=True, eq=False)
class FittedShortcut:
    """A baseline after training on one fold."""

    classes: tuple[str, ...]
    X: Matrix
    model: Any
    seen: Seen = field(default_factory=Seen)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def predict_proba(self, manifest: Manifest, rows: NDArray[np.int64]) -> Matrix:
        """Probabilities of shape (len(rows), len(classes))."""
        return np.asarray(self.model.predict_proba(self.X[rows]))
