"""Fuzz the loader of model bundles, guided by coverage.

    python benchmarks/faults/fuzz_bundle.py --seconds 600

Bundles with heads of every kind, networks and ensembles are changed in every file they consist of: bytes anywhere, and
values in ``bundle.json``, ``head.json``, the schema of ``parts.skops`` and the headers of weights. Then, as somebody
would who knows how, every checksum is made right again, so that the parsers behind the checksums are reached; a part of
the inputs keeps the wrong ones. A bundle that is taken has to predict without harm. Nothing may escape but
:class:`leukfeat.errors.LeukfeatError`, and the process may not die.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing import Choices, Target, main

HEADS = ("tree", "xgboost", "lightgbm", "svm", "random-forest", "logistic", "knn")

Files = dict[str, bytes]


def make(folder: Path) -> Target:
    """The target: a changed bundle, loaded and used."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "user-cache")
    from leukfeat.experiments.prediction import load

    seeds = _seeds(folder)
    place = Path("/dev/shm" if Path("/dev/shm").is_dir() else folder) / f"fuzz-bundle-{os.getpid()}"

    def read(data: bytes) -> bool:
        choices = Choices(data)
        files = dict(choices.one_of(seeds))
        sealed = choices.number(8) > 0
        for _ in range(1 + choices.number(3)):
            _change(files, choices)
        if sealed:
            _seal(files)
        shutil.rmtree(place, ignore_errors=True)
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        try:
            model = load(place)
            if model.head is not None:
                features = model.head.n_features_in_
                if isinstance(features, int) and 0 < features < 10_000:
                    X = np.random.default_rng(0).normal(size=(16, features)).astype(np.float32)
                    model.head.predict_proba(X)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return True

    return read


def _seeds(folder: Path) -> list[Files]:
    """One bundle of each head on an encoder, and a network by itself."""
    from leukfeat.backbones.spec import BackboneSpec, Preprocess
    from leukfeat.data.exposure import Seen
    from leukfeat.data.synthetic import synthesize
    from leukfeat.experiments.bundle import save_bundle
    from leukfeat.experiments.candidates import HeadOnFeatures
    from leukfeat.experiments.kept import Kept
    from leukfeat.features.table import Features
    from leukfeat.heads.tuning import TunedHead

    kept_at = folder.parent / "seeds"
    cells = synthesize(folder.parent / "cells", n_subjects=8, n_cells=4, size=32)
    spec = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(32))
    X = np.random.default_rng(0).normal(size=(len(cells), 256)).astype(np.float32)
    for name in HEADS:
        if (kept_at / name).is_dir():
            continue
        head = TunedHead(name, n_trials=0)
        kept = HeadOnFeatures((), head, features=Features(X, cells.sample, Seen(), {})).fit_all(cells).kept
        whole = Kept(kept.classes, kept.facts, head=kept.head, encoders=(spec,))
        save_bundle(kept_at / name, whole, {"backbones": [spec.describe()]}, cells)
    return [
        {file.relative_to(kept_at / name).as_posix(): file.read_bytes() for file in sorted((kept_at / name).rglob("*"))
         if file.is_file()}
        for name in HEADS
    ]  # fmt: skip


def _change(files: Files, choices: Choices) -> None:
    """Change one file of a bundle, in its own terms or as bytes."""
    name = choices.one_of(sorted(files))
    change = next((how for ending, how in _HOW.items() if name.endswith(ending)), None)
    if change is None or choices.number(4) == 0:
        files[name] = choices.changed(files[name])
    else:
        try:
            files[name] = change(files[name], choices)
        except (ValueError, KeyError, struct.error, zipfile.BadZipFile):
            files[name] = choices.changed(files[name])  # changed before into something that has no terms


def _json(content: bytes, choices: Choices) -> bytes:
    return json.dumps(choices.altered(json.loads(content))).encode()


def _weights(content: bytes, choices: Choices) -> bytes:
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    about = header.get("__metadata__", {})
    within = [name for name in about if about[name][:1] in "[{"]
    if within and choices.number(2):
        name = choices.one_of(sorted(within))
        about[name] = json.dumps(choices.altered(json.loads(about[name])))
    else:
        header = choices.altered(header)
    new = json.dumps(header).encode()
    return struct.pack("<Q", len(new)) + new + content[8 + length :]


def _skops(content: bytes, choices: Choices) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = choices.one_of(sorted(parts))
    if name == "schema.json":
        parts[name] = _json(parts[name], choices)
    elif name.endswith(".npy"):
        parts[name] = _array(parts[name], choices)
    else:
        parts[name] = choices.changed(parts[name])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return made.getvalue()


def _array(content: bytes, choices: Choices) -> bytes:
    """An array with one number made another: an index of a tree, a count, a coefficient."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    flat = array.reshape(-1).copy()
    if not flat.size:
        return content
    at = choices.number(flat.size)
    field = choices.one_of(flat.dtype.names) if flat.dtype.names else None
    odd = choices.one_of((-1, 0, 1, 2, 100, 2**30, -(2**30), 7))
    column = flat if field is None else flat[field]
    if column.dtype.kind in "iuf":
        column[at] = np.array(odd).astype(column.dtype)
    made = io.BytesIO()
    np.save(made, flat.reshape(array.shape), allow_pickle=False)
    return made.getvalue()


_HOW: Mapping[str, Callable[[bytes, Choices], bytes]] = {
    ".json": _json,
    ".safetensors": _weights,
    ".skops": _skops,
}


def _seal(files: Files) -> None:
    """Make every checksum right."""

    def digest(facts: Mapping[str, Any]) -> str:
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def sealed(name: str, place: str) -> None:
        try:
            facts = json.loads(files[name])
            facts.pop("digest", None)
            for file in facts["files"]:
                if place + file in files:
                    facts["files"][file] = hashlib.sha256(files[place + file]).hexdigest()
            facts["digest"] = digest(facts)
            files[name] = json.dumps(facts).encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # so much changed that nothing can be sealed

    for name in [name for name in files if name.endswith("head.json")]:
        sealed(name, name.removesuffix("head.json"))
    sealed("bundle.json", "")


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", make))
