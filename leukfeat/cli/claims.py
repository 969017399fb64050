"""``leukfeat audit-claims``: can the published figures be true?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leukfeat.cli.console import say, say_json
from leukfeat.cli.options import Json


def audit_claims(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Claim files, or recipes that carry claims.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.25,
            metavar="SHARE",
            help="Allow printed figures to differ by this much. [default: what the files say, else rounding]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Also write claims.md, claims.csv and claims.json there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Search for confusion matrices that give figures as published; exit with 1 if some claim is impossible.

    Example: leukfeat audit-claims claims.yaml -o claims
    """
    from leukfeat.experiments.claims import audit_claims
    from leukfeat.reports.claims import claims_lines, claims_summary, claims_table, write_claims

    judged = audit_claims(files, tolerance)
    papers = [(each.paper, each.verdicts) for each in judged]
    facts = [each.describe() for each in judged]
    table = claims_table(papers)
    if as_json:
        say_json(facts)
    else:
        for line in (*claims_lines(papers), "", claims_summary(papers)):
            say(line)
    if out is not None:
        for file in write_claims(out, table, facts, claims_summary(papers)):
            typer.echo(f"wrote {file}", err=as_json)
    if not all(each.possible for each in judged):
        raise typer.Exit(1)
