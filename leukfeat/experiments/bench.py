"""About a minute of measuring: what this machine does in a second, and what to expect of it."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.batches import DEFAULT_BATCH
from leukfeat.backbones.engines import ENGINES, choose_device, open_engine
from leukfeat.backbones.resolution import Resolution, resolve
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.backbones.stream import ImageWork, arranged_images, default_workers
from leukfeat.data.synthetic import synthesize
from leukfeat.errors import LeukfeatError
from leukfeat.experiments.doctor import Finding

BACKBONE = "efficientnet_b0"
HEAD = "xgboost"
CELLS = 10_000  # what is to be expected is said for so many

_FOLDS, _TRIALS = 5, 30  # the defaults of fit-head
_PIXELS = 256  # side of the cells that are decoded
_SECONDS = 5.0  # that something is watched for, after it has warmed up
_SLOW_TO_OPEN = ("compile",)  # minutes before its first image
_TABLE = (2_000, 1_280)  # rows and features for the head
_HEAD_TRIALS = 3

Told = Callable[[str], None]


def measure(told: Told = lambda line: None) -> list[Finding]:
    """Measure decoding, the forward pass of each engine, and the tuning of a head.

    Parameters
    ----------
    told : callable(str)
        Takes a line for people before each thing that is measured.

    Returns
    -------
    list of Finding
        One for each thing measured, and last what to expect. An engine that fails is a finding that is not good.
    """
    spec = BackboneSpec(BACKBONE, "random")
    with tempfile.TemporaryDirectory() as folder:
        resolution = resolve(spec, Path(folder))
        told("measuring decoding …")
        decoded = _decoded_a_second(Path(folder), resolution)
        findings = [
            Finding(
                "decoding",
                f"{decoded:,.0f} images/s: PNG of {_PIXELS} × {_PIXELS} pixels, {default_workers()} threads",
                good=True,
            )
        ]
        rates: dict[str, float] = {}
        for name in _worth_measuring():
            told(f"measuring engine {name} …")
            try:
                rates[name] = _forward_a_second(name, spec, resolution, Path(folder))
            except LeukfeatError as error:
                findings.append(Finding(f"engine {name}", str(error), good=False))
            else:
                findings.append(Finding(f"engine {name}", f"{rates[name]:,.0f} images/s: {BACKBONE}", good=True))
    told(f"measuring head {HEAD} …")
    trial = _seconds_a_trial()
    rows, features = _TABLE
    findings.append(Finding(f"head {HEAD}", f"{trial:.1f} s a trial: {rows:,} × {features:,}, one thread", good=True))
    return [*findings, _expected(decoded, rates, trial)]


def _worth_measuring() -> tuple[str, ...]:
    """The engines that are installed, run on this machine's device, and open soon."""
    device = choose_device().type
    able = (name for name, spec in ENGINES.items() if spec.available() and device in spec.devices)
    return tuple(name for name in able if name not in _SLOW_TO_OPEN)


def _decoded_a_second(folder: Path, resolution: Resolution) -> float:
    """Images read, checked, decoded and resized a second by all threads."""
    cells = synthesize(folder / "cells", n_subjects=4, n_cells=16, size=_PIXELS)
    work = itertools.cycle([ImageWork(cells.sha256[row], (row,)) for row in range(len(cells))])
    threads = default_workers()
    with contextlib.closing(arranged_images(cells, work, resolution.inputs, threads, 8 * threads)) as images:
        return _rate((1 for _ in images), warm=len(cells))


def _forward_a_second(name: str, spec: BackboneSpec, resolution: Resolution, folder: Path) -> float:
    """Images a second that go through the network, nothing else being done."""
    from leukfeat.backbones.network_files import load_network

    network = load_network(spec, resolution).network
    engine = open_engine(
        name,
        network,
        resolution.inputs,
        choose_device(),
        images=CELLS,
        identity=resolution.weights_sha256,
        models=folder / "engines",
    )
    size = engine.batch_size or DEFAULT_BATCH
    images: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (size, *resolution.inputs.size, 3), np.uint8)
    with contextlib.closing(_vectors(engine.stream(itertools.repeat(images)))) as counts:
        return _rate(counts, warm=4 * size)


def _vectors(batches: Iterator[NDArray[np.float32]]) -> Generator[int]:
    """How many vectors each batch gives."""
    for batch in batches:
        yield len(batch)


def _rate(counts: Iterator[int], warm: int) -> float:
    """How many a second, once the first are done."""
    for done in itertools.accumulate(counts):
        if done >= warm:
            break
    started, done = time.perf_counter(), 0
    for count in counts:
        done += count
        if (seconds := time.perf_counter() - started) >= _SECONDS:
            return done / seconds
    raise AssertionError("what is measured never ends")


def _seconds_a_trial() -> float:
    """Seconds of a trial of the head on all its inner folds, in one thread."""
    from leukfeat.heads.tuning import TunedHead

    rng = np.random.default_rng(0)
    rows, features = _TABLE
    groups = np.arange(rows) % 60
    y = groups % 2
    X = rng.standard_normal((rows, features), dtype=np.float32) + 0.2 * y[:, None] * (np.arange(features) < 50)
    head = TunedHead(HEAD, n_trials=_HEAD_TRIALS, out_of_fold=False).fit(X.astype(np.float32), y, groups)
    return float(np.mean([trial["seconds"] for trial in head.trials_]))


def _expected(decoded: float, rates: dict[str, float], trial: float) -> Finding:
    """What the rates come to for a data set of usual size."""
    name, rate = max(rates.items(), key=lambda item: item[1], default=("", 0.0))
    if not rate:
        return Finding("expect", "nothing: no engine works", good=False)
    on_cpu = choose_device().type == "cpu"
    # on a CPU, decoding takes the processors away from the network; beside a GPU the slower of both decides
    extraction = CELLS / rate + CELLS / decoded if on_cpu else max(CELLS / rate, CELLS / decoded)
    share = (_FOLDS - 1) / _FOLDS
    fits = (_FOLDS + 1) * _TRIALS / default_workers()  # the model to keep is one more
    tuning = fits * trial * share * CELLS / _TABLE[0]
    return Finding(
        "expect",
        f"{CELLS:,} cells with {BACKBONE} and engine {name}: about {_in_words(extraction)}; then {_TRIALS} trials of"
        f" {HEAD} in {_FOLDS} folds: about {_in_words(tuning)}",
        good=True,
    )


def _in_words(seconds: float) -> str:
    """A duration, roughly.

    Examples
    --------
    >>> _in_words(42.2), _in_words(251), _in_words(9000)
    ('42 s', '4 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
