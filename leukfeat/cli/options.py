"""Options that several commands share, spelled as timm users know them, and the recipe they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leukfeat.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from leukfeat.experiments.backends import Backend
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
FollowLinks = Annotated[
    bool,
    typer.Option("--follow-links", help="Take symbolic links to folders, and those that lead out of the data folder."),
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
Pooling = Annotated[
    str | None, typer.Option(metavar="NAME", help="avg, max, avgmax, bilinear, cls or flatten. [default: avg]")
]
Layer = Annotated[
    str | None, typer.Option(metavar="NAME", help="An earlier layer to take features from, or to put attention on.")
]
Attention = Annotated[
    str | None, typer.Option(metavar="NAME", help="none, eca, cbam, saeed, … (see 'leukfeat models'). [default: none]")
]
Views = Annotated[
    str | None, typer.Option(metavar="NAME", help="Average over flips, d4 or rotations-8 of an image. [default: none]")
]
FinetuneEpochs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Train the backbone so long on the training subjects of every fold."),
]
Finetune = Annotated[
    list[str] | None,
    typer.Option(
        "--finetune",
        metavar="KEY=VALUE",
        help="Any setting of training, e.g. lr=0.0003, batch_norm=frozen; repeatable.",
    ),
]
HeadTrainsOn = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH", help="Rows for the head of a fine-tuned backbone: all, or those unseen by it. [default: all]"
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="grouped, subject, official, holdout, fixed-test, reserved, per-image or per-image-holdout."
        " [default: grouped]",
    ),
]
SplitFile = Annotated[Path | None, typer.Option(metavar="CSV", help="Columns sample, fold_0 … (train/val/test).")]
Folds = Annotated[int | None, typer.Option(min=2, help="Outer folds. [default: 5]")]
Repeats = Annotated[int | None, typer.Option(min=1, help="Repeats of the split. [default: 1]")]
Fractions = Annotated[str | None, typer.Option(metavar="A/B/C", help="Holdout shares. [default: 60/20/20]")]
TestPart = Annotated[str | None, typer.Option(metavar="NAME", help="Official part to test on (fixed-test).")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seeds folds, training and tuning. [default: 0]")]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Feature store. [default: $LEUKFEAT_CACHE or cache]")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu or cuda. [default: auto]")]
AmpDtype = Annotated[str | None, typer.Option(metavar="TYPE", help="float16 or bfloat16 on CUDA. [default: float32]")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Images a forward pass. [default: what the engine likes]")
]
NumWorkers = Annotated[int | None, typer.Option(min=1, metavar="N", help="Decoding threads. [default: processors]")]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="auto, eager, … (see 'leukfeat models'): how forward passes run. [default: auto]"
    ),
]
BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="Who works: loky (processes here), threading, dask or ray. [default: this process; folds in processes]",
    ),
]
Address = Annotated[
    str | None, typer.Option(metavar="WHERE", help="Dask scheduler (tcp://host:8786, or its file), or Ray head.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Shards or folds at once. [default: what the backend has]")
]
ShardSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Images a shard. [default: 8 shards a worker, 256 to 20000]")
]
SkipErrors = Annotated[bool, typer.Option("--skip-errors", help="Go on without images that cannot be read.")]
Rehash = Annotated[bool, typer.Option("--rehash", help="Read every file anew instead of trusting size and times.")]
AuditLevel = Annotated[
    str | None,
    typer.Option(
        "--audit", metavar="LEVEL", help="basic (hashes, links, folds), full (also images) or none. [default: basic]"
    ),
]
NoAudit = Annotated[bool, typer.Option("--no-audit", help="The same as --audit none; every report says so.")]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="CODE", help="Accept this leak; every report says so. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


# Which key of a recipe a parameter of that name sets, in every command that has it.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "dataset": ("data.dataset",),
    "subjects": ("data.subjects",),
    "subjects_from": ("data.subjects_from",),
    "positive": ("data.positive",),
    "follow_links": ("data.follow_links",),
    "split": ("split.kind",),
    "split_file": ("split.file",),
    "folds": ("split.folds",),
    "repeats": ("split.repeats",),
    "fractions": ("split.fractions",),
    "test_part": ("split.test_part",),
    "seed": ("split.seed", "seed"),
    "features": ("features",),
    "device": ("extraction.device",),
    "amp_dtype": ("extraction.amp_dtype",),
    "batch_size": ("extraction.batch_size",),
    "num_workers": ("extraction.num_workers",),
    "engine": ("extraction.engine",),
    "skip_errors": ("extraction.skip_errors",),
    "cache": ("cache",),
    "out": ("out",),
}

# A flag that is given takes the place of these keys of a standing recipe.
_ALTERNATIVES = {
    "features": ("backbone",),
    "backbone": ("features",),
    "split.kind": ("split.file",),
    "split.file": ("split.kind",),
    "data.subjects": ("data.subjects_from",),
    "data.subjects_from": ("data.subjects",),
}


def flags_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted recipe keys of a command's parameters; parameters that set no single key are passed over."""
    flags = {key: parameters[name] for name, keys in _KEYS.items() if name in parameters for key in keys}
    if parameters.get("split_file") and not parameters.get("split"):
        flags["split.kind"] = "file"
    return {**flags, **{f"audit.{key}": value for key, value in audit_of(parameters).items()}}


def backend_of(parameters: Mapping[str, Any]) -> Backend | None:
    """Who is to work, from a command's parameters; None where nobody was named.

    Raises
    ------
    UsageError
        An address without a backend, or another combination that means nothing.
    """
    from leukfeat.experiments.backends import Backend

    given = {name: parameters.get(name) for name in ("address", "workers", "shard_size")}
    name: str | None = parameters.get("backend_name")
    if name is None and given["address"] is not None:
        raise UsageError(f"--address {given['address']}: say what is there, with --backend dask or --backend ray")
    if name is None and not any(given.values()):
        return None
    return Backend(name or "loky", **{key: value for key, value in given.items() if value is not None})


def split_of(split: str | None) -> dict[str, Any]:
    """Dotted recipe keys of a split that is a kind or a file; nothing where none was given.

    Raises
    ------
    UnknownNameError
        It is neither.
    """
    from leukfeat.experiments.sections import SPLIT_KINDS

    if split is None:
        return {}
    if split in SPLIT_KINDS:
        return {"split.kind": split}
    if split.endswith(".csv") or Path(split).is_file():
        return {"split.kind": "file", "split.file": split}
    raise UnknownNameError("split", split, SPLIT_KINDS)


def audit_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a recipe's audit section from a command's parameters; those that were not given are left out.

    Raises
    ------
    UsageError
        The audit is switched off and asked for.
    """
    level = parameters.get("audit_level")
    if parameters.get("no_audit"):
        if level not in (None, "none"):
            raise UsageError(f"--no-audit and --audit {level} exclude each other; give one")
        level = "none"
    return {key: value for key, value in (("level", level), ("allow", parameters.get("allow"))) if value}


def recipe_of(data: Path | None, flags: Mapping[str, Any]) -> Recipe:
    """The recipe that a command line means.

    Parameters
    ----------
    data : Path or None
        DATA, or a recipe (YAML); ``None`` takes ``leukfeat.yaml`` of the working directory. Flags override a recipe.
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
    if data is not None and data.suffix.lower() in (".yaml", ".yml"):
        content, where = load_recipe(data).resolved(), f"{data} with the options given"
    elif data is not None:
        content, where = {"data": {"path": data}}, ""
    elif Path(RECIPE_FILE).is_file():
        content, where = load_recipe(RECIPE_FILE).resolved(), f"{RECIPE_FILE} with the options given"
    else:
        raise UsageError(f"no DATA given and no {RECIPE_FILE} here; name a manifest or folder, or see 'leukfeat init'")
    given = {key: value for key, value in flags.items() if value is not None and value is not False}
    for key in ("head", "backbone", "network"):
        if key in given:
            given[key] = [_completed(entry, content.get(key, ())) for entry in given[key]]
    for dotted in {other for key in given for other in _ALTERNATIVES.get(key, ())} - set(given):
        section, _, key = dotted.rpartition(".")
        ((content.get(section) or {}) if section else content).pop(key, None)
    for dotted, value in given.items():
        section, _, key = dotted.rpartition(".")
        if section and content.get(section) is None:  # a recipe of several sites has no data of its own
            content[section] = {}
        (content[section] if section else content)[key] = value
    return recipe_from(content, where)


def _completed(entry: dict[str, Any], standing: Iterable[Any]) -> dict[str, Any]:
    """An entry from flags, with what the recipe's entry of that name says where no flag was given."""
    if "concatenate" in entry:
        return {"concatenate": [_completed(part, standing) for part in entry["concatenate"]]}
    flat = [part for other in standing for part in (other if isinstance(other, list) else [other])]
    named: dict[str, Any] = next((part for part in flat if part["name"] == entry.get("name")), {})
    merged = {**named, **entry}
    if "finetune" in entry:
        merged["finetune"] = {**(named.get("finetune") or {}), **entry["finetune"]}
    return merged


def backbones_of(parameters: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Backbone entries from a command's parameters for them; None where no such flag was given."""
    names: list[str] | None = parameters.get("backbone")
    weights: str | None = parameters.get("weights")
    plain = ("weights", "pooling", "layer", "attention", "views")
    shared: dict[str, Any] = {key: parameters[key] for key in plain if parameters.get(key)}
    training = training_of(parameters)
    if training:
        shared["finetune"] = training
    if names:
        return [{"name": name, **shared} for name in names]
    if weights and weights.endswith(".safetensors"):
        return [shared]  # the file names its architecture
    if shared:
        raise UsageError(f"--{next(iter(shared))} needs a --backbone to go with")
    return None


def training_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of training from a command's parameters; empty where no such flag was given."""
    named = {"finetune_epochs": "epochs", "head_trains_on": "head_trains_on", "lr": "lr", "optimizer": "optimizer"}
    from leukfeat.yamlfiles import yaml_value

    settings = {key: parameters[name] for name, key in named.items() if parameters.get(name) is not None}
    for text in parameters.get("finetune") or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--finetune {text}: write KEY=VALUE, e.g. --finetune lr=0.0003")
        settings[key.strip()] = yaml_value(value)
    return settings


def heads_of(data: Path | None, names: list[str] | None, **settings: Any) -> list[dict[str, Any]] | None:
    """Head entries from the flags for them; settings alone go to every head that ``leukfeat.yaml`` names."""
    from leukfeat.experiments.recipe import RECIPE_FILE, load_recipe

    given = {key: value for key, value in settings.items() if value is not None}
    if not names and given and data is None and Path(RECIPE_FILE).is_file():
        names = [head.name for head in load_recipe(RECIPE_FILE).head]
    return [{"name": name, **given} for name in names or ()] or None
