"""How well size, outline, colour, background, file or corners alone predict the label on the folds of a plan.

Where one of the baselines of :mod:`leukfeat.audit.baselines` beats chance, a network may be living on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leukfeat.audit.baselines import BASELINES, ShortcutCandidate
from leukfeat.audit.findings import Finding
from leukfeat.audit.measurements import Measurements, measure_rows
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import UnknownNameError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.evaluation.intervals import Interval, intervals
from leukfeat.evaluation.metrics import METRICS, Score, score
from leukfeat.evaluation.resampling import Clusters, Draws
from leukfeat.evaluation.runs import Run

Progress = Callable[[str, int, int], None]

CHANCE = 0.5
"""AUROC of guessing, for two classes and for the mean over several."""

STRONG = 0.6
"""AUROC from which a shortcut is a warning; below it, it is only noted."""


@dataclass(frozen=True, eq=False)
class Shortcut:
    """How well one baseline does.

    Attributes
    ----------
    name : str
        A key of :data:`BASELINES`.
    run : Run
        Its predictions on the folds of the plan.
    auroc : Score
        Macro one-vs-rest for several classes.
    interval : Interval
        Of ``auroc``, by resampling clusters.
    balanced_accuracy : Score
        Mean recall; chance is one over the number of classes.
    clusters : Clusters
        What was resampled.
    """

    name: str
    run: Run
    auroc: Score
    interval: Interval
    balanced_accuracy: Score
    clusters: Clusters

    @property
    def title(self) -> str:
        """What is measured, for people."""
        return BASELINES[self.name].title

    @property
    def found(self) -> bool:
        """Whether the interval lies above chance; a shortcut without any error has none, and is found too."""
        if self.interval.defined:
            return self.interval.low > CHANCE
        return not self.reason and self.auroc.value > 1 - 1e-9

    @property
    def reason(self) -> str:
        """Why nothing can be said; empty where something can."""
        return self.auroc.reason or self.clusters.too_few

    def __str__(self) -> str:
        title = METRICS["auroc"].title_for(len(self.run.predictions.classes))
        many = f"{len(self.clusters):,} {self.clusters.units}"
        how = f"95 % CI {self.interval}, {many}" if self.interval.defined else self.interval.reason
        return f"{self.title} alone: {title} {self.auroc} ({how})"

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON types; None where one is undefined."""
        return {
            "baseline": self.name,
            "auroc": self.auroc.value if self.auroc.defined else None,
            "low": self.interval.low if self.interval.defined else None,
            "high": self.interval.high if self.interval.defined else None,
            "reason": self.auroc.reason or self.interval.reason,
            "balanced_accuracy": self.balanced_accuracy.value if self.balanced_accuracy.defined else None,
            "classes": len(self.run.predictions.classes),
            "clusters": len(self.clusters),
            "unit": self.clusters.unit,
        }


@dataclass(frozen=True, eq=False)
class ShortcutReport:
    """What the suite found.

    Attributes
    ----------
    shortcuts : mapping of str to Shortcut
        Every baseline that could be tested, by name.
    unmeasured : mapping of str to str
        Why the others could not.
    measurements : Measurements
        Of every image of the plan; ``measurements.area`` is what a report draws against a model's score.
    """

    shortcuts: Mapping[str, Shortcut]
    unmeasured: Mapping[str, str]
    measurements: Measurements

    @property
    def runs(self) -> dict[str, Run]:
        """The baselines as runs, which can be compared with any other on this split."""
        return {name: one.run for name, one in self.shortcuts.items()}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One finding for each code that any baseline speaks for, and one for all that was not measured."""
        by_code: dict[str, list[Shortcut]] = {}
        for name, one in self.shortcuts.items():
            if one.found:
                by_code.setdefault(BASELINES[name].code, []).append(one)
        found = [_finding(code, ones) for code, ones in by_code.items()]
        lacking = dict(self.unmeasured) | {name: one.reason for name, one in self.shortcuts.items() if one.reason}
        if self.measurements.lacking:
            lacking["size, silhouette, colour and background"] = self.measurements.lacking
        if lacking:
            words = "; ".join(f"{name}: {reason}" for name, reason in lacking.items())
            evidence = tuple({"baseline": name, "reason": reason} for name, reason in lacking.items())
            found.append(Finding.of("shortcuts-unmeasured", words, evidence))
        return tuple(found)


def shortcut_suite(
    manifest: Manifest,
    plan: SplitPlan,
    *,
    names: Iterable[str] | None = None,
    measurements: Measurements | None = None,
    n_draws: int = 500,
    progress: Progress | None = None,
) -> ShortcutReport:
    """Test every shortcut baseline on the folds of a plan.

    Parameters
    ----------
    manifest : Manifest
        The data; the one the plan was made for.
    plan : SplitPlan
        The folds; everything is learned from each fold's training part.
    names : iterable of str or None
        Which of :data:`BASELINES`; all by default.
    measurements : Measurements or None
        Made before, of these samples; images are read and measured here by default.
    n_draws : int
        Resamples of the intervals: fewer than for results, because there are many baselines, and enough for a
        standard error.
    progress : callable(what, done, total) or None
        Called after every image that was measured, and after every baseline.

    Returns
    -------
    ShortcutReport
        Scores with intervals, findings and measurements.

    Raises
    ------
    UnknownNameError
        A name is in no table.
    SplitError
        The plan is for another manifest, or its folds lose a class with the images that cannot be read.
    """
    wanted = list(BASELINES) if names is None else list(names)
    for name in wanted:
        if name not in BASELINES:
            raise UnknownNameError("shortcut", name, BASELINES)
    rows = np.unique(np.concatenate([np.concatenate([f.train, f.validation, f.test]) for f in plan.folds]))
    told = progress or (lambda what, done, total: None)
    if measurements is None:
        measured = measure_rows(manifest, rows, progress=lambda done, total: told("measurements", done, total))
    else:
        measured = measurements
    place = {sample: number for number, sample in enumerate(measured.sample)}
    unread = set(measured.unread)
    usable = np.array([sample in place and sample not in unread for sample in manifest.sample])
    source = np.array([place.get(sample, 0) for sample in manifest.sample])

    shortcuts: dict[str, Shortcut] = {}
    unmeasured: dict[str, str] = {}
    draws: Draws | None = None
    for done, name in enumerate(wanted):
        told("baselines", done, len(wanted))
        X = np.where(usable[:, None], BASELINES[name].features(measured)[source], np.nan)
        if np.isnan(X[rows]).all():
            unmeasured[name] = "undefined in every image"
            continue
        run = cross_validate(ShortcutCandidate(name, X, usable), manifest, plan)
        if draws is None:  # the same rows are tested for every baseline, so all share their resamples
            clusters = Clusters.of(run.predictions)
            draws = Draws.of(clusters, 2 if clusters.too_few else n_draws)
        shortcuts[name] = _shortcut(name, run, draws)
    told("baselines", len(wanted), len(wanted))
    return ShortcutReport(shortcuts, unmeasured, measured)


def _shortcut(name: str, run: Run, draws: Draws) -> Shortcut:
    scores = score(run.predictions, ["auroc", "balanced_accuracy"])
    return Shortcut(
        name=name,
        run=run,
        auroc=scores["auroc"],
        interval=intervals(run.predictions, ["auroc"], draws=draws)["auroc"],
        balanced_accuracy=scores["balanced_accuracy"],
        clusters=draws.clusters,
    )


def _finding(code: str, ones: Sequence[Shortcut]) -> Finding:
    ordered = sorted(ones, key=lambda one: -one.auroc.value)
    known = ordered[0].run.predictions.subjects_known
    caution = "" if known else "; subjects are unknown, so these intervals are too narrow"
    return Finding.of(
        code,
        "; ".join([str(ordered[0]), *(f"{one.title} {one.auroc} ({one.interval})" for one in ordered[1:])]) + caution,
        (one.to_dict() for one in ordered),
        severity="warning" if ordered[0].auroc.value >= STRONG else "note",
    )
