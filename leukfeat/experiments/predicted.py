"""What a model says about images: a table of probabilities, as CSV, for images and for subjects."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.manifest import Manifest
from leukfeat.data.words import UNKNOWN
from leukfeat.errors import PredictionsError, UsageError
from leukfeat.evaluation.metrics import Score, score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.textfiles import write_csv


@dataclass(frozen=True, eq=False)
class PredictedTable:
    """Probabilities of images, or of subjects.

    Attributes
    ----------
    sample : ndarray of shape (n,), str
        Images whose probabilities are known; of a table by subject, the subjects.
    subject, y_true : ndarray of shape (n,), str
        Empty where nothing is known.
    proba : ndarray of shape (n, k), float64
        Probability of each class.
    classes : tuple of str
        In the order of ``proba``'s columns.
    seen : ndarray of shape (n,), bool
        Whether the image took part in training the model; of a subject, whether any of its images did.
    positive : str or None
        The class that counts as positive.
    failed : tuple of (sample, reason)
        Images without probabilities.
    images : ndarray of shape (n,), int64, or None
        Of a table by subject: how many images a row is the mean of.
    """

    sample: NDArray[np.str_]
    subject: NDArray[np.str_]
    y_true: NDArray[np.str_]
    proba: NDArray[np.float64]
    classes: tuple[str, ...]
    seen: NDArray[np.bool_]
    positive: str | None = None
    failed: tuple[tuple[str, str], ...] = ()
    images: NDArray[np.int64] | None = None

    @classmethod
    def of_rows(
        cls,
        manifest: Manifest,
        rows: NDArray[np.int64],
        proba: NDArray[np.float64],
        classes: tuple[str, ...],
        trained_on: frozenset[str],
    ) -> PredictedTable:
        """The table of some rows of a manifest; ``trained_on`` has the sha256 of the images of training."""

        def of(column: tuple[str, ...]) -> NDArray[np.str_]:
            return np.array([column[row] for row in rows], dtype=np.str_)

        subject = of(manifest.subject)
        return cls(
            sample=of(manifest.sample),
            subject=np.where(subject == UNKNOWN, "", subject),
            y_true=of(manifest.label),
            proba=proba,
            classes=classes,
            seen=np.array([manifest.sha256[row] in trained_on for row in rows], dtype=np.bool_),
        )

    def __len__(self) -> int:
        return len(self.sample)

    @cached_property
    def y_pred(self) -> NDArray[np.str_]:
        """The most probable class of each row; a tie goes to the name that sorts first."""
        order = sorted(range(len(self.classes)), key=self.classes.__getitem__)
        names = np.array([self.classes[k] for k in order], dtype=np.str_)
        predicted: NDArray[np.str_] = names[self.proba[:, order].argmax(axis=1)]
        return predicted

    @property
    def n_seen(self) -> int:
        """How many rows took part in training the model."""
        return int(self.seen.sum())

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> PredictedTable:
        """Some rows."""
        return replace(
            self,
            sample=self.sample[rows],
            subject=self.subject[rows],
            y_true=self.y_true[rows],
            proba=self.proba[rows],
            seen=self.seen[rows],
            images=None if self.images is None else self.images[rows],
        )

    def scores(self) -> dict[str, Score]:
        """Every metric over the rows whose class is known; empty where there are none.

        Raises
        ------
        PredictionsError
            A label is none of the model's classes.
        """
        known = self.take(self.y_true != "")
        if not len(known):
            return {}
        return score(
            Predictions(
                sample=known.sample,
                subject=np.where(known.subject == "", UNKNOWN, known.subject),
                group=known.sample,
                repeat=np.zeros(len(known), dtype=np.int64),
                fold=np.zeros(len(known), dtype=np.int64),
                y_true=known.y_true,
                proba=known.proba,
                classes=known.classes,
                positive=known.positive,
            )
        )

    def by_subject(self) -> PredictedTable:
        """One row a subject: the mean probability of its images. Images without a subject are in no row.

        Raises
        ------
        PredictionsError
            No image has a subject.
        """
        owned = self.take(self.subject != "")
        if not len(owned):
            raise PredictionsError(
                "no image has a subject, so there is no verdict by subject; give a CSV with columns path and subject"
            )
        subjects, owner, images = np.unique(owned.subject, return_inverse=True, return_counts=True)
        total = np.stack([np.bincount(owner, weights=column) for column in owned.proba.T], axis=1)
        labels = [sorted(set(owned.y_true[owner == number].tolist()) - {""}) for number in range(len(subjects))]
        return replace(
            owned,
            sample=subjects,
            subject=subjects,
            y_true=np.array([names[0] if len(names) == 1 else "" for names in labels], dtype=np.str_),
            # rounding may lift a mean of ones by a last bit
            proba=np.clip(total / images[:, None], 0.0, 1.0),
            seen=np.bincount(owner, weights=owned.seen) > 0,
            failed=(),
            images=images.astype(np.int64),
        )

    def save(self, file: Path | str) -> Path:
        """Write CSV: ``sample``, what is known of ``subject`` and ``y_true``, ``y_pred``, ``proba_<class>``, ``seen``.

        Floats are exact. ``seen`` is 1 where the image took part in training. A table by subject has ``subject`` and
        ``images`` in place of ``sample``.

        Raises
        ------
        UsageError
            The file is there, and is no such table.
        """
        may_be_replaced(file)
        columns: dict[str, list[object]] = {}
        if self.images is None:
            columns["sample"] = self.sample.tolist()
        if (self.subject != "").any():
            columns["subject"] = self.subject.tolist()
        if self.images is not None:
            columns["images"] = self.images.tolist()
        if (self.y_true != "").any():
            columns["y_true"] = self.y_true.tolist()
        columns["y_pred"] = self.y_pred.tolist()
        for name, column in zip(self.classes, self.proba.T.tolist(), strict=True):
            columns[f"proba_{name}"] = [repr(value) for value in column]
        columns["seen"] = self.seen.astype(int).tolist()
        return write_csv(file, [tuple(columns), *zip(*columns.values(), strict=True)])


def may_be_replaced(file: Path | str) -> None:
    """Refuse to write predictions over something that is none.

    Raises
    ------
    UsageError
        A folder, or a file that does not begin like a table of predictions.
    """
    file = Path(file)
    if not file.exists():
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        header = []
    if "y_pred" not in header:
        raise UsageError(f"{file} is there and is no table of predictions; name another file with -o")
