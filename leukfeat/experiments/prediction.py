"""From a bundle to a model at work; nothing in the bundle is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from leukfeat.errors import LeukfeatError, RunError
from leukfeat.evaluation.ensembles import FittedRule
from leukfeat.experiments.bundle import HEAD, SEEN_JSON, read_bundle
from leukfeat.experiments.model import Model
from leukfeat.heads.files import load_head
from leukfeat.jsonfiles import parse_json

if TYPE_CHECKING:
    from leukfeat.backbones.network_files import SavedNetwork


# What a network or a head raises that is put together from facts that do not belong together.
_MISFITS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def load(folder: Path | str) -> Model:
    """Load a model from its bundle; nothing in the bundle is executed.

    Parameters
    ----------
    folder : path
        The bundle, or the run folder that has it.

    Raises
    ------
    RunError
        No bundle, or one that is damaged, foreign, or of another version; the message says which.

    Examples
    --------
    >>> load("no-such-folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    leukfeat.errors.RunError: no-such-folder: not a model bundle ...
    """
    folder, facts = read_bundle(folder)
    try:
        trained_on = parse_json((folder / SEEN_JSON).read_text(encoding="utf-8"))["images"]
        model = _read(folder, facts["model"], frozenset(facts["files"]), "")
        if model.classes != tuple(facts["classes"]) or facts["positive"] not in (None, *model.classes):
            raise RunError("its classes are not those of the model in it; it is damaged")
    except LeukfeatError as error:
        reason = str(error) if str(folder) in str(error) else f"{folder}: {error}"
        raise RunError(reason) from error
    except _MISFITS as error:
        reason = " ".join(str(error).split())[:300]
        raise RunError(
            f"{folder}: its parts do not fit together ({type(error).__name__}: {reason}); it is foreign"
        ) from error
    return replace(model, positive=facts["positive"], facts=facts, trained_on=frozenset(map(str, trained_on)))


def _read(folder: Path, about: Mapping[str, Any], files: frozenset[str], place: str) -> Model:
    """Read the model whose files are under ``place``."""
    kind = about["kind"]
    if kind not in _PARTS:
        raise RunError(f"holds a model of kind {kind!r}; known: {', '.join(_PARTS)}")
    model = Model(tuple(map(str, about["classes"])), None, about, amp_dtype=about["amp_dtype"])
    model = replace(model, **_PARTS[kind](folder, about, files, place))
    for classes in [network.classes for network in model.networks if model.head is None]:
        if classes != model.classes:
            raise RunError("its classes are not those of its network; it is damaged")
    if model.head is not None and tuple(map(str, model.head.classes_)) != model.classes:
        raise RunError("its classes are not those of its head; it is damaged")
    return model


def _networks(folder: Path, about: Mapping[str, Any], files: frozenset[str], place: str) -> tuple[SavedNetwork, ...]:
    from leukfeat.backbones.network_folders import ADDED, MODEL, load_from_folder

    found = []
    for number in range(len(about["networks"])):
        inside = f"{place}network-{number}/"
        if inside + MODEL not in files:
            raise RunError(f"{inside}{MODEL} is not among its files: the weights are missing; copy the bundle again")
        found.append(load_from_folder(folder / inside, added=inside + ADDED in files))
    return tuple(found)


def _head_parts(folder: Path, about: Mapping[str, Any], files: frozenset[str], place: str) -> dict[str, Any]:
    return {"head": load_head(folder / place / HEAD), "networks": _networks(folder, about, files, place)}


def _network_parts(folder: Path, about: Mapping[str, Any], files: frozenset[str], place: str) -> dict[str, Any]:
    return {"networks": _networks(folder, about, files, place)}


def _ensemble_parts(folder: Path, about: Mapping[str, Any], files: frozenset[str], place: str) -> dict[str, Any]:
    members = [_read(folder, of_it, files, f"{place}member-{number}/") for number, of_it in enumerate(about["members"])]
    return {"members": tuple(members), "rule": FittedRule.from_description(about["rule"])}


_PARTS: Mapping[str, Callable[[Path, Mapping[str, Any], frozenset[str], str], dict[str, Any]]] = MappingProxyType(
    {"ensemble": _ensemble_parts, "head": _head_parts, "network": _network_parts}
)
