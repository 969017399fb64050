"""``leukfeat cache …``: what a feature store holds, whether it is sound, what can go, and features for other tools."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leukfeat.cli import options as o
from leukfeat.cli.console import progress, say, say_json
from leukfeat.cli.features import watcher
from leukfeat.errors import UsageError

if TYPE_CHECKING:
    from leukfeat.features.store import FeatureStore

app = typer.Typer(help="Look after a feature store.", no_args_is_help=True, rich_markup_mode=None)


@app.command("ls")
def ls(cache: o.Cache = None, as_json: o.Json = False) -> None:
    """List the keys of a store: network, images, dimension, parts, size.

    Example: leukfeat cache ls
    """
    from leukfeat.features.upkeep import list_folders, list_keys

    store = _store(cache)
    keys, folders = list_keys(store), list_folders(store)
    if as_json:
        say_json([key.to_dict() for key in keys])
        return
    for key in keys:
        told = f"{key.images:,} images × {key.dim}, {key.precision}, {key.parts} parts, {key.bytes / 1e6:,.1f} MB"
        say(f"{key.folder}: {key.problem or told}" + (f"; weights: {key.origin}" if key.origin else ""))
    for folder in folders:
        say(f"{folder.folder}/: {folder.files} files, {folder.bytes / 1e6:,.1f} MB")
    size = sum(key.bytes for key in keys) + sum(folder.bytes for folder in folders)
    say(f"{len(keys)} keys, {size / 1e6:,.1f} MB in {store.root}")


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
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Also delete what nothing has been added to for so long.")
    ] = None,
    unused_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Also delete what nobody has used for so long.")
    ] = None,
    keep_bytes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Also delete what was used least recently, until so much is left, e.g. 20GB."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this only say what would be done.")] = False,
    as_json: o.Json = False,
) -> None:
    """Delete leftovers of killed processes, move damaged parts aside; a dry run unless --yes is given.

    Example: leukfeat cache gc
    """
    from leukfeat.features.garbage import collect_garbage

    removals = collect_garbage(
        _store(cache),
        older_than_days=older_than,
        unused_days=unused_days,
        keep_bytes=None if keep_bytes is None else _bytes_of(keep_bytes),
        dry_run=not yes,
    )
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
    from leukfeat.features.compaction import compact as compact_store

    joined = compact_store(_store(cache))
    if as_json:
        say_json(joined)
        return
    for folder, parts in joined.items():
        say(f"{folder}: {parts} parts joined")
    say(f"{len(joined)} keys compacted")


@app.command("merge")
def merge(
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="Another feature store; it is only read.")],
    cache: o.Cache = None,
    as_json: o.Json = False,
) -> None:
    """Add the rows of another store that are missing here; exit status 1 when some had to be left out.

    Example: leukfeat cache merge colleague/cache
    """
    from leukfeat.features.merging import merge as merge_stores
    from leukfeat.features.store import FeatureStore

    merged = merge_stores(_store(cache), FeatureStore(other))
    if as_json:
        say_json(asdict(merged))
    else:
        for problem in merged.problems:
            say(f"  {problem}")
        both = f", differing by {merged.largest_difference:.1e} at most" if merged.held else ""
        say(
            f"{merged.keys} keys, {merged.parts} parts: {merged.added:,} rows added, {merged.held:,} held before{both},"
            f" {len(merged.problems)} problems"
        )
    raise typer.Exit(1 if merged.problems else 0)


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="HDF5, parquet, npz or h5ad files, or a folder of HDF5 files."),
    ],
    encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="What computed them. [default: what the files say]")
    ] = None,
    cache: o.Cache = None,
    as_json: o.Json = False,
) -> None:
    """Take features of other tools (CLAM, TRIDENT, STAMP, thingsvision) into the store, with their ids.

    Example: leukfeat cache import features.h5
    """
    from leukfeat.features.importing import import_features

    found = import_features(files, _store(cache), encoder=encoder)
    if as_json:
        say_json({**asdict(found), "folder": str(found.folder)})
        return
    say(f"{found.folder}: {found.samples:,} samples × {found.dim} of {found.encoder}, {found.added:,} added")
    say(f"use them with: leukfeat fit-head DATA --features {found.folder} --head xgboost")


@app.command("export")
def export(
    data: o.Data = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Ends in .h5, .parquet, .npz or .h5ad.")
    ] = Path("features.h5"),
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="h5, clam (a folder), parquet, npz or anndata. [default: the suffix]"
        ),
    ] = None,
    backbone: o.BackboneNames = None,
    weights: o.Weights = None,
    pooling: o.Pooling = None,
    layer: o.Layer = None,
    amp_dtype: o.AmpDtype = None,
    cache: o.Cache = None,
    dataset: o.Dataset = None,
    subjects: o.Subjects = None,
    subjects_from: o.SubjectsFrom = None,
    follow_links: o.FollowLinks = False,
) -> None:
    """Write stored features with paths, labels and subjects for other tools (CLAM, TRIDENT, STAMP, AnnData, pandas).

    Several backbones are put side by side.

    Example: leukfeat cache export cells.csv --backbone efficientnet_b0 --weights random -o features.h5
    """
    given = locals()
    from leukfeat.experiments.stages import export_recipe

    recipe = o.recipe_of(data, {**o.flags_of(given), "backbone": o.backbones_of(given)})
    with progress() as shown:
        features, missing = export_recipe(recipe, output, watcher(shown, quiet=False), form=form)
    say(
        f"wrote {output}: {len(features):,} samples × {features.dim}"
        + (f", {missing:,} without features" if missing else "")
    )


def _bytes_of(size: str) -> int:
    """A size as people write it: 500MB, 1.5 TB, 20GiB, or a number of bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?\s*", size, re.IGNORECASE)
    if found is None:
        raise UsageError(f"--keep-bytes {size}: write a size, e.g. 500MB or 20GB")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** ("", "k", "m", "g", "t").index(prefix.lower()))


def _store(cache: Path | None) -> FeatureStore:
    from leukfeat.experiments.stages import default_cache
    from leukfeat.features.store import FeatureStore

    return FeatureStore(cache or default_cache())
