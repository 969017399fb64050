"""The model to keep: a fitted head with what its features were, on disk, without pickle."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukfeat.data.manifest import Manifest
from leukfeat.errors import RunError
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.environment import version
from leukfeat.heads.files import load_head, save_head
from leukfeat.heads.tuning import TunedHead
from leukfeat.textfiles import write_text

BUNDLE_JSON = "bundle.json"
SCHEMA = 1


@dataclass(frozen=True)
class Bundle:
    """A fitted head and the facts needed to feed it.

    Attributes
    ----------
    head : TunedHead
        Fitted; takes features of shape (n, d) in the order of ``facts["candidate"]["backbones"]``.
    classes : tuple of str
        Order of the probability columns.
    positive : str or None
        The class that counts as positive.
    facts : mapping
        Candidate, training data, parameters, versions; JSON types.
    """

    head: TunedHead
    classes: tuple[str, ...]
    positive: str | None
    facts: Mapping[str, Any]


def save_bundle(
    folder: Path | str, head: TunedHead, fit_facts: Mapping[str, Any], candidate: HeadOnFeatures, manifest: Manifest
) -> Path:
    """Write a bundle folder, whole or not at all; one that is there is replaced.

    Parameters
    ----------
    folder : path
        Where it shall be.
    head : TunedHead
        Fitted on all labelled rows of ``manifest``.
    fit_facts : mapping
        What is worth keeping about that fit; its ``trials`` stay out.
    candidate : HeadOnFeatures
        What the head belongs to.
    manifest : Manifest
        The training data.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        save_head(head, building / "head")
        facts = {
            "schema": SCHEMA,
            "leukfeat": version("leukfeat"),
            "candidate": candidate.describe(),
            "classes": [str(name) for name in head.classes_],
            "positive": manifest.positive,
            "data": {"dataset": manifest.dataset, "digest": manifest.digest, "subjects_known": manifest.subjects_known},
            "fit": {name: value for name, value in fit_facts.items() if name != "trials"},
        }
        with write_text(building / BUNDLE_JSON) as stream:
            json.dump(facts, stream, indent=1, ensure_ascii=False)
        building.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        building.replace(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def load_bundle(folder: Path | str) -> Bundle:
    """Read a bundle; nothing in it is executed.

    Raises
    ------
    RunError
        The folder is no bundle, is damaged, or was written by another version's schema.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / BUNDLE_JSON).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder}: not a model bundle (no {BUNDLE_JSON}); give the model folder of a run") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / BUNDLE_JSON}: cannot be read: {error}") from error
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise RunError(f"{folder}: not a bundle of schema {SCHEMA}; it was written by another leukfeat")
    head = load_head(folder / "head")
    classes, positive = tuple(str(name) for name in head.classes_), facts.get("positive")
    if facts.get("classes") != list(classes) or (positive is not None and positive not in classes):
        raise RunError(
            f"{folder / BUNDLE_JSON}: its classes are not those of the head beside it; the bundle is damaged"
        )
    return Bundle(head, classes, positive, facts)
