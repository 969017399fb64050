"""Recipes: one YAML file, read strictly, that says everything a run depends on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.finetune import Augment, FineTune
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.errors import LeukfeatError, RecipeError
from leukfeat.experiments.strictyaml import read_yaml
from leukfeat.textfiles import write_text

RECIPE_FILE = "leukfeat.yaml"  # what the commands read where they are called without DATA

Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Switch = Annotated[bool, Field(strict=True)]
SplitKind = Literal[
    "grouped", "official", "holdout", "fixed-test", "reserved", "per-image", "per-image-holdout", "file"
]


class Section(BaseModel):
    """A part of a recipe: frozen, no unknown keys, numbers and switches not written as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class SyntheticData(Section):
    """Generated cells (see :func:`leukfeat.data.synthetic.synthesize`)."""

    folder: Path = Path("synthetic-cells")
    subjects: Annotated[int, Field(strict=True, ge=4)] = 24
    cells: Count = 20
    size: Annotated[int, Field(strict=True, ge=32, le=1024)] = 128
    seed: Seed = 0
    size_confound: Switch = True


Augmentation = Annotated[Augment, BeforeValidator(Augment.of), PlainSerializer(Augment.describe)]


class CopiesSection(Section):
    """Augmented copies made BEFORE splitting: only to reproduce papers that did so; every output says that it leaks."""

    per_class: Count
    folder: Path = Path("copies")
    augment: Augmentation
    seed: Seed = 0


class DataSection(Section):
    """Which images: a manifest or folder, or generated cells."""

    path: Path | None = None
    synthetic: SyntheticData | None = None
    dataset: str | None = None
    subjects: Literal["unknown"] | None = None
    subjects_from: str | None = None
    positive: str | None = None
    copies: CopiesSection | None = None

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.path is None) == (self.synthetic is None):
            raise ValueError("give either path or synthetic")
        reading = ("dataset", "subjects", "subjects_from", "positive")
        told = [name for name in reading if getattr(self, name) is not None]
        if self.synthetic is not None and told:
            raise ValueError(f"{told[0]} is about data that is read; generated cells know theirs")
        return self


def _fractions(value: object) -> object:
    return [float(part) for part in value.split("/")] if isinstance(value, str) else value


class SplitSection(Section):
    """Who is trained on and who is tested."""

    kind: SplitKind = "grouped"
    folds: Annotated[int, Field(strict=True, ge=2)] = 5
    repeats: Count = 1
    seed: Seed = 0
    fractions: Annotated[tuple[float, float, float], BeforeValidator(_fractions)] = (60, 20, 20)
    test_part: str = "prelim"
    validation: Annotated[float, Field(ge=0, lt=1)] | None = None
    validation_by: Literal["subject", "image"] = "subject"
    train: Literal["rest", "one"] = "rest"
    file: Path | None = None

    @model_validator(mode="after")
    def _file_goes_with_kind(self) -> SplitSection:
        if (self.kind == "file") != (self.file is not None):
            raise ValueError("kind: file and file: PATH belong together")
        if self.validation is not None and self.kind not in ("fixed-test", "reserved"):
            raise ValueError("validation belongs to the kinds fixed-test and reserved; holdout has fractions")
        return self


class HeadSection(Section):
    """A classification head and how long to tune it."""

    name: str
    trials: Count = 30
    timeout: float | None = Field(None, gt=0)  # seconds a fold
    metric: str | None = None
    inner_folds: Annotated[int, Field(strict=True, ge=2)] = 4
    params: dict[str, str | int | float | bool | list[str] | None] = {}


class ExtractionSection(Section):
    """How forward passes run; nothing here changes which features are meant, but ``amp_dtype`` is part of their key."""

    device: str = "auto"
    amp_dtype: Literal["float16", "bfloat16"] | None = None
    batch_size: Count = 32
    num_workers: Count | None = None
    skip_errors: Switch = False


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _fused(value: object) -> object:
    """A backbone entry is one backbone, or several whose features are concatenated."""
    if isinstance(value, Mapping) and set(value) == {"concatenate"}:
        return value["concatenate"]
    return _listed(value)


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _specified(value: object) -> object:
    """A backbone by its name, or by its fields with attention and training as text and mappings."""
    value = _named(value)
    if not isinstance(value, Mapping):
        return value
    made = {"attention": AttentionSpec.of, "finetune": FineTune.of}
    return {name: made[name](field) if name in made else field for name, field in value.items()}


Backbone = Annotated[BackboneSpec, BeforeValidator(_specified), PlainSerializer(BackboneSpec.describe)]
Backbones = Annotated[tuple[Backbone, ...], BeforeValidator(_fused), Field(min_length=1)]
Head = Annotated[HeadSection, BeforeValidator(_named)]


class MemberSection(Section):
    """One member of an ensemble: a backbone with a head, or a network."""

    backbone: Backbones | None = None
    head: Head | None = None
    network: Backbone | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> MemberSection:
        if (self.backbone is None) == (self.network is None) or (self.backbone is None) != (self.head is None):
            raise ValueError("a member is a backbone with a head, or a network")
        return self


class RuleSection(Section):
    """How an ensemble combines its members."""

    name: str
    metric: str | None = None
    power: float | None = Field(None, gt=0)


class EnsembleSection(Section):
    """Several members and a rule over their probabilities; what the rule learns is learned inside the training part."""

    rule: Annotated[RuleSection, BeforeValidator(_named)]
    members: Annotated[tuple[MemberSection, ...], Field(min_length=2)]
    inner_folds: Annotated[int, Field(strict=True, ge=2)] = 3


class Paper(Section):
    """Where a recipe comes from."""

    title: str
    doi: str | None = None
    where: str | None = None


class Recipe(Section):
    """Everything a run depends on.

    Every backbone is evaluated with every head, and beside them every network and ensemble. Relative paths are
    relative to the working directory.
    """

    name: str = Field("run", pattern=r"^[\w.+-]+$")
    data: DataSection
    split: SplitSection = SplitSection()
    backbone: Annotated[tuple[Backbones, ...], BeforeValidator(_listed)] = ()
    features: Path | None = None
    head: Annotated[tuple[Head, ...], BeforeValidator(_listed)] = ()
    network: Annotated[tuple[Backbone, ...], BeforeValidator(_listed)] = ()
    ensemble: Annotated[tuple[EnsembleSection, ...], BeforeValidator(_listed)] = ()
    extraction: ExtractionSection = ExtractionSection()
    seed: Seed = 0
    cache: Path | None = None
    out: Path = Path("runs")
    report: Path = Path("report")
    paper: Paper | None = None
    reported: dict[str, float] = {}
    unstated: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_source_of_features(self) -> Recipe:
        if self.features is not None and self.backbone:
            raise ValueError("give either backbone or features")
        return self

    def on(self, data: Path) -> Recipe:
        """The same recipe on the images of another manifest or folder; what was said of its own data still counts."""
        return self.model_copy(update={"data": self.data.model_copy(update={"path": data, "synthetic": None})})

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
        raise RecipeError((f"{where}: " if where else "") + _first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    """One line for the first thing that is wrong (an unknown key before everything it may have caused)."""
    problems = sorted(
        error.errors(), key=lambda problem: problem["type"] not in ("extra_forbidden", "unexpected_keyword_argument")
    )
    problem = problems[0]
    place = [str(step) for step in problem["loc"]]
    cause = problem.get("ctx", {}).get("error")
    dotted = ".".join(place)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _keys_at(place[:-1])
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
    "synthetic": SyntheticData,
    "split": SplitSection,
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
}


def _keys_at(place: list[str]) -> list[str]:
    """The keys that may stand at a place of a recipe."""
    named = [step for step in place if step in _SECTIONS]
    section = _SECTIONS[named[-1]] if named else Recipe
    return list(section.model_fields if issubclass(section, BaseModel) else section.__annotations__)
