"""What looking up and listing cost in a store of a thousand parts and ten million rows.

    python benchmarks/faults/many_parts.py                        # 1,000 parts of 10,000 rows
    python benchmarks/faults/many_parts.py --parts 100 --rows 1000000 --quick

Parts are generated: digests at random, short vectors (``--dim``), because what is measured reads no vector until a few
thousand rows are asked for. Each figure is that of a process of its own, so that its memory can be told: listing the
folder, opening the key, counting its images, looking up a study's images, the same for every image, and reading a
study's rows the first time (the parts that hold them are hashed) and the second time. Exit status 1 where an answer is
wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.resolution import Resolution
from leukfeat.features import parts
from leukfeat.features.store import FeatureKey, FeatureStore
from leukfeat.features.upkeep import list_keys

INPUTS = Inputs((8, 8), "none", 0.0, "bilinear", "unit", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
KEY = FeatureKey(Resolution("tiny", {}, "ab" * 32, "generated", "avg", None, INPUTS))
STUDY = 3_256  # images of one study


def digests_of(part: int, n_rows: int) -> list[str]:
    """Digests of a part's images."""
    raw = np.random.default_rng(part).integers(0, 256, (n_rows, 32), dtype=np.uint8).tobytes().hex()
    return [raw[start : start + 64] for start in range(0, len(raw), 64)]


def generate(root: Path, n_parts: int, n_rows: int, dim: int) -> float:
    """Write the store; returns seconds."""
    started = time.perf_counter()
    store = FeatureStore(root)
    for part in range(n_parts):
        X = np.full((n_rows, dim), part, dtype=np.float32)
        names = [f"{part}/{row}.png" for row in range(n_rows)]
        store.append(KEY, digests_of(part, n_rows), X, names, engine="none", decoder="none")
    return time.perf_counter() - started


def study_of(n_parts: int, n_rows: int) -> list[str]:
    """Images of one study, in as many parts as they can be in."""
    chosen = np.random.default_rng(4711).choice(n_parts, min(STUDY, n_parts), replace=False)
    each = -(-STUDY // len(chosen))
    return [digest for part in chosen for digest in digests_of(int(part), n_rows)[:each]][:STUDY]


def measure(what: str, root: Path, n_parts: int, n_rows: int) -> dict[str, float]:
    """Seconds and peak memory of one kind of work in this process."""
    store = FeatureStore(root)
    study = study_of(n_parts, n_rows) if what in ("look up a study", "read a study") else []
    everything: list[str] = []
    if what == "look up every image":
        everything = [digest for part in range(n_parts) for digest in digests_of(part, n_rows)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, spent = time.perf_counter(), time.process_time()
    if what == "list the folder":
        found = len(parts.list_parts(store.folder(KEY)))
        right = found == n_parts
    elif what == "list the keys":
        right = list_keys(store)[0].images == n_parts * n_rows
    elif what == "open":
        right = len(store.open(KEY).headers) == n_parts
    elif what == "read a study":
        right = store.open(KEY).read(study).shape[0] == STUDY
    else:
        right = bool(store.open(KEY).holds(study or everything).all())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu = time.process_time() - spent
    return {"seconds": seconds, "cpu": cpu, "mb": peak / 1024, "mb_before": before / 1024, "right": right}


KINDS = ("list the folder", "open", "list the keys", "look up a study", "look up every image", "read a study")


def main() -> int:
    """Generate, and measure each kind of work in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="a tenth of the parts, a hundredth of the rows")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    n_parts, n_rows = options.parts, options.rows // options.parts
    if options.quick and not options.only:
        n_parts, n_rows = max(1, n_parts // 10), max(1, n_rows // 10)
    if options.only:
        print(json.dumps(measure(options.only, options.root, n_parts, n_rows)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "user-cache")
        root = Path(folder) / "store"
        figures: dict[str, object] = {"parts": n_parts, "rows": n_parts * n_rows}
        seconds = generate(root, n_parts, n_rows, options.dim)
        size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
        figures |= {"seconds_to_generate": seconds, "bytes": size}
        told = print if not options.json else lambda *_, **__: None
        told(f"{n_parts:,} parts, {n_parts * n_rows:,} rows, {size / 1e6:,.0f} MB, made in {seconds:.1f} s", flush=True)
        shape = ["--parts", str(n_parts), "--rows", str(n_parts * n_rows), "--root", str(root)]
        for kind in (*KINDS, "read a study"):
            done = subprocess.run(
                [sys.executable, __file__, *shape, "--only", kind], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout)
            name = kind if kind not in figures else f"{kind} again"
            figures[name] = found
            told(
                f"  {name}: {found['seconds']:.2f} s ({found['cpu']:.2f} s of a processor),"
                f" {found['mb']:,.0f} MB at most ({found['mb_before']:,.0f} before)",
                flush=True,
            )
    wrong = [kind for kind, found in figures.items() if isinstance(found, dict) and not found["right"]]
    if options.json:
        print(json.dumps(figures))
    else:
        print("  wrong: " + ", ".join(wrong) if wrong else "  all right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
