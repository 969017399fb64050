"""How fast is ``extract``, against the loop everybody writes, against Keras, and against the network alone?

    python benchmarks/extraction.py                      # three networks, best engine there is; about an hour
    python benchmarks/extraction.py --engine eager       # what `pip install leukfeat` alone gives
    python benchmarks/extraction.py --quick --json       # one network, few images, under a minute
    python benchmarks/extraction.py --keras-python ~/tensorflow/bin/python

Every round measures, one after the other on the same generated JPEGs of 224 pixels and with the same random weights,

- *ours*: ``extract``, from files to rows on disk, loading the network included (what an engine has exported once stays
  exported, as it does for a user; the first export is timed apart);
- *pure forward*: the same engine on batches that lie in memory;
- *plain*: timm, a DataLoader with a worker a processor, 32 images a batch, ``torch.inference_mode``; timed from its
  second batch on and on fewer images, which is in its favour;
- *Keras*, where an interpreter that has it is named: ``predict`` of ``keras.applications`` on a ``tf.data`` folder,
  also timed without its first pass.

Rates are images a second; what is compared are the medians of the rounds. The vectors of ours and plain have to agree
(cosine of every row). BMPs of 450 pixels, which cost more to read than to look at, are measured beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pictures import draw_pictures

from leukfeat.backbones.engines.agreement import lowest_cosine

MODELS = {
    "efficientnet_b0": "EfficientNetB0",
    "inception_v3": "InceptionV3",
    "densenet201": "DenseNet201",
}  # timm name: Keras name
AGREEMENT = 0.9999  # Pillow resizes for both; the rest is rounding
BATCH = 32


@dataclass(frozen=True)
class Setting:
    """What is measured on what."""

    folder: Path
    engine: str
    device: str
    rounds: int
    images: int
    bmps: int
    plain: int
    keras_python: str | None


def main() -> None:
    """Parse, draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="NAME", help="timm names")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=3_256, help="JPEGs of 224 pixels")
    parser.add_argument("--bmps", type=int, default=1_600, help="BMPs of 450 pixels; 0 for none")
    parser.add_argument("--plain", type=int, default=512, help="images for the plain loop and for Keras")
    parser.add_argument("--keras-python", metavar="PYTHON", help="an interpreter that has Keras with TensorFlow")
    parser.add_argument("--quick", action="store_true", help="under a minute: EfficientNetB0, few images, one round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.models, options.rounds, options.images, options.bmps, options.plain = (
            ["efficientnet_b0"],
            1,
            512,
            0,
            128,
        )
    if "OMP_NUM_THREADS" in os.environ:
        print("OMP_NUM_THREADS is set: neither loop may use all processors", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = f"{scratch}/user-cache"  # nobody's own cache is read or written
        setting = Setting(
            Path(scratch), options.engine, options.device, options.rounds, options.images, options.bmps,
            min(options.plain, options.images), options.keras_python,
        )  # fmt: skip
        draw_pictures(setting.folder / "jpg", setting.images, 224, "jpg")
        draw_pictures(setting.folder / "bmp", setting.bmps, 450, "bmp")
        found = {name: measure(name, setting, quiet=options.json) for name in options.models}
    if options.json:
        print(json.dumps({"machine": machine(), **found}, indent=1))


def measure(name: str, setting: Setting, *, quiet: bool) -> dict[str, Any]:
    """All figures of one network."""
    ours = Ours(name, setting, "jpg")
    first = ours.extract()  # exports what has to be exported; what it computed is compared with the plain loop's
    agreement = lowest_cosine(ours.vectors(setting.plain), plain_vectors(name, setting)[1])
    if agreement < AGREEMENT:
        raise SystemExit(f"{name}: the vectors of {ours.engine} and of the plain loop differ: cosine {agreement:.6f}")
    contenders: dict[str, Callable[[], float]] = {
        "ours": ours.extract,
        "pure_forward": ours.forward,
        "plain": lambda: plain_vectors(name, setting)[0],
    }
    if setting.keras_python and name in MODELS:
        contenders["keras"] = lambda: keras(MODELS[name], setting)
    if setting.bmps:
        of_bmps = Ours(name, setting, "bmp")
        contenders["ours_bmp450"] = of_bmps.extract
    rates: dict[str, list[float]] = {contender: [] for contender in contenders}
    for _ in range(setting.rounds):
        for contender, run in contenders.items():
            rates[contender].append(run())
    if setting.bmps and of_bmps.engine != ours.engine:  # few images do not pay for an export
        raise SystemExit(f"{name}: BMPs went through {of_bmps.engine}, JPEGs through {ours.engine}; give more --bmps")
    rate = {contender: statistics.median(values) for contender, values in rates.items()}
    found: dict[str, Any] = {
        "engine": ours.engine,
        "images_per_second": {contender: round(value, 2) for contender, value in rate.items()},
        "rounds": {contender: [round(value, 2) for value in values] for contender, values in rates.items()},
        "first_run_images_per_second": round(first, 2),
        "agreement": round(agreement, 7),
        "ratio_vs_plain": round(rate["ours"] / rate["plain"], 2),
        "share_of_pure_forward": round(rate["ours"] / rate["pure_forward"], 3),
        "last_report": ours.report.describe(),
    }
    if "keras" in rate:
        found["ratio_vs_keras"] = round(rate["ours"] / rate["keras"], 2)
    if setting.bmps:
        found["share_of_pure_forward_bmp450"] = round(rate["ours_bmp450"] / rate["pure_forward"], 3)
        found["last_report_bmp450"] = of_bmps.report.describe()
    if not quiet:
        print(f"{name} with {ours.engine}: {found['images_per_second']}")
        for key in ("ratio_vs_plain", "ratio_vs_keras", "share_of_pure_forward", "share_of_pure_forward_bmp450"):
            if key in found:
                print(f"  {key} {found[key]}")
        print(f"  agreement {found['agreement']}; {found['last_report']}", flush=True)
    return found


class Ours:
    """``extract`` of one network on one folder of images."""

    def __init__(
        self, name: str, setting: Setting, kind: str, amp_dtype: str | None = None, batch_size: int | None = None
    ) -> None:
        from leukfeat.backbones.spec import BackboneSpec
        from leukfeat.data.manifest import Manifest
        from leukfeat.features.store import FeatureStore

        self._spec, self._setting = BackboneSpec(name, "random"), setting
        self._amp_dtype, self._batch_size = amp_dtype, batch_size
        self._manifest = Manifest.open(setting.folder / kind, subjects="unknown")
        self._store = FeatureStore(setting.folder / "store")  # one for all kinds: what is exported serves both
        self.report: Any = None

    @property
    def engine(self) -> str:
        """What computed."""
        return str(self.report.engine)

    def extract(self) -> float:
        """Images a second from files to rows on disk."""
        from leukfeat.features.extraction import extract

        for part in self._store.root.glob("*/part-*.h5"):
            part.unlink()
        report = extract(
            self._spec, self._manifest, self._store, engine=self._setting.engine, device=self._setting.device,
            amp_dtype=self._amp_dtype, batch_size=self._batch_size,
        )  # fmt: skip
        if report.computed != len(self._manifest):
            raise SystemExit(report.describe())
        self.report = report
        return report.computed / report.seconds

    def vectors(self, n: int) -> NDArray[np.float32]:
        """Those of the first images."""
        from leukfeat.features.extraction import load_features

        return load_features(self._spec, self._manifest, self._store, rows=range(n), amp_dtype=self._amp_dtype).X

    def forward(self) -> float:
        """Images a second of the engine alone, on arranged images that lie in memory."""
        from leukfeat.backbones.engines import choose_device, open_engine
        from leukfeat.backbones.network_files import load_network
        from leukfeat.backbones.resolution import resolve
        from leukfeat.data.pixels import read_row
        from leukfeat.features.store import FeatureKey

        resolution, precision = resolve(self._spec, self._store.resolved), self._amp_dtype or "fp32"
        engine = open_engine(
            self._setting.engine, load_network(self._spec, resolution).network, resolution.inputs,
            choose_device(self._setting.device), precision, images=self._setting.images,
            identity=FeatureKey(resolution, precision).digest, models=self._store.engines,
        )  # fmt: skip
        size = self._batch_size or engine.batch_size or BATCH
        several = [
            np.stack([resolution.inputs.arrange(read_row(self._manifest, start + row)) for row in range(size)])
            for start in range(0, min(4 * size, len(self._manifest) - size + 1), size)
        ]
        batches = max(8, self._setting.images // (2 * size))
        for _ in engine.stream(iter(several[:2])):  # allocations, and whatever an engine checks at first
            pass
        started = time.perf_counter()
        for _ in engine.stream(several[number % len(several)] for number in range(batches)):
            pass
        return batches * size / (time.perf_counter() - started)


def plain_vectors(name: str, setting: Setting) -> tuple[float, NDArray[np.float32]]:
    """The loop everybody writes: images a second from the second batch on, and the vectors, saved as ``.npy``."""
    import timm
    import torch
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    files = sorted((setting.folder / "jpg").rglob("*.jpg"))[: setting.plain]
    device = torch.device("cuda" if setting.device != "cpu" and torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    model = timm.create_model(name)
    model.reset_classifier(0)
    model = model.eval().to(device)
    transform = create_transform(**resolve_data_config(model.pretrained_cfg), is_training=False)

    class Pictures(torch.utils.data.Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, number: int) -> torch.Tensor:
            return transform(Image.open(files[number]).convert("RGB"))

    loader = torch.utils.data.DataLoader(Pictures(), BATCH, num_workers=processors())
    vectors = []
    with torch.inference_mode():
        for number, batch in enumerate(loader):
            vectors.append(model(batch.to(device)).cpu().numpy())
            if number == 0:
                started = time.perf_counter()
    X = np.concatenate(vectors)
    np.save(setting.folder / "plain.npy", X)
    return (len(X) - BATCH) / (time.perf_counter() - started), X


_KERAS = """
import sys, time
import keras, tensorflow as tf
name, folder, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
side = {"InceptionV3": 299}.get(name, 224)
model = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg", input_shape=(side, side, 3))
images = keras.utils.image_dataset_from_directory(
    folder, labels=None, batch_size=32, image_size=(side, side), shuffle=False).take(n // 32)
images = images.prefetch(tf.data.AUTOTUNE)
model.predict(images.take(2), verbose=0)
started = time.perf_counter()
X = model.predict(images, verbose=0)
print(len(X) / (time.perf_counter() - started))
"""


def keras(name: str, setting: Setting) -> float:
    """Images a second of Keras ``predict``, its first pass left out; its weights are its own, so vectors differ."""
    arguments = [str(setting.keras_python), "-c", _KERAS, name, str(setting.folder / "jpg"), str(setting.plain)]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"Keras: {done.stderr.strip()[-2000:]}")
    return float(done.stdout.split()[-1])


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Where this was measured."""
    from leukfeat.experiments.environment import processor

    return {"processor": processor(), "processors": processors()}


if __name__ == "__main__":
    main()
