"""How fast is ``extract`` on a GPU: bfloat16 end to end, against its forward pass alone and against a plain fp32 loop?

    python benchmarks/gpu.py                   # three networks; a few minutes on a data-centre GPU
    python benchmarks/gpu.py --quick --json    # one network, fewer images

For each network it prints, from generated JPEGs of 224 pixels, images a second (medians of rounds in turn) of

- *pure forward* in bfloat16 for several batch sizes, on batches that lie in memory, copies to the GPU included,
- *ours* in bfloat16 and in 32-bit floats, from files to rows on disk, at the best of these batch sizes,
- *plain*: timm in 32-bit floats with a DataLoader worker a processor,
- *decoding*: threads alone, which nothing behind them can beat,

and the lowest cosine between the rows in bfloat16 and those in 32-bit floats (at least 0.999). Without a GPU it says so
and stops with exit status 2.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from extraction import MODELS, Ours, Setting, plain_vectors, processors
from pictures import draw_pictures

from leukfeat.backbones.engines.agreement import lowest_cosine

BATCHES = (64, 128, 256, 512)
AGREEMENT = 0.999  # of bfloat16, whose factors have eight bits


def main() -> int:
    """Parse, draw, measure, print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="NAME", help="timm names")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--plain", type=int, default=3_200, help="images for the plain loop")
    parser.add_argument("--quick", action="store_true", help="EfficientNetB0, few images, one round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch finds no usable GPU", file=sys.stderr)
        return 2
    if options.quick:
        options.models, options.rounds, options.images, options.plain = ["efficientnet_b0"], 1, 2_048, 512
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = f"{scratch}/user-cache"  # nobody's own cache is read or written
        setting = Setting(
            Path(scratch), options.engine, "cuda", options.rounds, options.images, 0,
            min(options.plain, options.images), None,
        )  # fmt: skip
        draw_pictures(setting.folder / "jpg", setting.images, 224, "jpg")
        found = {name: measure(name, setting, options.batches) for name in options.models}
    machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "processors": processors()}
    if options.json:
        print(json.dumps({"machine": machine, **found}, indent=1))
        return 0
    print(machine)
    for name, figures in found.items():
        print(f"{name}:")
        for key, value in figures.items():
            print(f"  {key}: {value}")
    return 0


def measure(name: str, setting: Setting, sizes: list[int]) -> dict[str, Any]:
    """All figures of one network."""
    pure = {
        size: statistics.median(Ours(name, setting, "jpg", "bfloat16", size).forward() for _ in range(setting.rounds))
        for size in sizes
        if size <= setting.images
    }
    best = max(pure, key=lambda size: pure[size])
    ours = Ours(name, setting, "jpg", "bfloat16", best)
    exact = Ours(name, setting, "jpg", None, best)
    ours.extract()  # allocations and cuDNN's choices
    half = ours.vectors(setting.plain)
    exact.extract()
    agreement = lowest_cosine(half, exact.vectors(setting.plain))
    if agreement < AGREEMENT:
        raise SystemExit(f"{name}: rows in bfloat16 and in 32-bit floats differ: cosine {agreement:.6f}")
    contenders = {
        "ours_bf16": ours.extract,
        "ours_fp32": exact.extract,
        "pure_bf16": ours.forward,
        "plain_fp32": lambda: plain_vectors(name, setting)[0],
        "decoding": lambda: decode(name, setting, best),
    }
    rates: dict[str, list[float]] = {contender: [] for contender in contenders}
    for _ in range(setting.rounds):
        for contender, run in contenders.items():
            rates[contender].append(run())
    rate = {contender: statistics.median(values) for contender, values in rates.items()}
    return {
        "pure_bf16_by_batch": {size: round(value, 1) for size, value in pure.items()},
        "batch": best,
        "images_per_second": {contender: round(value, 1) for contender, value in rate.items()},
        "share_of_pure_forward": round(rate["ours_bf16"] / rate["pure_bf16"], 3),
        "share_of_decoding": round(rate["ours_bf16"] / rate["decoding"], 3),
        "ratio_vs_plain": round(rate["ours_bf16"] / rate["plain_fp32"], 2),
        "agreement": round(agreement, 6),
        "last_report": ours.report.describe(),
    }


def decode(name: str, setting: Setting, size: int) -> float:
    """Images a second of the threads alone."""
    from leukfeat.backbones.batches import Batches
    from leukfeat.backbones.resolution import resolve
    from leukfeat.backbones.spec import BackboneSpec
    from leukfeat.backbones.stream import ImageWork, default_workers
    from leukfeat.data.hashing import HashMemo
    from leukfeat.data.manifest import Manifest

    manifest = Manifest.open(setting.folder / "jpg", subjects="unknown")
    inputs = resolve(BackboneSpec(name, "random"), setting.folder / "store-jpg" / "resolved").inputs
    work = [ImageWork(digest, (row,)) for row, digest in enumerate(manifest.sha256)]
    started = time.perf_counter()
    with Batches(manifest, work, inputs, batch_size=size, num_workers=default_workers(), memo=HashMemo()) as batches:
        for _ in batches:
            batches.release()
    return len(work) / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
