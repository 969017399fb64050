"""Kill ``extract`` at random moments and see whether the store survives.

    python benchmarks/faults/kill_extract.py --kills 20

Noise images are extracted once undisturbed, and once with a ``kill -9`` at a random moment of every attempt, then to
the end. The two stores must hold the same rows; no row that was in a part before a kill may be computed again; every
part must be sound. Prints one line; exit status 1 where something does not hold. Needs ``fork``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

# Imported before the forks, so that an attempt starts at once. Nothing is computed here: threads do not survive a fork.
import leukfeat.backbones.network  # noqa: F401
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.manifest import Manifest
from leukfeat.features import computation, parts
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.upkeep import verify
from leukfeat.textfiles import TEMPORARY

SPEC = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=64, crop="none"))


def draw(folder: Path, n_images: int) -> Manifest:
    """Write noise images and open them."""
    rng = np.random.default_rng(0)
    for number in range(n_images):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(place / f"{number}.png")
    return Manifest.open(folder, subjects="unknown")


def attempt(manifest: Manifest, root: Path) -> None:
    """What a user's process does; parts are written often, so that kills also hit the writing."""
    computation._SECONDS_A_PART = computation._FRACTION_A_PART = 0.0
    extract(SPEC, manifest, FeatureStore(root), batch_size=4, device="cpu")


def stored(root: Path) -> list[str]:
    """Digest of every row of every part, as often as it stands there."""
    files = sorted(root.glob(f"*/{parts.PREFIX}*{parts.SUFFIX}"))
    return [digest.decode() for file in files for digest in parts.check_part(file).sha256.tolist()]


def main() -> int:
    """Run the attempts and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    context = multiprocessing.get_context("fork")
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(here / "user-cache")
        manifest = draw(here / "cells", options.images)
        started = time.monotonic()
        whole = context.Process(target=attempt, args=(manifest, here / "undisturbed"))
        whole.start()
        whole.join()
        seconds = time.monotonic() - started
        kept: list[int] = []
        while len(kept) < options.kills:
            # short attempts, so that many are needed to come to the end
            process = context.Process(target=attempt, args=(manifest, here / "killed"))
            process.start()
            time.sleep(moments.uniform(0, 2.5 * seconds / options.kills + 0.5))
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
            process.join()
            kept.append(len(stored(here / "killed")))  # every part is read to the end: none may be damaged
        last = context.Process(target=attempt, args=(manifest, here / "killed"))
        last.start()
        last.join()
        rows = stored(here / "killed")
        left = len(list((here / "killed").glob(f"*/{TEMPORARY}*")))
        undisturbed = load_features(SPEC, manifest, FeatureStore(here / "undisturbed"))
        killed = load_features(SPEC, manifest, FeatureStore(here / "killed"))
        difference = float(np.abs(killed.X - undisturbed.X).max() / np.abs(undisturbed.X).max())
        problems = [
            *(["an attempt to the end failed"] if whole.exitcode or last.exitcode else []),
            *(["the rows differ"] if killed.sample_ids != undisturbed.sample_ids or difference > 1e-4 else []),
            *([f"{len(rows) - len(set(rows))} rows were computed again"] if len(rows) != len(set(rows)) else []),
            *(["rows were lost"] if sorted(kept) != kept else []),
            *verify(FeatureStore(here / "killed")).problems,
        ]
    print(
        f"{options.kills} kills, {options.images} images: {len(rows)} rows in the end; after each kill {kept}; largest"
        f" relative difference to the undisturbed run {difference:.1e}; {left} temporary files left;"
        f" {'; '.join(problems) or 'all holds'}"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
