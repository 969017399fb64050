"""Extract from images that were damaged on purpose, and see that nothing is made up.

    python benchmarks/faults/mutated_images.py --images 10000

Cells are written as BMP, PNG, JPEG and TIFF of several kinds, and bits are flipped, ends cut off, headers edited and
pieces doubled, all under a seed. ``extract`` then runs over all of them in a process of its own. It has to come to its
end; every file is either stored or named as failed; no file may take ten seconds to decode; the memory of the process
stays within a bound; and what is stored for a file that Pillow's public reader can read is the vector of those very
pixels, computed again from a copy without loss. Prints one line; exit status 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.images import decode_image
from leukfeat.data.manifest import Manifest
from leukfeat.errors import ImageError
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureStore

SPEC = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=64, crop="none"))
INPUTS = Inputs((64, 64), "none", 0.0, "bicubic", "unit", None, None)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bmp": ("BMP", {}),
    "png": ("PNG", {}),
    "jpg": ("JPEG", {"quality": 90}),
    "progressive.jpg": ("JPEG", {"quality": 90, "progressive": True}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "deflate.tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "jpeg.tif": ("TIFF", {"compression": "jpeg"}),
}
SECONDS_A_FILE = 10.0
MEGABYTES = 2048  # for one process with two decoders: PyTorch, and two pictures of the largest size that is read
EDITS = ("flip one bit", "flip many bits", "cut the end off", "edit the header", "double a piece", "zero a piece")


def draw(rng: np.random.Generator) -> Image.Image:
    """A small cell on black: smooth, so that JPEG has something to do."""
    y, x = np.mgrid[:64, :64]
    distance = np.hypot(y - rng.uniform(26, 38), x - rng.uniform(26, 38)) / rng.uniform(14, 26)
    colour = rng.uniform(60, 200, 3) * np.clip(1.4 - distance, 0, 1)[:, :, None] + rng.normal(0, 4, (64, 64, 3))
    return Image.fromarray(np.clip(colour * (distance < 1.1)[:, :, None], 0, 255).astype(np.uint8))


def damaged(data: bytes, edit: str, chance: random.Random) -> bytes:
    """A file with one kind of damage."""
    new = bytearray(data)
    if edit == "cut the end off":
        del new[chance.randrange(len(new)) :]
    elif edit in ("double a piece", "zero a piece"):
        start = chance.randrange(len(new))
        piece = new[start : start + chance.randrange(1, 200)]
        new[start : start if edit.startswith("double") else start + len(piece)] = (
            piece if edit.startswith("double") else bytes(len(piece))
        )
    else:
        until = min(len(new), 160) if edit == "edit the header" else len(new)
        for _ in range(1 if edit == "flip one bit" else chance.randrange(2, 12)):
            at = chance.randrange(until)
            if edit == "edit the header" and chance.random() < 0.3:
                new[at : at + 4] = chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF)).to_bytes(4, "little")
            else:
                new[at] ^= 1 << chance.randrange(8)
    return bytes(new)


def write(folder: Path, n_images: int, seed: int) -> None:
    """The damaged images, no two alike, in two folders that serve as classes."""
    taken: set[bytes] = set()
    chance, rng = random.Random(seed), np.random.default_rng(seed)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    for number in range(n_images):
        ending = list(KINDS)[number % len(KINDS)]
        form, options = KINDS[ending]
        stream = io.BytesIO()
        draw(rng).save(stream, format=form, **options)
        edit = EDITS[number // len(KINDS) % len(EDITS)]
        made = damaged(stream.getvalue(), edit, chance)
        while made in taken:  # cut off in the header all files of a kind are the same
            made = damaged(stream.getvalue(), edit, chance)
        taken.add(made)
        (folder / "ab"[number % 2] / f"{number:05d}.{ending}").write_bytes(made)


def attempt(folder: Path, root: Path, told: Path) -> None:
    """What a user's process does, with what it took."""
    manifest = Manifest.open(folder, subjects="unknown")
    report = extract(SPEC, manifest, FeatureStore(root), device="cpu", num_workers=2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    failed = {sample: reason for sample, _, reason in report.failed}
    told.write_text(json.dumps({"failed": failed, "megabytes": peak, "seconds": report.seconds}))


def readable(file: Path) -> tuple[float, bool]:
    """Seconds to decode a file and to fit it to the network's input, and whether that could be done."""
    started = time.perf_counter()
    try:
        INPUTS.arrange(decode_image(file.read_bytes(), file.name))  # a header may make a strip of a picture
    except ImageError:
        return time.perf_counter() - started, False
    return time.perf_counter() - started, True


def copied(file: Path, place: Path) -> bool:
    """Whether Pillow's public reader can read a plain RGB image, which is then written without loss."""
    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            warnings.simplefilter("ignore")
            image.load()
            if image.mode != "RGB" or image.getexif().get(0x0112, 1) != 1 or getattr(image, "is_animated", False):
                return False
            if image.info.get("transparency") is not None or image.size[0] * image.size[1] > 4_000_000:
                return False
            Image.fromarray(np.array(image)).save(place)
    except Exception:  # noqa: BLE001 (whatever Pillow raises, it could not read the file)
        return False
    return True


def main() -> int:
    """Damage, extract, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="480 images")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    n_images = 480 if options.quick else options.images
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(here / "user-cache")
        write(here / "cells", n_images, options.seed)
        process = multiprocessing.get_context("spawn").Process(
            target=attempt, args=(here / "cells", here / "store", here / "told.json")
        )
        process.start()
        process.join()
        facts = _compare(here, process.exitcode)
    facts |= {"images": n_images, "seed": options.seed}
    print(json.dumps(facts, indent=1) if options.json else _in_words(facts))
    return 1 if facts["problems"] else 0


def _compare(here: Path, status: int | None) -> dict[str, Any]:
    if status != 0 or not (here / "told.json").is_file():
        return {"problems": [f"the process ended with {status}"]}
    told = json.loads((here / "told.json").read_text())
    manifest = Manifest.open(here / "cells", subjects="unknown")
    files = [manifest.file(row) for row in range(len(manifest))]
    tries = [readable(file) for file in files]
    slowest = max(range(len(files)), key=lambda row: tries[row][0])
    refused = {sample for sample, (_, good) in zip(manifest.sample, tries, strict=True) if not good}
    features = load_features(SPEC, manifest, FeatureStore(here / "store"))
    different, compared = _substituted(here, manifest, features)
    reasons = Counter(reason.split(": ")[-1][:40] for reason in told["failed"].values())
    problems = [
        *([f"{files[slowest].name} took {tries[slowest][0]:.1f} s"] if tries[slowest][0] > SECONDS_A_FILE else []),
        *([f"{told['megabytes']:.0f} MB"] if told["megabytes"] > MEGABYTES else []),
        *(["failed and unreadable files differ"] if set(told["failed"]) != refused else []),
        *(["stored and failed do not add up"] if len(features) + len(refused) != len(manifest) else []),
        *([f"{different} files have another file's vector"] if different else []),
    ]
    return {
        "stored": len(features),
        "failed": len(refused),
        "reasons": dict(reasons.most_common(8)),
        "compared": compared,
        "slowest_seconds": tries[slowest][0],
        "megabytes": told["megabytes"],
        "problems": problems,
    }


def _substituted(here: Path, manifest: Manifest, features: Any) -> tuple[int, int]:
    """How many stored vectors are not those of the pixels that Pillow sees, of how many compared."""
    (here / "copies" / "a").mkdir(parents=True)
    (here / "copies" / "b").mkdir()
    row_of = {sample: row for row, sample in enumerate(manifest.sample)}
    names = {}
    for place, sample in enumerate(features.sample_ids):
        copy = f"{'ab'[place == 0]}/{place:05d}.png"  # two files may show the same pixels: one label for them
        if copied(manifest.file(row_of[sample]), here / "copies" / copy):
            names[copy] = place
    copies = Manifest.open(here / "copies", subjects="unknown")
    extract(SPEC, copies, FeatureStore(here / "second"), device="cpu", num_workers=2)
    again = load_features(SPEC, copies, FeatureStore(here / "second"))
    stored = features.X[[names[sample] for sample in again.sample_ids]]
    scale = np.abs(again.X).max()
    return int((np.abs(again.X - stored).max(axis=1) > 1e-4 * scale).sum()), len(again)


def _in_words(facts: dict[str, Any]) -> str:
    if "stored" not in facts:
        return f"{facts['images']} damaged images: {facts['problems'][0]}"
    return (
        f"{facts['images']:,} damaged images: {facts['stored']:,} stored, {facts['failed']:,} failed and named;"
        f" slowest file {facts['slowest_seconds']:.2f} s; {facts['megabytes']:.0f} MB at most; {facts['compared']:,}"
        f" vectors compared with those of Pillow's pixels; {'; '.join(facts['problems']) or 'all holds'}"
    )


if __name__ == "__main__":
    sys.exit(main())
