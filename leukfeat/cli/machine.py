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
    """List heads, engines, attentions, poolings, rules of ensembles and, with a pattern, the backbones whose name fits.

    Example: leukfeat models efficientnet
    """
    from leukfeat.backbones.attention_spec import KINDS
    from leukfeat.backbones.catalog import NAMED_BACKBONES, backbone_names
    from leukfeat.backbones.engines import ENGINES
    from leukfeat.backbones.finetune import OPTIMIZER_NAMES
    from leukfeat.backbones.spec import POOLING_NAMES, VIEW_NAMES
    from leukfeat.evaluation.rules import RULES
    from leukfeat.heads.catalog import HEADS

    described = {
        "heads": {name: spec.summary for name, spec in HEADS.items()},
        "engines": {name: spec.described for name, spec in ENGINES.items()},
    }
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
        say_json({**described, **lists})
        return
    for kind, summaries in described.items():
        say(kind)
        for name, summary in summaries.items():
            say(f"    {name:<15}{summary}")
    for name, known in tables.items():
        say(f"{name}: {', '.join(known)}")
    if not pattern:
        say(f"backbones: any timm model, e.g. {', '.join(backbones)}; 'leukfeat models PATTERN' lists them")
        return
    say(f"backbones like {pattern!r}: {len(backbones)}")
    for name in backbones:
        say(f"    {name}")


def doctor(
    cache: Cache = None,
    bench: Annotated[
        bool, typer.Option("--bench", help="Also measure, for about a minute, and say what to expect.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what this machine can do: Python, packages, processor, GPU, writable cache, model hub.

    With --bench it measures decoding, the forward pass of every engine and the tuning of a head.

    Example: leukfeat doctor
    """
    from dataclasses import asdict

    from leukfeat.experiments.doctor import examine
    from leukfeat.experiments.stages import default_cache

    findings = examine(Path(cache) if cache else default_cache())
    if bench:
        from leukfeat.experiments.bench import measure

        findings += measure(lambda line: typer.echo(line, err=True))
    if as_json:
        say_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.topic) for finding in findings) + 2
        for finding in findings:
            say(f"{'ok ' if finding.good else 'BAD'} {finding.topic + ':':<{width}}{finding.found}")
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)
