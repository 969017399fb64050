"""Kill every command at random moments, run it again, and compare with a run that nobody disturbed.

    python benchmarks/faults/kills.py                   # 100 kills
    python benchmarks/faults/kills.py --quick --json    # under a minute

``extract``, ``fit-head``, ``fit-net``, ``cache compact`` and ``compare`` run on generated cells. Each episode begins
with a fresh copy of what the command starts from; the command is killed with ``kill -9``, its children too, up to four
times at random moments of its usual duration, then runs to its end. What it leaves must equal what the undisturbed
command left: rows of the store, predictions, trials, files of a report; ``cache verify`` must find nothing. Temporary
files that kills leave behind are counted. Exit status 1 where something does not hold. Needs ``fork``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Imported before the forks, so that kills fall into the work and not into imports. Nothing is computed here: threads
# do not survive a fork.
import leukfeat.backbones.network
import leukfeat.heads.tuning
import leukfeat.reports.html
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.cli import main as leukfeat
from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import synthesize
from leukfeat.evaluation.runs import Run, find_runs
from leukfeat.features import computation
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.upkeep import list_keys, verify
from leukfeat.textfiles import TEMPORARY

BACKBONE = ["--backbone", "test_efficientnet", "--weights", "random", "--batch-size", "4", "--device", "cpu"]
SPEC = BackboneSpec("test_efficientnet", "random")
MOST_KILLS = 4  # of one episode
SECONDS = 240  # after which a command counts as hanging
CONTEXT = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Job:
    """A command, what it starts from, and what has to be equal in the end.

    Attributes
    ----------
    words : callable(folder) -> list of str
        The command's words in a working folder.
    prepare : callable(folder)
        Makes what it starts from in a template of that folder.
    result : callable(folder) -> dict
        What it left, by name; values are compared with ``==``.
    """

    words: Callable[[Path], list[str]]
    prepare: Callable[[Path], None]
    result: Callable[[Path], dict[str, Any]]


def main() -> int:
    """Parse, disturb, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--commands", nargs="+", default=sorted(JOBS), choices=sorted(JOBS))
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="under a minute: two kills of three commands")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.kills, options.commands = 6, ["cache compact", "compare", "extract"]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(XDG_CACHE_HOME=f"{scratch}/user-cache", OMP_NUM_THREADS="1")
        found = disturbed(Path(scratch), options)
    if options.json:
        print(json.dumps(found, indent=1))
    for name, each in found.items():
        if not options.json:
            print(
                f"{name}: {each['kills']} kills in {each['episodes']} episodes, {each['seconds']:.1f} s undisturbed,"
                f" {each['temporary']} temporary files left; {'; '.join(each['problems']) or 'all holds'}"
            )
    return 1 if any(each["problems"] for each in found.values()) else 0


def disturbed(scratch: Path, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Every command, killed its share of times."""
    synthesize(scratch / "cells", n_subjects=options.subjects, n_cells=6, size=64, seed=options.seed)
    moments = random.Random(options.seed)
    found = {}
    for number, name in enumerate(options.commands):
        share = options.kills // len(options.commands) + (number < options.kills % len(options.commands))
        found[name] = episodes(JOBS[name], scratch / name.replace(" ", "-"), share, moments)
    return found


def episodes(job: Job, folder: Path, n_kills: int, moments: random.Random) -> dict[str, Any]:
    """Kill one command so many times, in episodes that each come to the end."""
    template = folder / "template"
    template.mkdir(parents=True)
    (template / "cells").symlink_to(folder.parent / "cells")
    in_child(lambda: job.prepare(template))
    here = fresh(template, folder)
    started = time.monotonic()
    problems = [] if finished(job, here) else ["the undisturbed command failed"]
    seconds = time.monotonic() - started
    expected = job.result(here)
    kills = rounds = temporary = 0
    while kills < n_kills and not problems:
        rounds += 1
        here = fresh(template, folder)
        wanted = min(n_kills - kills, moments.randint(1, MOST_KILLS))
        kills += sum(killed(job, here, moments.uniform(0, seconds)) for _ in range(wanted))
        if not finished(job, here):
            problems.append(f"episode {rounds}: the command failed after a kill")
            break
        left = job.result(here)
        problems += [f"episode {rounds}: {name} differs" for name in expected if left.get(name) != expected[name]]
        problems += [f"episode {rounds}: {each}" for each in sound(here)]
        temporary += sum(1 for _ in here.rglob(f"{TEMPORARY}*"))
    return {
        "kills": kills,
        "episodes": rounds,
        "seconds": round(seconds, 2),
        "temporary": temporary,
        "problems": problems,
    }


def fresh(template: Path, folder: Path) -> Path:
    """A copy of what the command starts from."""
    here = folder / "work"  # always the same name: paths are part of what is written
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(template, here, symlinks=True)
    return here


def in_child(work: Callable[[], Any]) -> None:
    """Run something in a forked process to its end, silently."""

    def silently() -> None:
        be_silent()
        work()

    process = CONTEXT.Process(target=silently)
    process.start()
    process.join()


def be_silent() -> None:
    """Send what this process says nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def started(job: Job, folder: Path) -> Any:
    """The command in a process group of its own, silent."""

    def work() -> None:
        os.setsid()
        be_silent()
        computation._SECONDS_A_PART = computation._FRACTION_A_PART = 0.0  # parts are written often, so kills hit them
        leukfeat(job.words(folder))

    process = CONTEXT.Process(target=work)
    process.start()
    return process


def killed(job: Job, folder: Path, after: float) -> bool:
    """Start the command and kill it with its children after so many seconds; False where it was done before."""
    process = started(job, folder)
    process.join(after)
    alive = process.exitcode is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return alive


def finished(job: Job, folder: Path) -> bool:
    """Run the command to its end; False where it fails or hangs."""
    process = started(job, folder)
    process.join(SECONDS)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def sound(folder: Path) -> list[str]:
    """What ``cache verify`` finds."""
    return list(verify(FeatureStore(folder / "cache")).problems) if (folder / "cache").is_dir() else []


def cells(folder: Path) -> str:
    """The manifest of the generated cells."""
    return str(folder / "cells" / "cells.csv")


def rows(folder: Path) -> dict[str, Any]:
    """Vectors of all cells to five digits (batches are others after a kill), and that each is stored once."""
    manifest, store = Manifest.open(cells(folder)), FeatureStore(folder / "cache")
    found = load_features(SPEC, manifest, store)
    scale = np.abs(found.X).max()
    stored = sum(key.images for key in list_keys(store))
    return {"vectors": np.round(found.X / scale, 4).tolist(), "ids": found.sample_ids, "images": stored}


def predictions(folder: Path) -> dict[str, Any]:
    """Digest of the predictions and what the tuning tried."""
    found = {}
    for run in find_runs(folder / "runs"):
        found[f"{run.name} predictions"] = Run.load(run).predictions.digest
        if (run / "trials.csv").is_file():  # a network end to end has none
            with (run / "trials.csv").open(newline="", encoding="utf-8") as stream:
                found[f"{run.name} trials"] = [
                    (row["fold"], row["value"], row["params"]) for row in csv.DictReader(stream)
                ]
        kept = sorted(file for file in (run / "model").iterdir() if file.suffix in (".safetensors", ".skops", ".ubj"))
        found[f"{run.name} model"] = [
            (file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in kept if file.suffix != ".skops"
        ]
    return found


def report(folder: Path) -> dict[str, Any]:
    """Names of all files of the report, and the content of its tables."""
    here = folder / "report"
    files = sorted(file for file in here.rglob("*") if file.is_file() and TEMPORARY not in str(file))
    found: dict[str, Any] = {"files": [str(file.relative_to(here)) for file in files]}
    return found | {
        str(file.relative_to(here)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.suffix == ".csv"
    }


def nothing(folder: Path) -> None:
    """A command that starts from the images alone."""


def extracted(folder: Path) -> None:
    """A store with the rows of all cells."""
    extract(SPEC, Manifest.open(cells(folder)), FeatureStore(folder / "cache"))


def many_parts(folder: Path) -> None:
    """The same rows in a part for each batch."""
    computation._SECONDS_A_PART = computation._FRACTION_A_PART = 0.0
    extract(SPEC, Manifest.open(cells(folder)), FeatureStore(folder / "cache"), batch_size=4, device="cpu")


def two_runs(folder: Path) -> None:
    """Runs to compare."""
    extracted(folder)
    for head in ("logistic", "knn"):
        with contextlib.suppress(SystemExit):
            leukfeat(head_words(folder, head))


def head_words(folder: Path, head: str) -> list[str]:
    """Tune a head on extracted features."""
    return [
        *("fit-head", cells(folder), "--head", head, "--trials", "4", "--folds", "3", "--jobs", "1"),
        *("--cache", str(folder / "cache"), "--out", str(folder / "runs"), *BACKBONE),
    ]


JOBS = {
    "extract": Job(
        lambda folder: ["extract", cells(folder), "--cache", str(folder / "cache"), *BACKBONE], nothing, rows
    ),
    "fit-head": Job(lambda folder: head_words(folder, "random-forest"), extracted, predictions),
    "fit-net": Job(
        lambda folder: [
            *("fit-net", cells(folder), "--epochs", "2", "--folds", "2", "--finetune", "batch_size=8"),
            *("--cache", str(folder / "cache"), "--out", str(folder / "runs"), *BACKBONE[:4]),
        ],
        nothing,
        predictions,
    ),
    "cache compact": Job(lambda folder: ["cache", "compact", "--cache", str(folder / "cache")], many_parts, rows),
    "compare": Job(
        lambda folder: [
            *("compare", *map(str, find_runs(folder / "runs")), "-o", str(folder / "report"), "--resamples", "200"),
        ],
        two_runs,
        report,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
