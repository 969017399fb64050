"""Are copies found, and only copies? Recall of injected copies, false alarms among different cells, and time.

Generated cells, or the images of a data set, are copied in the ways that copies come about: turned by quarters or
mirrored, cropped by up to a tenth (and sometimes enlarged again), encoded anew as JPEG, all at random. The search is
then asked for every pair. False alarms are pairs of different originals; only generated cells are known to differ.

Run: python benchmarks/duplicates.py [--quick] [--data DATA] [--json]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leukfeat.audit.duplicates import find_duplicates
from leukfeat.data.manifest import Manifest
from leukfeat.data.pixels import read_row
from leukfeat.data.synthetic import synthesize

SIZE = 128


def changed(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A copy of an image as it may come back: turned, mirrored, cropped, encoded anew."""
    image = Image.fromarray(np.ascontiguousarray(np.rot90(pixels, rng.integers(4))[:, :: rng.choice([-1, 1])]))
    if rng.random() < 0.6:
        width, height = image.size
        share = rng.uniform(0.9, 0.98)
        kept = int(width * share), int(height * share)
        left, top = rng.integers(width - kept[0] + 1), rng.integers(height - kept[1] + 1)
        image = image.crop((left, top, left + kept[0], top + kept[1]))
        if rng.random() < 0.5:
            image = image.resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.8:
        stream = io.BytesIO()
        image.save(stream, format="JPEG", quality=int(rng.integers(50, 96)))
        image = Image.open(stream)
    return np.asarray(image)


def with_copies(manifest: Manifest, n_copies: int, folder: Path, seed: int) -> Manifest:
    """The manifest with changed copies of some of its images at its end, each named after its original."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(manifest))[:n_copies].tolist()
    paths, digests = [], []
    for number, row in enumerate(rows):
        path = folder / f"{number:05d}.png"
        Image.fromarray(changed(read_row(manifest, row), rng)).save(path)
        paths.append(str(path.absolute()))
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    everything = [*range(len(manifest)), *rows]
    columns = {name: tuple(getattr(manifest, name)[row] for row in everything) for name in ("label", "subject")}
    return Manifest(
        sample=(*manifest.sample, *(f"copy of {manifest.sample[row]}" for row in rows)),
        path=(*manifest.path, *paths),
        sha256=(*manifest.sha256, *digests),
        root=manifest.root,
        **columns,  # type: ignore[arg-type]
    )


def measure(manifest: Manifest, n_copies: int, seed: int) -> dict[str, Any]:
    """Recall over the copies, pairs of originals that were called the same, and seconds."""
    n = len(manifest)
    with tempfile.TemporaryDirectory() as folder:
        whole = with_copies(manifest, n_copies, Path(folder), seed)
        row_of = {name: row for row, name in enumerate(whole.sample)}
        started = time.perf_counter()
        found = find_duplicates(whole)
        seconds = time.perf_counter() - started
    pairs = {(pair.first, pair.second) for pair in found.pairs} | set(found.same_pixels)
    wanted = {(row_of[whole.sample[row].removeprefix("copy of ")], row) for row in range(n, len(whole))}
    false = sorted((first, second) for first, second in pairs if second < n)
    return {
        "images": len(whole),
        "copies": len(wanted),
        "found": len(wanted & pairs),
        "recall": len(wanted & pairs) / len(wanted),
        "pairs_of_originals": len(false),
        "per_1000_images": 1000 * len(false) / n,
        "examples": [[whole.sample[first], whole.sample[second]] for first, second in false[:5]],
        "seconds": seconds,
        "ms_per_image": 1000 * seconds / len(whole),
    }


def main() -> None:
    """Generated cells by default; a data set of one's own with ``--data``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set: its own duplicates then count among the originals'")
    parser.add_argument("--images", type=int, default=1000, help="originals")
    parser.add_argument("--copies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="60 originals and 30 copies")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    n, copies = (60, 30) if options.quick else (options.images, options.copies)
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            subjects = 20
            manifest = synthesize(Path(folder) / "cells", subjects, -(-n // subjects), seed=options.seed, size=SIZE)
        else:
            manifest = Manifest.open(options.data, subjects="unknown")
        rows = np.random.default_rng(options.seed).permutation(len(manifest))[:n]
        taken = replace(manifest, notes=()).take(np.sort(rows))
        facts = measure(taken, min(copies, len(taken)), options.seed)
    if options.json:
        print(json.dumps(facts, indent=1))
        return
    print(f"{facts['found']} of {facts['copies']} copies found: recall {facts['recall']:.4f}")
    print(
        f"{facts['pairs_of_originals']} pair(s) of originals called the same: {facts['per_1000_images']:.2f} per 1,000"
    )
    print(f"{facts['seconds']:.1f} s for {facts['images']} images, {facts['ms_per_image']:.1f} ms each")


if __name__ == "__main__":
    main()
