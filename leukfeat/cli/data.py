"""``leukfeat data …`` and ``leukfeat init``: from a folder of cells to a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leukfeat.cli.console import progress, say
from leukfeat.cli.options import Dataset, FollowLinks, Positive, Rehash, Subjects, SubjectsFrom

app = typer.Typer(help="Known data sets, manifests, generated cells.", no_args_is_help=True, rich_markup_mode=None)


@app.command("ls")
def ls() -> None:
    """List the data sets whose layout is known, their counts and licences, and where to get them.

    Example: leukfeat data ls
    """
    from leukfeat.data.adapters import ADAPTERS

    for adapter in ADAPTERS.values():
        say(f"{adapter.name}: {adapter.title}")
        facts = {
            "layout": adapter.layout,
            "counts": adapter.counts,
            "subjects": "in the names" if adapter.subjects else "not known: --subjects unknown",
            "positive": adapter.positive or "not stated: --positive",
            "licence": adapter.licence,
            "where": adapter.where,
        }
        for name, fact in facts.items():
            say(f"    {name + ':':<10}{fact}")


@app.command("prepare")
def prepare(
    folder: Annotated[Path, typer.Argument(help="Data-set folder, CSV, or checksum list (path, sha256, bytes).")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="CSV", help="Manifest to write.")] = Path(
        "cells.csv"
    ),
    dataset: Dataset = None,
    subjects: Subjects = None,
    subjects_from: SubjectsFrom = None,
    follow_links: FollowLinks = False,
    positive: Positive = None,
    rehash: Rehash = False,
) -> None:
    """Read a data set and write its manifest: sample, path, label, subject, sha256 and what else is known.

    Example: leukfeat data prepare C-NMC_Leukemia -o cells.csv
    """
    from leukfeat.data.hashing import HashMemo
    from leukfeat.data.manifest import Manifest
    from leukfeat.data.reading import may_be_replaced

    may_be_replaced(output)
    with progress() as shown:
        manifest = Manifest.open(
            folder,
            dataset=dataset,
            subjects=subjects,
            subjects_from=subjects_from,
            follow_links=follow_links,
            positive=positive,
            memo=HashMemo(rehash=rehash),
            progress=shown.bar("checksums"),
        )
    for line in manifest.describe():
        say(line)
    say(f"wrote {manifest.save(output)}")


@app.command("synth")
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder for the images and their cells.csv.")],
    subjects: Annotated[int, typer.Option(min=4, help="Subjects, half of them of each class.")] = 24,
    cells: Annotated[int, typer.Option(min=1, help="Cells a subject.")] = 20,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Height and width in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds draw other subjects.")] = 0,
    size_confound: Annotated[bool, typer.Option(help="Positive cells are larger, as in C-NMC.")] = True,
) -> None:
    """Draw blood cells with subject effects and, unless switched off, a size confound.

    Example: leukfeat data synth synthetic-cells --subjects 24 --cells 20 --seed 0
    """
    from leukfeat.data.synthetic import synthesize

    with progress() as shown:
        manifest = synthesize(
            folder,
            n_subjects=subjects,
            n_cells=cells,
            seed=seed,
            size=size,
            size_confound=size_confound,
            progress=shown.bar("cells"),
        )
    for line in manifest.describe():
        say(line)
    say(f"wrote {folder / 'cells.csv'}")


def init(
    folder: Annotated[Path, typer.Argument(help="Your folder of cells; it receives cells.csv and leukfeat.yaml.")],
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write there instead, if FOLDER is not yours.")
    ] = None,
    dataset: Dataset = None,
    subjects: Subjects = None,
    subjects_from: SubjectsFrom = None,
    follow_links: FollowLinks = False,
    positive: Positive = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing leukfeat.yaml and cells.csv.")
    ] = False,
) -> None:
    """Write cells.csv and a commented leukfeat.yaml; then extract, fit-head and compare work bare in that directory.

    Example: leukfeat init my-cells
    """
    from leukfeat.experiments.start import start

    with progress() as shown:
        manifest, written = start(
            folder,
            into=into,
            dataset=dataset,
            subjects=subjects,
            subjects_from=subjects_from,
            follow_links=follow_links,
            positive=positive,
            overwrite=overwrite,
            progress=shown.bar("checksums"),
        )
    for line in manifest.describe():
        say(line)
    for file in written:
        say(f"wrote {file}")
    say(f"next: cd {written[0].parent} && leukfeat extract && leukfeat fit-head --head xgboost && leukfeat compare")
