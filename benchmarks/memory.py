"""Memory: does it stay flat in ``extract``, and within a few times the features in ``fit-head``?

    python benchmarks/memory.py [--json] [--quick] [--only extraction|heads]

**Extraction.** 2,000 and 20,000 noise images of 64x64 pixels go through timm's smallest network, each in a process of
its own; the difference of the peaks must stay below 150 MB.

**Heads.** 100,000 generated embeddings of 1,280 floats go through what ``fit-head --features … --head xgboost`` does,
as a recipe, so that the number of trees can be given: few, because what a tree takes is nothing beside the features.
The peak must stay below 4 times the array plus 500 MB. It is that of the whole tree of processes, a page that several
of them share counted once (PSS of ``/proc/PID/smaps_rollup``, looked at five times a second; Linux only). With
``--quick`` most of it is Python and the libraries, about 200 MB a process.

Exit status 1 where a limit is passed. Memory does not depend on how busy the machine is.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

EXTRACTION_LIMIT_MB = 150
HEADS_LIMIT_ARRAYS, HEADS_LIMIT_MB = 4, 500
FEATURES = 1_280
SUBJECTS = 200
ROUNDS = 20  # of boosting
PAUSE_S = 0.2  # between two looks at the memory


# ---------------------------------------------------------------------- extraction


def extract_some(folder: Path, n_images: int) -> None:
    """Extract some images and print the peak memory in MB."""
    from leukfeat.backbones.spec import BackboneSpec, Preprocess
    from leukfeat.data.manifest import Manifest
    from leukfeat.features.extraction import extract
    from leukfeat.features.store import FeatureStore

    manifest = Manifest.open(folder, subjects="unknown")
    manifest = manifest.take(range(n_images))
    spec = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=64, crop="none"))
    # one engine for both: "auto" might find that only the larger number pays for another one
    store = FeatureStore(folder.parent / f"store-{n_images}")
    report = extract(spec, manifest, store, device="cpu", engine="eager")
    if report.computed != n_images:
        raise SystemExit(report.describe())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


def draw(folder: Path, n_images: int) -> None:
    """Write noise images."""
    rng = np.random.default_rng(0)
    for number in range(n_images):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(place / f"{number:06d}.bmp")


def extraction(few: int, many: int) -> dict[str, float]:
    """Peaks of extracting few and many images."""
    with tempfile.TemporaryDirectory() as folder:
        cells = Path(folder) / "cells"
        draw(cells, many)
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(folder) / "user-cache")}
        peaks = [
            float(
                subprocess.run(
                    [sys.executable, __file__, "--extract", str(cells), str(number)],
                    check=True, stdout=subprocess.PIPE, text=True, env=environment,
                ).stdout
            )
            for number in (few, many)
        ]  # fmt: skip
    return {
        "extraction.few_images": few,
        "extraction.many_images": many,
        "extraction.few_mb": peaks[0],
        "extraction.many_mb": peaks[1],
        "extraction.difference_mb": peaks[1] - peaks[0],
        "extraction.limit_mb": EXTRACTION_LIMIT_MB,
    }


# ---------------------------------------------------------------------- heads


def write_embeddings(folder: Path, n_rows: int) -> None:
    """Write ``cells.csv`` and ``features.h5``: two classes, 200 subjects with effects of their own."""
    from leukfeat.features.exchange import write_features
    from leukfeat.features.table import Features

    rng = np.random.default_rng(0)
    subject = np.arange(n_rows) % SUBJECTS
    y = subject % 2
    X = rng.standard_normal((n_rows, FEATURES), dtype=np.float32)
    X += 0.5 * rng.standard_normal((SUBJECTS, FEATURES), dtype=np.float32)[subject]
    X[:, :20] += np.float32(0.15) * (2 * y[:, None] - 1)
    names = [f"cell-{row:06d}.bmp" for row in range(n_rows)]
    with (folder / "cells.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["sample", "path", "label", "subject", "sha256"])
        for name, label, of in zip(names, y, subject, strict=True):
            digest = hashlib.sha256(name.encode()).hexdigest()
            table.writerow([name, name, ("healthy", "leukemia")[label], f"subject-{of:03d}", digest])
    write_features(Features(X, tuple(names)), folder / "features.h5")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # ended meanwhile
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def proportional_mb(pid: int) -> float:
    """Memory of a process in MB, of a page shared by n processes one nth; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:")), 0.0)


def peak_of(*command: str) -> float:
    """The largest memory that a command, which must succeed, and its children take together, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    printed: list[str] = []
    stream = process.stdout
    reader = threading.Thread(target=lambda: printed.extend(stream or ()))
    reader.start()
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(proportional_mb(pid) for pid in family(process.pid)))
        try:
            process.wait(PAUSE_S)
        except subprocess.TimeoutExpired:
            continue
    reader.join()
    if process.returncode:
        raise SystemExit("".join(printed))
    return peak


def heads(n_rows: int, trials: int) -> dict[str, float]:
    """Peak of fitting XGBoost to many embeddings."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # in a process of its own: this one's memory is nobody's business, but it would not give it back
        subprocess.run([sys.executable, __file__, "--write", place, str(n_rows)], check=True)
        size = n_rows * FEATURES * 4 / 1e6
        recipe = {
            "name": "memory",
            "data": {"path": str(folder / "cells.csv")},
            "features": str(folder / "features.h5"),
            "head": {"name": "xgboost", "trials": trials, "params": {"n_estimators": ROUNDS}},
        }
        (folder / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
        options = ("--out", str(folder / "runs"), "--report", str(folder / "report"))
        peak = peak_of(sys.executable, "-m", "leukfeat", "run", str(folder / "recipe.yaml"), *options)
    return {
        "heads.rows": n_rows,
        "heads.array_mb": size,
        "heads.peak_mb": peak,
        "heads.peak_arrays": peak / size,
        "heads.limit_mb": HEADS_LIMIT_ARRAYS * size + HEADS_LIMIT_MB,
    }


# ---------------------------------------------------------------------- both


def report(figures: dict[str, float]) -> list[str]:
    """The figures in words."""
    lines = []
    if "extraction.few_mb" in figures:
        few, many = (figures[f"extraction.{which}_images"] for which in ("few", "many"))
        lines.append(
            f"extract: {few:,} images {figures['extraction.few_mb']:.0f} MB, {many:,} images"
            f" {figures['extraction.many_mb']:.0f} MB, difference {figures['extraction.difference_mb']:.0f} MB (limit"
            f" {EXTRACTION_LIMIT_MB})"
        )
    if "heads.rows" in figures:
        lines.append(
            f"fit-head --head xgboost: {figures['heads.rows']:,} × {FEATURES:,} ({figures['heads.array_mb']:.0f} MB):"
            f" peak {figures['heads.peak_mb']:.0f} MB, {figures['heads.peak_arrays']:.1f} × the array (limit"
            f" {HEADS_LIMIT_ARRAYS} × + {HEADS_LIMIT_MB} MB = {figures['heads.limit_mb']:.0f} MB)"
        )
    return lines


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=2_000, help="images")
    parser.add_argument("--many", type=int, default=20_000, help="images")
    parser.add_argument("--rows", type=int, default=100_000, help="embeddings")
    parser.add_argument("--trials", type=int, default=2, help="of the head, in each of five folds")
    parser.add_argument("--only", choices=("extraction", "heads"))
    parser.add_argument("--quick", action="store_true", help="under a minute: 500 and 2,000 images, 4,000 embeddings")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--extract", nargs=2, metavar=("FOLDER", "N"), help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, metavar=("FOLDER", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.extract:
        extract_some(Path(options.extract[0]), int(options.extract[1]))
        return 0
    if options.write:
        write_embeddings(Path(options.write[0]), int(options.write[1]))
        return 0
    if options.quick:
        options.few, options.many, options.rows, options.trials = 500, 2_000, 4_000, 1
    figures: dict[str, float] = {}
    if options.only != "heads":
        figures |= extraction(options.few, options.many)
    if options.only != "extraction":
        figures |= heads(options.rows, options.trials)
    print(json.dumps(figures, indent=1) if options.json else "\n".join(report(figures)))
    flat = figures.get("extraction.difference_mb", 0.0) < EXTRACTION_LIMIT_MB
    return 0 if flat and figures.get("heads.peak_mb", 0.0) <= figures.get("heads.limit_mb", 0.0) else 1


if __name__ == "__main__":
    sys.exit(main())
