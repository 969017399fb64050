"""Judged claims as one table: who claims what, whether it can be true, within which tolerance, and why."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leukfeat.audit.judgement import Judgement
from leukfeat.audit.printed import difference
from leukfeat.audit.verdict import Verdict
from leukfeat.reports.table import Cell, Column, Table, markdown_safe
from leukfeat.textfiles import printable, write_text

_COLUMNS = (
    Column("paper"),
    Column("claim"),
    Column("row"),
    Column("verdict"),
    Column("allowed difference", "allowed"),
    Column("needed difference", "needed"),
    Column("why"),
)


def claims_table(papers: Sequence[tuple[str, Sequence[Verdict]]]) -> Table:
    """Every judgement of every paper, a row each.

    Parameters
    ----------
    papers : sequence of (str, sequence of Verdict)
        A paper and its judged claims.
    """
    rows: list[tuple[Cell, ...]] = [
        (
            paper,
            verdict.claim.name,
            judgement.name,
            judgement.status,
            None if judgement.allowed is None else difference(judgement.allowed),
            _needed(judgement),
            judgement.words,
        )
        for paper, verdicts in papers
        for verdict in verdicts
        for judgement in verdict.judgements
    ]
    return Table("Claims and counts", _COLUMNS, tuple(rows))


def claims_lines(papers: Sequence[tuple[str, Sequence[Verdict]]], width: int = 100) -> list[str]:
    """The same for a terminal: a heading for every claim, and below every judgement its reason."""
    lines = []
    for paper, verdicts in papers:
        for verdict in verdicts:
            claim = verdict.claim
            tolerance = f"tolerance {difference(claim.tolerance)}" if claim.tolerance else "rounding only"
            lines += ["", f"{paper}: {claim.name} ({claim.test.describe()}; {tolerance})"]
            for judgement in verdict.judgements:
                lines.append(f"  {judgement.status:<12}  {judgement.name}{_differences(judgement)}")
                reason = textwrap.wrap(judgement.words, width - 16)
                lines += [f"{'':16}{part}" for part in reason]
    return [printable(line) for line in lines[1:]]


def claims_summary(papers: Sequence[tuple[str, Sequence[Verdict]]]) -> str:
    """How many parts were judged, and how each of them came out."""
    statuses = [judgement.status for _, verdicts in papers for verdict in verdicts for judgement in verdict.judgements]
    told = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(sorted(statuses)))
    return f"{len(statuses)} parts of the claims of {len(papers)} papers: {told}"


def write_claims(folder: Path, table: Table, facts: Sequence[Mapping[str, Any]], summary: str) -> list[Path]:
    """Write the table as Markdown and CSV and everything that was found as JSON; gives the files."""
    files = [folder / f"claims.{kind}" for kind in ("md", "csv", "json")]
    with write_text(files[0]) as stream:
        stream.write(f"# {table.title}\n\n{markdown_safe(summary)}\n\n{table.to_markdown()}")
    table.to_csv(files[1])
    with write_text(files[2]) as stream:
        json.dump(facts, stream, indent=1, ensure_ascii=False)
    return files


def _differences(judgement: Judgement) -> str:
    """What a row is allowed to differ, and what it needs; empty for what has no tolerance."""
    if judgement.allowed is None:
        return ""
    needs = "" if judgement.needs is None else f", needs {_needed(judgement)}"
    return f" (allowed {difference(judgement.allowed)}{needs})"


def _needed(judgement: Judgement) -> str | None:
    """The smallest tolerance in words."""
    if judgement.needs == 0:
        return "rounding alone"
    return None if judgement.needs is None else difference(judgement.needs)
