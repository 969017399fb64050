"""Resampling of subjects: whole clusters are drawn with replacement within their class, and keep all their cells.

Cells of one subject are alike, so the independent observations of a study are its subjects. A bootstrap that draws
cells gives intervals that are too narrow; this one draws clusters (Davison and Hinkley, Bootstrap Methods and their
Application, 1997, section 3.8: resampling of the highest level only). Classes keep their number of clusters, as a study
that recruits patients and healthy donors would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.evaluation.predictions import Predictions

N_DRAWS = 2000
"""Resamples of an interval where nobody says otherwise."""

Counts = NDArray[np.float32]
"""How often each cluster is drawn, (B, g)."""

_CHUNK = 250_000  # weights of rows held at once


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which rows belong together.

    Attributes
    ----------
    of_row : ndarray of shape (n,), int64
        Cluster number of each row, over all repeats.
    stratum : ndarray of shape (g,), int64
        Column of the class that each cluster counts as: the most frequent true class of its rows.
    names : tuple of str
        Of the clusters.
    classes : tuple of str
        Names of the strata.
    unit : str
        What a cluster is: ``"subject"``, ``"linked subject"`` where some ids are one group, ``"group of images"`` or
        ``"image"`` where subjects are unknown.
    """

    of_row: NDArray[np.int64]
    stratum: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    unit: str

    @classmethod
    def of(cls, predictions: Predictions) -> Clusters:
        """The groups of predictions as clusters."""
        names, of_row = np.unique(predictions.group, return_inverse=True)
        column = {name: k for k, name in enumerate(predictions.classes)}
        y = np.array([column[name] for name in predictions.y_true.tolist()])
        counts = np.zeros((len(names), len(predictions.classes)), dtype=np.int64)
        np.add.at(counts, (of_row, y), 1)
        if predictions.subjects_known:
            unit = "linked subject" if len(names) < len(np.unique(predictions.subject)) else "subject"
        else:
            unit = "group of images" if len(names) < len(np.unique(predictions.sample)) else "image"
        return cls(
            of_row=of_row.astype(np.int64),
            stratum=counts.argmax(axis=1),
            names=tuple(names.tolist()),
            classes=predictions.classes,
            unit=unit,
        )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def per_stratum(self) -> NDArray[np.int64]:
        """How many clusters count as each class, (k,)."""
        return np.bincount(self.stratum, minlength=len(self.classes))

    @property
    def units(self) -> str:
        """The unit in the plural."""
        return "groups of images" if self.unit == "group of images" else f"{self.unit}s"

    @property
    def too_few(self) -> str:
        """Why nothing can be said by resampling these clusters; empty where it can."""
        for k, number in enumerate(self.per_stratum.tolist()):
            if number == 1:
                return f"class {self.classes[k]!r} has 1 {self.unit}; an interval needs at least 2 of every class"
        return "" if len(self) else "no rows"

    @cached_property
    def effective(self) -> NDArray[np.float64]:
        """For how many clusters those of each class that is present count, (k,).

        Their number, where all have as many rows. Where a few clusters hold most rows they decide alone, as if there
        were (Σm)² / Σm² of them, m being their rows (Carter, Schnepel and Steigerwald 2017), and never fewer than two:
        one degree of freedom already reaches over nearly all that a metric can be.

        References
        ----------
        Carter, A. V., Schnepel, K. T. and Steigerwald, D. G., Asymptotic behavior of a t-test robust to cluster
        heterogeneity, Review of Economics and Statistics 99(4), 2017, doi:10.1162/REST_a_00639.
        """
        rows = np.bincount(self.of_row, minlength=len(self)).astype(np.float64)
        sizes = (rows[self.stratum == k] for k in np.flatnonzero(self.per_stratum))
        return np.array([max(2.0, m.sum() ** 2 / (m**2).sum()) for m in sizes])

    @property
    def freedom(self) -> float:
        """Degrees of freedom that the scarcest class leaves: what its clusters count for, less one."""
        return float(self.effective.min()) - 1


@dataclass(frozen=True, eq=False)
class Draws:
    """Resamples of clusters, the same for every model that is compared on them.

    Attributes
    ----------
    clusters : Clusters
        What was drawn.
    counts : ndarray of shape (B, g), float32
        How often each cluster is in each resample; the sum over a class is its number of clusters.
    """

    clusters: Clusters
    counts: Counts

    @classmethod
    def of(cls, clusters: Clusters, n: int = N_DRAWS, seed: int = 0) -> Draws:
        """Draw within every class.

        Parameters
        ----------
        clusters : Clusters
            Of the predictions.
        n : int
            Resamples, B.
        seed : int
            The same seed gives the same resamples.
        """
        rng = np.random.default_rng(seed)
        counts = np.zeros((n, len(clusters)), dtype=np.float32)
        for k in np.flatnonzero(clusters.per_stratum):
            members = np.flatnonzero(clusters.stratum == k)
            drawn = rng.integers(len(members), size=(n, len(members)))
            drawn += len(members) * np.arange(n)[:, None]
            found = np.bincount(drawn.ravel(), minlength=n * len(members))
            counts[:, members] = found.reshape(n, len(members))
        return cls(clusters, counts)

    @classmethod
    def leaving_out(cls, clusters: Clusters, most: int = 500) -> Draws:
        """The delete-one jackknife over clusters; of more than ``most`` clusters, that many blocks of them in turn."""
        blocks = np.arange(len(clusters))
        if len(clusters) > most:
            order = np.lexsort((np.random.default_rng(0).random(len(clusters)), clusters.stratum))
            blocks[order] = np.arange(len(clusters)) % most  # every block has its share of each class
        counts = np.ones((int(blocks.max()) + 1, len(clusters)), dtype=np.float32)
        counts[blocks, np.arange(len(clusters))] = 0
        return cls(clusters, counts)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """The counts in 64 bits, for sums of what is no whole number."""
        return self.counts.astype(np.float64)

    def __getstate__(self) -> dict[str, Any]:
        """Without the weights, which another process makes for itself."""
        return {"clusters": self.clusters, "counts": self.counts}

    def __len__(self) -> int:
        return len(self.counts)

    def chunks(self, n_rows: int) -> Iterator[slice]:
        """Slices of the resamples, so few that weights of ``n_rows`` rows stay in a processor's cache."""
        step = max(1, _CHUNK // max(1, n_rows))
        for start in range(0, len(self.counts), step):
            yield slice(start, start + step)
