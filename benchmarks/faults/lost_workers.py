"""Kill random workers at random moments and see whether the work comes out right.

    python benchmarks/faults/lost_workers.py --kills 20

Generated cells are extracted and a head is fitted in one process, undisturbed. Then the same commands run on four
workers of loky, Dask and Ray, as often as --kills says, and each time one worker gets a ``kill -9`` at a random moment.
Every run must end well, with the rows and the predictions of the undisturbed one, bit for bit. Prints a line a backend;
exit status 1 where something does not hold. --quick kills twice on each backend. Needs ``/proc``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import synthesize
from leukfeat.evaluation.runs import Run
from leukfeat.experiments.backends import Backend
from leukfeat.experiments.recipe import recipe_from
from leukfeat.experiments.run import run
from leukfeat.experiments.stages import Watcher, extract_recipe
from leukfeat.features.extraction import load_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.upkeep import verify

WORKERS = 4
LIBRARY = {"loky": "joblib", "dask": "distributed", "ray": "ray"}
# what stands in the command line of a worker at work; the agents of a Ray node are called "ray::" too
KINDS = {"loky": "joblib.externals.loky", "ray": "ray::leukfeat"}


def commands(cells: Path, folder: Path, backend: Backend | None) -> dict[str, Any]:
    """What a user does: extract, then fit a head; the digests of what came out, and how often work was lost."""
    lines: list[str] = []
    recipe = recipe_from(
        {
            "data": {"path": str(cells)},
            "split": {"folds": 4},
            "backbone": {"name": "test_efficientnet", "weights": "random"},
            "head": {"name": "logistic", "trials": 12, "inner_folds": 3, "params": {"reduction": "none"}},
            "extraction": {"engine": "eager", "batch_size": 8},
            "cache": str(folder / "cache"),
            "out": str(folder / "runs"),
        },
        "lost workers",
    )
    watcher = Watcher(told=lines.append)
    extract_recipe(recipe, watcher=watcher, backend=backend)
    (made,) = run(recipe, n_jobs=1 if backend is None else None, watcher=watcher, backend=backend)
    features = load_features(recipe.backbone[0][0], Manifest.load(cells), FeatureStore(folder / "cache"))
    return {
        "rows": [features.sample_ids, features.X.tobytes().hex()],
        "predictions": Run.load(made).predictions.digest,
        "problems": list(verify(FeatureStore(folder / "cache")).problems),
        "lost": sum(line.startswith("a worker was lost") for line in lines),
    }


def attempt(cells: Path, folder: Path, name: str, address: str, here: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the commands in a process of their own."""
    folder.mkdir()
    answer = folder / "answer.json"
    command = [sys.executable, __file__, "--attempt", name, address, str(cells), str(folder), str(answer)]
    said = (folder / "said.txt").open("wb")
    # a session of its own, so that nothing of it is left when it is over
    process = subprocess.Popen(
        command, stdout=said, stderr=said, start_new_session=True, env={**os.environ, "XDG_CACHE_HOME": str(here)}
    )
    return process, answer


def of_process(pid: int, name: str) -> str:
    """A file that the system keeps about a process; empty where the process is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def below(root: int) -> Iterator[int]:
    """Processes that a process has started, and those that they have."""
    parent_of = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = of_process(int(entry.name), "stat").rpartition(")")[2].split()
            if len(fields) > 1:
                parent_of[int(entry.name)] = int(fields[1])
    found = {root}
    while fresh := {pid for pid, parent in parent_of.items() if parent in found} - found:
        found |= fresh
    yield from found - {root}


def is_worker(pid: int, name: str) -> bool:
    line = of_process(pid, "cmdline")
    return KINDS[name] in line and "tracker" not in line


@contextlib.contextmanager
def cluster(name: str) -> Iterator[tuple[str, Callable[[int], list[int]]]]:
    """An address, and a function that names the processes of workers, given the process of the commands."""
    if name == "loky":
        yield "", lambda pid: [child for child in below(pid) if is_worker(child, name)]
    elif name == "dask":
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL"
            ) as some,
            Client(some) as client,
        ):
            yield some.scheduler_address, lambda _: list(client.run(os.getpid).values())
    else:
        import ray

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            about = ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            yield about["gcs_address"], lambda _: [child for child in below(os.getpid()) if is_worker(child, name)]
        finally:
            ray.shutdown()


def disturb(
    name: str, kills: int, cells: Path, here: Path, plain: dict[str, Any], moments: random.Random
) -> dict[str, Any]:
    """Run the commands until so many workers were killed, one a run; a run that ends before its moment is one more."""
    problems: list[str] = []
    hits, lost, seconds = 0, 0, []
    with cluster(name) as (address, workers):
        while hits < kills and len(seconds) <= 3 * kills:  # the first is not disturbed: how long does it take?
            number = len(seconds)
            started = time.monotonic()
            process, answer = attempt(cells, here / f"{name}-{number}", name, address, here / "user-cache")
            if number:
                time.sleep(moments.uniform(0.1, 0.95) * min(seconds))
                victims = workers(process.pid)
                if victims and process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(moments.choice(victims), signal.SIGKILL)
                        hits += 1
            process.wait(timeout=1_800)
            seconds.append(time.monotonic() - started)
            if process.returncode:
                said = (answer.parent / "said.txt").read_text(errors="replace").strip().splitlines()
                problems.append(f"run {number} ended with {process.returncode}: {said[-1] if said else 'in silence'}")
                continue
            came = json.loads(answer.read_text())
            lost += came["lost"]
            problems += [
                f"run {number}: {what} differ" for what in ("rows", "predictions") if came[what] != plain[what]
            ]
            problems += [f"run {number}: {problem}" for problem in came["problems"]]
    return {
        "backend": name,
        "kills": hits,
        "runs": len(seconds) - 1,
        "noticed": lost,  # Dask and Ray run a task again without a word
        "seconds_undisturbed": seconds[0],
        "seconds_disturbed": sum(seconds[1:]) / max(1, len(seconds) - 1),
        "problems": problems,
    }


def main() -> int:
    """Run the commands undisturbed, then disturbed, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cells", type=int, default=20, help="of each of 16 subjects")
    parser.add_argument("--backend", choices=sorted(LIBRARY), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--attempt", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attempt:
        name, address, cells, folder, answer = options.attempt
        backend = Backend(name, address or None, workers=WORKERS, shard_size=16)
        Path(answer).write_text(json.dumps(commands(Path(cells), Path(folder), backend)))
        return 0
    kills, n_cells = (2, 6) if options.quick else (options.kills, options.cells)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(here / "user-cache")
        manifest = synthesize(here / "cells", n_subjects=16, n_cells=n_cells, size=64)
        cells = manifest.root / "cells.csv"
        plain = json.loads(json.dumps(commands(cells, here / "undisturbed", None)))
        for name in options.backend or [name for name, library in LIBRARY.items() if find_spec(library)]:
            result = disturb(name, kills, cells, here, plain, random.Random(options.seed))
            results.append(result)
            if not options.json:
                print(
                    f"{name}: {result['kills']} workers killed in {result['runs']} runs of {WORKERS} workers on"
                    f" {len(manifest)} images; {result['seconds_undisturbed']:.1f} s undisturbed,"
                    f" {result['seconds_disturbed']:.1f} s disturbed;"
                    f" {'; '.join(result['problems']) or 'rows and predictions of the undisturbed run'}",
                    flush=True,
                )
    if options.json:
        print(json.dumps(results, indent=1))
    return 1 if any(result["problems"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
