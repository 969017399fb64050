"""The model card: what a model is for, what it was made of and how well it did, in words; only facts of its bundle.

References
----------
Mitchell et al., "Model Cards for Model Reporting", 2019, doi:10.1145/3287560.3287596: the order of the sections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leukfeat.data.words import SUBJECTS_UNKNOWN, protection_in_words

_NOT_KNOWN = "not known"

_CARD = """\
# Model card: {name}

## Intended use

Research on images of blood and bone-marrow cells. **Not for diagnosis**: no part of this model has been assessed as a
medical device, and its output must not decide about anybody's treatment.

## Output

{output}

## Training data

{data}

## Preprocessing

{preprocessing}

## Architecture

{architecture}

## Training

{training}

## Evaluation

{evaluation}

## Known shortcuts

Not audited. The size of a cell alone tells classes apart in some data sets of segmented cells, and so may background,
stain and camera. Nobody has measured how far this model relies on them.

## Limits

{limits}

## Licences

{licences}

## Environment

{environment}
"""

_SETTINGS = ("epochs", "batch_size", "accumulate", "optimizer", "lr", "lr_of", "weight_decay", "schedule", "loss",
             "label_smoothing", "class_weights", "sampling", "augment", "frozen_epochs", "batch_norm", "head_trains_on",
             "select", "seed")  # fmt: skip


def model_card(facts: Mapping[str, Any]) -> str:
    """Write the model card of a bundle.

    Parameters
    ----------
    facts : mapping
        ``bundle.json``, the checksums of its files aside.

    Returns
    -------
    str
        Markdown.
    """
    networks = list(_each(facts["model"], "networks"))
    sections = {
        "output": _output(facts),
        "data": _data(facts["data"]),
        "preprocessing": [_inputs(network) for network in networks] or ["None: it takes features, not images."],
        "architecture": _architecture(facts["model"]),
        "training": _training(facts["fit"]),
        "evaluation": _evaluation(facts["evaluation"]),
        "limits": _limits(facts),
        "licences": _licences(facts["data"], networks),
        "environment": _environment(facts["environment"]),
    }
    return _CARD.format(
        name=_name(facts["model"]),
        **{title: "\n".join(f"- {_shown(line)}" for line in lines) for title, lines in sections.items()},
    )


def _shown(line: str) -> str:
    """A line in which no name of a class, file or note is markup, or a link."""
    return " ".join(line.split()).replace("<", "\\<").replace("](", "]\\(")


def _each(model: Mapping[str, Any], what: str) -> Iterator[Mapping[str, Any]]:
    """Networks of a model and of its members, in order."""
    yield from model.get(what, ())
    for member in model.get("members", ()):
        yield from _each(member, what)


def _name(model: Mapping[str, Any]) -> str:
    if model["kind"] == "ensemble":
        return f"{model['rule']['name']} of {len(model['members'])} models"
    source = " + ".join(str(network["architecture"]) for network in model["networks"]) or "given features"
    return source if model["kind"] == "network" else f"{source} → {model['head']}"


def _output(facts: Mapping[str, Any]) -> list[str]:
    positive = facts["positive"]
    return [
        f"A probability for each class: {', '.join(facts['classes'])}. The names are the labels of the training data.",
        f"Positive class: {positive}." if positive else "No class is stated to be the positive one.",
        "No threshold was chosen: the predicted class is the most probable one.",
        "The probabilities were not calibrated.",
    ]


def _data(data: Mapping[str, Any]) -> list[str]:
    by_class = ", ".join(f"{n:,} {name}" for name, n in data["images_by_class"].items())
    lines = [f"{data['title'] or data['dataset']}: {data['images']:,} labelled images ({by_class})."]
    if data["subjects_known"]:
        owners = ", ".join(f"{n:,} with {name}" for name, n in data["subjects_by_class"].items())
        lines += [
            f"{data['subjects']:,} subjects ({owners}); sha256 of their sorted ids: `{data['subjects_digest']}`.",
        ]
    else:
        lines.append(f"{SUBJECTS_UNKNOWN.partition(':')[0].capitalize()}.")
    lines.append(f"Digest of samples, labels, subjects and images: `{data['digest']}`.")
    return lines + [f"Note: {note}" for note in data["notes"]]


def _inputs(network: Mapping[str, Any]) -> str:
    inputs = network["inputs"]
    height, width = inputs["size"]
    crop = f"crop {inputs['crop']}" + (f" ({inputs['crop_amount']:g})" if inputs["crop_amount"] else "")
    mean, std = ("/".join(f"{value:.4g}" for value in inputs[name]) for name in ("mean", "std"))
    range_ = "[0, 1]" if inputs["scale"] == "unit" else "0-255"
    return (
        f"{network['architecture']}: {height} × {width} pixels, {crop}, {inputs['interpolation']} resampling; RGB in"
        f" {range_}, minus {mean}, divided by {std}."
    )


def _architecture(model: Mapping[str, Any]) -> list[str]:
    if model["kind"] == "ensemble":
        lines = [f"Ensemble of {len(model['members'])}, rule: {model['rule']['name']}."]
        for number, member in enumerate(model["members"], start=1):
            lines += [f"Member {number}: {line}" for line in _architecture(member)]
        return lines
    lines = [_network(network) for network in model["networks"]]
    if model["kind"] == "head":
        source = "the embeddings, side by side" if len(lines) > 1 else "the embedding"
        lines.append(
            f"Head: {model['head']} on {source if lines else 'features that were given, of an unknown network'}."
        )
    return lines


def _network(network: Mapping[str, Any]) -> str:
    attention = network["attention"]
    parts = [
        f"attention {_settings(attention)}" if attention else "no attention",
        f"pooling {network['pooling']}",
        *([f"output of layer {network['layer']}"] if network["layer"] else []),
        *([f"averaged over views ({network['views']})"] if network["views"] != "none" else []),
    ]
    began = f", began as {network['began_as']}" if network["trained_on_images"] and network["began_as"] else ""
    return (
        f"{network['architecture']} ({network['origin']}{began}): {', '.join(parts)};"
        f" {network['parameters']:,} parameters, {network['macs']:,} multiply-accumulate operations an image;"
        f" sha256 of the weights `{network['weights_sha256']}`."
    )


def _training(fit: Mapping[str, Any]) -> list[str]:
    lines = []
    if "params" in fit:
        lines.append(
            f"Head: {fit['n_train']:,} images, parameters {_settings(fit['params'])} ({fit['implementation']})."
        )
        if fit.get("inner_score") is not None:
            lines.append(f"Tuned for {fit['metric']} on inner folds: {fit['inner_score']:.4f} (not an evaluation).")
    for trained in fit.get("trained", ()):
        chosen = {name: value for name, value in trained.get("finetune", {}).items() if name in _SETTINGS}
        lines.append(
            f"Network: trained on {trained['n_fit']:,} images, its epoch chosen on {trained['n_validation']:,};"
            f" {_settings(chosen)}."
        )
    for number, member in enumerate(fit.get("members", ()), start=1):
        lines += [f"Member {number}: {line}" for line in _training(member)]
    return lines or ["Nothing is recorded."]


def _evaluation(evaluation: Mapping[str, Any] | None) -> list[str]:
    if evaluation is None:
        return ["None was given when the model was saved."]
    split = evaluation["split"]
    protection = split.get("protection")
    known = evaluation["subjects"] is not None
    people = f" of {evaluation['subjects']:,} subjects" if known else ""
    words = protection_in_words(protection, subjects_known=known) if protection else _NOT_KNOWN
    return [
        "The figures are of models fitted like this one on parts of the data and tested on the rest; this one was then"
        " fitted on all of it.",
        f"Split: {split.get('kind', _NOT_KNOWN)}, {split.get('folds', _NOT_KNOWN)} fold(s); {words}.",
        f"Tested: {evaluation['images']:,} images{people}, {evaluation['repeats']} time(s).",
        *(f"**{note}**" for note in evaluation["notes"]),
        f"By image: {_metrics(evaluation['by_image'])}.",
        f"By subject (mean probability): {_metrics(evaluation['by_subject'])}.",
    ]


def _metrics(scores: Mapping[str, Any]) -> str:
    defined = [f"{name} {value:.4f}" for name, value in scores.items() if not isinstance(value, str)]
    reasons = sorted({value for value in scores.values() if isinstance(value, str)})
    return ", ".join(defined) if defined else f"none ({'; '.join(reasons)})"


def _limits(facts: Mapping[str, Any]) -> list[str]:
    data = facts["data"]
    return [
        f"Trained on one data set ({data['title'] or data['dataset']}) and tested on no other: what it does on images"
        " of another laboratory, stain, microscope or camera is not known.",
        f"It knows {', '.join(facts['classes'])} and nothing else: whatever it is shown, such as another leukemia"
        " (AML), another cell or an artefact, it gives to one of these.",
        "It expects images framed as those it was trained on: single segmented cells and whole, unsegmented smears are"
        " not interchangeable.",
        "Age, sex and treatment of the subjects are not recorded; it has not been tested for groups of them, such as"
        " adults where the training data are of children.",
    ]


def _licences(data: Mapping[str, Any], networks: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"Data: {data['licence'] or f'{_NOT_KNOWN}; ask its owner'}."]
    for network in networks:
        licence = "random, so nobody's" if network["began_random"] else network["licence"] or _NOT_KNOWN
        lines.append(f"Initial weights of {network['architecture']} ({network['began_as'] or _NOT_KNOWN}): {licence}.")
        if network["seen_unknown"]:
            lines.append(f"What the weights of {network['architecture']} were trained on is unknown.")
    return lines


def _environment(environment: Mapping[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items() if version)
    return [f"Python {environment['python']} on {environment['platform']}", packages]


def _settings(settings: Mapping[str, Any]) -> str:
    """Settings in one line; those that are not set are left out."""
    told = [f"{name} {_told(value)}" for name, value in settings.items() if value not in (None, {}, [], False)]
    return ", ".join(told) or "by default"


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_settings(value)})"
    if isinstance(value, list | tuple):
        return "/".join(_told(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
