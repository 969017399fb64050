"""A candidate for evaluation: a tuned head on the features of backbones, frozen or fine-tuned inside each fold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.spec import BackboneSpec
from leukfeat.data.crossing import validation_gives_test_away
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold
from leukfeat.errors import HeadError, MissingImagesError
from leukfeat.experiments.encoders import Encoded, Encoders
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.kept import Kept
from leukfeat.features.store import FeatureStore
from leukfeat.features.table import Features
from leukfeat.heads.catalog import find_head
from leukfeat.heads.storage import Storage
from leukfeat.heads.tuning import TunedHead


@dataclass(frozen=True)
class FittedHead:
    """A head fitted on one fold (see :class:`leukfeat.evaluation.crossval.FittedCandidate`)."""

    head: TunedHead
    encoded: Encoded
    facts: Mapping[str, Any]
    inner: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Order of the probability columns."""
        return tuple(str(name) for name in self.head.classes_)

    @property
    def seen(self) -> Seen:
        """What trained the encoders."""
        return self.encoded.features.seen

    @property
    def kept(self) -> Kept:
        """What a bundle is made of; the features stay behind."""
        return Kept(self.classes, self.facts, head=self.head, encoders=self.encoded.specs)

    def predict_proba(self, manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities of shape (len(rows), len(classes))."""
        return np.asarray(self.head.predict_proba(self.encoded.features.X_for(manifest, rows)), dtype=np.float64)


@dataclass(frozen=True)
class HeadOnFeatures:
    """A tuned head on stored features (see :class:`leukfeat.evaluation.crossval.Candidate`).

    Parameters
    ----------
    backbone : BackboneSpec, or a sequence of them
        The features of several backbones are concatenated. One with ``finetune`` is trained inside each fold. Empty
        when ``features`` is given.
    head : TunedHead
        Cloned for every fold.
    store : FeatureStore or None
        Where features are kept; missing ones are computed first.
    features : Features or None
        Features from elsewhere, in place of a backbone.
    forwarding : Forwarding
        How missing features are computed.
    storage : str, Storage or None
        Optuna storage shared by all studies: a journal file or a database URL; None takes the head's own.
    studies : path or None
        Where there is no ``storage``: folder for the journal of each fold's study, so that the same command continues
        a stopped one.
    study_prefix : str
        Distinguishes this candidate's studies in a shared storage.
    threads : int or None
        Threads of a fit; None takes the head's own ``n_jobs``. Results do not depend on them.
    """

    backbone: BackboneSpec | Sequence[BackboneSpec]
    head: TunedHead
    store: FeatureStore | None = None
    features: Features | None = None
    forwarding: Forwarding = field(default_factory=Forwarding)
    storage: str | Storage | None = field(default=None, repr=False)  # logs of schedulers show what they run
    studies: Path | None = None
    study_prefix: str = "leukfeat"
    threads: int | None = None

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

    @property
    def folds_at_once(self) -> bool:
        """Whether folds may be fitted in several processes: a head takes one thread."""
        return True

    def describe(self) -> dict[str, Any]:
        """Everything that makes it what it is."""
        return {
            "backbones": [spec.describe() for spec in self.backbones],
            "features": None if self.features is None else _short(self.features.provenance),
            "amp_dtype": self.forwarding.amp_dtype,
            "head": {
                name: value
                for name, value in self.head.get_params(deep=False).items()
                if name not in ("storage", "study_name", "out_of_fold", "n_jobs")
            },
        }

    def in_folder(self, folder: Path, prefix: str, storage: str | Storage | None) -> HeadOnFeatures:
        """The same candidate with a place for its studies."""
        return self._with(storage=storage, studies=folder / "studies", study_prefix=prefix)

    def on_threads(self, threads: int) -> HeadOnFeatures:
        """The same candidate with so many threads a fit."""
        return self._with(threads=threads)

    def copied_bytes(self, manifest: Manifest) -> int:
        """Size of the features that a fit takes its rows from; 0 where every fold has features of its own."""
        if self.features is None and self._encoders.learned:
            return 0
        return (self.features or self._encoders.frozen(manifest)).X.nbytes

    def _with(self, **changes: Any) -> HeadOnFeatures:
        """The same candidate with other settings, and the features that were loaded already."""
        changed = replace(self, **changes)
        if self.features is None:
            changed.__dict__["_encoders"] = self._encoders
        return changed

    @cached_property
    def _encoders(self) -> Encoders:
        if self.store is None:
            raise HeadError("HeadOnFeatures: backbones need a store")
        return Encoders(self.backbones, self.store, self.forwarding)

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Rows with features; computes missing ones of frozen backbones first.

        Raises
        ------
        MissingImagesError
            Images could not be read, and ``forwarding.skip_errors`` is not set.
        """
        if self.features is None:
            return self._encoders.available(manifest)
        present = self.features.rows_for(manifest) >= 0
        rows = manifest.labelled
        missing = rows[~present[rows]]
        if len(missing) and not self.forwarding.skip_errors:
            raise MissingImagesError(
                f"{manifest.dataset}: {len(missing)} of {len(rows)} labelled images have no row in the features given,"
                f" e.g. {manifest.sample[missing[0]]}; give a file with all, or go on without them with --skip-errors"
            )
        return present

    def identity(self, manifest: Manifest) -> str:
        """sha256 of everything a fit depends on besides the rows; of frozen features to the last bit.

        Raises
        ------
        MissingImagesError
            As :meth:`available`.
        """
        seal = hashlib.sha256(json.dumps(self.describe(), sort_keys=True, default=_plain).encode())
        seal.update(find_head(self.head.head).implementation(len(manifest.labelled)).encode())
        if self.features is None and self._encoders.learned:
            seal.update(self._encoders.identity().encode())
        else:
            features = self.features or self._encoders.frozen(manifest)
            seal.update("\x1f".join(features.sample_ids).encode())
            seal.update(features.X.data)
            seal.update(json.dumps(features.seen.describe(), sort_keys=True).encode())
        return seal.hexdigest()

    def prepare(self, manifest: Manifest, folds: Iterable[Fold]) -> None:
        """Train the encoders of folds, and compute their features, so that :meth:`fit` finds them."""
        if self.features is None and self._encoders.learned:
            for fold in folds:
                self._encoders.encode(manifest, fold)

    def fit(self, manifest: Manifest, fold: Fold) -> FittedHead:
        """Tune and fit the head on the fold's training part; validation rows, where there are any, choose.

        The final fit uses training and validation rows together, unless only the validation rows share subjects with
        the test part: then the head is tuned and fitted on the training rows.
        """
        encoded = self._encoders.encode(manifest, fold) if self.features is None else _given(self.features, fold)
        train, validation = encoded.fold.train, encoded.fold.validation
        label, group = np.asarray(manifest.label), np.asarray(manifest.group)
        if only_validation_shares_with_test(manifest, encoded.fold):
            validation = validation[:0]
        learn = np.concatenate([train, validation])
        X = encoded.features.X_for(manifest, learn)
        head = self._head_for(f"r{fold.repeat}-f{fold.number}")
        head.set_params(out_of_fold=len(fold.test) > 0)  # of the model to keep nobody asks for inner predictions
        if len(validation):
            position = np.arange(len(learn))
            head.set_params(inner_folds=[(position[: len(train)], position[len(train) :])])
        # a split by image shares subjects between training and validation and says so; the head cannot keep them apart
        shared = len(np.intersect1d(group[train], group[validation])) > 0
        head.fit(X, label[learn], groups=None if shared else group[learn])
        inner, inner_seen = _inner_of(head, learn, label[learn], encoded.fitted_on)
        facts = {
            **self._facts(head, X),
            "features": _short(encoded.features.provenance),
            "trained": [dict(facts) for facts in encoded.facts],
            "inner_seen": inner_seen,
        }
        return FittedHead(head, encoded, facts, inner)

    def fit_all(self, manifest: Manifest) -> FittedHead:
        """Tune and fit the head on every labelled row that has features: the model to keep."""
        return self.fit(manifest, everything(self, manifest))

    def _head_for(self, fold_name: str) -> TunedHead:
        from sklearn.base import clone

        head: TunedHead = clone(self.head)
        storage = self.storage or self.head.storage
        if storage is None and self.studies is not None:
            self.studies.mkdir(parents=True, exist_ok=True)
            storage = Storage(self.studies / f"{fold_name}.journal", alone=True)  # whoever runs holds the run folder
        head.set_params(storage=storage, study_name=f"{self.study_prefix}-{fold_name}")
        if self.threads is not None:
            head.set_params(n_jobs=self.threads)
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


def everything(candidate: Any, manifest: Manifest) -> Fold:
    """The fold without a test part: every labelled row a candidate can use."""
    rows = manifest.labelled[candidate.available(manifest)[manifest.labelled]]
    empty = np.array([], dtype=np.int64)
    return Fold(0, -1, rows, empty, empty)


def _inner_of(
    head: TunedHead, learn: NDArray[np.int64], label: NDArray[np.str_], fitted_on: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.float64]] | None, bool]:
    """A head's inner predictions by row of the manifest, and whether the encoder was fitted on these rows.

    Rows that a fine-tuned encoder was fitted on look easier than those of new subjects. Where it left rows of every
    class (those that chose its epoch), only these are given; where it left none, all are, and the fact is stated.
    """
    rows, proba = learn[head.inner_rows_], head.inner_proba_
    if not len(rows):
        return None, False
    left = ~np.isin(rows, fitted_on)
    if set(label[head.inner_rows_[left]]) == set(label[head.inner_rows_]):
        return (rows[left], proba[left]), False
    return (rows, proba), True


def only_validation_shares_with_test(manifest: Manifest, fold: Fold) -> bool:
    """Whether what learns from validation rows would meet test subjects that training keeps away from."""
    return validation_gives_test_away(fold, manifest.group)


def _given(features: Features, fold: Fold) -> Encoded:
    return Encoded(features, fold, ())


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
