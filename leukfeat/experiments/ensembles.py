"""A candidate for evaluation: several candidates whose probabilities are combined by a rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.exposure import Seen
from leukfeat.data.folds import grouped_folds, most_folds
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold
from leukfeat.errors import HeadError, UsageError
from leukfeat.evaluation.crossval import Candidate, FittedCandidate
from leukfeat.evaluation.ensembles import EnsembleRule, FittedRule, stacked
from leukfeat.experiments.candidates import everything, only_validation_shares_with_test
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.kept import Kept
from leukfeat.heads.storage import Storage

Inner = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Rows of a manifest and their probabilities by models that have not seen them."""

_NO_ROWS = np.zeros(0, dtype=np.int64)
_INNER = 1000  # inner folds are numbered from here, so that no study or journal of theirs is one of an outer fold


class FittedMember(FittedCandidate, Protocol):
    """A fitted member, of which a bundle can be made."""

    @property
    def kept(self) -> Kept:
        """What a bundle needs of it."""
        ...


class Member(Candidate, Protocol):
    """A candidate that can be part of an ensemble."""

    @property
    def folds_at_once(self) -> bool:
        """Whether folds may be fitted in several processes."""
        ...

    @property
    def forwarding(self) -> Forwarding:
        """How its forward passes run."""
        ...

    def in_folder(self, folder: Path, prefix: str, storage: str | Storage | None) -> Self:
        """The same candidate with a place for what it keeps while it is fitted."""
        ...

    def on_threads(self, threads: int) -> Self:
        """The same candidate with so many threads a fit."""
        ...

    def copied_bytes(self, manifest: Manifest) -> int:
        """Size of the features that a fit takes its rows from."""
        ...

    def identity(self, manifest: Manifest) -> str:
        """sha256 of everything a fit depends on besides the rows."""
        ...

    def prepare(self, manifest: Manifest, folds: Iterable[Fold]) -> None:
        """Do what folds need before they are fitted."""
        ...

    def fit(self, manifest: Manifest, fold: Fold) -> FittedMember:
        """Train on a fold."""
        ...


@dataclass(frozen=True)
class FittedEnsemble:
    """An ensemble fitted on one fold (see :class:`leukfeat.evaluation.crossval.FittedCandidate`)."""

    members: tuple[FittedMember, ...]
    rule: FittedRule
    classes: tuple[str, ...]
    facts: Mapping[str, Any]
    learned_from: Inner | None = None

    @cached_property
    def inner(self) -> Inner | None:
        """Rows of the training part with the ensemble's probabilities for them; None where a member has none.

        A rule that learns: the rows it learned from, each predicted by a rule that had not seen its inner fold.
        Another: the rows for which every member has inner predictions, combined.
        """
        if self.rule.rule.learns:
            return self.learned_from
        given: list[Inner] = [one for member in self.members if (one := getattr(member, "inner", None)) is not None]
        if len(given) < len(self.members):
            return None
        rows = reduce(np.intersect1d, [known for known, _ in given])
        if not len(rows):
            return None
        said = []
        for (known, proba), member in zip(given, self.members, strict=True):
            order = np.argsort(known)
            said.append((proba[order[np.searchsorted(known, rows, sorter=order)]], member.classes))
        return rows, self.rule.combine(stacked(said, self.classes))

    @property
    def seen(self) -> Seen:
        """What trained the encoder of any member."""
        seen = Seen()
        for member in self.members:
            seen |= member.seen
        return seen

    @property
    def kept(self) -> Kept:
        """What a bundle is made of."""
        return Kept(self.classes, self.facts, members=tuple(member.kept for member in self.members), rule=self.rule)

    def predict_proba(self, manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities of shape (len(rows), len(classes))."""
        said = [(member.predict_proba(manifest, rows), member.classes) for member in self.members]
        return self.rule.combine(stacked(said, self.classes))


@dataclass(frozen=True)
class Ensemble:
    """Several candidates and a rule (see :class:`leukfeat.evaluation.crossval.Candidate`).

    Every member is fitted on the fold. What the rule learns, if it learns, is learned from rows of the training part
    that members have not been trained on: training and validation rows are divided into inner folds of whole groups,
    every member is fitted once more for each without it, and predicts it.

    Parameters
    ----------
    members : tuple of candidates
        Two or more, in the order that the rule knows them by.
    rule : EnsembleRule
        How their probabilities become one.
    inner_folds : int
        Fits of every member for a rule that learns; fewer where the rarest class has fewer groups.
    seed : int
        Seeds the inner folds.

    Raises
    ------
    UsageError
        A number of members that the rule cannot combine, or fewer than two inner folds.
    """

    members: tuple[Member, ...]
    rule: EnsembleRule
    inner_folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        self.rule.check_members(len(self.members))
        if not 2 <= self.inner_folds < _INNER:
            raise UsageError(f"ensemble: inner_folds is {self.inner_folds}; give 2 or more")

    @property
    def name(self) -> str:
        """Short name for tables."""
        return f"{self.rule.label}({', '.join(member.name for member in self.members)})"

    @property
    def folds_at_once(self) -> bool:
        """Whether folds may be fitted in several processes: if those of every member may."""
        return all(member.folds_at_once for member in self.members)

    @property
    def forwarding(self) -> Forwarding:
        """How forward passes run: as those of the first member."""
        return self.members[0].forwarding

    def describe(self) -> dict[str, Any]:
        """Everything that makes it what it is."""
        inner = {"inner_folds": self.inner_folds, "seed": self.seed} if self.rule.learns else {}
        return {"rule": self.rule.describe(), **inner, "members": [dict(member.describe()) for member in self.members]}

    def in_folder(self, folder: Path, prefix: str, storage: str | Storage | None) -> Ensemble:
        """The same ensemble whose members have places of their own for what they keep while they are fitted."""
        placed = (
            member.in_folder(folder / f"member-{number}", f"{prefix}-m{number}", storage)
            for number, member in enumerate(self.members)
        )
        return replace(self, members=tuple(placed))

    def on_threads(self, threads: int) -> Ensemble:
        """The same ensemble, each member of which is fitted with so many threads."""
        return replace(self, members=tuple(member.on_threads(threads) for member in self.members))

    def copied_bytes(self, manifest: Manifest) -> int:
        """Size of the features that fits take their rows from: members are fitted one after another."""
        return max(member.copied_bytes(manifest) for member in self.members)

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Rows that every member can use."""
        return np.asarray(np.all([member.available(manifest) for member in self.members], axis=0))

    def identity(self, manifest: Manifest) -> str:
        """sha256 of everything a fit depends on besides the rows."""
        seal = hashlib.sha256(json.dumps(self.rule.describe(), sort_keys=True).encode())
        if self.rule.learns:
            seal.update(f"{self.inner_folds} {self.seed}".encode())
        for member in self.members:
            seal.update(member.identity(manifest).encode())
        return seal.hexdigest()

    def prepare(self, manifest: Manifest, folds: Iterable[Fold]) -> None:
        """Let every member do what it needs for the folds, and for the inner folds of each."""
        wanted = [each for fold in folds for each in (fold, *self._inner(manifest, fold))]
        for member in self.members:
            member.prepare(manifest, wanted)

    def fit(self, manifest: Manifest, fold: Fold) -> FittedEnsemble:
        """Fit every member on the fold, and the rule on what members say of rows they have not been trained on.

        Raises
        ------
        HeadError
            A rule that learns, and a class of which the training part has fewer than two groups.
        LeakageError
            A rule that learns, and a member whose encoder has been trained on the very rows it would learn from.
        """
        inner = self._inner(manifest, fold)
        held_out = [[_held_out(member, manifest, part) for member in self.members] for part in inner]
        members = tuple(member.fit(manifest, fold) for member in self.members)
        known = {name for one in members for name in one.classes}
        known |= {name for said in held_out for _, names in said for name in names}
        classes = (*(name for name in manifest.classes if name in known), *sorted(known - set(manifest.classes)))
        rule, learned_from = self.rule.fit() if not inner else None, None
        if rule is None:
            rows = np.concatenate([part.test for part in inner])
            proba = np.concatenate([stacked(said, classes) for said in held_out], axis=1)
            y = np.array([classes.index(manifest.label[row]) for row in rows])
            rule = self.rule.fit(proba, y)
            part_of = np.repeat(np.arange(len(inner)), [len(part.test) for part in inner])
            learned_from = rows, _crossed(self.rule, proba, y, part_of)
        facts = {
            "rule": rule.describe(),
            "inner_fits": len(inner) * len(members),
            "n_train": len(fold.train) + len(fold.validation),
            "members": [{"name": c.name, **f.facts} for c, f in zip(self.members, members, strict=True)],
            "inner_seen": not inner and any(f.facts.get("inner_seen", False) for f in members),
        }
        return FittedEnsemble(members, rule, classes, facts, learned_from)

    def fit_all(self, manifest: Manifest) -> FittedEnsemble:
        """Fit on every labelled row that all members can use: the model to keep."""
        return self.fit(manifest, everything(self, manifest))

    def _inner(self, manifest: Manifest, fold: Fold) -> list[Fold]:
        """Whole groups of training and validation rows, for the rule to learn on; none where it learns nothing."""
        if not self.rule.learns:
            return []
        # as for a head, validation rows of test subjects that training keeps away from teach nothing
        met = only_validation_shares_with_test(manifest, fold)
        rows = fold.train if met else np.concatenate([fold.train, fold.validation])
        label, group = np.asarray(manifest.label)[rows], np.asarray(manifest.group)[rows]
        possible, rarest = most_folds(label, group)
        if possible < 2:
            raise HeadError(
                f"{self.name}: class {str(rarest)!r} has {possible} group(s) in the training part of fold"
                f" {fold.number}; rule {self.rule.name!r} learns on inner folds, which need 2 of each class"
            )
        fold_of = grouped_folds(label, group, min(self.inner_folds, possible), self.seed)
        first = _INNER * (fold.number + 2)  # the model to keep is fold -1
        return [
            Fold(fold.repeat, first + k, np.sort(rows[fold_of != k]), _NO_ROWS, np.sort(rows[fold_of == k]))
            for k in range(int(fold_of.max()) + 1)
        ]


def _crossed(
    rule: EnsembleRule, proba: NDArray[np.float64], y: NDArray[np.int64], part_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What a rule that learns says of each inner fold, learned on the others: (m, n, k) -> (n, k)."""
    said = np.empty(proba.shape[1:])
    for part in np.unique(part_of):
        here = part_of == part
        said[here] = rule.fit(proba[:, ~here], y[~here]).combine(proba[:, here])
    return said


def _held_out(member: Member, manifest: Manifest, part: Fold) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """What a member, fitted without them, says of the rows of an inner fold, and its classes.

    Raises
    ------
    LeakageError
        Its encoder has been trained on them.
    """
    fitted = member.fit(manifest, part)
    fitted.seen.beyond(Seen.of_rows(manifest, part.train)).refuse(manifest, part.test)
    return np.asarray(fitted.predict_proba(manifest, part.test), dtype=np.float64), fitted.classes
