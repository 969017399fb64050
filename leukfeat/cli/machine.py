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
    """List heads, attentions, poolings, rules of ensembles and, with a pattern, the backbones whose name fits.

    Example: leukfeat models efficientnet
    """
    from leukfeat.backbones.attention_spec import KINDS
    from leukfeat.backbones.catalog import NAMED_BACKBONES, backbone_names
    from leukfeat.backbones.finetune import OPTIMIZER_NAMES
    from leukfeat.backbones.spec import POOLING_NAMES, VIEW_NAMES
    from leukfeat.evaluation.rules import RULES
    from leukfeat.heads.catalog import HEADS

    heads = {name: spec.summary for name, spec in HEADS.items()}
    backbones = backbone_names(pattern) if pattern else NAMED_BACKBONES
    tables = {
        "attentions": ("none", *KINDS),
        "poolings": POOLING_NAMES,
        "views": VIEW_NAMES,
        "optimizers": OPTIMIZER_NAMES,
        "rules of ensembles": tuple(RULES),
    }
    if as_json:
        lists = {name: list(known) for name, known in {**tables, "backbones": backbones}.items()}
        say_json({"heads": heads, **lists})
        return
    say("heads")
    for name, summary in heads.items():
        say(f"    {name:<15}{summary}")
    for name, known in tables.items():
        say(f"{name}: {', '.join(known)}")
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
