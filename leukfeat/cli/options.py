"""Options that several commands share, spelled as timm users know them, and the recipe they add up to."""

from __future__ import annotations

from collections.abc import Mapping
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


def recipe_of(data: Path | None, flags: Mapping[str, Any]) -> Recipe:
    """The recipe that a command line means.

    Parameters
    ----------
    data : Path or None
        DATA; ``None`` takes ``leukfeat.yaml`` of the working directory, which flags then override.
    flags : mapping
        Dotted recipe keys (``"split.folds"``) and what was given for them; ``None`` and ``False`` mean "not given".
        ``head`` and ``backbone`` entries are completed by the recipe's entries of the same name.

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
    for dotted, value in flags.items():
        if value is not None and value is not False:
            *sections, key = dotted.split(".")
            place = content
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = value
    if flags.get("features") is not None:
        content.pop("backbone", None)
    return recipe_from(content, where)


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
    """Head entries from the flags for them, completed by what ``leukfeat.yaml`` says where it answers."""
    from leukfeat.experiments.recipe import RECIPE_FILE, load_recipe

    given = {key: value for key, value in settings.items() if value is not None}
    standing: dict[str, dict[str, Any]] = {}
    if data is None and Path(RECIPE_FILE).is_file():
        standing = {head.name: head.model_dump() for head in load_recipe(RECIPE_FILE).head}
    chosen = names or list(standing)
    return [{**standing.get(name, {}), "name": name, **given} for name in chosen] or None
