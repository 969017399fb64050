"""How long do the commands take that compute no features: ``leukfeat --help``, and ``compare`` of many runs?

    python benchmarks/startup.py [--json] [--quick]

``--help`` is started several times, and the median stands. ``compare`` reads generated run folders (3,256 cells of 90
subjects, five folds, inner predictions; 50 runs that differ a little) and writes the whole report: page, tables,
figures, every pair tested. Exit status 1 where ``--help`` takes 0.5 s or more, or ``compare`` of 50 runs 30 s or more.
Seconds depend on the machine: the ratio to ``python -c "import numpy"``, and to reading the same predictions with the
``csv`` module, says what does not.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.inner import InnerPredictions
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.runs import PREDICTIONS_CSV, Run

HELP_LIMIT_S, COMPARE_LIMIT_S = 0.5, 30.0
RUNS, CELLS, SUBJECTS, FOLDS = 50, 3_256, 90, 5
CLASSES = ("healthy", "leukemia")

Rows = NDArray[np.int64]


class Cells:
    """Cells of subjects in folds, and models of different quality that judge them.

    Parameters
    ----------
    n_cells, n_subjects : int
        How many.
    """

    def __init__(self, n_cells: int, n_subjects: int) -> None:
        self.rng = np.random.default_rng(0)
        self.subject = np.sort(np.arange(n_cells) % n_subjects)
        self.fold = self.subject % FOLDS
        self.y = (self.subject // FOLDS) % 2
        self.shared = self.rng.normal(size=n_cells) + self.rng.normal(size=n_subjects)[self.subject]

    def run(self, number: int) -> Run:
        """A run with a quality and errors of its own."""
        own = self.rng.normal(size=len(self.y)) + self.rng.normal(size=self.subject.max() + 1)[self.subject]
        score = (1.5 + 0.02 * number) * (2 * self.y - 1) + self.shared + 0.7 * own
        every = np.arange(len(self.y))
        training = [np.flatnonzero(self.fold != fold) for fold in range(FOLDS)]
        trains = np.repeat(np.arange(FOLDS), [len(rows) for rows in training])
        inner = np.concatenate(training)
        blurred = score[inner] + 0.3 * self.rng.normal(size=len(inner))
        return Run(
            name=f"model {number:02d}",
            predictions=Predictions(**self._columns(every, self.fold, score)),
            inner=InnerPredictions(**self._columns(inner, trains, blurred)),
            candidate={"head": {"head": "logistic", "n_trials": 10}},
            data={"dataset": "generated", "digest": "0" * 64, "images": len(self.y), "missing": 0},
            split={"kind": "grouped", "protection": "linked-subject", "digest": "1" * 64, "folds": FOLDS},
            folds=tuple(
                {"params": {"C_times_d": 10.0}, "inner_score": 0.9, "metric": "auroc", "repeat": 0, "fold": fold}
                for fold in range(FOLDS)
            ),
            seconds=60.0,
        )

    def _columns(self, rows: Rows, fold: Rows, score: NDArray[np.float64]) -> dict[str, object]:
        positive = 1 / (1 + np.exp(-score))
        subject = np.array([f"subject-{number:03d}" for number in self.subject])[rows]
        return {
            "sample": np.array([f"cells/cell-{row:05d}.bmp" for row in range(len(self.y))])[rows],
            "subject": subject,
            "group": subject,
            "repeat": np.zeros(len(rows), dtype=np.int64),
            "fold": fold,
            "y_true": np.array(CLASSES)[self.y[rows]],
            "proba": np.column_stack([1 - positive, positive]),
            "classes": CLASSES,
            "positive": CLASSES[1],
        }


def seconds_of(*command: str) -> float:
    """Wall time of a command, which must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"})
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:6])}: {done.stderr}")
    return time.perf_counter() - started


def help_against_numpy(rounds: int) -> tuple[float, float]:
    """Medians of ``leukfeat --help`` and of a Python that imports numpy, in turn."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(seconds_of(sys.executable, "-m", "leukfeat", "--help"))
        theirs.append(seconds_of(sys.executable, "-c", "import numpy"))
    return statistics.median(ours), statistics.median(theirs)


def read_plainly(folders: list[Path]) -> float:
    """Seconds for reading the predictions of runs with the standard library."""
    started = time.perf_counter()
    for folder in folders:
        with (folder / PREDICTIONS_CSV).open(newline="", encoding="utf-8") as stream:
            list(csv.DictReader(stream))
    return time.perf_counter() - started


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs to compare")
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--subjects", type=int, default=SUBJECTS)
    parser.add_argument("--rounds", type=int, default=7, help="starts of --help")
    parser.add_argument("--quick", action="store_true", help="10 runs, 3 starts")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.rounds = min(options.runs, 10), 3
    shown, numpy_only = help_against_numpy(options.rounds)
    with tempfile.TemporaryDirectory() as place:
        cells = Cells(options.cells, options.subjects)
        folders = [
            cells.run(number).save(Path(place) / "runs" / f"model-{number:02d}") for number in range(options.runs)
        ]
        report = Path(place) / "report"
        compared = seconds_of(sys.executable, "-m", "leukfeat", "compare", *map(str, folders), "-o", str(report))
        read = read_plainly(folders)
        size = (report / "report.html").stat().st_size
    figures = {
        "help.seconds": shown,
        "help.limit_seconds": HELP_LIMIT_S,
        "help.ratio_to_importing_numpy": shown / numpy_only,
        "compare.runs": options.runs,
        "compare.seconds": compared,
        "compare.limit_seconds": COMPARE_LIMIT_S,
        "compare.ratio_to_reading_csv": compared / read,
        "compare.report_mb": size / 1e6,
    }
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        print(f"leukfeat --help: {shown:.2f} s (limit {HELP_LIMIT_S}), {shown / numpy_only:.1f} × import numpy")
        print(
            f"leukfeat compare of {options.runs} runs × {options.cells:,} cells: {compared:.1f} s (limit"
            f" {COMPARE_LIMIT_S:.0f} for 50), {compared / read:.0f} × reading their predictions with csv; page"
            f" {size / 1e6:.1f} MB"
        )
    return 0 if shown < HELP_LIMIT_S and compared < COMPARE_LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
