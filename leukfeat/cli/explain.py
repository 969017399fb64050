"""``leukfeat explain``: where in the images a kept model's decisions come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from leukfeat.cli import options as o
from leukfeat.cli.console import progress, say, say_json


def explain(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Model bundle, or the run folder that has one.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES", help="A folder, a manifest CSV (path; label and subject where known), a pattern, files."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder for pictures and tables. [default: explanations, in the run folder where the model is of one:"
            " 'leukfeat compare' shows them]",
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Another model, drawn beside: a baseline and its variant.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="A module whose map is looked at. [default: the last map]")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="LABEL", help="The class to explain. [default: the predicted one]")
    ] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Images on each sheet.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Draws the random images.")] = 0,
    maps: Annotated[
        bool, typer.Option("--maps", help="Also draw the first layer's maps, and those before and after attention.")
    ] = False,
    sanity: Annotated[
        bool, typer.Option("--sanity", help="Also compare with maps of randomised networks: they must differ.")
    ] = False,
    ignore_labels: Annotated[
        bool, typer.Option("--ignore-labels", help="Go on where labels are not the model's classes.")
    ] = False,
    dataset: o.Dataset = None,
    follow_links: o.FollowLinks = False,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    num_workers: o.NumWorkers = None,
    skip_errors: o.SkipErrors = False,
    as_json: o.Json = False,
) -> None:
    """Draw what a kept model looks at: Grad-CAM of networks, and maps routed through heads on features.

    Images are drawn by chance and by largest loss, never chosen; how much of a map lies inside the cell is measured
    where the cell stands on black.

    Example: leukfeat explain runs/mine/model new-cells -o explanations
    """
    from leukfeat.experiments.explanation import Wish
    from leukfeat.experiments.explanation import explain as explain_images
    from leukfeat.experiments.explanation_folder import explanations_of
    from leukfeat.experiments.prediction import load

    given = {"device": device, "batch_size": batch_size, "num_workers": num_workers}
    how: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    wish = Wish(count, seed, layer, class_name, maps, sanity, ignore_labels, how)
    model, other = load(bundle), None if against is None else load(against)
    with progress() as shown:
        found = explain_images(
            model,
            images,
            output or explanations_of(bundle),
            wish,
            against=other,
            dataset=dataset,
            follow_links=follow_links,
            predicting=shown.bar("predict"),
            explaining=shown.bar("explain"),
        )
    if as_json:
        failed = [{"sample": sample, "reason": reason} for sample, reason in found.failed]
        say_json({**found.facts, "failed": failed, "written": [str(file) for file in found.written]})
    else:
        for sample, reason in found.failed:
            say(f"  failed: {sample}: {reason}")
        for line in found.lines:
            say(line)
        say(f"wrote {found.written[0]} and {len(found.written) - 1} files beside it")
    raise typer.Exit(1 if found.failed and not skip_errors else 0)
