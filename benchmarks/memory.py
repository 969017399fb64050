"""Does the memory of ``extract`` grow with the number of images?

    python benchmarks/memory.py

Extracts 2,000 and 20,000 noise images of 64x64 pixels with timm's smallest network, each in a process of its own, and
prints the peak resident memory of both and their difference. Exit status 1 where it is 150 MB or more.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

LIMIT_MB = 150


def measure(folder: Path, n_images: int) -> None:
    """Extract some images and print the peak memory in MB."""
    from leukfeat.backbones.spec import BackboneSpec, Preprocess
    from leukfeat.data.manifest import Manifest
    from leukfeat.features.extraction import extract
    from leukfeat.features.store import FeatureStore

    manifest = Manifest.open(folder, subjects="unknown")
    manifest = manifest.take(range(n_images))
    spec = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=64, crop="none"))
    report = extract(spec, manifest, FeatureStore(folder.parent / f"store-{n_images}"), device="cpu")
    if report.computed != n_images:
        raise SystemExit(report.describe())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2))


def draw(folder: Path, n_images: int) -> None:
    """Write noise images."""
    rng = np.random.default_rng(0)
    for number in range(n_images):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(place / f"{number:06d}.bmp")


def main() -> int:
    """Measure both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure[0]), int(options.measure[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        cells = Path(folder) / "cells"
        draw(cells, options.many)
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(folder) / "user-cache")}
        peaks = [
            float(
                subprocess.run(
                    [sys.executable, __file__, "--measure", str(cells), str(number)],
                    check=True, capture_output=True, text=True, env=environment,
                ).stdout
            )
            for number in (options.few, options.many)
        ]  # fmt: skip
    growth = peaks[1] - peaks[0]
    print(
        f"peak memory: {options.few:,} images {peaks[0]:.0f} MB, {options.many:,} images {peaks[1]:.0f} MB,"
        f" difference {growth:.0f} MB (limit {LIMIT_MB}), ratio {peaks[1] / peaks[0]:.3f}"
    )
    return 0 if growth < LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
