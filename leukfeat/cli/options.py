"""Options that several commands share, spelled as timm users know them, and the recipe they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leukfeat.errors import UsageError

if TYPE_CHECKING:
    from leukfeat.experiments.recipe import Recipe

Data = Annotated[
    Path | None,
    typer.Argument(metavar="DATA", help="Manifest CSV or data-set folder; without it ./leukfeat.yaml answers."),
]
Dataset = Annotated[str | None, typer.Option(metavar="NAME", help="Data set whose layout to expect (see 'data ls').")]
Subjects = Annotated[
    str | None, typer.Option(metavar="unknown", help="Say 'unknown' where nobody knows who the cells are from.")
]
SubjectsFrom = Annotated[
    str | None, typer.Option(metavar="REGEX", help="Subject id in each path: the first group, or (?P<subject>…).")
]
Positive = Annotated[str | None, typer.Option(metavar="LABEL", help="The class that counts as positive.")]
BackboneNames = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone", metavar="NAME", help="timm name, with tag if you like, or hf-hub:org/model; repeatable."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="WHICH", help="imagenet (download), random, or a .safetensors file. [default: imagenet]"),
]
Pooling = Annotated[str | None, typer.Option(metavar="NAME", help="avg, max, avgmax, cls or flatten. [default: avg]")]
Layer = Annotated[str | None, typer.Option(metavar="NAME", help="An earlier layer to take features from.")]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Feature store. [default: $LEUKFEAT_CACHE or cache]")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu or cuda. [default: auto]")]
AmpDtype = Annotated[str | None, typer.Option(metavar="TYPE", help="float16 or bfloat16 on CUDA. [default: float32]")]
BatchSize = Annotated[int | None, typer.Option(min=1, metavar="N", help="Images a forward pass. [default: 32]")]
NumWorkers = Annotated[int | None, typer.Option(min=1, metavar="N", help="Decoding threads. [default: processors]")]
SkipErrors = Annotated[bool, typer.Option("--skip-errors", help="Go on without images that cannot be read.")]
Rehash = Annotated[bool, typer.Option("--rehash", help="Read every file anew instead of trusting size and time.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


# A flag that is given takes the place of these keys of a standing recipe.
_ALTERNATIVES = {
    "features": ("backbone",),
    "backbone": ("features",),
    "split.kind": ("split.file",),
    "split.file": ("split.kind",),
    "data.subjects": ("data.subjects_from",),
    "data.subjects_from": ("data.subjects",),
}


def recipe_of(data: Path | None, flags: Mapping[str, Any]) -> Recipe:
    """The recipe that a command line means.

    Parameters
    ----------
    data : Path or None
        DATA; ``None`` takes ``leukfeat.yaml`` of the working directory, which flags then override.
    flags : mapping
        Dotted recipe keys (``"split.folds"``) and what was given for them; ``None`` and ``False`` mean "not given".
        Entries under ``head`` and ``backbone`` are completed by the recipe's entries of the same name.

    Raises
    ------
    UsageError
        Neither DATA nor a ``leukfeat.yaml``.
    RecipeError
        What was given does not make a recipe.
    """
    from leukfeat.experiments.recipe import RECIPE_FILE, load_recipe, recipe_from

    content: dict[str, Any]
    if data is not None:
        content, where = {"data": {"path": data}}, ""
    elif Path(RECIPE_FILE).is_file():
        content, where = load_recipe(RECIPE_FILE).resolved(), f"{RECIPE_FILE} with the options given"
    else:
        raise UsageError(f"no DATA given and no {RECIPE_FILE} here; name a manifest or folder, or see 'leukfeat init'")
    given = {key: value for key, value in flags.items() if value is not None and value is not False}
    for key in ("head", "backbone"):
        if key in given:
            given[key] = [_completed(entry, content.get(key, ())) for entry in given[key]]
    for dotted in {other for key in given for other in _ALTERNATIVES.get(key, ())} - set(given):
        section, _, key = dotted.rpartition(".")
        (content.get(section, {}) if section else content).pop(key, None)
    for dotted, value in given.items():
        section, _, key = dotted.rpartition(".")
        (content.setdefault(section, {}) if section else content)[key] = value
    return recipe_from(content, where)


def _completed(entry: dict[str, Any], standing: Iterable[Any]) -> dict[str, Any]:
    """An entry from flags, with what the recipe's entry of that name says where no flag was given."""
    if "concatenate" in entry:
        return {"concatenate": [_completed(part, standing) for part in entry["concatenate"]]}
    flat = [part for other in standing for part in (other if isinstance(other, list) else [other])]
    named: dict[str, Any] = next((part for part in flat if part["name"] == entry.get("name")), {})
    return {**named, **entry}


def backbones_of(
    names: list[str] | None, weights: str | None, pooling: str | None, layer: str | None
) -> list[dict[str, Any]] | None:
    """Backbone entries from the flags for them; None where no flag was given."""
    shared = {key: value for key, value in (("weights", weights), ("pooling", pooling), ("layer", layer)) if value}
    if names:
        return [{"name": name, **shared} for name in names]
    if weights and weights.endswith(".safetensors"):
        return [shared]  # the file names its architecture
    if shared:
        raise UsageError(f"--{next(iter(shared))} needs a --backbone to go with")
    return None


def heads_of(data: Path | None, names: list[str] | None, **settings: Any) -> list[dict[str, Any]] | None:
    """Head entries from the flags for them; settings alone go to every head that ``leukfeat.yaml`` names."""
    from leukfeat.experiments.recipe import RECIPE_FILE, load_recipe

    given = {key: value for key, value in settings.items() if value is not None}
    if not names and given and data is None and Path(RECIPE_FILE).is_file():
        names = [head.name for head in load_recipe(RECIPE_FILE).head]
    return [{"name": name, **given} for name in names or ()] or None
