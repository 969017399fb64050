"""Training parts of growing numbers of subjects: nested, with every class at every size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.folds import Fold
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import SplitError

LEAST_TRAINED, LEAST_VALIDATED = 2, 1
"""Subjects of each class that the smallest training, and validation, part has; tuning needs two."""


@dataclass(frozen=True, eq=False)
class Growth:
    """The subjects of a fold's training and validation part in the order in which they are added.

    Attributes
    ----------
    fold : Fold
        With all of them.
    group_of : ndarray of shape (n,), str
        Linked group of every row of the manifest.
    order : ndarray of shape (m,), str
        Groups; the first few hold the least number of every class, and from then on every beginning has the classes
        (and the parts) in nearly the shares of the whole.
    least : int
        Groups that the smallest size has.
    """

    fold: Fold
    group_of: NDArray[np.str_]
    order: NDArray[np.str_]
    least: int

    @classmethod
    def of(cls, manifest: Manifest, fold: Fold, seed: int) -> Growth:
        """Draw an order of the groups.

        Parameters
        ----------
        manifest : Manifest
            What the fold divides.
        fold : Fold
            Training and validation part share no group.
        seed : int
            Other seeds draw other orders.
        """
        rng = np.random.default_rng([seed, fold.repeat, fold.number])
        group_of, label = np.asarray(manifest.group), np.asarray(manifest.label)
        names: list[str] = []
        turn: list[float] = []
        least = 0
        for rows, fewest in ((fold.train, LEAST_TRAINED), (fold.validation, LEAST_VALIDATED)):
            kinds = _kinds(group_of[rows], label[rows])
            for kind in sorted(set(kinds.values())):
                members = rng.permutation([name for name, own in kinds.items() if own == kind])
                first = min(fewest, len(members))
                names += members.tolist()
                # the first stand before all others; later ones are spread evenly, whatever their number
                turn += [-1.0] * first + [(place + 0.5) / len(members) for place in range(first, len(members))]
                least += first
        return cls(fold, group_of, np.array(names)[np.argsort(turn, kind="stable")], least)

    def __len__(self) -> int:
        return len(self.order)

    def at(self, size: int, repeat: int) -> Fold:
        """The fold with the first ``size`` groups to learn from, as a fold of another repeat; all are tested."""
        chosen = self.order[:size]
        train, validation = (
            part[np.isin(self.group_of[part], chosen)] for part in (self.fold.train, self.fold.validation)
        )
        return Fold(repeat, self.fold.number, train, validation, self.fold.test)


def growths(plan: SplitPlan, n_seeds: int) -> list[list[Growth]]:
    """An order for every seed and fold of a plan.

    Raises
    ------
    SplitError
        The plan divides subjects, or nobody knows them, so that there is nothing to count.
    """
    manifest = plan.manifest
    if plan.protection == "none" or not manifest.groups_known:
        raise SplitError(
            f"{manifest.dataset}: a learning curve counts the subjects that are trained on, and this split"
            f" ({plan.kind}) keeps none whole; give a column subject or group and use a grouped split"
        )
    return [[Growth.of(manifest, fold, seed) for fold in plan.folds] for seed in range(n_seeds)]


def sizes_of(drawn: Sequence[Sequence[Growth]], n_sizes: int, dataset: str) -> list[int]:
    """Numbers of groups, evenly spaced on a log scale, from the fewest possible to fewer than every fold has.

    Raises
    ------
    SplitError
        The folds have too few groups for a size below all of them.
    """
    flat = [growth for folds in drawn for growth in folds]
    least, most = max(growth.least for growth in flat), min(map(len, flat))
    spaced = np.unique(np.round(np.geomspace(least, most, n_sizes)).astype(int)) if most > least else np.array([])
    sizes = [int(size) for size in spaced if size < most]
    if not sizes:
        raise SplitError(
            f"{dataset}: too few subjects for a learning curve: the smallest training part has {most}, and the least"
            f" that can be trained on is {least}; use more folds, or more subjects"
        )
    return sizes


def _kinds(groups: NDArray[np.str_], labels: NDArray[np.str_]) -> dict[str, str]:
    """The most frequent class of every group, in order of name."""
    kinds = {}
    for name in np.unique(groups):
        values, counts = np.unique(labels[groups == name], return_counts=True)
        kinds[str(name)] = str(values[counts.argmax()])
    return kinds
