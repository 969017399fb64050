"""Runs against each other: tested differences, as a table and as sentences that a paper could quote."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from leukfeat.evaluation.metrics import METRICS, Score
from leukfeat.evaluation.multiplicity import holm
from leukfeat.evaluation.opinions import SecondOpinions
from leukfeat.evaluation.paired import PAIRED_BOOTSTRAP, Difference
from leukfeat.evaluation.resampled_t import CORRELATED_T, ROPE, SURE
from leukfeat.evaluation.uncertainty import Estimate
from leukfeat.reports.estimates import TOO_NARROW, Estimates
from leukfeat.reports.table import Column, Table, nothing

_SPOKEN = 6  # pairs that get a sentence; the table has them all


@dataclass(frozen=True, eq=False)
class Pair:
    """Two runs, the difference of their main metric, and its p value among all that were tested.

    Attributes
    ----------
    difference : Difference
        First less second.
    adjusted : Score
        p value after Holm's adjustment for the family.
    alpha : float
        The runs are told apart where it is below this; what the level of the intervals leaves.
    """

    difference: Difference
    adjusted: Score
    alpha: float = 0.05

    @property
    def told_apart(self) -> bool:
        """Whether the runs differ at the level of the family."""
        return self.adjusted.defined and self.adjusted.value < self.alpha


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every tested pair of a comparison: the declared family.

    Attributes
    ----------
    estimates : Estimates
        The numbers they come from.
    metric : str
        What is compared, a name in ``METRICS``.
    reference : str or None
        The run that all others were tested against; None means every pair.
    pairs : tuple of Pair
        In the order of the runs.
    """

    estimates: Estimates
    metric: str
    reference: str | None
    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, estimates: Estimates, metric: str, reference: str | None = None) -> Pairs:
        """Test every pair of runs, or every run against a reference."""
        found = estimates.differences(metric, reference)
        alpha = round(1 - estimates.how.level, 12)
        adjusted = holm({(one.first, one.second): one.p for one in found}).adjusted
        return cls(
            estimates, metric, reference, tuple(Pair(one, adjusted[one.first, one.second], alpha) for one in found)
        )

    @property
    def family(self) -> str:
        """Which differences p values are adjusted for, in words."""
        against = f"every run against {self.reference}" if self.reference else "every pair of runs"
        return f"Holm's adjustment over {len(self.pairs)} difference(s): {against}, {METRICS[self.metric].title}"

    @property
    def test(self) -> str:
        """The test in words."""
        return PAIRED_BOOTSTRAP.format(units=f"{len(self.estimates.clusters):,} {self.estimates.clusters.units}")

    def table(self) -> Table:
        """One pair a row."""
        title = f"Paired differences in {METRICS[self.metric].title_for(len(self.estimates.one.classes))}"
        if not self.pairs:
            return nothing(title, "there is one run only")
        return Table(
            title=title,
            columns=(
                Column("run"),
                Column("less run"),
                Column("difference", form="+.3f"),
                Column("p", form=".3g"),
                Column("Holm p", form=".3g"),
            ),
            rows=tuple(
                (
                    pair.difference.first,
                    pair.difference.second,
                    Estimate(pair.difference.estimate, pair.difference.interval),
                    pair.difference.p,
                    pair.adjusted,
                )
                for pair in self.pairs
            ),
            words=(f"in brackets and p: {self.test}; {self.family}", *self._narrow),
        )

    @property
    def _narrow(self) -> tuple[str, ...]:
        return () if self.estimates.one.subjects_known else (TOO_NARROW,)

    @property
    def shown(self) -> tuple[Pair, ...]:
        """The pairs worth words: all, or of many those with the best run."""
        if len(self.pairs) <= _SPOKEN:
            return self.pairs
        best = next(iter(self.estimates.predictions))
        return tuple(pair for pair in self.pairs if best in (pair.difference.first, pair.difference.second))

    @property
    def sentences(self) -> tuple[str, ...]:
        """One a pair; of many pairs those with the best run."""
        return tuple(map(self._sentence, self.shown))

    @cached_property
    def _opinions(self) -> SecondOpinions:
        """Of the runs that are in a pair worth words."""
        spoken = {name for pair in self.shown for name in (pair.difference.first, pair.difference.second)}
        return SecondOpinions(
            {name: rows for name, rows in self.estimates.predictions.items() if name in spoken}, self.metric
        )

    def opinions_table(self) -> Table:
        """Every other test that fits the same pairs; p values are adjusted within each kind of test."""
        title = "Other tests of the same pairs"
        if not self.pairs:
            return nothing(title, "there is one run only")
        found = {
            (pair.difference.first, pair.difference.second, opinion.about, opinion.outcome.test): opinion.outcome
            for pair in self.shown
            for opinion in self._opinions.of(pair.difference.first, pair.difference.second)
        }
        kinds = dict.fromkeys(key[2:] for key in found)
        adjusted = {
            key: p
            for kind in kinds
            for key, p in holm({key: one.p_value for key, one in found.items() if key[2:] == kind}).adjusted.items()
        }
        return Table(
            title=title,
            columns=(
                Column("run"),
                Column("less run"),
                Column("compared"),
                Column("test"),
                Column("on"),
                Column("difference", form="+.3f"),
                Column("p", form=".3g"),
                Column("Holm p", form=".3g"),
            ),
            rows=tuple(
                (
                    *key,
                    one.basis,
                    Score(one.difference) if math.isfinite(one.difference) else Score.undefined(one.reason),
                    one.p_value,
                    adjusted[key],
                )
                for key, one in found.items()
            ),
            words=("Holm's adjustment within each kind of test; the differences above are the declared family",),
        )

    def equivalence_table(self) -> Table:
        """How probable it is that runs are practically equivalent, from their folds."""
        title = f"Practical equivalence in {METRICS[self.metric].title_for(len(self.estimates.one.classes))}"
        if not self.pairs:
            return nothing(title, "there is one run only")
        found = [
            (pair, self._opinions.equivalence(pair.difference.first, pair.difference.second, ROPE))
            for pair in self.shown
        ]
        known = [(pair, one) for pair, one in found if one is not None]
        if not known:
            return nothing(title, "folds are no cross-validation, so what was trained on is not known")
        return Table(
            title=title,
            columns=(
                Column("run"),
                Column("against run"),
                Column("P(worse)", form=".3f"),
                Column("P(equivalent)", form=".3f"),
                Column("P(better)", form=".3f"),
                Column("verdict"),
            ),
            rows=tuple(
                (
                    pair.difference.first,
                    pair.difference.second,
                    *(_score(value, one.reason) for value in (one.worse, one.equivalent, one.better)),
                    one.verdict if one.defined else None,
                )
                for pair, one in known
            ),
            words=(
                f"{CORRELATED_T} over folds, n counted in {self.estimates.clusters.units}; equivalent: within"
                f" ±{ROPE:g}; a verdict needs a probability of {SURE:g}",
            ),
        )

    def _sentence(self, pair: Pair) -> str:
        """Who is ahead, by how much, and whether that could be chance."""
        found, metric = pair.difference, METRICS[self.metric]
        if not found.estimate.defined:
            return f"{spoken(found.first)} and {spoken(found.second)} are not compared: {found.estimate.reason}."
        swapped = found.estimate.value < 0  # tell the size of a difference, whoever stands first
        low, high = (
            (-found.interval.high, -found.interval.low) if swapped else (found.interval.low, found.interval.high)
        )
        ahead, behind = found.first, found.second
        if swapped != (metric.direction == "lower"):
            ahead, behind = behind, ahead
        size = f"{abs(found.estimate.value):.3f} {metric.title}"
        if not pair.adjusted.defined:
            return f"{spoken(ahead)} and {spoken(behind)} differ by {size}, untested: {pair.adjusted.reason}."
        clusters = self.estimates.clusters
        brackets = (
            f"({self.estimates.how.percent} CI {low:.3f} to {high:.3f}, Holm p {p_in_words(pair.adjusted.value)},"
            f" {len(clusters):,} {clusters.units})"
        )
        if pair.told_apart:
            return f"{spoken(ahead)} is better than {spoken(behind)} by {size} {brackets}."
        return f"{spoken(ahead)} cannot be told from {spoken(behind)}: ahead by {size} {brackets}."

    def to_dict(self) -> dict[str, Any]:
        """The family with every difference, as JSON types; what is undefined is None with its reason."""
        return {
            "test": self.test,
            "family": self.family,
            "differences": [
                {
                    "first": pair.difference.first,
                    "second": pair.difference.second,
                    "metric": pair.difference.metric,
                    "difference": _number(pair.difference.estimate),
                    "interval": [pair.difference.interval.low, pair.difference.interval.high]
                    if pair.difference.interval.defined
                    else None,
                    "p": _number(pair.difference.p),
                    "holm_p": _number(pair.adjusted),
                    "undefined": pair.adjusted.reason,
                }
                for pair in self.pairs
            ],
            "sentences": list(self.sentences),
        }


def _score(value: float, reason: str) -> Score:
    return Score.undefined(reason) if reason else Score(value)


def _number(score: Score) -> float | None:
    return score.value if score.defined else None


def spoken(run: str) -> str:
    """A run's name as it is said: the head first.

    Examples
    --------
    >>> spoken("densenet201 → xgboost"), spoken("resnet18 end-to-end")
    ('xgboost on densenet201', 'resnet18 end-to-end')
    """
    backbone, arrow, head = run.rpartition(" → ")
    return f"{head} on {backbone}" if arrow else run


def p_in_words(p: float) -> str:
    """A p value with its sign of equality.

    Examples
    --------
    >>> p_in_words(0.031), p_in_words(0.00002)
    ('= 0.031', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
