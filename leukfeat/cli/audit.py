"""``leukfeat audit``: is the data, the split or a run sound?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leukfeat.cli import options as o
from leukfeat.cli.console import progress, say, say_json
from leukfeat.cli.features import watcher


def audit(
    data: o.Data = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="KIND|FILE", help="A kind of split (see fit-head), or a split file. [default: grouped]"),
    ] = None,
    folds: o.Folds = None,
    repeats: o.Repeats = None,
    fractions: o.Fractions = None,
    test_part: o.TestPart = None,
    seed: o.Seed = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Also check what this run, or predictions file, was made on.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Features with ids: do they tell subject or site?")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights that leukfeat trained: were they trained on test images?"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--basic", help="Look at images too, or only at hashes, links and folds.")
    ] = True,
    allow: o.Allow = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for audit.json and sheets.")
    ] = Path("audit"),
    write_groups: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Write the manifest with near-duplicates as groups, for --split grouped."),
    ] = None,
    dataset: o.Dataset = None,
    subjects: o.Subjects = None,
    subjects_from: o.SubjectsFrom = None,
    follow_links: o.FollowLinks = False,
    positive: o.Positive = None,
    as_json: o.Json = False,
) -> None:
    """Look for duplicates, subjects on both sides, leaks and shortcuts; exit with 1 if there is an undeclared leak.

    Example: leukfeat audit cells.csv --split grouped --folds 2 -o audit
    """
    recipe = o.recipe_of(data, {**o.flags_of({**locals(), "split": None, "features": None}), **o.split_of(split)})
    from leukfeat.data.reading import may_be_replaced
    from leukfeat.experiments.audit_command import Asked, audit_data

    if write_groups is not None:
        may_be_replaced(write_groups)
    asked = Asked(run=run, features=features, weights=weights, full=full, needs_groups=write_groups is not None)
    with progress() as shown:
        found = audit_data(recipe, asked, watcher(shown, quiet=as_json))
    written = found.save(output, write_groups)
    if as_json:
        say_json({**found.audit.to_dict(), "written": [str(path) for path in written]})
    else:
        for line in found.audit.lines():
            say(line)
        say(f"wrote {written[0]}" + (f" and {len(written) - 1} files beside it" if len(written) > 1 else ""))
        if write_groups is not None:
            say(f"use the groups with: leukfeat fit-head {write_groups} --split grouped")
    if found.audit.leaks:
        raise typer.Exit(1)
