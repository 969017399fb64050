"""``leukfeat compare``: runs side by side, with intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leukfeat.cli import options as o
from leukfeat.cli.console import progress, say, say_json, typed

if TYPE_CHECKING:
    from leukfeat.evaluation.runs import Run
    from leukfeat.evaluation.studies import Study
    from leukfeat.evaluation.uncertainty import Uncertainty
    from leukfeat.reports.comparison import Comparison


def compare(
    context: typer.Context,
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN…", help="Run folders or predictions files. [default: runs/*]")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the report.")] = Path(
        "report"
    ),
    positive: o.Positive = None,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="Orders the runs, and differences are tested on it.")
    ] = "auroc",
    reference: Annotated[
        str | None, typer.Option(metavar="RUN", help="Test every run against this one. [default: every pair]")
    ] = None,
    interval: Annotated[str, typer.Option(metavar="METHOD", help="t (for few subjects), percentile or bca.")] = "t",
    confidence: Annotated[float, typer.Option(metavar="LEVEL", help="Of intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option(metavar="B", help="Resamples of subjects.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    calibrate: Annotated[
        str, typer.Option(metavar="METHOD", help="temperature, platt or isotonic; learned in training parts.")
    ] = "temperature",
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="Operating point chosen in training parts: sensitivity=0.95, specificity=0.9, ppv=0.8, npv=0.99 or"
            " youden; repeatable. [default: sensitivity=0.95]",
        ),
    ] = None,
    conservative: Annotated[
        bool, typer.Option("--conservative", help="A lower bound must reach the target, not the estimate.")
    ] = False,
    prevalence: Annotated[
        list[float] | None, typer.Option(metavar="SHARE", help="Predictive values where so many are positive.")
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Runs of the same candidates on several data sets: rank the candidates.")
    ] = False,
    leakage_meter: Annotated[
        bool,
        typer.Option("--leakage-meter", help="Also run the same candidate under looser splits: what would leaks gain?"),
    ] = False,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also run it on growing numbers of training subjects.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Put runs on the same split side by side, per cell and per subject: terminal, Markdown, CSV and HTML.

    Every number has an interval from resampling subjects, and every difference between runs is tested on the same
    resamples.

    Example: leukfeat compare runs/* -o report
    """
    from leukfeat.evaluation.runs import find_runs, is_unfinished
    from leukfeat.evaluation.uncertainty import uncertainty
    from leukfeat.reports.comparison import compare as compare_runs
    from leukfeat.reports.folders import load_runs
    from leukfeat.reports.inside import DEFAULT_TARGET, Asked

    paths = runs or find_runs(Path("runs"))
    unfinished = [path for path in paths if is_unfinished(path)] if len(paths) > 1 else []
    for path in unfinished:
        typer.echo(f"left out: {path}: unfinished; run its command again", err=True)
    finished = [path for path in paths if path not in unfinished]
    studies = _studies_of(finished, metric, leakage=leakage_meter, curve=learning_curve, quiet=as_json)
    loaded = load_runs(finished, positive=positive)
    how = uncertainty(interval, confidence, resamples, seed)
    if grid:
        _print_grid(loaded, metric, how, output, as_json=as_json)
        return
    asked = Asked(calibrate, tuple(at or (DEFAULT_TARGET,)), conservative, tuple(prevalence or ()))
    comparison = compare_runs(
        loaded,
        positive,
        main=metric,
        how=how,
        reference=reference,
        asked=asked,
        paths=finished,
        command=typed(context),
    )
    written = comparison.save(output)
    asked_for = (("operating-points", at), ("predictive-values", prevalence))
    print_comparison(comparison, written, studies, as_json=as_json, tables=[name for name, was in asked_for if was])


def _studies_of(paths: Sequence[Path], metric: str, *, leakage: bool, curve: bool, quiet: bool) -> list[Study]:
    """Make the studies asked for of every run folder; what they need is run, or found finished."""
    if not (leakage or curve):
        return []
    from leukfeat.cli.features import watcher
    from leukfeat.experiments.leakage_meter import leakage_meter_of
    from leukfeat.experiments.learning_curve import learning_curve_of

    with progress() as shown:
        told = watcher(shown, quiet=quiet)
        return [
            study(path, told, metric=metric)
            for path in paths
            for study, wanted in ((leakage_meter_of, leakage), (learning_curve_of, curve))
            if wanted
        ]


def _print_grid(runs: Sequence[Run], metric: str, how: Uncertainty, output: Path, *, as_json: bool) -> None:
    from leukfeat.reports.grid import grid as make_grid

    found = make_grid(runs, metric, how)
    written = found.save(output)
    if as_json:
        say_json({**found.to_dict(), "written": [str(path) for path in written]})
        return
    for line in found.lines():
        say(line)
    say(f"wrote {written[0]} and {len(written) - 1} files beside it")


def print_comparison(
    comparison: Comparison,
    written: list[Path],
    studies: Sequence[Study] = (),
    *,
    as_json: bool,
    folders: Sequence[Path] = (),
    tables: Sequence[str] = (),
) -> None:
    """Print a comparison, some more of its tables, and what was written of it."""
    if as_json:
        paths = {"folders": folders, "written": written}
        told = {name: [str(path) for path in found] for name, found in paths.items()}
        say_json({**comparison.to_dict(), "studies": [study.to_dict() for study in studies], **told})
        return
    for line in comparison.lines():
        say(line)
    for table in (comparison.tables[name] for name in tables if name in comparison.tables):
        for line in ["", table.title, *table.to_lines()]:
            say(line)
    if studies:
        from leukfeat.reports.studies import study_lines

        for study in studies:
            for line in ["", *study_lines(study)]:
                say(line)
    for path in written[:1]:
        say(f"wrote {path} and {len(written) - 1} files beside it" if len(written) > 1 else f"wrote {path}")
