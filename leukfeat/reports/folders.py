"""What stands beside the predictions in a run folder and belongs into a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from leukfeat.audit.measurements import Measurements
from leukfeat.errors import LeukfeatError, RecipeError
from leukfeat.evaluation.leakage_meter import LeakageMeter
from leukfeat.evaluation.learning_curve import LearningCurve
from leukfeat.evaluation.runs import INNER_CSV, PREDICTIONS_CSV, RECIPE_YAML, RUN_JSON, Run
from leukfeat.evaluation.site_matrix import SiteMatrix
from leukfeat.evaluation.studies import Study
from leukfeat.jsonfiles import parse_json
from leukfeat.reports.processes import of_each
from leukfeat.yamlfiles import read_yaml

CARD = "model/MODEL_CARD.md"
EXPLANATIONS = "explanations"
MEASUREMENTS = "measurements.csv"

FILES = (RECIPE_YAML, RUN_JSON, PREDICTIONS_CSV, INNER_CSV, "split.csv", "trials.csv", "model/bundle.json", CARD)
"""Files that a checklist may point to."""

AnyStudy = TypeVar("AnyStudy", bound=Study)

_BYTES_A_ROW = 100  # of a predictions file, at least


def load_runs(paths: Sequence[Path], *, positive: str | None = None) -> list[Run]:
    """Read run folders or predictions files, many at once where they are large.

    Raises
    ------
    RunError, PredictionsError
        As :meth:`~leukfeat.evaluation.runs.Run.load`, of the first that cannot be read.
    """
    files = [file for path in paths for file in (path, path / PREDICTIONS_CSV, path / INNER_CSV) if file.is_file()]
    rows = sum(file.stat().st_size for file in files) // _BYTES_A_ROW
    return of_each(partial(Run.load, positive=positive), paths, rows=rows)


@dataclass(frozen=True, eq=False)
class RunFolder:
    """The optional content of a run folder.

    Attributes
    ----------
    path : Path
        Where it is.
    files : tuple of str
        Those of :data:`FILES` that are there.
    paper, reported : mapping
        What the recipe says of a paper, and the numbers it reports; empty where it is of none.
    unstated : tuple of str
        What the paper does not say, and what was taken instead.
    card : str
        The model card, Markdown; empty where there is none.
    areas : mapping of str to float
        Foreground of each sample in square pixels; empty where nobody measured.
    explanations : mapping
        What ``leukfeat explain`` recorded in ``explanations/``; empty where there is none.
    learning_curve, leakage_meter, site_matrix : Study or None
        Studies of this run.
    problems : tuple of str
        Files that are there and cannot be read.
    """

    path: Path
    files: tuple[str, ...] = ()
    paper: Mapping[str, Any] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)
    unstated: tuple[str, ...] = ()
    card: str = ""
    areas: Mapping[str, float] = field(default_factory=dict)
    explanations: Mapping[str, Any] = field(default_factory=dict)
    learning_curve: LearningCurve | None = None
    leakage_meter: LeakageMeter | None = None
    site_matrix: SiteMatrix | None = None
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path | str) -> RunFolder:
        """Whatever is there; a file that cannot be read is a problem to be told, and stops nothing."""
        path = Path(path)
        reading = _Reading(path)
        recipe = reading.recipe()
        return cls(
            path=path,
            files=tuple(name for name in FILES if (path / name).is_file()),
            paper=_mapping(recipe.get("paper")),
            reported={name: value for name, value in _mapping(recipe.get("reported")).items() if _number(value)},
            unstated=tuple(map(str, _listed(recipe.get("unstated")))),
            card=reading.text(CARD),
            areas=reading.areas(),
            explanations=reading.explanations(),
            learning_curve=reading.study(LearningCurve),
            leakage_meter=reading.study(LeakageMeter),
            site_matrix=reading.study(SiteMatrix),
            problems=tuple(reading.problems),
        )

    def picture(self, kind: str) -> bytes:
        """A sheet of explanations, ``"random"`` or ``"worst"``; empty where there is none."""
        file = self.path / EXPLANATIONS / f"{kind}.png"
        return file.read_bytes() if self.explanations and file.is_file() else b""


class _Reading:
    """Reads optional files and remembers what went wrong.

    Parameters
    ----------
    path : Path
        The run folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        file = self.path / name
        try:
            return file.read_text(encoding="utf-8") if file.is_file() else ""
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{file}: cannot be read: {error}")
            return ""

    def recipe(self) -> Mapping[str, Any]:
        file = self.path / RECIPE_YAML
        try:
            return _mapping(read_yaml(file) if file.is_file() else None)
        except RecipeError as error:
            self.problems.append(str(error))
            return {}

    def explanations(self) -> Mapping[str, Any]:
        name = f"{EXPLANATIONS}/explanations.json"
        try:
            return _mapping(parse_json(self.text(name) or "{}"))
        except ValueError as error:
            self.problems.append(f"{self.path / name}: cannot be read: {error}")
            return {}

    def areas(self) -> Mapping[str, float]:
        file = self.path / MEASUREMENTS
        try:
            return Measurements.load(file).area if file.is_file() else {}
        except (LeukfeatError, OSError) as error:
            self.problems.append(str(error))
            return {}

    def study(self, kind: type[AnyStudy]) -> AnyStudy | None:
        file = self.path / kind.file_name
        try:
            return kind.load(file) if file.is_file() else None
        except LeukfeatError as error:
            self.problems.append(str(error))
            return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
