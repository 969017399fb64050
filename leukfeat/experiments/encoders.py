"""The encoders of a candidate: what is learned about images is learned on the training part of each fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.finetuned import TrainedWeights, trained
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.selection import choose_validation, part_for_head
from leukfeat.backbones.spec import BackboneSpec, canonical_json
from leukfeat.backbones.statistics import fitted_to
from leukfeat.backbones.stream import ImageWork, arranged_images, default_workers
from leukfeat.data.crossing import validation_gives_test_away
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold
from leukfeat.errors import MissingImagesError, UsageError, WorkerError
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.features.extraction import ExtractionReport, load_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.table import Features


@dataclass(frozen=True)
class Encoded:
    """What a fold's head is given.

    Attributes
    ----------
    features : Features
        Of the rows of ``fold``.
    fold : Fold
        The rows a head may be trained on, chosen on and tested on.
    specs : tuple of BackboneSpec
        The encoders with nothing left to learn.
    facts : tuple of mapping
        One for each encoder that was trained.
    fitted_on : ndarray of int64
        Rows whose labels the weights of an encoder were fitted to; those that chose its epoch are not among them.
    """

    features: Features
    fold: Fold
    specs: tuple[BackboneSpec, ...]
    facts: tuple[Mapping[str, Any], ...] = ()
    fitted_on: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Encoders:
    """Backbones whose features are concatenated.

    Parameters
    ----------
    specs : tuple of BackboneSpec
        At least one.
    store : FeatureStore
        Where features, and the networks that were trained, are kept.
    forwarding : Forwarding
        How forward passes and training run.

    Raises
    ------
    UsageError
        Several backbones are fine-tuned and do not leave the same rows to the head, or to the choice of the epoch.
    """

    specs: tuple[BackboneSpec, ...]
    store: FeatureStore
    forwarding: Forwarding = field(default_factory=Forwarding)
    _loaded: dict[tuple[str, ...], Features] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        shares = {
            (tuned.head_trains_on, tuned.unseen_share, tuned.validation, tuned.seed)
            for spec in self.specs
            if (tuned := spec.finetune)
        }
        if len(shares) > 1:
            raise UsageError(
                "backbones fine-tuned side by side must leave the same subjects to the head: give all the same"
                " head_trains_on, unseen_share, validation and seed"
            )

    def __getstate__(self) -> dict[str, Any]:
        # many features stay in the store that other machines read them from
        return {**self.__dict__, "_loaded": {}} if self.forwarding.elsewhere else self.__dict__

    @property
    def learned(self) -> bool:
        """Whether anything about them is learned from training images."""
        return any(spec.finetune is not None or spec.preprocess.unfitted for spec in self.specs)

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Rows whose images can be used, of shape (n,).

        Raises
        ------
        MissingImagesError
            Images could not be read, and ``forwarding.skip_errors`` is not set.
        """
        if not self.learned:
            return self.frozen(manifest).rows_for(manifest) >= 0
        usable = np.ones(len(manifest), dtype=np.bool_)
        failed = unreadable(manifest, resolve(self.specs[0], self.store.resolved).inputs, self.forwarding)
        usable[list(failed)] = False
        return usable

    def identity(self) -> str:
        """What the encoders are before anything is learned, as one text."""
        return canonical_json([resolve(spec, self.store.resolved).identity() for spec in self.specs])

    def frozen(self, manifest: Manifest) -> Features:
        """Features of every image, where nothing has to be learned first."""
        key = (manifest.digest, *(spec.digest for spec in self.specs))
        if key not in self._loaded:
            self._loaded[key] = self._features(manifest, self.specs, None)
        return self._loaded[key]

    def encode(self, manifest: Manifest, fold: Fold) -> Encoded:
        """Train what is to be trained on a fold's training part, and give the features of the rest."""
        if not self.learned:
            return Encoded(self.frozen(manifest), fold, self.specs)
        head_fold, fit, validation = self._shared_out(manifest, fold)
        specs, facts = [], []
        for spec in self.specs:
            if spec.finetune is not None:
                weights = self._trained(spec, manifest, fit, validation, fold)
                specs.append(weights.spec)
                facts.append({"backbone": spec.label, **weights.facts})
            else:
                # as for a head, validation rows of test subjects that training keeps away from teach nothing
                met = validation_gives_test_away(fold, manifest.group)
                rows = fold.train if met else np.concatenate([fold.train, fold.validation])
                workers = self.forwarding.num_workers
                specs.append(fitted_to(spec, manifest, rows, folder=self.store.resolved, num_workers=workers))
        rows = np.unique(np.concatenate([head_fold.train, head_fold.validation, head_fold.test]))
        features = self._features(manifest, specs, rows)
        seen = Seen.of_rows(manifest, np.concatenate([fold.train, fold.validation]))
        fitted_on = fit if facts else fit[:0]
        return Encoded(replace(features, seen=features.seen | seen), head_fold, tuple(specs), tuple(facts), fitted_on)

    def _shared_out(self, manifest: Manifest, fold: Fold) -> tuple[Fold, NDArray[np.int64], NDArray[np.int64]]:
        """The fold for the head, the rows an encoder learns from, and the rows that choose its epoch."""
        tuned = next((spec.finetune for spec in self.specs if spec.finetune is not None), None)
        if tuned is None:
            return fold, fold.train, fold.validation
        if tuned.head_trains_on == "all":
            if len(fold.validation):
                return fold, fold.train, fold.validation
            return fold, *choose_validation(manifest, fold.train, tuned.validation, tuned.seed)
        own, left = part_for_head(manifest, fold.train, tuned.unseen_share, tuned.seed)
        if not len(fold.validation):
            _refuse_too_few(manifest, left)
        head_fold = Fold(fold.repeat, fold.number, left, fold.validation, fold.test)
        return head_fold, *choose_validation(manifest, own, tuned.validation, tuned.seed)

    def _trained(
        self, spec: BackboneSpec, manifest: Manifest, fit: NDArray[np.int64], validation: NDArray[np.int64], fold: Fold
    ) -> TrainedWeights:
        return train_on_fold(spec, manifest, fit, validation, fold, self.store, self.forwarding)

    def _features(self, manifest: Manifest, specs: Sequence[BackboneSpec], rows: NDArray[np.int64] | None) -> Features:
        return Features.concatenate([self._extracted(manifest, spec, rows) for spec in specs])

    def _extracted(self, manifest: Manifest, spec: BackboneSpec, rows: NDArray[np.int64] | None) -> Features:
        how = self.forwarding
        report = how.extract(spec, manifest, self.store, rows)
        if report.failed and not how.skip_errors:
            sample, _, reason = report.failed[0]
            raise missing_images(manifest, len(report.failed), sample, reason)
        features = load_features(spec, manifest, self.store, rows=rows, amp_dtype=how.amp_dtype)
        if len(engines := features.provenance["engines"]) > 1:
            how.say(
                f"{spec.label}: these features come from several engines ({'; '.join(engines)}), which agree within"
                " their tested tolerance; where the last bit matters, name one with --engine, and another --cache"
            )
        return features


def encode_folds(encoders: Encoders, manifest: Manifest, folds: Sequence[Fold]) -> None:
    """Do what :meth:`Encoders.encode` does for folds: one after another, or on several machines at once.

    Raises
    ------
    WorkerError
        A fold was lost with its worker too often; the others are finished.
    """
    how = encoders.forwarding
    if how.workers is None or not how.workers.elsewhere:
        for fold in folds:
            encoders.encode(manifest, fold)
        return
    lost = []
    for number, told in how.workers.results(_EncodeFold(encoders, manifest), folds):
        if told is None:
            lost.append(f"repeat {folds[number].repeat} fold {folds[number].number}")
            continue
        reports, lines = told
        for line in lines:
            how.say(line)
        for report in reports:
            if how.reported is not None:
                how.reported(report)
    if lost:
        raise WorkerError(
            f"{encoders.specs[0].label}: the worker died each time that it trained or extracted {', '.join(lost)} (too"
            " little memory?); the other folds are finished: run the command again"
        )


@dataclass(frozen=True)
class _EncodeFold:
    """Encodes a fold, and gives what is to be told; a class, so that it can be sent to another process."""

    encoders: Encoders
    manifest: Manifest

    def __call__(self, fold: Fold) -> tuple[list[ExtractionReport], list[str]]:
        reports: list[ExtractionReport] = []
        lines: list[str] = []
        how = replace(self.encoders.forwarding, reported=reports.append, told=lines.append)
        replace(self.encoders, forwarding=how).encode(self.manifest, fold)
        return reports, lines


def _refuse_too_few(manifest: Manifest, rows: NDArray[np.int64]) -> None:
    """A head is tuned on at least two groups of every class."""
    for name in sorted({manifest.label[row] for row in rows}):
        n = len({manifest.group[row] for row in rows if manifest.label[row] == name})
        if n < 2:
            raise UsageError(
                f"head_trains_on 'unseen' leaves {n} subject of class {name!r} to the head, which needs 2; set"
                " unseen_share higher, or head_trains_on: all (--head-trains-on all)"
            )


def train_on_fold(
    spec: BackboneSpec,
    manifest: Manifest,
    fit: NDArray[np.int64],
    validation: NDArray[np.int64],
    fold: Fold,
    store: FeatureStore,
    forwarding: Forwarding,
) -> TrainedWeights:
    """Train a network for a fold, or find it, and say so in a line."""
    where = "the model to keep" if fold.number < 0 else f"repeat {fold.repeat} fold {fold.number}"
    weights = trained(spec, manifest, fit, validation, store.trained, how=forwarding.training, resolved=store.resolved)
    forwarding.say(f"{spec.label}, {where}: {weights.history.line}")
    return weights


def unreadable(manifest: Manifest, inputs: Inputs, forwarding: Forwarding) -> Mapping[int, str]:
    """Labelled rows whose image cannot be read, with the reason; every image is decoded once.

    Raises
    ------
    MissingImagesError
        There are some, and ``forwarding.skip_errors`` is not set.
    """
    workers = forwarding.num_workers or default_workers()
    work: Iterator[ImageWork] = (ImageWork(manifest.sha256[row], (int(row),)) for row in manifest.labelled)
    failed = {
        row: reason
        for result in arranged_images(manifest, work, inputs, workers, 4 * workers)
        for row, reason in result.failed
    }
    if failed:
        row = min(failed)
        if not forwarding.skip_errors:
            raise missing_images(manifest, len(failed), manifest.sample[row], failed[row])
        forwarding.say(f"{len(failed)} image(s) left out, e.g. {manifest.sample[row]}: {failed[row]}")
    return failed


def missing_images(manifest: Manifest, n: int, sample: str, reason: str) -> MissingImagesError:
    """What to say where images cannot be read and nobody said to go on without them."""
    return MissingImagesError(
        f"{manifest.dataset}: {n} image(s) could not be read, e.g. {sample}: {reason};"
        " mend them, or go on without them with --skip-errors"
    )
