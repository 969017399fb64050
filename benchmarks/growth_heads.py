"""How does the time to fit a head grow with the rows?

    python benchmarks/growth_heads.py [--json] [--quick] [--heads xgboost,svm]

Fits every head once, with its default parameters and without tuning, to 1,000, 3,000, 10,000 and 30,000 generated
embeddings of 1,280 floats, and prints the seconds and the exponent b of seconds = a · rows^b by least squares on
logarithms. A size that the growth so far puts beyond ``--limit`` seconds is left out, and said to be.
The exponent of a head does not depend on how fast the machine is, as long as nothing else keeps it busy meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
from numpy.typing import NDArray

from leukfeat.heads.catalog import HEADS
from leukfeat.heads.tuning import TunedHead

SIZES = (1_000, 3_000, 10_000, 30_000)
QUICK_SIZES = (300, 1_000, 3_000)
FEATURES = 1_280
CELLS_A_SUBJECT = 25
USUAL_GROWTH = 2.0  # assumed where there is one size only


def embeddings(n_rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Features, classes and subjects; subjects have effects of their own."""
    rng = np.random.default_rng(0)
    n_subjects = max(20, n_rows // CELLS_A_SUBJECT)
    subject = np.arange(n_rows) % n_subjects
    y = subject % 2
    X = rng.standard_normal((n_rows, FEATURES), dtype=np.float32)
    X += 0.5 * rng.standard_normal((n_subjects, FEATURES), dtype=np.float32)[subject]
    X[:, :40] += np.float32(0.2) * (2 * y[:, None] - 1)
    return X, y, subject


def seconds_of(head: str, n_rows: int) -> float:
    """Seconds of one fit."""
    X, y, subject = embeddings(n_rows)
    started = time.perf_counter()
    TunedHead(head, n_trials=0, out_of_fold=False).fit(X, y, subject)
    return time.perf_counter() - started


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of logarithms; NaN of fewer than two sizes."""
    if len(sizes) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def growth(head: str, sizes: tuple[int, ...], limit: float) -> tuple[list[int], list[float]]:
    """Sizes that were fitted within the limit, and their seconds."""
    done: list[int] = []
    took: list[float] = []
    for size in sizes:
        if done:
            steep = exponent(done[-2:], took[-2:]) if len(done) > 1 else USUAL_GROWTH
            if took[-1] * (size / done[-1]) ** steep > limit:
                break
        done.append(size)
        took.append(seconds_of(head, size))
    return done, took


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", default=",".join(HEADS), help="names, separated by commas")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds that one fit may be expected to take")
    parser.add_argument("--quick", action="store_true", help="300 to 3,000 rows, 8 seconds a fit")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    sizes, limit = (QUICK_SIZES, 8.0) if options.quick else (SIZES, options.limit)
    figures: dict[str, float] = {}
    seconds_of("logistic", 200)  # imports and first calls are no part of any growth
    for head in options.heads.split(","):
        done, took = growth(head, sizes, limit)
        figures |= {f"{head}.seconds_{size}": seconds for size, seconds in zip(done, took, strict=True)}
        figures[f"{head}.exponent"] = exponent(done, took)
        if not options.json:
            shown = ", ".join(f"{size:,} {seconds:.2f} s" for size, seconds in zip(done, took, strict=True))
            left = (
                f"; left out: {', '.join(f'{size:,}' for size in sizes[len(done) :])}" if len(done) < len(sizes) else ""
            )
            print(f"{head:<15}exponent {exponent(done, took):.2f}: {shown}{left}", flush=True)
    if options.json:
        print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
