"""What happened in training, epoch by epoch: kept with the weights, and as a CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukfeat.backbones.scores import SCORE_NAMES, Scores
from leukfeat.data.listing import read_table
from leukfeat.errors import RunError
from leukfeat.textfiles import write_csv

_PARTS = ("train", "validation")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    lr : float
        Base learning rate of its last step.
    train : Scores
        Over the images as they were shown: augmented, the network in training mode and changing.
    validation : Scores or None
        After the epoch, on the validation rows.
    seconds : float
        Wall-clock time of the epoch.
    """

    epoch: int
    lr: float
    train: Scores
    validation: Scores | None
    seconds: float

    def value(self, metric: str) -> float | None:
        """The metric on the validation rows, or on the training rows where there are none."""
        return getattr(self.validation or self.train, metric)  # type: ignore[no-any-return]

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> EpochRecord:
        """The record that :meth:`describe` described."""
        scores = {part: Scores(**description[part]) if description[part] is not None else None for part in _PARTS}
        return cls(**{**description, **scores})


@dataclass(frozen=True)
class History:
    """All epochs of a training.

    Attributes
    ----------
    epochs : tuple of EpochRecord
        At least one.
    metric : str
        What chose the epoch.
    chosen : int
        The epoch whose weights are kept, from 1.
    ended : str
        Why training ended.
    """

    epochs: tuple[EpochRecord, ...]
    metric: str
    chosen: int
    ended: str = ""

    @property
    def best(self) -> EpochRecord:
        """The epoch whose weights are kept."""
        return self.epochs[self.chosen - 1]

    @property
    def seconds(self) -> float:
        """Wall-clock time of all epochs."""
        return sum(record.seconds for record in self.epochs)

    @property
    def line(self) -> str:
        """One line for people."""
        part = "training" if self.best.validation is None else "validation"
        shown = ("loss", "accuracy") if self.metric == "loss" else ("loss", self.metric)
        values = [(name.replace("_", " "), self.best.value(name)) for name in shown]
        told = ", ".join(f"{part} {name} {value:.4g}" for name, value in values if value is not None)
        n = len(self.epochs)
        return (
            f"{n} epoch{'s' if n != 1 else ''} in {self.seconds:.0f} s ({self.ended}); kept epoch {self.chosen}: {told}"
        )

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> History:
        """The history that :meth:`describe` described."""
        epochs = tuple(EpochRecord.from_description(record) for record in description["epochs"])
        return cls(**{**description, "epochs": epochs})

    def save(self, file: Path | str) -> Path:
        """Write a CSV, a row an epoch; numbers are written in full."""
        header = ["epoch", "lr", *(f"{part}_{name}" for part in _PARTS for name in SCORE_NAMES)]
        rows: list[list[Any]] = [[*header, "seconds", "metric", "chosen", "ended"]]
        for record in self.epochs:
            values = [
                getattr(scores, name) if (scores := getattr(record, part)) is not None else None
                for part in _PARTS
                for name in SCORE_NAMES
            ]
            chosen = int(record.epoch == self.chosen)
            rows.append([record.epoch, record.lr, *values, record.seconds, self.metric, chosen, self.ended])
        return write_csv(file, rows)

    @classmethod
    def load(cls, file: Path | str) -> History:
        """Read what :meth:`save` wrote.

        Raises
        ------
        RunError
            The file is no history.
        """
        rows = read_table(Path(file))
        try:
            epochs = tuple(_record(row) for row in rows)
            chosen = next(int(row["epoch"]) for row in rows if row["chosen"] == "1")
            return cls(epochs, rows[0]["metric"], chosen, rows[0]["ended"])
        except (KeyError, ValueError, StopIteration) as error:
            raise RunError(f"{file}: is no training history ({error}); write it again with History.save") from error


def _record(row: Mapping[str, str]) -> EpochRecord:
    scores: dict[str, Any] = {}
    for part in _PARTS:
        values = {name: float(text) if (text := row[f"{part}_{name}"]) else None for name in SCORE_NAMES}
        scores[part] = Scores(**values) if values["loss"] is not None else None  # type: ignore[arg-type]
    return EpochRecord(epoch=int(row["epoch"]), lr=float(row["lr"]), seconds=float(row["seconds"]), **scores)
