"""Networks trained on the rows of one fold: found again by what they were trained on, trained where they are not.

A file is named by a key over everything its weights depend on: the network it starts from, how it is trained, and the
content, class and group of every image, in order. Two machines that train the same key keep the file that was renamed
into place first; what is made with it is keyed by the content of that very file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.history import History
from leukfeat.backbones.resolution import Resolution, resolve
from leukfeat.backbones.spec import BackboneSpec, canonical_json
from leukfeat.backbones.statistics import fitted_to
from leukfeat.backbones.weights import NETWORK_FIELD, read_header
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from leukfeat.backbones.training import TrainingProgress

SCHEMA = 1  # raised when the same key would no longer give the same weights


@dataclass(frozen=True)
class Training:
    """How training runs; nothing here changes what is learned, but ``amp_dtype`` is part of the key.

    Attributes
    ----------
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    amp_dtype : str or None
        Mixed precision on CUDA.
    num_workers : int or None
        Threads that decode.
    progress : callable(TrainingProgress) or None
        Called after every batch.
    told : callable(str) or None
        Told what a person should know.
    """

    device: str = "auto"
    amp_dtype: str | None = None
    num_workers: int | None = None
    progress: Callable[[TrainingProgress], None] | None = dataclasses.field(default=None, compare=False)
    told: Callable[[str], None] | None = dataclasses.field(default=None, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "progress": None, "told": None}  # another process can neither draw nor print here


@dataclass(frozen=True)
class TrainedWeights:
    """Weights trained on some rows.

    Attributes
    ----------
    file : Path
        One file with trunk, attention and classifier (:mod:`leukfeat.backbones.network_files`).
    history : History
        What happened in training.
    seen : Seen
        Images and groups it was trained, or its epoch chosen, on.
    facts : mapping
        Parameters, MACs, seconds, device; JSON types.
    """

    file: Path
    history: History
    seen: Seen
    facts: dict[str, Any]

    @property
    def spec(self) -> BackboneSpec:
        """The encoder as a request of its own."""
        return BackboneSpec(weights=str(self.file))


def trained(
    spec: BackboneSpec,
    manifest: Manifest,
    fit: Sequence[int] | NDArray[np.int64],
    validation: Sequence[int] | NDArray[np.int64],
    folder: Path,
    *,
    how: Training | None = None,
    resolved: Path | None = None,
) -> TrainedWeights:
    """Train a network on some rows, or find it where that was done before; an interrupted training goes on.

    Parameters
    ----------
    spec : BackboneSpec
        With ``finetune``.
    manifest : Manifest
        The data.
    fit, validation : sequence of int
        Rows that are learned from, and rows that choose the epoch; the latter may be empty.
    folder : Path
        Where such files are kept.
    how : Training or None
        Device, threads, progress.
    resolved : Path or None
        Where resolutions are remembered.

    Raises
    ------
    UsageError
        The spec has no ``finetune``.
    TrainingError
        As :func:`leukfeat.backbones.training.train`.
    WeightsError
        A file of that name that cannot be read.
    """
    if spec.finetune is None:
        raise UsageError(f"{spec.label}: says nothing about training; give finetune, e.g. --finetune-epochs 3")
    finetune, how = spec.finetune, how or Training()
    fit, validation = np.asarray(fit, dtype=np.int64), np.asarray(validation, dtype=np.int64)
    spec = fitted_to(spec, manifest, fit, folder=resolved, num_workers=how.num_workers)
    resolution = resolve(spec, resolved)
    key = training_key(finetune, resolution, manifest, fit, validation, how.amp_dtype)
    file = folder / f"{resolution.architecture[:40]}-{key[:24]}.safetensors"
    if not file.is_file():
        from filelock import FileLock

        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):  # a second process waits, and finds the file
            if not file.is_file():
                _train(spec, finetune, resolution, manifest, fit, validation, file, key, how)
    return _read(file, key)


def training_key(
    finetune: FineTune,
    resolution: Resolution,
    manifest: Manifest,
    fit: NDArray[np.int64],
    validation: NDArray[np.int64],
    amp_dtype: str | None,
) -> str:
    """sha256 over everything trained weights depend on."""

    def rows(part: NDArray[np.int64]) -> list[list[str]]:
        return [[manifest.sha256[row], manifest.label[row], manifest.group[row]] for row in part]

    inputs = {
        "schema": SCHEMA,
        "start": resolution.identity(),
        "start_seen": hashlib.sha256(canonical_json(resolution.seen.describe()).encode()).hexdigest(),
        "finetune": finetune.describe(),
        "amp_dtype": amp_dtype,
        "classes": sorted({manifest.label[row] for row in fit}),
        "positive": manifest.positive,
        "fit": rows(fit),
        "validation": rows(validation),
    }
    return hashlib.sha256(canonical_json(inputs).encode()).hexdigest()


def _train(
    spec: BackboneSpec,
    finetune: FineTune,
    resolution: Resolution,
    manifest: Manifest,
    fit: NDArray[np.int64],
    validation: NDArray[np.int64],
    file: Path,
    key: str,
    how: Training,
) -> None:
    from leukfeat.backbones.cost import cost_of
    from leukfeat.backbones.network_files import load_network, save_network, with_classifier
    from leukfeat.backbones.training import train

    classes = _classes(manifest, fit)
    network = load_network(spec, resolution).network.requires_grad_(True)
    model = with_classifier(network, resolution.inputs.size, len(classes), finetune.classifier, finetune.seed)
    cost = cost_of(model, resolution.inputs.size)
    checkpoint = file.with_suffix(".checkpoint") if finetune.epochs > 1 else None  # of one epoch there is no middle
    history = train(
        model,
        resolution.inputs,
        manifest,
        fit,
        validation,
        finetune,
        classes=classes,
        device=how.device,
        amp_dtype=how.amp_dtype,
        num_workers=how.num_workers,
        checkpoint=checkpoint,
        progress=how.progress,
        told=how.told,
    )
    facts = {
        "key": key,
        "finetune": finetune.describe(),
        "origin": resolution.origin,
        "history": history.describe(),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "seconds": history.seconds,
        "n_fit": len(fit),
        "n_validation": len(validation),
        "batch_norm": finetune.batch_norm,
    }
    save_network(
        model,
        file,
        resolution=resolution,
        seen=resolution.seen | Seen.of_rows(manifest, np.concatenate([fit, validation])),
        classes=classes,
        classifier=finetune.classifier,
        facts=facts,
    )
    if checkpoint is not None:
        shutil.rmtree(checkpoint, ignore_errors=True)


def _classes(manifest: Manifest, fit: NDArray[np.int64]) -> tuple[str, ...]:
    """The classes there are to learn, in the manifest's order."""
    present = {manifest.label[row] for row in fit}
    return tuple(name for name in manifest.classes if name in present)


def _read(file: Path, key: str) -> TrainedWeights:
    header = read_header(file)
    about = header.field(NETWORK_FIELD) or {}
    facts = about.get("facts", {})
    if facts.get("key") != key:
        raise WeightsError(f"{file}: is not what its name says (another key inside); delete it and run again")
    return TrainedWeights(file, History.from_description(facts["history"]), header.seen, dict(facts))
