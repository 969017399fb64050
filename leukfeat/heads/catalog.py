"""The heads there are: one literal table. Importing it costs no machine-learning library."""

from __future__ import annotations

from leukfeat.errors import UnknownNameError
from leukfeat.heads.boosting import LIGHTGBM, XGBOOST
from leukfeat.heads.forest import RANDOM_FOREST, TREE
from leukfeat.heads.kernel import KNN, SVM
from leukfeat.heads.linear import LOGISTIC
from leukfeat.heads.spec import HeadSpec

HEADS: dict[str, HeadSpec] = {
    "xgboost": XGBOOST,
    "lightgbm": LIGHTGBM,
    "svm": SVM,
    "random-forest": RANDOM_FOREST,
    "logistic": LOGISTIC,
    "knn": KNN,
    "tree": TREE,
}


def find_head(name: str) -> HeadSpec:
    """The head of a name.

    Raises
    ------
    UnknownNameError
        No such head; the message lists those there are.

    Examples
    --------
    >>> find_head("svm").calibrated
    True
    """
    if name not in HEADS:
        raise UnknownNameError("head", str(name), HEADS)
    return HEADS[name]
