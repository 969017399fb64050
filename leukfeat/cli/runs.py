"""``leukfeat fit-head``, ``fit-net`` and ``run``: candidates evaluated, each in a run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leukfeat.cli import options as o
from leukfeat.cli.compare import print_comparison
from leukfeat.cli.console import progress
from leukfeat.cli.features import watcher

if TYPE_CHECKING:
    from leukfeat.experiments.backends import Backend
    from leukfeat.experiments.recipe import Recipe

Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of run folders. [default: runs]")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, metavar="N", help="Folds at once. [default: processors]")]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        help="Journal file, or database (postgresql+psycopg://user@host/name), whose trials all processes share that"
        " run the same command. [default: a journal in the run folder]",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Run again what is finished.")]


def fit_head(
    data: o.Data = None,
    head: Annotated[list[str] | None, typer.Option(metavar="NAME", help="See 'leukfeat models'; repeatable.")] = None,
    backbone: o.BackboneNames = None,
    weights: o.Weights = None,
    pooling: o.Pooling = None,
    layer: o.Layer = None,
    attention: o.Attention = None,
    views: o.Views = None,
    finetune_epochs: o.FinetuneEpochs = None,
    finetune: o.Finetune = None,
    head_trains_on: o.HeadTrainsOn = None,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Features with ids (HDF5, parquet, npz) in place of a backbone.")
    ] = None,
    split: o.Split = None,
    split_file: o.SplitFile = None,
    folds: o.Folds = None,
    repeats: o.Repeats = None,
    fractions: o.Fractions = None,
    test_part: o.TestPart = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Optuna trials a fold. [default: 30]")] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop tuning a fold after this time.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What tuning makes better: auroc, balanced_accuracy, accuracy, weighted_f1, macro_f1, mcc or log_loss."
            " [default: auroc for two classes, else balanced_accuracy]",
        ),
    ] = None,
    seed: o.Seed = None,
    storage: Storage = None,
    jobs: Jobs = None,
    out: Out = None,
    overwrite: Overwrite = False,
    dataset: o.Dataset = None,
    subjects: o.Subjects = None,
    subjects_from: o.SubjectsFrom = None,
    follow_links: o.FollowLinks = False,
    positive: o.Positive = None,
    cache: o.Cache = None,
    device: o.Device = None,
    amp_dtype: o.AmpDtype = None,
    batch_size: o.BatchSize = None,
    num_workers: o.NumWorkers = None,
    engine: o.Engine = None,
    skip_errors: o.SkipErrors = False,
    backend_name: o.BackendName = None,
    address: o.Address = None,
    workers: o.Workers = None,
    shard_size: o.ShardSize = None,
    audit_level: o.AuditLevel = None,
    no_audit: o.NoAudit = False,
    allow: o.Allow = None,
    as_json: o.Json = False,
) -> None:
    """Tune a head on features, test it on patients it has not seen, and keep the model.

    Missing features are extracted first; with --finetune-epochs the backbone is trained on the training subjects of
    every fold before that. The same command continues a stopped run.

    Example: leukfeat fit-head cells.csv --backbone efficientnet_b0 --weights random --head xgboost --trials 10
    """
    given = locals()
    together = o.backbones_of(given)
    changes = {
        **o.flags_of(given),
        "backbone": None if together is None else [{"concatenate": together}],
        "head": o.heads_of(data, head, trials=trials, timeout=timeout, metric=metric),
    }
    recipe = o.recipe_of(data, changes).model_copy(update={"network": (), "ensemble": ()})
    backend = o.backend_of(given)
    _execute(recipe, jobs=jobs, storage=storage, overwrite=overwrite, as_json=as_json, report=None, backend=backend)


def fit_net(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA|RECIPE",
            help="Manifest CSV, data-set folder, or a recipe; without it ./leukfeat.yaml answers.",
        ),
    ] = None,
    backbone: o.BackboneNames = None,
    weights: o.Weights = None,
    pooling: o.Pooling = None,
    layer: o.Layer = None,
    attention: o.Attention = None,
    views: o.Views = None,
    finetune_epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs of training.")] = None,
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="adamw, adam, adamax or sgd. [default: adamw]")
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate.")] = None,
    finetune: o.Finetune = None,
    split: o.Split = None,
    split_file: o.SplitFile = None,
    folds: o.Folds = None,
    repeats: o.Repeats = None,
    fractions: o.Fractions = None,
    test_part: o.TestPart = None,
    seed: o.Seed = None,
    out: Out = None,
    overwrite: Overwrite = False,
    dataset: o.Dataset = None,
    subjects: o.Subjects = None,
    subjects_from: o.SubjectsFrom = None,
    follow_links: o.FollowLinks = False,
    positive: o.Positive = None,
    cache: o.Cache = None,
    device: o.Device = None,
    amp_dtype: o.AmpDtype = None,
    batch_size: o.BatchSize = None,
    num_workers: o.NumWorkers = None,
    engine: o.Engine = None,
    skip_errors: o.SkipErrors = False,
    backend_name: o.BackendName = None,
    address: o.Address = None,
    workers: o.Workers = None,
    shard_size: o.ShardSize = None,
    audit_level: o.AuditLevel = None,
    no_audit: o.NoAudit = False,
    allow: o.Allow = None,
    as_json: o.Json = False,
) -> None:
    """Train a network end to end in every fold, test it on patients it has not seen, and keep the model.

    Several --backbone are networks of their own. The same command continues a stopped training.

    Example: leukfeat fit-net cells.csv --backbone resnet18 --weights random --attention cbam --epochs 1 --folds 2
    """
    given = locals()
    networks = o.backbones_of(given)
    if networks is not None:
        size = {"batch_size": batch_size} if batch_size is not None else {}
        networks = [{**entry, "finetune": {**size, **entry.get("finetune", {})}} for entry in networks]
    recipe = o.recipe_of(data, {**o.flags_of(given), "network": networks})
    recipe = recipe.model_copy(update={"backbone": (), "head": (), "ensemble": (), "features": None})
    backend = o.backend_of(given)
    _execute(recipe, jobs=None, storage=None, overwrite=overwrite, as_json=as_json, report=None, backend=backend)


def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe (YAML).")],
    data: Annotated[
        Path | None, typer.Option(metavar="DATA", help="Manifest CSV or data-set folder, in place of the recipe's.")
    ] = None,
    jobs: Jobs = None,
    storage: Storage = None,
    backend_name: o.BackendName = None,
    address: o.Address = None,
    workers: o.Workers = None,
    shard_size: o.ShardSize = None,
    out: Out = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes. [default: the recipe's]")
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="Everything small, on generated cells: does the recipe work? No figure means anything."
        ),
    ] = False,
    overwrite: Overwrite = False,
    audit_level: o.AuditLevel = None,
    no_audit: o.NoAudit = False,
    allow: o.Allow = None,
    as_json: o.Json = False,
) -> None:
    """Run everything a recipe says and write the comparison.

    Example: leukfeat run configs/quickstart.yaml
    """
    from leukfeat.experiments.recipe import load_recipe, recipe_from

    typed = locals()
    given, backend = o.audit_of(typed), o.backend_of(typed)
    loaded = load_recipe(recipe)
    if data is not None:
        loaded = loaded.on(data)
    if given:
        content = loaded.resolved()
        loaded = recipe_from({**content, "audit": {**content["audit"], **given}}, f"{recipe} with the options given")
    if smoke:
        from leukfeat.experiments.smoke import smoke_of

        loaded = smoke_of(loaded, out or Path("smoke"))
        out = None
    changes = {name: value for name, value in (("out", out), ("report", report)) if value is not None}
    loaded = loaded.model_copy(update=changes)
    _execute(
        loaded, jobs=jobs, storage=storage, overwrite=overwrite, as_json=as_json, report=loaded.report, backend=backend
    )


def _execute(
    recipe: Recipe,
    *,
    jobs: int | None,
    storage: str | None,
    overwrite: bool,
    as_json: bool,
    report: Path | None,
    backend: Backend | None,
) -> None:
    """Run a recipe, compare what it made, write the report where one is wanted, print the rest."""
    from leukfeat.evaluation.site_matrix import SiteMatrix
    from leukfeat.experiments.arms import Runner
    from leukfeat.experiments.run import run as run_recipe
    from leukfeat.experiments.studies import make_studies
    from leukfeat.reports.comparison import compare as compare_runs
    from leukfeat.reports.folders import load_runs

    with progress() as shown:
        how = Runner(jobs, storage, overwrite, watcher(shown, quiet=as_json), backend)
        folders: list[Path] = []
        if not recipe.sites:
            folders = run_recipe(
                recipe, n_jobs=jobs, storage=storage, overwrite=overwrite, watcher=how.watcher, backend=backend
            )
        # a finished run is not made again for a study of it
        studies = make_studies(recipe, folders, runner=how if recipe.sites else replace(how, overwrite=False))
    # of several sites the runs inside the first one stand side by side; each keeps the matrix of its candidate
    shown_runs = folders or [Path(study.cells[0].run) for study in studies if isinstance(study, SiteMatrix)]
    comparison = compare_runs(load_runs(shown_runs), paths=shown_runs)
    written = comparison.save(report) if report is not None else []
    print_comparison(comparison, written, studies, as_json=as_json, folders=shown_runs)
