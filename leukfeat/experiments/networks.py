"""A candidate for evaluation: a network trained end to end on each fold's training part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.finetuned import TrainedWeights
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.selection import choose_validation
from leukfeat.backbones.spec import BackboneSpec, canonical_json
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold
from leukfeat.errors import UsageError
from leukfeat.experiments.candidates import everything, only_validation_shares_with_test
from leukfeat.experiments.encoders import missing_images, train_on_fold, unreadable
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.kept import Kept
from leukfeat.features.store import FeatureStore
from leukfeat.heads.storage import Storage


@dataclass(frozen=True)
class FittedNetwork:
    """A network trained on one fold (see :class:`leukfeat.evaluation.crossval.FittedCandidate`).

    Attributes
    ----------
    weights : TrainedWeights
        What it is.
    classes : tuple of str
        Order of the probability columns.
    forwarding : Forwarding
        How it predicts.
    manifest : Manifest
        What it was trained on.
    held_out : ndarray of shape (m,), int64
        Rows of the training part that it has not been fitted on and whose subjects it will not be tested on.
    """

    weights: TrainedWeights
    classes: tuple[str, ...]
    forwarding: Forwarding
    manifest: Manifest
    held_out: NDArray[np.int64]

    @property
    def seen(self) -> Seen:
        """What trained it."""
        return self.weights.seen

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of its training."""
        return {"trained": [self.weights.facts]}

    @property
    def kept(self) -> Kept:
        """What a bundle is made of."""
        return Kept(self.classes, self.facts, network=self.weights.file)

    @cached_property
    def inner(self) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """The held-out rows and their probabilities.

        No weight was fitted on these rows, but they chose the epoch, so that their probabilities flatter a little.
        None where training chose no epoch (``validation: 0``), or where they share subjects with the test part.
        """
        rows = self.held_out
        return (rows, self.predict_proba(self.manifest, rows)) if len(rows) else None

    def predict_proba(self, manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities of shape (len(rows), len(classes)).

        Raises
        ------
        MissingImagesError
            An image can no longer be read.
        """
        from leukfeat.backbones.network_files import load_saved
        from leukfeat.backbones.outputs import outputs_of

        saved, how = load_saved(self.weights.file), self.forwarding
        logits, failed = outputs_of(
            saved.model,
            saved.inputs,
            manifest,
            rows,
            device=how.device,
            amp_dtype=how.amp_dtype,
            batch_size=how.batch_size,
            num_workers=how.num_workers,
            engine=how.engine,
            progress=how.progress,
        )
        if failed:
            row = min(failed)
            raise missing_images(manifest, len(failed), manifest.sample[row], failed[row])
        return softmax(logits)


@dataclass(frozen=True)
class EndToEnd:
    """A network trained end to end (see :class:`leukfeat.evaluation.crossval.Candidate`).

    Parameters
    ----------
    backbone : BackboneSpec
        With ``finetune``, which says how it is trained.
    store : FeatureStore
        Trained networks are kept in it, so that a stopped training goes on and a finished one is not repeated.
    forwarding : Forwarding
        Device, batch size of predictions, progress.

    Raises
    ------
    UsageError
        The backbone says nothing about training.
    """

    backbone: BackboneSpec
    store: FeatureStore = field(default_factory=FeatureStore)
    forwarding: Forwarding = field(default_factory=Forwarding)

    def __post_init__(self) -> None:
        if self.backbone.finetune is None:
            raise UsageError(
                f"{self.backbone.label}: an end-to-end network needs finetune, e.g. finetune: {{epochs: 30}}"
            )

    @property
    def name(self) -> str:
        """Short name for tables."""
        return f"{self.backbone.label} end-to-end"

    def on_threads(self, threads: int) -> EndToEnd:
        """The same candidate: training takes all processors as it is."""
        return self

    def copied_bytes(self, manifest: Manifest) -> int:
        """0: it takes images."""
        return 0

    @property
    def folds_at_once(self) -> bool:
        """Whether folds may be fitted in several processes: one training takes the whole machine."""
        return False

    def describe(self) -> dict[str, Any]:
        """Everything that makes it what it is."""
        return {"network": self.backbone.describe(), "amp_dtype": self.forwarding.amp_dtype}

    def in_folder(self, folder: Path, prefix: str, storage: str | Storage | None) -> EndToEnd:
        """The same candidate; what it trains is kept in the store."""
        return self

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Rows whose images can be read.

        Raises
        ------
        MissingImagesError
            Some cannot, and ``forwarding.skip_errors`` is not set.
        """
        usable = np.ones(len(manifest), dtype=np.bool_)
        inputs = resolve(self.backbone, self.store.resolved).inputs
        usable[list(unreadable(manifest, inputs, self.forwarding))] = False
        return usable

    def identity(self, manifest: Manifest) -> str:
        """sha256 of everything a fit depends on besides the rows."""
        start = resolve(self.backbone, self.store.resolved).identity()
        about = json.dumps(self.describe(), sort_keys=True) + canonical_json(start)
        return hashlib.sha256(about.encode()).hexdigest()

    def prepare(self, manifest: Manifest, folds: Iterable[Fold]) -> None:
        """Nothing: folds are trained one after another anyway."""

    def fit(self, manifest: Manifest, fold: Fold) -> FittedNetwork:
        """Train on a fold's training part; its validation rows, or some of the training subjects, choose the epoch."""
        tuned = self.backbone.finetune
        if tuned is None:
            raise UsageError(f"{self.backbone.label}: says nothing about training")
        fit, validation = fold.train, fold.validation
        if not len(validation):
            fit, validation = choose_validation(manifest, fold.train, tuned.validation, tuned.seed)
        weights = train_on_fold(self.backbone, manifest, fit, validation, fold, self.store, self.forwarding)
        present = {manifest.label[row] for row in fit}
        classes = tuple(name for name in manifest.classes if name in present)
        held_out = validation[:0] if only_validation_shares_with_test(manifest, fold) else validation
        return FittedNetwork(weights, classes, self.forwarding, manifest, held_out)

    def fit_all(self, manifest: Manifest) -> FittedNetwork:
        """Train on every labelled row: the model to keep."""
        return self.fit(manifest, everything(self, manifest))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities of logits (n, K), in 64-bit floats."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    odds = np.exp(shifted)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
