"""From claim files and recipes of papers to judged claims."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from leukfeat.audit.claims import Claim
from leukfeat.audit.verdict import Verdict, judge
from leukfeat.errors import RecipeError, UsageError
from leukfeat.experiments.claim_sections import ClaimFile, ClaimSection
from leukfeat.experiments.recipe import first_problem, load_recipe
from leukfeat.experiments.sections import Paper
from leukfeat.yamlfiles import read_yaml


@dataclass(frozen=True)
class PaperClaims:
    """The claims of one paper.

    Attributes
    ----------
    paper : str
        Authors and year, or the name of the file.
    files : tuple of str
        Which of the files named it.
    claims : tuple of Claim
        Each claim once, however many files repeat it.
    """

    paper: str
    files: tuple[str, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class PaperVerdict:
    """The claims of one paper, judged."""

    paper: str
    files: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def possible(self) -> bool:
        """Whether nothing it claims is impossible."""
        return all(verdict.possible for verdict in self.verdicts)

    def describe(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "paper": self.paper,
            "files": list(self.files),
            "possible": self.possible,
            "claims": [
                {
                    "name": verdict.claim.name,
                    "tolerance": verdict.claim.tolerance,
                    "judgements": [judgement.describe() for judgement in verdict.judgements],
                }
                for verdict in self.verdicts
            ],
        }


def audit_claims(files: Iterable[Path], tolerance: float | None = None) -> list[PaperVerdict]:
    """Judge the claims in claim files and recipes, paper by paper.

    Parameters
    ----------
    files : iterable of Path
        Claim files, or recipes with ``claims`` or ``claims_file``.
    tolerance : float or None
        In place of what the files say.

    Raises
    ------
    RecipeError
        A file that cannot be read, or says what cannot be; the message names the file and the place.
    UsageError
        None of the files has a claim.
    """
    return [
        PaperVerdict(each.paper, each.files, tuple(judge(claim, tolerance) for claim in each.claims))
        for each in load_claims(files)
    ]


def load_claims(files: Iterable[Path]) -> list[PaperClaims]:
    """Read claims; a claim that several recipes of a paper carry is taken once. See :func:`audit_claims`."""
    found: dict[str, _Gathered] = {}
    shared: dict[Path, _Read] = {}
    names = []
    for file in files:
        names.append(str(file))
        paper, sections = _read(file, shared)
        if sections:
            gathered = found.setdefault(paper, _Gathered())
            gathered.files.append(str(file))
            for section in sections:
                gathered.sections.setdefault(json.dumps(section.model_dump(mode="json"), sort_keys=True), section)
    if not found:
        raise UsageError(f"{', '.join(names) or 'no file'}: no claims; write them under the key claims")
    return [
        PaperClaims(paper, tuple(each.files), tuple(section.claim() for section in each.sections.values()))
        for paper, each in found.items()
    ]


_Read = tuple[Paper | None, tuple[ClaimSection, ...]]


@dataclass
class _Gathered:
    files: list[str] = field(default_factory=list)
    sections: dict[str, ClaimSection] = field(default_factory=dict)


def _read(file: Path, shared: dict[Path, _Read]) -> tuple[str, tuple[ClaimSection, ...]]:
    """The paper and the claims of a file; claim files that recipes share are read once."""
    content = read_yaml(file)
    if isinstance(content, dict) and "data" in content:
        recipe = load_recipe(file)
        if recipe.claims_file is not None:
            source = file.parent / recipe.claims_file
            if source not in shared:
                shared[source] = _claim_file(source)
            told, sections = shared[source]
            return _cited(recipe.paper or told, file), sections
        return _cited(recipe.paper, file), recipe.claims
    paper, sections = _claim_file(file, content)
    return _cited(paper, file), sections


def _claim_file(file: Path, content: Any = None) -> _Read:
    content = read_yaml(file) if content is None else content
    if not isinstance(content, dict):
        raise RecipeError(f"{file}: a claim file has the key 'claims'; found {type(content).__name__}")
    try:
        read = ClaimFile.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{file}: {first_problem(error, ClaimFile)}") from None
    return read.paper, read.claims


def _cited(paper: Paper | None, file: Path) -> str:
    """Authors and year, where a title ends with them."""
    if paper is None:
        return file.stem
    found = re.search(r"\(([^()]*)\)\s*$", paper.title)
    return found[1] if found else paper.title
