"""Recipes: one YAML file, read strictly, that says everything a run depends on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.errors import LeukfeatError, RecipeError
from leukfeat.experiments.claim_sections import ClaimSection, SummarySection, SumSection, TestSection
from leukfeat.experiments.sections import (
    AuditSection,
    Backbone,
    Backbones,
    CopiesSection,
    CurveSection,
    DataSection,
    EnsembleSection,
    ExtractionSection,
    Head,
    HeadSection,
    MemberSection,
    Paper,
    RuleSection,
    Section,
    Seed,
    SiteSection,
    SplitSection,
    Switch,
    SyntheticData,
    listed,
    switched_on,
)
from leukfeat.textfiles import write_text
from leukfeat.yamlfiles import read_yaml

RECIPE_FILE = "leukfeat.yaml"  # what the commands read where they are called without DATA


class Recipe(Section):
    """Everything a run depends on.

    Every backbone is evaluated with every head, and beside them every network and ensemble. Relative paths are
    relative to the working directory.
    """

    name: str = Field("run", pattern=r"^[\w.+-]+$")
    data: DataSection | None = None
    sites: tuple[SiteSection, ...] = ()
    split: SplitSection = SplitSection()
    audit: AuditSection = AuditSection()
    backbone: Annotated[tuple[Backbones, ...], BeforeValidator(listed)] = ()
    features: Path | None = None
    head: Annotated[tuple[Head, ...], BeforeValidator(listed)] = ()
    network: Annotated[tuple[Backbone, ...], BeforeValidator(listed)] = ()
    ensemble: Annotated[tuple[EnsembleSection, ...], BeforeValidator(listed)] = ()
    extraction: ExtractionSection = ExtractionSection()
    leakage_meter: Switch = False
    learning_curve: Annotated[CurveSection | None, BeforeValidator(switched_on)] = None
    seed: Seed = 0
    cache: Path | None = None
    out: Path = Path("runs")
    report: Path = Path("report")
    paper: Paper | None = None
    reported: dict[str, float] = Field(default_factory=dict)
    unstated: tuple[str, ...] = ()
    claims: tuple[ClaimSection, ...] = ()
    claims_file: Path | None = None  # relative to the recipe; claims that several recipes of a paper share

    @model_validator(mode="after")
    def _one_source_of_images(self) -> Recipe:
        if (self.data is None) == (not self.sites):
            raise ValueError("give either data, or two or more sites")
        names = [site.name for site in self.sites]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or len(names) == 1:
            raise ValueError(f"sites: {twice[0]!r} stands there twice" if twice else "sites: give two or more")
        if self.sites and (self.leakage_meter or self.learning_curve):
            raise ValueError("leakage_meter and learning_curve are about one data set; give data in place of sites")
        return self

    @model_validator(mode="after")
    def _one_source_of_features(self) -> Recipe:
        if self.features is not None and self.backbone:
            raise ValueError("give either backbone or features")
        return self

    @model_validator(mode="after")
    def _one_source_of_claims(self) -> Recipe:
        if self.claims and self.claims_file is not None:
            raise ValueError("give either claims or claims_file")
        return self

    def on(self, data: Path) -> Recipe:
        """The same recipe on the images of another manifest or folder; what was said of its own data still counts."""
        own = self.data or DataSection(path=data)
        return self.model_copy(update={"data": own.model_copy(update={"path": data, "synthetic": None}), "sites": ()})

    def resolved(self) -> dict[str, Any]:
        """Plain YAML types, defaults spelled out."""
        return self.model_dump(mode="json")

    def save(self, file: Path | str) -> Path:
        """Write the recipe with every default spelled out."""
        with write_text(file) as stream:
            yaml.safe_dump(self.resolved(), stream, sort_keys=False, allow_unicode=True)
        return Path(file)


def load_recipe(file: Path | str) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        The file is missing or no YAML, a key is unknown or stands twice, or a value has the wrong type. The message
        names the file and the place in it.
    """
    content = read_yaml(Path(file))
    if not isinstance(content, dict):
        raise RecipeError(f"{file}: a recipe is a list of 'key: value' lines; found {type(content).__name__}")
    return recipe_from(content, str(file))


def recipe_from(content: Mapping[str, Any], where: str) -> Recipe:
    """Validate plain values as a recipe; ``where`` names their source in errors, if they have one."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        cause = error.errors()[0].get("ctx", {}).get("error")
        if not where and isinstance(cause, LeukfeatError):
            raise cause from None
        raise RecipeError((f"{where}: " if where else "") + first_problem(error)) from None


def first_problem(error: ValidationError, root: type[Section] | None = None) -> str:
    """One line for the first thing that is wrong (an unknown key before everything it may have caused).

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    root : type or None
        What was read, a recipe by default.
    """
    problems = sorted(
        error.errors(), key=lambda problem: problem["type"] not in ("extra_forbidden", "unexpected_keyword_argument")
    )
    problem = problems[0]
    place = [str(step) for step in problem["loc"]]
    cause = problem.get("ctx", {}).get("error")
    dotted = ".".join(place)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _keys_at(place[:-1], root or Recipe)
        near = difflib.get_close_matches(place[-1], known, n=1)
        inside = f" in {'.'.join(place[:-1])}" if len(place) > 1 else ""
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"unknown key {place[-1]!r}{inside}; {hint}"
    if isinstance(cause, LeukfeatError | ValueError):
        return f"{dotted}: {cause}" if dotted else str(cause)
    given = problem.get("input")
    found = (
        f" (found {given!r})" if not isinstance(given, Mapping | list | tuple) and problem["type"] != "missing" else ""
    )
    return f"{dotted}: {problem['msg'][0].lower()}{problem['msg'][1:]}{found}"


_SECTIONS: dict[str, type] = {
    "data": DataSection,
    "sites": SiteSection,
    "learning_curve": CurveSection,
    "synthetic": SyntheticData,
    "split": SplitSection,
    "audit": AuditSection,
    "backbone": BackboneSpec,
    "preprocess": Preprocess,
    "network": BackboneSpec,
    "head": HeadSection,
    "ensemble": EnsembleSection,
    "members": MemberSection,
    "rule": RuleSection,
    "copies": CopiesSection,
    "extraction": ExtractionSection,
    "paper": Paper,
    "claims": ClaimSection,
    "test": TestSection,
    "summaries": SummarySection,
    "sums": SumSection,
}


def _keys_at(place: list[str], root: type[Section]) -> list[str]:
    """The keys that may stand at a place of a recipe."""
    named = [step for step in place if step in _SECTIONS]
    section = _SECTIONS[named[-1]] if named else root
    return list(section.model_fields if issubclass(section, BaseModel) else section.__annotations__)
