"""How fast is each engine's forward pass, against the network as timm gives it?

    python benchmarks/engines.py                                     # the papers' backbones, some minutes each
    python benchmarks/engines.py --models resnet50 vit_small_patch16_224
    python benchmarks/engines.py --quick --json                      # one network, two rounds, under a minute

Images lie in memory, weights are random, nothing is read or written. Ways are measured in turn, round by round:

- *plain*: ``network(normalised)`` on batches of 32 in timm's own memory layout, under ``torch.inference_mode``;
- *channels_last*: the same, with the network and its input in channels-last layout;
- each engine of ``leukfeat models`` that is installed (``compile`` only where it is named: it takes minutes to start).

Rates are medians of the rounds, in images a second. ``per_cpu_second`` is images a second of processor time, all cores
together: less precise on an idle machine, where cores wait for one another unseen, and the one to read on a busy one.
The seconds that opening takes are those of the first time, export included. Rows have to agree with plain's.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from leukfeat.backbones.engines import ENGINES, open_engine
from leukfeat.backbones.engines.agreement import lowest_cosine
from leukfeat.backbones.network_files import load_network
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec

BATCH = 32
CPU = torch.device("cpu")


@dataclass
class Way:
    """One way of computing, and how long it took."""

    compute: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    opened: float = 0.0
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def measure(self, images: NDArray[np.uint8]) -> None:
        """Compute all images once."""
        wall, processor = time.perf_counter(), time.process_time()
        self.compute(images)
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["efficientnet_b0", "inception_v3", "densenet201"])
    parser.add_argument("--engines", nargs="+", default=[name for name in ENGINES if name != "compile"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=128, help="a round")
    parser.add_argument("--quick", action="store_true", help="under a minute: EfficientNetB0, few images, two rounds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.models, options.rounds, options.images = ["efficientnet_b0"], 2, 64
    found = {}
    for model in options.models:
        found[model] = compare(model, options.engines, options.rounds, options.images)
        if not options.json:
            print_table(model, found[model])
    if options.json:
        print(json.dumps(found, indent=1))


def compare(model: str, engines: list[str], rounds: int, n_images: int) -> dict[str, Any]:
    """Every way's figures for one network, by name."""
    spec = BackboneSpec(model, "random")
    resolution = resolve(spec)
    inputs = resolution.inputs
    network = load_network(spec, resolution).network
    images = np.random.default_rng(0).integers(0, 256, (n_images, *inputs.size, 3), dtype=np.uint8)

    def by_hand(layout: torch.memory_format) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        module = copy.deepcopy(network).to(memory_format=layout)

        def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            with torch.inference_mode():
                batches = (images[at : at + BATCH] for at in range(0, len(images), BATCH))
                return np.concatenate(
                    [module(inputs.normalise(b, CPU).contiguous(memory_format=layout)).numpy() for b in batches]
                )

        return compute

    ways = {"plain": Way(by_hand(torch.contiguous_format)), "channels_last": Way(by_hand(torch.channels_last))}
    with tempfile.TemporaryDirectory() as folder:
        for name in engines:
            if ENGINES[name].available():
                ways[name] = opened(name, load_network(spec, resolution).network, resolution, Path(folder) / name)
    expected = ways["plain"].compute(images[:BATCH])
    cosines = {name: lowest_cosine(way.compute(images[:BATCH]), expected) for name, way in ways.items()}  # warms up
    for _ in range(rounds):
        for way in ways.values():
            way.measure(images)
    plain = statistics.median(ways["plain"].wall), statistics.median(ways["plain"].processor)
    return {
        name: {
            "images_per_second": n_images / statistics.median(way.wall),
            "ratio_vs_plain": plain[0] / statistics.median(way.wall),
            "per_cpu_second": n_images / statistics.median(way.processor),
            "cpu_ratio_vs_plain": plain[1] / statistics.median(way.processor),
            "seconds_to_open": way.opened,
            "lowest_cosine": cosines[name],
        }
        for name, way in ways.items()
    }


def opened(name: str, network: Any, resolution: Any, folder: Path) -> Way:
    """An engine as a way, with the seconds that opening it took."""
    started = time.perf_counter()
    engine = open_engine(name, network, resolution.inputs, CPU, identity=resolution.weights_sha256, models=folder)
    seconds = time.perf_counter() - started
    size = engine.batch_size or BATCH

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(list(engine.stream(images[at : at + size] for at in range(0, len(images), size))))

    return Way(compute, seconds)


def print_table(model: str, figures: dict[str, Any]) -> None:
    """One line a way."""
    print(f"{model}: {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'':<15}{'images/s':>9}{'ratio':>7}{'per CPU s':>11}{'ratio':>7}{'open, s':>9}{'cosine':>11}")
    for name, way in figures.items():
        print(
            f"{name:<15}{way['images_per_second']:>9.1f}{way['ratio_vs_plain']:>7.2f}{way['per_cpu_second']:>11.1f}"
            f"{way['cpu_ratio_vs_plain']:>7.2f}{way['seconds_to_open']:>9.1f}{way['lowest_cosine']:>11.7f}"
        )


if __name__ == "__main__":
    main()
