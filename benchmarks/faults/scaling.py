"""How many shards a second the driver can cut and hand out, and how many workers that keeps busy.

    python benchmarks/faults/scaling.py

The shards are real ones, of a manifest of a million rows that is made up; the work is none, so that what is timed is
cutting, pickling, sending, and taking the answer. "limit/s" counts the driver's own processor time: so many shards a
second it could hand out with a processor to itself, however busy this machine is. The last column says how many workers
that keeps busy, were a shard half a minute of work, as a good one is. Exit status 1 where it is fewer than 16.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import pickle
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from leukfeat.backbones.stream import ImageWork
from leukfeat.data.manifest import Manifest
from leukfeat.experiments.backends import Backend
from leukfeat.experiments.workers import Workers
from leukfeat.features.shards import Shard

WORKERS = 2  # of them each is idle; more would only compete for the processors of this machine
SECONDS_A_SHARD = 30.0
ENOUGH = 16


def made_up(n_rows: int) -> Manifest:
    """Rows without files."""
    names = tuple(f"patient-{row // 200:05d}/field-{row % 200:03d}/cell-{row:07d}.png" for row in range(n_rows))
    none = ("",) * n_rows
    digests = tuple(hashlib.sha256(name.encode()).hexdigest() for name in names)
    return Manifest(names, names, none, none, digests)


def nothing(shard: Shard) -> int:
    """What a worker does with a shard here."""
    return len(shard)


@contextlib.contextmanager
def backend(name: str) -> Iterator[Backend]:
    """A backend with idle workers."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        address = None
        if name == "dask":
            from distributed import LocalCluster

            cluster = LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL"
            )
            address = stack.enter_context(cluster).scheduler_address
        elif name == "ray":
            import ray

            ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            stack.callback(ray.shutdown)
        yield Backend(name, address, workers=WORKERS)


def rate(name: str, shards: list[Shard]) -> tuple[float, float]:
    """Shards a second of the clock, and of this process."""
    with backend(name) as asked, Workers(asked) as workers:
        list(workers.results(nothing, shards[: 2 * WORKERS]))  # workers start
        started, before = time.perf_counter(), time.process_time()
        answers = [answer for _, answer in workers.results(nothing, shards)]
        seconds, spent = time.perf_counter() - started, time.process_time() - before
    if sum(answers) != sum(map(len, shards)):
        raise SystemExit(f"{name}: {sum(answers)} of {sum(map(len, shards))} images came back")
    return len(shards) / seconds, len(shards) / spent


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 2_048, 20_000])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    n_rows, n_shards, sizes = (50_000, 20, [256]) if options.quick else (options.rows, options.shards, options.sizes)
    libraries = {"loky": "joblib", "threading": "joblib", "dask": "distributed", "ray": "ray"}
    started = time.perf_counter()
    manifest = made_up(n_rows)
    work = [ImageWork(digest, (row,)) for row, digest in enumerate(manifest.sha256)]
    lines: list[dict[str, Any]] = []
    if not options.json:
        print(f"{n_rows:,} rows made up in {time.perf_counter() - started:.1f} s")
        names = f"{'backend':10} {'images':>7} {'kB':>7} {'cut/s':>8} {'shards/s':>9} {'limit/s':>8}"
        print(f"{names} {'images/s':>11} {'workers':>8}")
    for size in sizes:
        some = min(n_shards, n_rows // size)
        started = time.perf_counter()
        shards = [Shard.of(manifest, work[at * size : (at + 1) * size]) for at in range(some)]
        cut = some / (time.perf_counter() - started)
        kilobytes = len(pickle.dumps(shards[0])) / 1e3
        for name in (name for name, library in libraries.items() if find_spec(library)):
            fast, limit = rate(name, shards)
            line = {
                "backend": name, "images": size, "kilobytes": kilobytes, "cut_per_second": cut,
                "shards_per_second": fast, "limit": limit, "images_per_second": limit * size,
                "busy_workers": limit * SECONDS_A_SHARD,
            }  # fmt: skip
            lines.append(line)
            if not options.json:
                print(
                    f"{name:10} {size:7,} {kilobytes:7.0f} {cut:8,.0f} {fast:9,.1f} {limit:8,.1f}"
                    f" {limit * size:11,.0f} {limit * SECONDS_A_SHARD:8,.0f}",
                    flush=True,
                )
    if options.json:
        print(json.dumps(lines, indent=1))
    return 1 if any(line["busy_workers"] < ENOUGH for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
