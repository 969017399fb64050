"""A kept model at work: images go in, probabilities come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.inputs import Inputs
from leukfeat.data.exposure import Seen
from leukfeat.data.gathering import Images, gather_images
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.errors import MissingImagesError, PredictionsError, RunError, UnknownNameError
from leukfeat.evaluation.ensembles import FittedRule, stacked
from leukfeat.experiments.encoders import missing_images
from leukfeat.experiments.networks import softmax
from leukfeat.experiments.predicted import PredictedTable
from leukfeat.features.store import PRECISIONS
from leukfeat.heads.tuning import TunedHead

if TYPE_CHECKING:
    from leukfeat.backbones.network_files import SavedNetwork

_NOT_FINITE = "the network's output is NaN or infinite"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Model:
    """A head on encoders, a network, or an ensemble of such.

    Attributes
    ----------
    classes : tuple of str
        Order of the probability columns.
    positive : str or None
        The class that counts as positive.
    facts : mapping
        What the bundle says: candidate, data, evaluation, …; of a member, what its ensemble says of it.
    networks : tuple of SavedNetwork
        The encoders whose embeddings the head takes side by side, or the one network with its classifier.
    head : TunedHead or None
        Takes (n, d).
    members : tuple of Model
        Of an ensemble.
    rule : FittedRule or None
        How an ensemble combines its members.
    amp_dtype : str or None
        Precision that it was fitted with.
    trained_on : frozenset of str
        sha256 of the images of training.
    """

    classes: tuple[str, ...]
    positive: str | None
    facts: Mapping[str, Any]
    networks: tuple[SavedNetwork, ...] = ()
    head: TunedHead | None = None
    members: tuple[Model, ...] = ()
    rule: FittedRule | None = None
    amp_dtype: str | None = None
    trained_on: frozenset[str] = frozenset()

    @property
    def inputs(self) -> tuple[Inputs, ...]:
        """How images become the input of each network."""
        return tuple(network.inputs for network in self.networks)

    @property
    def takes_images(self) -> bool:
        """Whether images suffice; a head fitted on features from elsewhere takes nothing but such features."""
        return all(member.takes_images for member in self.members) if self.members else bool(self.networks)

    @property
    def seen(self) -> Seen:
        """What trained the networks and the head."""
        seen = Seen(images=self.trained_on)
        for network in self.networks:
            seen |= network.seen
        for member in self.members:
            seen |= member.seen
        return seen

    @cached_property
    def _costs(self) -> tuple[int, int]:
        from leukfeat.backbones.cost import cost_of

        costs = [cost_of(network.model, network.inputs.size) for network in self.networks]
        of_members = [member._costs for member in self.members]
        return (
            sum(cost.parameters for cost in costs) + sum(parameters for parameters, _ in of_members),
            sum(cost.macs for cost in costs) + sum(macs for _, macs in of_members),
        )

    @property
    def parameters(self) -> int:
        """Parameters of all networks that take part in a forward pass; a head's own are not counted."""
        return self._costs[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of all networks for one image."""
        return self._costs[1]

    def probabilities(
        self, manifest: Manifest, rows: Sequence[int] | NDArray[np.int64], **how: Any
    ) -> NDArray[np.float64]:
        """Probabilities of some rows of a manifest.

        Parameters
        ----------
        manifest : Manifest
            The images.
        rows : sequence of int
            Rows wanted.
        **how
            ``device``, ``amp_dtype``, ``batch_size``, ``num_workers``, ``engine``, ``progress``, as in
            :func:`leukfeat.backbones.outputs.outputs_of`; without ``amp_dtype`` the precision is that of the fit, and
            ``"none"`` is 32-bit floats.

        Returns
        -------
        ndarray of shape (len(rows), k), float64

        Raises
        ------
        MissingImagesError
            An image cannot be read.
        RunError
            The model takes features, not images.
        """
        rows = np.asarray(rows, dtype=np.int64)
        proba, failed = self._said(manifest, rows, how)
        if failed:
            row = min(failed)
            raise missing_images(manifest, len(failed), manifest.sample[row], failed[row])
        return proba

    def predict(
        self,
        images: Images,
        *,
        dataset: str | None = None,
        ignore_labels: bool = False,
        follow_links: bool = False,
        memo: HashMemo | None = None,
        hashing: Progress | None = None,
        **how: Any,
    ) -> PredictedTable:
        """Predict images.

        Parameters
        ----------
        images : Manifest, path, or sequence of paths
            A folder, a pattern, image files, or a table with ``path`` (and ``label`` and ``subject``, where known).
        dataset : str or None
            The data set whose layout the folder has; labels and subjects are then read from it.
        ignore_labels : bool
            Go on where labels are not the model's classes; nothing is scored.
        follow_links : bool
            Take symbolic links to folders, and those that lead out of a data folder.
        memo : HashMemo or None
            Remembers digests of files between runs.
        hashing : callable(done, total) or None
            Called as files are hashed.
        **how
            As in :meth:`probabilities`.

        Returns
        -------
        PredictedTable
            Images that cannot be read are in its ``failed``.

        Raises
        ------
        PredictionsError
            Labels that are not the model's classes.
        MissingImagesError
            Not one image can be read.
        RunError
            The model takes features, not images.
        """
        manifest, odd = gather_images(images, dataset=dataset, follow_links=follow_links, memo=memo, progress=hashing)
        if ignore_labels:
            manifest = replace(manifest, label=("",) * len(manifest), copy_of=())
        foreign = set(manifest.classes) - set(self.classes)
        if foreign:
            raise PredictionsError(
                f"{manifest.dataset}: labels {', '.join(manifest.classes)} are not the classes of this model"
                f" ({', '.join(self.classes)}); they are images of another data set: predict them without scoring"
                " with --ignore-labels"
            )
        proba, failed = self._said(manifest, np.arange(len(manifest)), how)
        good = np.array([row for row in range(len(manifest)) if row not in failed], dtype=np.int64)
        if not len(good):
            row = min(failed)
            raise MissingImagesError(
                f"{manifest.dataset}: none of {len(manifest)} image(s) could be read, e.g. {manifest.sample[row]}:"
                f" {failed[row]}"
            )
        table = PredictedTable.of_rows(manifest, good, proba[good], self.classes, self.seen.images)
        unread = tuple((manifest.sample[row], failed[row]) for row in sorted(failed))
        return replace(table, positive=self.positive, failed=(*unread, *odd))

    def _said(
        self, manifest: Manifest, rows: NDArray[np.int64], how: Mapping[str, Any]
    ) -> tuple[NDArray[np.float64], dict[int, str]]:
        """Probabilities, NaN where there are none, and the rows that is so for, with the reason."""
        if not self.takes_images:
            raise RunError(
                "this model was fitted on features from elsewhere and has no network: it cannot take images; give its"
                " head features of the same kind (model.head.predict_proba)"
            )
        failed: dict[int, str] = {}
        if self.rule is not None:
            said = []
            for member in self.members:
                proba, unread = member._said(manifest, rows, how)
                said.append((proba, member.classes))
                failed |= unread
            good = np.array([row not in failed for row in rows.tolist()], dtype=np.bool_)
            return self._where(good, lambda: self._combined([(part[good], names) for part, names in said])), failed
        X, failed = self.outputs(manifest, rows, how)
        good = np.array([row not in failed for row in rows.tolist()], dtype=np.bool_)
        return self._where(good, lambda: self._classified(X[good])), failed

    def _where(self, good: NDArray[np.bool_], known: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        proba = np.full((len(good), len(self.classes)), np.nan)
        if good.any():
            proba[good] = known()
        return proba

    def outputs(
        self, manifest: Manifest, rows: NDArray[np.int64], how: Mapping[str, Any]
    ) -> tuple[NDArray[np.float32], dict[int, str]]:
        """What the networks give, side by side, of shape (len(rows), d), and the rows without output, with reasons."""
        from leukfeat.backbones.outputs import outputs_of

        parts: list[NDArray[np.float32]] = []
        failed: dict[int, str] = {}
        precision = how.get("amp_dtype") or self.amp_dtype or "none"
        if precision not in ("none", *PRECISIONS):
            raise UnknownNameError("amp dtype", str(precision), ("none", *PRECISIONS[1:]))
        how = {**how, "amp_dtype": None if precision == "none" else precision}
        for network in self.networks:
            output, unread = outputs_of(network.model, network.inputs, manifest, rows, **how)
            parts.append(output)
            failed |= unread
            broken = rows[~np.isfinite(output).all(axis=1)].tolist()
            failed |= {row: _NOT_FINITE for row in broken if row not in failed}
        return np.concatenate(parts, axis=1), failed

    def _classified(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return softmax(X) if self.head is None else np.asarray(self.head.predict_proba(X), dtype=np.float64)

    def _combined(self, said: Sequence[tuple[NDArray[np.float64], tuple[str, ...]]]) -> NDArray[np.float64]:
        if self.rule is None:
            raise RunError("an ensemble without a rule cannot predict")
        return self.rule.combine(stacked(said, self.classes))
