"""Candidates for evaluation: a tuned head on the features of frozen backbones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.backbones.statistics import fitted_to
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold
from leukfeat.errors import HeadError, MissingImagesError
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.features.extraction import load_features
from leukfeat.features.store import FeatureStore
from leukfeat.features.table import Features
from leukfeat.heads.catalog import find_head
from leukfeat.heads.tuning import TunedHead


@dataclass(frozen=True)
class FittedHead:
    """A head fitted on one fold (see :class:`leukfeat.evaluation.crossval.FittedCandidate`)."""

    head: TunedHead
    features: Features
    seen: Seen
    facts: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Order of the probability columns."""
        return tuple(str(name) for name in self.head.classes_)

    def predict_proba(self, manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities of shape (len(rows), len(classes))."""
        return np.asarray(self.head.predict_proba(self.features.X_for(manifest, rows)), dtype=np.float64)


@dataclass(frozen=True)
class HeadOnFeatures:
    """A tuned head on stored features (see :class:`leukfeat.evaluation.crossval.Candidate`).

    Parameters
    ----------
    backbone : BackboneSpec, or a sequence of them
        The features of several backbones are concatenated. Empty when ``features`` is given.
    head : TunedHead
        Cloned for every fold.
    store : FeatureStore or None
        Where features are kept; missing ones are computed first.
    features : Features or None
        Features from elsewhere, in place of a backbone.
    forwarding : Forwarding
        How missing features are computed.
    storage : str or None
        Optuna storage shared by all studies: a journal file or a database URL; None takes the head's own.
    studies : path or None
        Where there is no ``storage``: folder for the journal of each fold's study, so that the same command continues
        a stopped one.
    study_prefix : str
        Distinguishes this candidate's studies in a shared storage.
    """

    backbone: BackboneSpec | Sequence[BackboneSpec]
    head: TunedHead
    store: FeatureStore | None = None
    features: Features | None = None
    forwarding: Forwarding = field(default_factory=Forwarding)
    storage: str | None = None
    studies: Path | None = None
    study_prefix: str = "leukfeat"
    _loaded: dict[tuple[str, ...], Features] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.features is None) == (not self.backbones) or (self.backbones and self.store is None):
            raise HeadError("HeadOnFeatures: give backbones with a store, or features")

    @property
    def backbones(self) -> tuple[BackboneSpec, ...]:
        """The backbones, as a tuple."""
        return (self.backbone,) if isinstance(self.backbone, BackboneSpec) else tuple(self.backbone)

    @property
    def name(self) -> str:
        """Short name for tables."""
        source = " + ".join(spec.label for spec in self.backbones) or "given features"
        return f"{source} → {self.head.head}"

    def describe(self) -> dict[str, Any]:
        """Everything that makes it what it is."""
        return {
            "backbones": [spec.describe() for spec in self.backbones],
            "features": None if self.features is None else _short(self.features.provenance),
            "amp_dtype": self.forwarding.amp_dtype,
            "head": {
                name: value
                for name, value in self.head.get_params(deep=False).items()
                if name not in ("storage", "study_name")
            },
        }

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Rows with features; computes missing ones first.

        Raises
        ------
        MissingImagesError
            Images could not be read, and ``forwarding.skip_errors`` is not set.
        """
        self._refuse_missing_vectors(manifest)
        return self._readable(manifest).rows_for(manifest) >= 0

    def _refuse_missing_vectors(self, manifest: Manifest) -> None:
        """Refuse given features that lack labelled samples, unless that was accepted."""
        if self.features is None or self.forwarding.skip_errors:
            return
        rows = manifest.labelled
        missing = rows[self.features.rows_for(manifest)[rows] < 0]
        if len(missing):
            raise MissingImagesError(
                f"{manifest.dataset}: {len(missing)} of {len(rows)} labelled images have no row in the features given,"
                f" e.g. {manifest.sample[missing[0]]}; give a file with all, or go on without them with --skip-errors"
            )

    def identity(self, manifest: Manifest) -> str:
        """sha256 of everything a fit depends on, to the last bit of the features; computes missing ones.

        Raises
        ------
        MissingImagesError
            As :meth:`available`.
        """
        features = self._readable(manifest)
        seal = hashlib.sha256(json.dumps(self.describe(), sort_keys=True, default=_plain).encode())
        seal.update(find_head(self.head.head).implementation.encode())
        seal.update("\x1f".join(features.sample_ids).encode() + features.X.tobytes())
        return seal.hexdigest()

    def fit(self, manifest: Manifest, fold: Fold) -> FittedHead:
        """Tune and fit the head on the fold's training part; validation rows, where there are any, choose.

        The final fit uses training and validation rows together.
        """
        learn = np.concatenate([fold.train, fold.validation])
        features = self._features_for(manifest, learn)
        label, group = np.asarray(manifest.label), np.asarray(manifest.group)
        X = features.X_for(manifest, learn)
        head = self._head_for(f"r{fold.repeat}-f{fold.number}")
        if len(fold.validation):
            position = np.arange(len(learn))
            head.set_params(inner_folds=[(position[: len(fold.train)], position[len(fold.train) :])])
        # a split by image shares subjects between training and validation and says so; the head cannot keep them apart
        shared = len(np.intersect1d(group[fold.train], group[fold.validation])) > 0
        head.fit(X, label[learn], groups=None if shared else group[learn])
        facts = {**self._facts(head, X), "features": _short(features.provenance)}
        return FittedHead(head, features, features.seen, facts)

    def fit_all(self, manifest: Manifest) -> FittedHead:
        """Tune and fit the head on every labelled row that has features: the model to keep."""
        rows = manifest.labelled[self.available(manifest)[manifest.labelled]]
        empty = np.array([], dtype=np.int64)
        return self.fit(manifest, Fold(0, -1, rows, empty, empty))

    def _features_for(self, manifest: Manifest, learn: NDArray[np.int64]) -> Features:
        """The features a fold may use; input statistics that are learned are learned on its training images."""
        if not any(spec.preprocess.unfitted for spec in self.backbones):
            return self._features(manifest, self.backbones)
        workers, resolved = self.forwarding.num_workers, self.store.resolved if self.store else None
        specs = [
            fitted_to(spec, manifest, learn, folder=resolved, num_workers=workers) if spec.preprocess.unfitted else spec
            for spec in self.backbones
        ]
        features = self._features(manifest, specs)
        return replace(features, seen=features.seen | Seen.of_rows(manifest, learn))

    def _readable(self, manifest: Manifest) -> Features:
        """Features of every image that can be read."""
        plain = [spec.replace(preprocess=_with_standing_statistics(spec.preprocess)) for spec in self.backbones]
        return self._features(manifest, plain)

    def _features(self, manifest: Manifest, specs: Sequence[BackboneSpec]) -> Features:
        if self.features is not None:
            return self.features
        key = (manifest.digest, *(spec.digest for spec in specs))
        if key not in self._loaded:
            parts = [self._extracted(manifest, spec) for spec in specs]
            self._loaded[key] = Features.concatenate(parts)
        return self._loaded[key]

    def _extracted(self, manifest: Manifest, spec: BackboneSpec) -> Features:
        if self.store is None:
            raise HeadError("HeadOnFeatures: backbones need a store")
        how = self.forwarding
        report = how.extract(spec, manifest, self.store)
        if report.failed and not how.skip_errors:
            sample, _, reason = report.failed[0]
            raise MissingImagesError(
                f"{manifest.dataset}: {len(report.failed)} image(s) could not be read, e.g. {sample}: {reason};"
                " mend them, or go on without them with --skip-errors"
            )
        return load_features(spec, manifest, self.store, amp_dtype=how.amp_dtype)

    def _head_for(self, fold_name: str) -> TunedHead:
        from sklearn.base import clone

        head: TunedHead = clone(self.head)
        storage = self.storage or self.head.storage
        if storage is None and self.studies is not None:
            self.studies.mkdir(parents=True, exist_ok=True)
            storage = str(self.studies / f"{fold_name}.journal")
        head.set_params(storage=storage, study_name=f"{self.study_prefix}-{fold_name}")
        return head

    def _facts(self, head: TunedHead, X: NDArray[np.float32]) -> dict[str, Any]:
        return {
            "params": dict(head.best_params_),
            "inner_score": head.best_score_,
            "metric": head.metric_,
            "trials": list(head.trials_),
            "pruned": head.n_pruned_,
            "implementation": head.implementation_,
            "n_features": int(X.shape[1]),
            "n_train": len(X),
        }


def _with_standing_statistics(preprocess: Preprocess) -> Preprocess:
    """The same geometry with statistics that need no training images: enough to see which images can be read."""
    if not preprocess.unfitted:
        return preprocess
    return preprocess.replace(scale="unit", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def _short(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Where features came from, as JSON types: the inputs of their key and what computed them."""
    if "concatenated" in provenance:
        return {"concatenated": [_short(part) for part in provenance["concatenated"]]}
    kept = ("key", "inputs", "origin", "engines", "decoders", "file")
    return {name: value for name, value in provenance.items() if name in kept}


def _plain(value: object) -> object:
    """Arrays and other sequences as JSON types, whole."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
