"""How often do our intervals cover the truth? Simulated predictions with subject effects, whose true values are known.

    python benchmarks/coverage.py                # 2,000 simulations a setting: the table of docs/design/0012
    python benchmarks/coverage.py --quick        # under a minute
    python benchmarks/coverage.py --json

Each subject has one class, an effect of its own on all its cells, and one or many cells. A cell's logit is normal with
variance 1, of which the intra-class correlation is the subject's. The image-level interval is made as if every cell
were of another subject: what most papers print.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import norm

from leukfeat.evaluation.intervals import replicates
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters, Draws

METRICS = ("auroc", "sensitivity", "balanced_accuracy", "brier")
METHODS = ("t", "percentile", "bca", "images")


@dataclass(frozen=True)
class Setting:
    """A study to simulate.

    Attributes
    ----------
    subjects : int
        Half of each class.
    sizes : str
        ``equal``: 20 cells a subject; ``unequal``: log-normal with a median of 14, from a few to a hundred.
    shift : float
        Distance between the classes in SD of a cell's logit.
    correlation : float
        Intra-class correlation of cells of a subject.
    """

    subjects: int
    sizes: str
    shift: float
    correlation: float

    def predictions(self, rng: np.random.Generator) -> Predictions:
        """One study."""
        cells = _SIZES[self.sizes](rng, self.subjects)
        owner = np.repeat(np.arange(self.subjects), cells)
        y = owner % 2
        own = rng.normal(0, np.sqrt(self.correlation), self.subjects)
        logit = self.shift * (y - 0.5) + own[owner] + rng.normal(0, np.sqrt(1 - self.correlation), len(owner))
        return as_predictions(owner, y, logit)

    @property
    def truth(self) -> dict[str, float]:
        """What an endless study would give."""
        grid = np.linspace(-8, 8, 4001)
        density = norm.pdf(grid) * (grid[1] - grid[0])
        miss = 1 - 1 / (1 + np.exp(-(grid + self.shift / 2)))  # for the upper class; the lower mirrors it
        right = float(norm.cdf(self.shift / 2))
        return {
            "auroc": float(norm.cdf(self.shift / np.sqrt(2))),
            "sensitivity": right,
            "balanced_accuracy": right,
            "brier": float((density * miss**2).sum()),
        }


_SIZES: Mapping[str, Callable[[np.random.Generator, int], NDArray[np.int64]]] = {
    "equal": lambda rng, n: np.full(n, 20),
    "unequal": lambda rng, n: np.maximum(1, np.round(rng.lognormal(np.log(14), 0.8, n))).astype(np.int64),
}


def as_predictions(owner: NDArray[np.int64], y: NDArray[np.int64], logit: NDArray[np.float64]) -> Predictions:
    """Cells of subjects as a run has them."""
    p = 1 / (1 + np.exp(-logit))
    names = np.char.add("s", owner.astype(str))
    return Predictions(
        sample=np.arange(len(owner)).astype(str),
        subject=names,
        group=names,
        repeat=np.zeros(len(owner)),
        fold=np.zeros(len(owner)),
        y_true=np.where(y == 1, "ALL", "HEM"),
        proba=np.column_stack([p, 1 - p]),
        classes=("ALL", "HEM"),
        positive="ALL",
    )


SETTINGS = tuple(
    Setting(subjects, sizes, shift, correlation)
    for subjects in (20, 40, 100)
    for sizes in ("equal", "unequal")
    for shift, correlation in ((2.0, 0.3), (3.0, 0.5))
)


def simulate(setting: Setting, seed: int, n_draws: int, methods: tuple[str, ...]) -> NDArray[np.float64]:
    """Of one study: whether each interval covers the truth, and its width, (methods, metrics, 2)."""
    predictions = setting.predictions(np.random.default_rng([seed, setting.subjects]))
    images = replace(predictions, subject=np.full(len(predictions), "unknown"), group=predictions.sample)
    by_subject = replicates(predictions, METRICS, draws=Draws.of(Clusters.of(predictions), n_draws, seed))
    n_images = 200 if "images" in methods else 2
    by_image = replicates(images, METRICS, draws=Draws.of(Clusters.of(images), n_images, seed))
    found = np.empty((len(methods), len(METRICS), 2))
    truth = setting.truth
    for row, method in enumerate(methods):
        for column, name in enumerate(METRICS):
            interval = by_image[name].interval("t") if method == "images" else by_subject[name].interval(method)
            found[row, column] = truth[name] in interval, interval.high - interval.low
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000, help="resamples an interval")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--subjects", type=int, nargs="+", default=(20, 40, 100))
    parser.add_argument("--sizes", nargs="+", choices=tuple(_SIZES), default=tuple(_SIZES))
    parser.add_argument("--correlations", type=float, nargs="+", default=sorted({one.correlation for one in SETTINGS}))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--quick", action="store_true", help="20 simulations of the settings with 20 subjects")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    subjects = (20,) if given.quick else given.subjects
    asked = [one for one in SETTINGS if one.subjects in subjects and one.sizes in given.sizes]
    settings = [one for one in asked if one.correlation in given.correlations]
    methods = tuple(given.methods)
    simulations = 20 if given.quick else given.simulations
    for setting in settings:
        found = np.array(
            Parallel(n_jobs=given.jobs)(
                delayed(simulate)(setting, seed, given.draws, methods) for seed in range(simulations)
            )
        )
        covered, width = found[..., 0].mean(axis=0), np.nanmean(found[..., 1], axis=0)
        if given.json:
            table = {
                method: {
                    name: {"coverage": float(covered[row, column]), "width": float(width[row, column])}
                    for column, name in enumerate(METRICS)
                }
                for row, method in enumerate(methods)
            }
            print(json.dumps({**setting.__dict__, "simulations": simulations, **table}), flush=True)
            continue
        print(
            f"\n{setting.subjects} subjects, {setting.sizes} sizes, AUROC {setting.truth['auroc']:.3f},"
            f" intra-class correlation {setting.correlation}, {simulations} simulations"
        )
        print(f"{'':12}" + "".join(f"{name:>26}" for name in METRICS))
        for row, method in enumerate(methods):
            cells = "".join(f"{covered[row, k]:>18.3f} ({width[row, k]:.3f})" for k in range(len(METRICS)))
            print(f"{method:12}{cells}", flush=True)


if __name__ == "__main__":
    main()
