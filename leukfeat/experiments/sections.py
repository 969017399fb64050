"""The sections of a recipe, as pydantic models: what may be said, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from leukfeat.audit.findings import check_codes
from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.engines.choice import AUTO
from leukfeat.backbones.engines.table import ENGINES
from leukfeat.backbones.finetune import Augment, FineTune
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.errors import UnknownNameError

Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Switch = Annotated[bool, Field(strict=True)]
SplitKind = Literal[
    "grouped", "subject", "official", "holdout", "fixed-test", "reserved", "per-image", "per-image-holdout", "file"
]
SPLIT_KINDS: tuple[str, ...] = get_args(SplitKind)


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
    follow_links: Switch = False
    copies: CopiesSection | None = None

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.path is None) == (self.synthetic is None):
            raise ValueError("give either path or synthetic")
        reading = ("dataset", "subjects", "subjects_from", "positive")
        told = [name for name in reading if getattr(self, name) is not None] + ["follow_links"] * self.follow_links
        if self.synthetic is not None and told:
            raise ValueError(f"{told[0]} is about data that is read; generated cells know theirs")
        return self


class SiteSection(DataSection):
    """A data set among several that are trained and tested on in turn."""

    name: str = Field(pattern=r"^[\w.+-]+$")
    labels: dict[str, str | None] = {}  # what its labels are called at all sites; null leaves images out

    @model_validator(mode="after")
    def _originals_only(self) -> SiteSection:
        if self.copies is not None:
            raise ValueError("copies made before splitting belong to one data set, not to a comparison of sites")
        return self


class CurveSection(Section):
    """Sizes of the training part, all subjects included, and draws of subjects at each."""

    sizes: Annotated[int, Field(strict=True, ge=2)] = 5
    seeds: Count = 3


def switched_on(value: object) -> object:
    """``true`` is a section with every default, ``false`` none."""
    return {True: {}, False: None}.get(value, value) if isinstance(value, bool) else value


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


def _known_codes(value: object) -> object:
    return check_codes(map(str, value if isinstance(value, list | tuple) else [value]))


class AuditSection(Section):
    """What is checked before any work, and which leaks are accepted; every report says so."""

    level: Literal["basic", "full", "none"] = "basic"
    allow: Annotated[tuple[str, ...], BeforeValidator(_known_codes)] = ()


class HeadSection(Section):
    """A classification head and how long to tune it."""

    name: str
    trials: Count = 30
    timeout: float | None = Field(None, gt=0)  # seconds a fold
    metric: str | None = None
    inner_folds: Annotated[int, Field(strict=True, ge=2)] = 4
    params: dict[str, str | int | float | bool | list[str] | None] = {}


def _known_engine(value: object) -> str:
    if value not in (AUTO, *ENGINES):
        raise UnknownNameError("engine", str(value), (AUTO, *ENGINES))
    return str(value)


class ExtractionSection(Section):
    """How forward passes run; nothing here changes which features are meant, but ``amp_dtype`` is part of their key."""

    device: str = "auto"
    amp_dtype: Literal["float16", "bfloat16"] | None = None
    batch_size: Count | None = None  # what the engine likes
    num_workers: Count | None = None
    engine: Annotated[str, BeforeValidator(_known_engine)] = AUTO
    skip_errors: Switch = False


def listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _fused(value: object) -> object:
    """A backbone entry is one backbone, or several whose features are concatenated."""
    if isinstance(value, Mapping) and set(value) == {"concatenate"}:
        return value["concatenate"]
    return listed(value)


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
