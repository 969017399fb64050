"""``leukfeat cache …``: what a feature store holds, whether it is sound, what can go, and features for other tools."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leukfeat.cli import options as o
from leukfeat.cli.console import progress, say, say_json
from leukfeat.cli.features import watcher

if TYPE_CHECKING:
    from leukfeat.features.store import FeatureStore

app = typer.Typer(help="Look after a feature store.", no_args_is_help=True, rich_markup_mode=None)


@app.command("ls")
def ls(cache: o.Cache = None, as_json: o.Json = False) -> None:
    """List the keys of a store: network, images, dimension, parts, size.

    Example: leukfeat cache ls
    """
    from leukfeat.features.upkeep import list_keys

    keys = list_keys(_store(cache))
    if as_json:
        say_json([key.to_dict() for key in keys])
        return
    for key in keys:
        told = f"{key.images:,} images × {key.dim}, {key.precision}, {key.parts} parts, {key.bytes / 1e6:,.1f} MB"
        say(f"{key.folder}: {key.problem or told}" + (f"; weights: {key.origin}" if key.origin else ""))
    say(f"{len(keys)} keys, {sum(key.bytes for key in keys) / 1e6:,.1f} MB in {_store(cache).root}")


@app.command("verify")
def verify(cache: o.Cache = None, as_json: o.Json = False) -> None:
    """Read every row of every part and compare checksums; exit status 1 when something is wrong.

    Example: leukfeat cache verify
    """
    from leukfeat.features.upkeep import verify as verify_store

    found = verify_store(_store(cache))
    if as_json:
        say_json(asdict(found))
    else:
        for problem in found.problems:
            say(f"  {problem}")
        say(f"{found.keys} keys, {found.parts} parts, {found.rows:,} rows, {len(found.problems)} problems")
    raise typer.Exit(1 if found.problems else 0)


@app.command("gc")
def gc(
    cache: o.Cache = None,
    unused_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Also delete keys nobody has added to for so long.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this only say what would be done.")] = False,
    as_json: o.Json = False,
) -> None:
    """Delete leftovers of killed processes, move damaged parts aside; a dry run unless --yes is given.

    Example: leukfeat cache gc
    """
    from leukfeat.features.upkeep import collect_garbage

    removals = collect_garbage(_store(cache), unused_days=unused_days, dry_run=not yes)
    if as_json:
        say_json([{**asdict(removal), "path": str(removal.path)} for removal in removals])
        return
    done = {True: "moved aside", False: "deleted"} if yes else {True: "would move aside", False: "would delete"}
    for removal in removals:
        say(f"  {done[removal.aside]}: {removal.path} ({removal.bytes / 1e6:,.1f} MB): {removal.reason}")
    hint = "" if yes or not removals else "; nothing done yet, --yes does it"
    say(f"{len(removals)} found, {sum(removal.bytes for removal in removals) / 1e6:,.1f} MB{hint}")


@app.command("compact")
def compact(cache: o.Cache = None, as_json: o.Json = False) -> None:
    """Join the small parts of each key into large ones; every row stays.

    Example: leukfeat cache compact
    """
    from leukfeat.features.upkeep import compact as compact_store

    joined = compact_store(_store(cache))
    if as_json:
        say_json(joined)
        return
    for folder, parts in joined.items():
        say(f"{folder}: {parts} parts joined")
    say(f"{len(joined)} keys compacted")


@app.command("export")
def export(
    data: o.Data = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Ends in .h5, .parquet or .npz.")
    ] = Path("features.h5"),
    backbone: o.BackboneNames = None,
    weights: o.Weights = None,
    pooling: o.Pooling = None,
    layer: o.Layer = None,
    amp_dtype: o.AmpDtype = None,
    cache: o.Cache = None,
    dataset: o.Dataset = None,
    subjects: o.Subjects = None,
    subjects_from: o.SubjectsFrom = None,
) -> None:
    """Write stored features with paths, labels and subjects for other tools (CLAM, TRIDENT, STAMP, pandas, NumPy).

    Several backbones are put side by side.

    Example: leukfeat cache export cells.csv --backbone efficientnet_b0 --weights random -o features.h5
    """
    given = locals()
    from leukfeat.experiments.stages import export_recipe

    recipe = o.recipe_of(data, {**o.flags_of(given), "backbone": o.backbones_of(given)})
    with progress() as shown:
        features, missing = export_recipe(recipe, output, watcher(shown, quiet=False))
    say(
        f"wrote {output}: {len(features):,} samples × {features.dim}"
        + (f", {missing:,} without features" if missing else "")
    )


def _store(cache: Path | None) -> FeatureStore:
    from leukfeat.experiments.stages import default_cache
    from leukfeat.features.store import FeatureStore

    return FeatureStore(cache or default_cache())
