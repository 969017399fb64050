"""Let many processes write, join and read one store at once, and see whether every row is there, once, and right.

    python benchmarks/faults/writers.py                 # 8 writers, two minutes
    python benchmarks/faults/writers.py --quick         # 8 writers, ten seconds

Writers add parts of rows of images drawn at random, many of them drawn by several; a vector says which image it is of.
Meanwhile one process compacts the store over and over, one reads rows and compares them, and some writers are killed at
random moments and started again. In the end the store is compacted once more: every image that a writer has noted as
written must be there, no image twice, every vector right, and `cache verify` must find nothing. Exit status 1 where
something does not hold. Needs ``fork``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.resolution import Resolution
from leukfeat.features.compaction import compact
from leukfeat.features.store import FeatureKey, FeatureStore
from leukfeat.features.upkeep import verify

INPUTS = Inputs((8, 8), "none", 0.0, "bilinear", "unit", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
KEY = FeatureKey(Resolution("tiny", {}, "ab" * 32, "generated", "avg", None, INPUTS))
DIM = 64


def digest(number: int) -> str:
    """What stands for the sha256 of an image."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def vectors(numbers: list[int]) -> np.ndarray:
    """Vectors that say which image they are of, (n, DIM)."""
    return np.array(numbers, dtype=np.float32)[:, None] + np.arange(DIM, dtype=np.float32) / DIM


def write(root: Path, worker: int, seed: int, n_images: int, until: float) -> None:
    """Add parts until the time is over, and note each row after it was written."""
    draw = random.Random(seed)
    store = FeatureStore(root)
    with (root.parent / f"noted-{worker}-{os.getpid()}.txt").open("w") as noted:
        while time.time() < until:
            start, length = draw.randrange(n_images), draw.randrange(1, 200)
            numbers = [number % n_images for number in range(start, start + length)]
            names = [f"sample {number}" for number in numbers]
            store.append(KEY, [digest(n) for n in numbers], vectors(numbers), names, engine="none", decoder="none")
            noted.write("".join(f"{number}\n" for number in numbers))
            noted.flush()
            time.sleep(draw.uniform(0, 0.02))


def join(root: Path, until: float) -> None:
    """Compact over and over."""
    while time.time() < until:
        compact(FeatureStore(root))
        time.sleep(0.2)


def read(root: Path, seed: int, n_images: int, until: float) -> None:
    """Read rows that are there; a wrong one, or an error, ends the process with status 1."""
    draw = random.Random(seed)
    while time.time() < until:
        shelf = FeatureStore(root).open(KEY)
        numbers = [draw.randrange(n_images) for _ in range(200)]
        there = [
            number for number, held in zip(numbers, shelf.holds([digest(n) for n in numbers]), strict=True) if held
        ]
        if there and not np.array_equal(shelf.read([digest(number) for number in there]), vectors(there)):
            sys.exit(1)


def noted(folder: Path) -> set[int]:
    """Images that writers have noted; the last line of one that was killed may be cut off."""
    found: set[int] = set()
    for file in folder.glob("noted-*.txt"):
        found.update(int(line) for line in file.read_text().split("\n")[:-1])
    return found


def law(store: FeatureStore, expected: set[int], n_images: int) -> tuple[int, list[str]]:
    """How many rows there are in the end, and what does not hold."""
    compact(store)
    problems = list(verify(store).problems)
    shelf = store.open(KEY)
    rows = sum(len(header) for header in shelf.headers)
    held = shelf.holds([digest(number) for number in range(n_images)])
    there = np.flatnonzero(held).tolist()
    if rows != len(shelf) or len(there) != rows:
        problems.append(f"{rows} rows of {len(shelf)} images, {len(there)} of them asked for: some stand there twice")
    if lost := expected - set(there):
        problems.append(f"{len(lost)} rows that were written are lost, e.g. {min(lost)}")
    if not np.array_equal(shelf.read([digest(number) for number in there]), vectors(there).reshape(-1, DIM)):
        problems.append("a row is not that of its image")
    return rows, problems


def main() -> int:
    """Run everything and look at the store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="ten seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds = 10.0 if options.quick else options.seconds
    context = multiprocessing.get_context("fork")
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(here / "user-cache")
        root, until = here / "store", time.time() + seconds

        def started(worker: int) -> BaseProcess:
            process = context.Process(target=write, args=(root, worker, draw.getrandbits(32), options.images, until))
            process.start()
            return process

        others = [
            context.Process(target=join, args=(root, until)),
            context.Process(target=read, args=(root, options.seed, options.images, until)),
        ]
        writers = [started(worker) for worker in range(options.writers)]
        for process in others:
            process.start()
        kills = 0
        while time.time() < until - 1:
            time.sleep(draw.uniform(0.2, 1.0))
            worker = draw.randrange(options.writers)
            process = writers[worker]
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            process.join()
            writers[worker] = started(worker)
        for process in (*writers, *others):
            process.join()
        problems = ["joining parts failed"] * bool(others[0].exitcode) + ["reading failed"] * bool(others[1].exitcode)
        problems += [f"a writer ended with status {each.exitcode}" for each in writers if each.exitcode]
        expected = noted(here)
        n_parts = len(list(root.glob("*/part-*")))
        rows, broken = law(FeatureStore(root), expected, options.images)
        problems += broken
        left = len(list(root.glob("*/.writing-*")))
    figures = {"writers": options.writers, "seconds": seconds, "kills": kills, "images": len(expected), "rows": rows,
               "parts_before": n_parts, "temporary_files_left": left, "problems": problems}  # fmt: skip
    if options.json:
        print(json.dumps(figures))
    else:
        print(
            f"{options.writers} writers, {seconds:g} s, {kills} kills: {len(expected)} images noted, {rows} rows after"
            f" compaction of {n_parts} parts, {left} temporary files left; {'; '.join(problems) or 'all holds'}"
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
