"""``leukfeat models`` and ``leukfeat doctor``: what there is, and what this machine can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leukfeat.cli.console import say, say_json
from leukfeat.cli.options import Cache, Json


def models(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Part of a backbone's name, or a glob.")] = "",
    as_json: Json = False,
) -> None:
    """List heads, poolings and, with a pattern, the backbones whose name fits.

    Example: leukfeat models efficientnet
    """
    from leukfeat.backbones.catalog import NAMED_BACKBONES, backbone_names
    from leukfeat.backbones.spec import POOLING_NAMES
    from leukfeat.heads.catalog import HEADS

    heads = {name: spec.summary for name, spec in HEADS.items()}
    backbones = backbone_names(pattern) if pattern else NAMED_BACKBONES
    if as_json:
        say_json({"heads": heads, "poolings": list(POOLING_NAMES), "backbones": list(backbones)})
        return
    say("heads")
    for name, summary in heads.items():
        say(f"    {name:<15}{summary}")
    say(f"poolings: {', '.join(POOLING_NAMES)}")
    if not pattern:
        say(f"backbones: any timm model, e.g. {', '.join(backbones)}; 'leukfeat models PATTERN' lists them")
        return
    say(f"backbones like {pattern!r}: {len(backbones)}")
    for name in backbones:
        say(f"    {name}")


def doctor(cache: Cache = None, as_json: Json = False) -> None:
    """Say what this machine can do: Python, packages, processor, GPU, writable cache, model hub.

    Example: leukfeat doctor
    """
    from dataclasses import asdict

    from leukfeat.experiments.doctor import examine
    from leukfeat.experiments.stages import default_cache

    findings = examine(Path(cache) if cache else default_cache())
    if as_json:
        say_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            say(f"{'ok ' if finding.good else 'BAD'} {finding.topic + ':':<11}{finding.found}")
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)
