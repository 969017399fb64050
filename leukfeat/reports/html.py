"""The report as one page that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from leukfeat.evaluation.caveats import caveats
from leukfeat.evaluation.metrics import METRICS, Score
from leukfeat.evaluation.runs import Run
from leukfeat.reports.contents import Note, cohort_facts, flat, parameters
from leukfeat.reports.table import Cell, Estimate, Table

if TYPE_CHECKING:
    from jinja2 import Template

_COMMAND = "command"  # where a run's environment keeps the words it was started with
_CAPTIONS: Mapping[str, tuple[str, str]] = {
    "roc": ("ROC curves over cells", "Out-of-fold predictions of all folds together; the legend gives the area."),
    "confusion": ("Confusion matrices over cells", "Counts, and the share of the true class (also as shade)."),
    "subject-accuracy": (
        "Accuracy by subject",
        "A row is a subject, a dot is a run; the bar spans the runs. The worst subjects stand first.",
    ),
}


def render(
    runs: Sequence[Run],
    notes: Iterable[Note],
    tables: Mapping[str, Table],
    figures: Mapping[str, str],
    *,
    main: str,
    no_subjects: str = "",
) -> str:
    """The page, as text.

    Every name is escaped; figures are embedded as images, so nothing in them can act on the page.

    Parameters
    ----------
    runs : sequence of Run
        Aligned, in the order of the page.
    notes : iterable of Note
        What stands above all numbers.
    tables, figures : mapping
        By name; figures as SVG.
    main : str
        The metric that orders the runs.
    no_subjects : str
        Why there is no subject level; empty where there is one.
    """
    environments = [flat({name: value for name, value in run.environment.items() if name != _COMMAND}) for run in runs]
    shared = environments[0] if all(facts == environments[0] for facts in environments) else {}
    return _template().render(
        runs=runs,
        notes=list(notes),
        facts=cohort_facts(runs),
        tables=tables,
        no_subjects=no_subjects,
        figures=[
            {"name": name, "title": _CAPTIONS[name][0], "caption": _CAPTIONS[name][1], "data": _data_uri(svg)}
            for name, svg in figures.items()
        ],
        main=METRICS[main].title_for(len(runs[0].predictions.classes)),
        environment=shared,
        details=[
            _details(run, {} if shared else environment) for run, environment in zip(runs, environments, strict=True)
        ],
    )


def _details(run: Run, environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": run.name,
        "notes": caveats(run),
        "candidate": flat(run.candidate),
        "parameters": parameters(run),
        "environment": environment,
        "command": run.environment.get(_COMMAND, ""),
    }


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("leukfeat", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sort_key"] = _sort_key
    return environment.get_template("report.html.j2")


def _sort_key(cell: Cell) -> str:
    """What a column is sorted by: the number to its last digit, or the name; empty sorts last."""
    if isinstance(cell, Estimate):
        return _sort_key(cell.score)
    if isinstance(cell, Score):
        return repr(cell.value) if cell.defined else ""
    return "" if cell is None else str(cell)


def _data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
