"""A run: the predictions of one candidate on one split, with everything needed to say where they came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from leukfeat.errors import RunError
from leukfeat.evaluation.inner import InnerPredictions
from leukfeat.evaluation.predictions import Predictions
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import write_text

RUN_JSON = "run.json"
PREDICTIONS_CSV = "predictions.csv"
INNER_CSV = "inner.csv"
RECIPE_YAML = "recipe.yaml"
SCHEMA = 1

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "candidate": dict,
    "data": dict,
    "split": dict,
    "notes": list,
    "folds": list,
    "seconds": (int, float, type(None)),
    "environment": dict,
    "predictions_digest": str,
}


@dataclass(frozen=True)
class Run:
    """One candidate, evaluated.

    Attributes
    ----------
    name : str
        For tables.
    predictions : Predictions
        Out-of-fold predictions.
    candidate, data, split : mapping
        What was evaluated, on which images, on which folds (``kind``, ``protection``, ``digest``); JSON types.
    notes : tuple of str
        What must be said beside every number of this run.
    folds : tuple of mapping
        Facts of each fold's fit.
    seconds : float
        Wall time of fitting and predicting.
    environment : mapping
        Python, packages, platform.
    cost : mapping
        What the model to keep costs: ``parameters``, ``macs`` (of one image), ``ms_per_cell`` and what it was measured
        on; empty where nobody measured.
    inner : InnerPredictions or None
        Of the rows that train each fold, by models that had not seen them: what calibration, thresholds and verdict
        rules are learned from. None where there are none: the predictions of another tool, an older run, or a network
        that chose no epoch on rows of its own.
    audit : mapping
        What was checked before any work (``level``), what was found (``findings``) and which leaks the user accepted
        (``allowed``); empty where nobody audited: an older run, or another tool's.
    """

    name: str
    predictions: Predictions
    candidate: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    folds: tuple[Mapping[str, Any], ...] = ()
    seconds: float | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    inner: InnerPredictions | None = None
    audit: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path | str) -> Path:
        """Write ``predictions.csv``, ``inner.csv``, then ``run.json``; a folder with the last is a finished run."""
        folder = Path(folder)
        self.predictions.save(folder / PREDICTIONS_CSV)
        if self.inner is not None:
            self.inner.save(folder / INNER_CSV)
        else:
            (folder / INNER_CSV).unlink(missing_ok=True)
        tables = ("predictions", "inner")
        facts = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in tables}
        facts |= {
            "schema": SCHEMA,
            "positive": self.predictions.positive,
            "predictions_digest": self.predictions.digest,
            "inner_digest": None if self.inner is None else self.inner.digest,
        }
        with write_text(folder / RUN_JSON) as stream:
            json.dump(facts, stream, indent=1, ensure_ascii=False)
        return folder

    @classmethod
    def load(cls, path: Path | str, *, positive: str | None = None) -> Run:
        """Read a run folder, or a bare predictions CSV of any tool.

        Raises
        ------
        RunError
            No such run, an unfinished or damaged one, or one of another version.
        PredictionsError
            Its predictions cannot be read.
        """
        path = Path(path)
        if path.is_file():
            predictions = Predictions.load(path, positive=positive)
            name = path.resolve().parent.name if path.stem == "predictions" else path.stem
            return cls(name=name or path.stem, predictions=predictions)
        if not (path / PREDICTIONS_CSV).is_file():
            raise RunError(f"{path}: not a run (no {PREDICTIONS_CSV}); give run folders or predictions files")
        if not (path / RUN_JSON).is_file():
            raise RunError(f"{path}: an unfinished run (no {RUN_JSON}); run its command again to finish it")
        try:
            facts = parse_json((path / RUN_JSON).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path / RUN_JSON}: cannot be read: {error}") from error
        if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
            schema = facts.get("schema") if isinstance(facts, dict) else None
            raise RunError(f"{path}: schema {schema} of another leukfeat; this one reads schema {SCHEMA}")
        odd = [name for name, kind in _KINDS.items() if not isinstance(facts.get(name), kind)]
        if odd:
            raise RunError(f"{path / RUN_JSON}: {odd[0]} is missing or of a wrong type; run its command again")
        predictions = Predictions.load(path / PREDICTIONS_CSV, positive=facts.get("positive"))
        if predictions.digest != facts["predictions_digest"]:
            raise RunError(
                f"{path}: {PREDICTIONS_CSV} is not the one {RUN_JSON} was written for; run its command again, or give"
                f" the file {PREDICTIONS_CSV} itself"
            )
        inner = None if facts.get("inner_digest") is None else _read_inner(path, facts)
        return cls(
            name=facts["name"],
            predictions=predictions if positive is None else predictions.with_positive(positive),
            candidate=facts["candidate"],
            data=facts["data"],
            split=facts["split"],
            notes=tuple(facts["notes"]),
            folds=tuple(facts["folds"]),
            seconds=facts["seconds"],
            environment=facts["environment"],
            cost=facts.get("cost", {}),
            inner=inner if inner is None or positive is None else inner.with_positive(positive),
            audit=facts.get("audit", {}),
        )


def _read_inner(path: Path, facts: Mapping[str, Any]) -> InnerPredictions:
    """The inner predictions that a run file names."""
    inner = InnerPredictions.load(path / INNER_CSV, positive=facts.get("positive"))
    if inner.digest != facts["inner_digest"]:
        raise RunError(f"{path}: {INNER_CSV} is not the one {RUN_JSON} was written for; run its command again")
    return inner


def is_unfinished(path: Path) -> bool:
    """Whether a folder is a run that was stopped, or is at work: it has a recipe and no ``run.json`` yet."""
    return (path / RECIPE_YAML).is_file() and not (path / RUN_JSON).is_file()


def find_runs(folder: Path | str) -> list[Path]:
    """The finished runs in a folder, by name; a stopped run and anything else in it is passed over.

    Raises
    ------
    RunError
        There is no finished run.
    """
    folder = Path(folder)
    found = sorted(path.parent for path in folder.glob(f"[!.]*/{RUN_JSON}"))
    if not found:
        raise RunError(f"{folder}: no finished run in it; make one with 'leukfeat fit-head', or name run folders")
    return found
