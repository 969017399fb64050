"""How often do our tests find a difference between two candidates that are equally good? 5 % of the time, they should.

    python benchmarks/type_one_error.py             # 2,000 simulations a setting: the table of the design note
    python benchmarks/type_one_error.py --quick     # under a minute
    python benchmarks/type_one_error.py --json

Two candidates see the same cells of the same subjects. Each subject has one class (half of the subjects each) and is
easy or hard as a whole: partly for both candidates, partly for each of them alone. Both logits have one distribution,
so true AUROCs and accuracies are equal and every rejection is an error of the first kind. The naive tests take cells as
independent, which is what most papers do.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import t

from leukfeat.evaluation.delong import clustered_delong, delong
from leukfeat.evaluation.intervals import replicates
from leukfeat.evaluation.mcnemar import clustered_mcnemar, mcnemar
from leukfeat.evaluation.paired import difference
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters, Draws

LEVEL = 0.05
N_DRAWS = 1000


# ---------------------------------------------------------------------- the tests: predictions of both -> p


def naive_delong(first: Predictions, second: Predictions) -> float:
    return delong(*scored(first, second)).compare().p


def obuchowski(first: Predictions, second: Predictions) -> float:
    return clustered_delong(*scored(first, second), clusters(first)).compare().p


def obuchowski_by_t(first: Predictions, second: Predictions) -> float:
    """The same statistic against Student's t with the scarcest class's clusters less one degrees of freedom."""
    outcome = clustered_delong(*scored(first, second), clusters(first)).compare()
    return float(2 * t.sf(abs(outcome.statistic), Clusters.of(first).freedom)) if outcome.defined else math.nan


def naive_mcnemar(first: Predictions, second: Predictions) -> float:
    return mcnemar(*right(first, second)).p


def durkalski(first: Predictions, second: Predictions) -> float:
    return clustered_mcnemar(*right(first, second), clusters(first)).p


def paired_bootstrap(metric: str) -> Callable[[Predictions, Predictions], float]:
    def test(first: Predictions, second: Predictions) -> float:
        draws = Draws.of(Clusters.of(first), N_DRAWS)
        one, two = (replicates(each, [metric], draws=draws)[metric] for each in (first, second))
        return difference(one, two).p.value

    return test


TESTS: Mapping[str, Callable[[Predictions, Predictions], float]] = {
    "DeLong, naive": naive_delong,
    "DeLong, clustered": obuchowski,
    "DeLong, clustered, t": obuchowski_by_t,
    "McNemar, naive": naive_mcnemar,
    "McNemar, clustered": durkalski,
    "bootstrap, AUROC": paired_bootstrap("auroc"),
    "bootstrap, accuracy": paired_bootstrap("accuracy"),
}
"""What is measured; NaN counts as undefined, and not as a rejection."""


def scored(first: Predictions, second: Predictions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.stack([first.proba[:, 0], second.proba[:, 0]]), first.y_true == first.classes[0]


def right(first: Predictions, second: Predictions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return first.y_true == first.y_pred, second.y_true == second.y_pred


def clusters(predictions: Predictions) -> NDArray[np.int64]:
    return np.unique(predictions.group, return_inverse=True)[1]


# ---------------------------------------------------------------------- the studies


@dataclass(frozen=True)
class Setting:
    """A study to simulate.

    Attributes
    ----------
    subjects : int
        Half of each class.
    sizes : str
        Name in :data:`SIZES`: how many cells the subjects have.
    correlation : float
        Share of a logit's variance that belongs to the subject (intra-class correlation).
    shared : float
        Share of the subject's and of the cell's part that both candidates have in common.
    shift : float
        Distance of the classes in standard deviations of a logit; 1.8 is an AUROC of 0.90.
    """

    subjects: int
    sizes: str
    correlation: float = 0.3
    shared: float = 0.6
    shift: float = 1.8

    def candidates(self, seed: int) -> tuple[Predictions, Predictions]:
        """Predictions of two candidates that are equally good, on the cells of one simulated study."""
        rng = np.random.default_rng([seed, self.subjects])
        cells = SIZES[self.sizes](rng, self.subjects)
        owner = np.repeat(np.arange(self.subjects), cells)
        y = owner % 2 == 0
        subject = self._in_common(rng, self.subjects)[:, owner]  # (2, n)
        cell = self._in_common(rng, len(owner))
        noise = math.sqrt(self.correlation) * subject + math.sqrt(1 - self.correlation) * cell
        p = 1 / (1 + np.exp(-(self.shift * (y - 0.5) + noise)))
        names = owner.astype(str)
        first = Predictions(
            sample=np.arange(len(owner)).astype(str),
            subject=names,
            group=names,
            repeat=np.zeros(len(owner)),
            fold=np.zeros(len(owner)),
            y_true=np.where(y, "ALL", "HEM"),
            proba=np.column_stack([p[0], 1 - p[0]]),
            classes=("ALL", "HEM"),
            positive="ALL",
        )
        return first, replace(first, proba=np.column_stack([p[1], 1 - p[1]]))

    def _in_common(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Standard normal numbers of two candidates, (2, n), that correlate by what is shared."""
        return math.sqrt(self.shared) * rng.normal(size=n) + math.sqrt(1 - self.shared) * rng.normal(size=(2, n))


SIZES: Mapping[str, Callable[[np.random.Generator, int], NDArray[np.int64]]] = {
    "5 each": lambda rng, n: np.full(n, 5),
    "25 each": lambda rng, n: np.full(n, 25),
    "1 to 100": lambda rng, n: np.clip(np.round(rng.lognormal(np.log(14), 1.0, n)), 1, 100).astype(np.int64),
}


def p_values(setting: Setting, seed: int, tests: list[str]) -> list[float]:
    """Of every test in one study."""
    first, second = setting.candidates(seed)
    return [TESTS[name](first, second) for name in tests]


def main() -> None:
    """Parse, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--subjects", type=int, nargs="+", default=[40, 100])
    parser.add_argument("--tests", nargs="+", choices=TESTS, default=list(TESTS), metavar="TEST", help=", ".join(TESTS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="40 simulations of 40 subjects")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.simulations, given.subjects = 40, [40]
    if not given.json:
        error = math.sqrt(LEVEL * (1 - LEVEL) / given.simulations)
        print(f"rejections at {LEVEL:.0%} in {given.simulations} simulations (standard error at 5 %: {error:.1%})")
        print(f"{'subjects':>8} {'cells':>9}" + "".join(f"{name:>22}" for name in given.tests))
    for subjects, sizes in product(given.subjects, SIZES):
        setting = Setting(subjects, sizes)
        work = (delayed(p_values)(setting, seed, given.tests) for seed in range(given.simulations))
        found = np.array(Parallel(given.jobs)(work))
        rejected, undefined = (found < LEVEL).mean(axis=0), np.isnan(found).mean(axis=0)
        if given.json:
            rates = {
                name: {"rejected": float(rejected[k]), "undefined": float(undefined[k])}
                for k, name in enumerate(given.tests)
            }
            print(json.dumps({**asdict(setting), "simulations": given.simulations, "tests": rates}), flush=True)
        else:
            print(f"{subjects:8} {sizes:>9}" + "".join(f"{share:22.1%}" for share in rejected), flush=True)


if __name__ == "__main__":
    main()
