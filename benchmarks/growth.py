"""How does the cost of extraction, and of finding rows again, grow with the number of images?

    python benchmarks/growth.py
    python benchmarks/growth.py --quick --json          # under a minute

For 1,000, 3,000, 10,000 and 30,000 noise images of 32 pixels and timm's smallest network it times

- *extraction* of all of them into an empty store,
- *look-up*: ``extract`` again, which finds every row and computes nothing, and reading the rows,

and fits an exponent to each, ``seconds ~ images ** exponent`` (1 is linear). Then it measures

- *warm*: the look-up of 3,256 rows in a process of its own, imports included, which must not import torch,
- *one percent new*: ``extract`` of 10,000 images 1 % of which are new, against extracting that 1 % alone and looking at
  the size and time of the others.

Sizes and contenders take turns in every round; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 32
WARM_ROWS = 3_256
NEW_SHARE = 0.01

_WARM = """
import sys, time
started = time.perf_counter()
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.manifest import Manifest
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureStore
manifest, store = Manifest.load(sys.argv[1]), FeatureStore(sys.argv[2])
spec = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=32, crop="none"))
report = extract(spec, manifest, store)
X = load_features(spec, manifest, store).X
print(report.computed, len(X), "torch" in sys.modules, time.perf_counter() - started)
"""


def main() -> None:
    """Parse, draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 3_000, 10_000, 30_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="under a minute: up to 3,000 images, one round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.rounds = [300, 1_000, 3_000], 1
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = f"{scratch}/user-cache"  # nobody's own cache is read or written
        found = measure(Path(scratch), sorted(options.sizes), options.rounds)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name in ("extraction", "look_up"):
        seconds = ", ".join(f"{n}: {value:.2f} s" for n, value in found[name]["seconds"].items())
        print(f"{name}: exponent {found[name]['exponent']:.2f} ({seconds})")
    warm, new = found["warm"], found["one_percent_new"]
    print(f"warm: {warm['rows']:,} rows in {warm['seconds']:.2f} s, imports included, torch imported: {warm['torch']}")
    print(
        f"one percent new of {new['images']:,}: {new['seconds']:.2f} s; that part alone {new['alone']:.2f} s, looking"
        f" at the others {new['looking']:.3f} s; ratio {new['ratio']:.2f}"
    )


def measure(scratch: Path, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """All figures."""
    from leukfeat.data.manifest import Manifest

    draw(scratch / "cells", max(*sizes, WARM_ROWS))
    everything = Manifest.open(scratch / "cells", subjects="unknown")
    extract_some(everything.take(range(64)), scratch / "warm-up")  # torch is imported, the network resolved
    seconds: dict[str, dict[int, list[float]]] = {name: {n: [] for n in sizes} for name in ("extraction", "look_up")}
    for number in range(rounds):
        for n in sizes:
            manifest, store = everything.take(range(n)), scratch / f"store-{number}-{n}"
            seconds["extraction"][n].append(timed(lambda m=manifest, s=store: extract_some(m, s)))
            seconds["look_up"][n].append(timed(lambda m=manifest, s=store: look_up(m, s)))
            shutil.rmtree(store)
    found: dict[str, Any] = {}
    for name, by_size in seconds.items():
        medians = {n: statistics.median(values) for n, values in by_size.items()}
        slope = float(np.polyfit(np.log(list(medians)), np.log(list(medians.values())), 1)[0])
        found[name] = {"exponent": round(slope, 3), "seconds": {n: round(value, 3) for n, value in medians.items()}}
    found["warm"] = warm(everything.take(range(WARM_ROWS)), scratch, rounds)
    found["one_percent_new"] = one_percent_new(everything, min(10_000, max(sizes)), scratch, rounds)
    return found


def warm(manifest: Any, scratch: Path, rounds: int) -> dict[str, Any]:
    """A second run over the same images, in a process of its own."""
    extract_some(manifest, scratch / "store-warm")
    file = manifest.save(manifest.root / "cells.csv")
    command = [sys.executable, "-c", _WARM, str(file), str(scratch / "store-warm")]
    answers = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(rounds)
    ]
    if any(answer[:2] != ["0", str(len(manifest))] for answer in answers):
        raise SystemExit(f"the second run was not warm: {answers}")
    return {
        "rows": len(manifest),
        "seconds": round(statistics.median(float(answer[3]) for answer in answers), 3),
        "torch": any(answer[2] == "True" for answer in answers),
    }


def one_percent_new(everything: Any, n: int, scratch: Path, rounds: int) -> dict[str, Any]:
    """A data set that has grown by 1 %, against its new part alone."""
    new = max(1, int(NEW_SHARE * n))
    whole, before, part = (everything.take(rows) for rows in (range(n), range(n - new), range(n - new, n)))
    extract_some(before, scratch / "store-before")
    spent: dict[str, list[float]] = {"seconds": [], "alone": [], "looking": []}
    for number in range(rounds):
        grown, alone = scratch / f"grown-{number}", scratch / f"alone-{number}"
        shutil.copytree(scratch / "store-before", grown)
        shutil.copytree(scratch / "store-before" / "resolved", alone / "resolved")
        spent["seconds"].append(timed(lambda store=grown: extract_some(whole, store, new)))
        spent["alone"].append(timed(lambda store=alone: extract_some(part, store)))
        files = [before.file(row) for row in range(len(before))]
        spent["looking"].append(timed(lambda some=files: [file.stat() for file in some]))
    median = {name: statistics.median(values) for name, values in spent.items()}
    ratio = median["seconds"] / (median["alone"] + median["looking"])
    return {"images": n, **{name: round(value, 3) for name, value in median.items()}, "ratio": round(ratio, 3)}


def extract_some(manifest: Any, store: Path, expected: int | None = None) -> None:
    """Extract, and see that so many were computed."""
    from leukfeat.features.extraction import extract
    from leukfeat.features.store import FeatureStore

    report = extract(backbone(), manifest, FeatureStore(store), device="cpu", engine="eager")
    if report.computed != (len(manifest) if expected is None else expected):
        raise SystemExit(report.describe())


def look_up(manifest: Any, store: Path) -> None:
    """Find every row, and read them."""
    from leukfeat.features.extraction import load_features
    from leukfeat.features.store import FeatureStore

    extract_some(manifest, store, 0)
    load_features(backbone(), manifest, FeatureStore(store))


def backbone() -> Any:
    """timm's smallest network."""
    from leukfeat.backbones.spec import BackboneSpec, Preprocess

    return BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=SIDE, crop="none"))


def draw(folder: Path, n: int) -> None:
    """Write noise images; a memo remembers no file that is younger than two seconds."""
    rng = np.random.default_rng(0)
    for number in range(n):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(place / f"{number:06d}.bmp")
    time.sleep(2.5)


def timed(work: Callable[[], object]) -> float:
    """Seconds it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
