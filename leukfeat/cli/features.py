"""``leukfeat extract``: embeddings into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from leukfeat.cli import options as o
from leukfeat.cli.console import Progress, progress, say, say_json

if TYPE_CHECKING:
    from leukfeat.experiments.stages import Watcher
    from leukfeat.features.extraction import ExtractionReport

_SHOWN_FAILURES = 50


def extract(
    data: o.Data = None,
    backbone: o.BackboneNames = None,
    weights: o.Weights = None,
    pooling: o.Pooling = None,
    layer: o.Layer = None,
    attention: o.Attention = None,
    views: o.Views = None,
    finetune_epochs: o.FinetuneEpochs = None,
    finetune: o.Finetune = None,
    head_trains_on: o.HeadTrainsOn = None,
    split: o.Split = None,
    split_file: o.SplitFile = None,
    folds: o.Folds = None,
    repeats: o.Repeats = None,
    fractions: o.Fractions = None,
    test_part: o.TestPart = None,
    seed: o.Seed = None,
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
    dataset: o.Dataset = None,
    subjects: o.Subjects = None,
    subjects_from: o.SubjectsFrom = None,
    follow_links: o.FollowLinks = False,
    positive: o.Positive = None,
    rehash: o.Rehash = False,
    as_json: o.Json = False,
) -> None:
    """Compute the embeddings of every image that the store does not hold yet.

    With --finetune-epochs the backbone is first trained on the training subjects of every fold of the split, and gives
    the features of that fold.

    Example: leukfeat extract cells.csv --backbone efficientnet_b0 --weights random
    """
    given = locals()
    from leukfeat.experiments.stages import extract_recipe

    recipe = o.recipe_of(data, {**o.flags_of(given), "backbone": o.backbones_of(given)})
    with progress() as shown:
        reports = extract_recipe(
            recipe, watcher=watcher(shown, quiet=as_json), rehash=rehash, backend=o.backend_of(given)
        )
    if as_json:
        say_json([report.to_dict() for report in reports])
    if any(report.failed for report in reports) and not recipe.extraction.skip_errors:
        raise typer.Exit(1)


def watcher(shown: Progress, *, quiet: bool) -> Watcher:
    """What the commands show while a recipe runs."""
    from leukfeat.experiments.forwarding import Forwarding
    from leukfeat.experiments.stages import Watcher

    return Watcher(
        told=(lambda line: None) if quiet else say,
        hashing=shown.bar("checksums"),
        rendering=shown.bar("cells"),
        forwarding=Forwarding(
            progress=shown.bar("extract"),
            reported=None if quiet else _print_report,
            trained=shown.training,
            told=None if quiet else say,
        ),
        folds=shown.update,
        auditing=shown.update,
    )


def _print_report(report: ExtractionReport) -> None:
    """A table of what failed, if anything did, and the line of counts."""
    for sample, path, reason in report.failed[:_SHOWN_FAILURES]:
        say(f"  failed: {sample}: {reason}" + (f" ({path})" if path != sample else ""))
    if len(report.failed) > _SHOWN_FAILURES:
        say(f"  … and {len(report.failed) - _SHOWN_FAILURES} more failed (--json lists all)")
    say(report.describe())
