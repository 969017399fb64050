"""The model to keep: a folder with everything a prediction needs, without pickle.

``bundle.json`` says what the model is, what it was trained and evaluated on, and has the checksum of every other file::

    bundle.json  MODEL_CARD.md  seen.json
    head/                     a head: see leukfeat.heads.files
    network-0/  network-1/    its encoders, or the one network: see leukfeat.backbones.network_folders
    member-0/  member-1/      of an ensemble: the same again

Names of files are never taken from a bundle; links in it are followed, because what they lead to has a checksum.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np

from leukfeat.backbones.spec import BackboneSpec
from leukfeat.data.adapters import ADAPTERS
from leukfeat.data.hashing import sha256_of
from leukfeat.data.manifest import Manifest
from leukfeat.errors import RunError
from leukfeat.evaluation.caveats import caveats
from leukfeat.evaluation.metrics import Score, score
from leukfeat.evaluation.runs import Run, is_unfinished
from leukfeat.evaluation.subjects import score_by_subject
from leukfeat.experiments.card import model_card
from leukfeat.experiments.environment import environment
from leukfeat.experiments.kept import Kept
from leukfeat.heads.files import save_head
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import named, sweep, temporary_name, write_text

BUNDLE_JSON = "bundle.json"
MODEL_CARD = "MODEL_CARD.md"
SEEN_JSON = "seen.json"
HEAD = "head"
RUN_MODEL = "model"  # where a run keeps its bundle
SCHEMA = 2

_LOGS = ("trials", "history")  # of a fit; they are in files of their own beside a run


def save_bundle(
    folder: Path | str, kept: Kept, candidate: Mapping[str, Any], manifest: Manifest, run: Run | None = None
) -> Path:
    """Write a bundle folder, whole or not at all; one that is there is replaced.

    Parameters
    ----------
    folder : path
        Where it shall be.
    kept : Kept
        Fitted on the labelled rows of ``manifest``.
    candidate : mapping
        Everything that makes the candidate what it is.
    manifest : Manifest
        The training data.
    run : Run or None
        The candidate's evaluation, for the model card.

    Raises
    ------
    WeightsError, UsageError
        An encoder that cannot be had any more.
    OSError
        The folder cannot be written; nothing of it is left.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    building = temporary_name(folder)
    building.mkdir(mode=0o700)
    try:
        with named(folder):
            model = _write_model(building, kept, candidate)
        with write_text(building / SEEN_JSON) as stream:
            rows = manifest.labelled
            json.dump({"images": sorted({manifest.sha256[row] for row in rows} - {""})}, stream)
        facts: dict[str, Any] = {
            "schema": SCHEMA,
            "kind": model["kind"],
            "classes": list(kept.classes),
            "positive": manifest.positive if manifest.positive in kept.classes else None,
            "model": model,
            "candidate": _without_places(candidate),
            "fit": _without_logs(kept.facts),
            "data": _data_facts(manifest),
            "evaluation": None if run is None else _evaluation_facts(run),
            "environment": environment(),
        }
        facts = json.loads(json.dumps(facts, default=_plain), parse_constant=lambda _: None)  # JSON knows no NaN
        with write_text(building / MODEL_CARD) as stream:
            stream.write(model_card(facts))
        facts["files"] = {
            file.relative_to(building).as_posix(): sha256_of(file)
            for file in sorted(building.rglob("*"))
            if file.is_file()
        }
        with write_text(building / BUNDLE_JSON) as stream:
            json.dump({**facts, "digest": _digest(facts)}, stream, indent=1, ensure_ascii=False)
        building.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        building.replace(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def read_bundle(folder: Path | str) -> tuple[Path, dict[str, Any]]:
    """Read what a bundle says about itself, after every file's checksum was found right.

    Parameters
    ----------
    folder : path
        A bundle, or a run that has one.

    Returns
    -------
    Path
        The bundle's own folder.
    dict
        ``bundle.json``.

    Raises
    ------
    RunError
        No bundle, one of another version, a file that is missing or damaged.
    """
    folder = Path(folder)
    if not (folder / BUNDLE_JSON).is_file() and (folder / RUN_MODEL / BUNDLE_JSON).is_file():
        folder = folder / RUN_MODEL
    file = folder / BUNDLE_JSON
    if not file.is_file():
        reason = (
            "an unfinished run without a model; run its command again to finish it"
            if is_unfinished(folder)
            else f"not a model bundle (no {BUNDLE_JSON}); give the folder of a run, or the folder {RUN_MODEL} in it"
        )
        raise RunError(f"{folder}: {reason}")
    try:
        facts = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: cannot be read: {error}; copy the bundle again") from error
    schema = facts.get("schema") if isinstance(facts, dict) else None
    if not isinstance(schema, int):
        raise RunError(f"{file}: was not written by leukfeat (no schema); give a bundle that fit-head or fit-net made")
    if schema != SCHEMA:
        advice = "update leukfeat" if schema > SCHEMA else "run the command that made it again"
        raise RunError(f"{folder}: a bundle of schema {schema}; this leukfeat reads schema {SCHEMA}: {advice}")
    if facts.pop("digest", None) != _digest(facts):
        raise RunError(f"{file}: is damaged (its digest differs); copy the bundle again")
    _check_files(folder, facts.get("files"))
    return folder, facts


def _check_files(folder: Path, files: Any) -> None:
    """Refuse a bundle with a file that is missing, damaged, or outside of it."""
    if not isinstance(files, dict) or SEEN_JSON not in files:
        raise RunError(f"{folder / BUNDLE_JSON}: does not list its files; copy the bundle again")
    for name, checksum in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or PurePath(name).drive or "\0" in name:
            raise RunError(f"{folder / BUNDLE_JSON}: names {name!r}, which is outside the bundle; it is not loaded")
        try:
            found = sha256_of(folder / path) if (folder / path).is_file() else None
        except OSError as error:  # a name that no file can have, or one that may not be read
            raise RunError(f"{folder}: {name[:80]} cannot be read: {error.strerror or error}") from error
        if found is None:
            what = "its weights" if path.suffix == ".safetensors" else "it"
            raise RunError(f"{folder}: {name} is missing; a model without {what} cannot predict: copy the bundle again")
        if found != checksum:
            raise RunError(f"{folder}: {name} is damaged (checksum differs); copy the bundle again")


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------------- parts


def _write_model(folder: Path, kept: Kept, candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Write head, networks and members; returns what a reader has to know about them."""
    precision = candidate.get("amp_dtype")
    about: dict[str, Any] = {"classes": list(kept.classes), "amp_dtype": None if precision == "none" else precision}
    if kept.members and kept.rule is not None:
        described = candidate.get("members") or [{}] * len(kept.members)
        members = []
        for number, (member, of_it) in enumerate(zip(kept.members, described, strict=True)):
            place = folder / f"member-{number}"
            place.mkdir()
            members.append(_write_model(place, member, of_it))
        return {**about, "kind": "ensemble", "rule": kept.rule.describe(), "members": members}
    if kept.network is not None:
        asked = candidate.get("network")
        return {**about, "kind": "network", "networks": [_write_network(folder, 0, kept.network, asked)]}
    if kept.head is None:
        raise RunError(f"{folder.name}: neither a head, nor a network, nor members: there is no model to keep")
    save_head(kept.head, folder / HEAD)
    asked = candidate.get("backbones") or [None] * len(kept.encoders)
    networks = [
        _write_network(folder, number, spec, of_it)
        for number, (spec, of_it) in enumerate(zip(kept.encoders, asked, strict=True))
    ]
    return {**about, "kind": "head", "head": kept.head.head, "networks": networks}


def _write_network(
    folder: Path, number: int, network: Path | BackboneSpec, asked: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Write a network and say what it is: architecture, inputs, attention, cost, licence of what it began with."""
    from leukfeat.backbones.cost import cost_of
    from leukfeat.backbones.network_folders import ADDED, licence_of, load_from_folder, save_encoder, save_in_folder
    from leukfeat.backbones.resolution import resolve

    place = folder / f"network-{number}"
    place.mkdir()
    if isinstance(network, Path):
        save_in_folder(network, place)
    else:
        save_encoder(network, place)
    resolution = resolve(BackboneSpec(weights=str(network)) if isinstance(network, Path) else network)
    saved = load_from_folder(place, added=(place / ADDED).is_file())
    cost = cost_of(saved.model, saved.inputs.size, resolution.architecture)
    began = None if asked is None else BackboneSpec.from_description(dict(asked)).replace(finetune=None)
    return {
        **resolution.identity(),
        "origin": resolution.origin,
        "trained_on_images": len(resolution.seen.images),
        "seen_unknown": resolution.seen.unknown,
        "began_as": None if began is None else began.label,
        "began_random": began is not None and began.weights == "random",
        "licence": None if began is None else licence_of(began),
        "parameters": cost.parameters,
        "macs": cost.macs,
    }


# ---------------------------------------------------------------------- facts


def _data_facts(manifest: Manifest) -> dict[str, Any]:
    rows = manifest.labelled
    subjects = sorted({manifest.subject[row] for row in rows}) if manifest.subjects_known else []
    owners = {(manifest.label[row], manifest.subject[row]) for row in rows} if subjects else set()
    adapter = ADAPTERS.get(manifest.dataset)
    return {
        "dataset": PurePath(manifest.dataset).name,
        "title": None if adapter is None else adapter.title,
        "licence": None if adapter is None else adapter.licence,
        "digest": manifest.digest,
        "images": len(rows),
        "images_by_class": dict(sorted(Counter(manifest.label[row] for row in rows).items())),
        "subjects_known": manifest.subjects_known,
        "subjects": len(subjects) if subjects else None,
        "subjects_by_class": dict(sorted(Counter(label for label, _ in owners).items())),
        "subjects_digest": hashlib.sha256("\n".join(subjects).encode()).hexdigest() if subjects else None,
        "notes": list(manifest.notes),
    }


def _evaluation_facts(run: Run) -> dict[str, Any]:
    predictions = run.predictions
    return {
        "split": dict(run.split),
        "images": len(set(predictions.sample.tolist())),
        "subjects": len(set(predictions.subject.tolist())) if predictions.subjects_known else None,
        "repeats": len(set(predictions.repeat.tolist())),
        "notes": list(caveats(run)),
        "by_image": _scores(score(predictions)),
        "by_subject": _scores(score_by_subject(predictions)),
        "predictions_digest": predictions.digest,
    }


def _scores(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Metrics as JSON: a number, or the reason why there is none."""
    return {name: one.value if one.defined else one.reason for name, one in scores.items()}


def _without_logs(facts: Any) -> Any:
    """The facts of a fit without what grows with its length."""
    if isinstance(facts, Mapping):
        return {name: _without_logs(value) for name, value in facts.items() if name not in _LOGS}
    return [_without_logs(value) for value in facts] if isinstance(facts, list | tuple) else facts


def _without_places(facts: Any, name: str = "") -> Any:
    """A description in which weights files are named without the folders of this machine."""
    if isinstance(facts, Mapping):
        return {key: _without_places(value, key) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_without_places(value) for value in facts]
    is_file = name == "weights" and str(facts).endswith(".safetensors")
    return PurePath(facts).name if is_file else facts


def _plain(value: object) -> object:
    """Arrays and numbers of NumPy as JSON types."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
