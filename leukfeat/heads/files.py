"""A fitted head on disk, without pickle: native booster files, skops for scikit-learn's parts, JSON for the rest."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from leukfeat.errors import RunError
from leukfeat.heads.booster_files import check_xgboost, checked_lightgbm
from leukfeat.heads.boosters import LightGBM, XGBoost
from leukfeat.heads.catalog import find_head
from leukfeat.heads.nodes import check_estimator
from leukfeat.heads.tuning import TunedHead
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import write_text

_FORMAT = 1
_FACTS = "head.json"
_PARTS = "parts.skops"
_MOST_FEATURES = 10_000_000
_FITTED = (
    "n_features_in_",
    "best_params_",
    "best_score_",
    "metric_",
    "trials_",
    "n_pruned_",
    "inner_fits_",
    "n_inner_folds_",
    "implementation_",
)
# What readers of JSON, zip files and arrays, and estimators put together wrongly, raise.
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
# What a head is made of, by the loader of skops that makes it. Nothing else is ever loaded: skops by itself would trust
# every estimator of scikit-learn, and functions of NumPy.
_KINDS: Mapping[str, re.Pattern[str]] = {
    "DictNode": re.compile(r"builtins\.dict"),
    "JsonNode": re.compile(r"builtins\.(str|int|float|bool|NoneType)"),
    "ListNode": re.compile(r"builtins\.list"),
    "NdArrayNode": re.compile(r"numpy\.(ndarray|bool_?|u?int\d+|float\d+|str_)"),
    "ObjectNode": re.compile(
        r"leukfeat\.heads\.(boosters\.(LightGBM|XGBoost)|machines\.GaussianMachine|pipeline\.HeadPipeline"
        r"|reduction\.(ImportantFeatures|PrincipalComponents)|scaling\.Scaler|trees\.Forest)"
        r"|sklearn\.(calibration\.(CalibratedClassifierCV|_CalibratedClassifier|_SigmoidCalibration)"
        r"|decomposition\._pca\.PCA|linear_model\._logistic\.LogisticRegression"
        r"|neighbors\._classification\.KNeighborsClassifier|tree\._classes\.DecisionTreeClassifier)"
    ),
    "TreeNode": re.compile(r"sklearn\.tree\._tree\.Tree"),
    "TupleNode": re.compile(r"builtins\.tuple"),
    "TypeNode": re.compile(r"builtins\.str|numpy\.(bool_?|u?int\d+|float\d+|str_)"),
}
# Those of them that skops does not trust by itself.
_TRUSTED = frozenset(
    {
        "leukfeat.heads.boosters.LightGBM",
        "leukfeat.heads.boosters.XGBoost",
        "leukfeat.heads.machines.GaussianMachine",
        "leukfeat.heads.pipeline.HeadPipeline",
        "leukfeat.heads.reduction.ImportantFeatures",
        "leukfeat.heads.reduction.PrincipalComponents",
        "leukfeat.heads.scaling.Scaler",
        "leukfeat.heads.trees.Forest",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.tree._tree.Tree",
    }
)


def save_head(head: TunedHead, folder: Path | str) -> None:
    """Write a fitted head into a new folder, which is either whole or not there.

    ``head.json`` has settings, facts and checksums, ``parts.skops`` the scikit-learn parts, ``booster.ubj`` or
    ``booster.txt`` the trees of XGBoost or LightGBM. The storage of trials is not kept: it may name a password.

    Parameters
    ----------
    head : TunedHead
        Fitted.
    folder : path
        Must not exist, or be empty.

    Raises
    ------
    RunError
        The folder holds something.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: is not an empty folder; a head is saved into a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:40]}-"))
    try:
        temporary.chmod(0o755)
        files = _write_parts(head, temporary)
        facts = _facts(head)
        facts["files"] = {name: _checksum(temporary / name) for name in files}
        facts["digest"] = _digest(facts)
        with write_text(temporary / _FACTS) as stream:
            json.dump(facts, stream, indent=1, sort_keys=True)
            stream.write("\n")
        temporary.replace(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_head(folder: Path | str) -> TunedHead:
    """Read a head that :func:`save_head` wrote; it predicts what it predicted before.

    Raises
    ------
    RunError
        The folder is missing or damaged, is of a newer leukfeat, or holds types that no head is made of.
    """
    folder = Path(folder)
    facts = _read_facts(folder)
    try:
        _check_files(folder, {_PARTS: "", **facts["files"]})
        parts = _read_parts(folder)
        _put_booster(folder, facts, parts)
        settings = facts["settings"]
        head = TunedHead(find_head(settings.pop("head")).name, **{**settings, "storage": None})
        for name in _FITTED:
            setattr(head, name, facts["fitted"][name])
        head.classes_ = np.array(facts["classes"]["values"], dtype=facts["classes"]["dtype"])
        if head.classes_.dtype.kind not in "Uiub" or head.classes_.ndim != 1:
            raise ValueError(f"classes of type {head.classes_.dtype}")
        head.estimator_ = parts
        _try_out(head)
    except RunError:
        raise
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:300]
        raise RunError(f"{folder}: cannot be read ({type(error).__name__}: {reason}); save the head again") from error
    return head


def _try_out(head: TunedHead) -> None:
    """Predict one row, so that a head that cannot predict is found before anybody waits for images."""
    n_features, n_classes = head.n_features_in_, len(head.classes_)
    if not isinstance(n_features, int) or not 0 < n_features < _MOST_FEATURES:
        raise ValueError(f"{n_features!r} features")
    proba = head.predict_proba(np.zeros((1, n_features), dtype=np.float32))
    if proba.shape != (1, n_classes) or not np.isfinite(proba).all():
        raise ValueError("it does not give one probability a class")


def _facts(head: TunedHead) -> dict[str, Any]:
    """Everything about a head that is not a model."""
    settings = head.get_params(deep=False)
    settings["storage"] = None
    settings["params"] = dict(settings["params"]) if settings["params"] else None
    if not isinstance(settings["random_state"], int | np.integer):
        settings["random_state"] = None
    if not isinstance(settings["inner_folds"], int | np.integer):
        settings["inner_folds"] = [[_plain(part) for part in pair] for pair in settings["inner_folds"]]
    facts = {
        "format": _FORMAT,
        "kind": "leukfeat head",
        "settings": {name: _plain(value) for name, value in settings.items()},
        "fitted": {name: _plain(getattr(head, name)) for name in _FITTED},
        "classes": {"dtype": head.classes_.dtype.str, "values": head.classes_.tolist()},
    }
    last = _classifier(head)
    if isinstance(last, XGBoost | LightGBM):
        facts["booster"] = {"rounds": last.rounds_, "n_classes": len(last.classes_), "n_features": last.n_features_in_}
    return facts


def _plain(value: Any) -> Any:
    """A value of JSON's own types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return value


def _classifier(head: TunedHead) -> Any:
    steps = getattr(head.estimator_, "steps", None)
    return steps[-1][1] if steps else None


def _write_parts(head: TunedHead, folder: Path) -> list[str]:
    """Write the models; a booster leaves an unfitted place-holder among the scikit-learn parts."""
    last = _classifier(head)
    writer = _BOOSTERS.get(type(last))
    estimator = head.estimator_
    names = [_PARTS]
    if writer is not None:
        name, save, _ = writer
        save(last, folder / name)
        names.append(name)
        place = type(last)(**last.get_params())
        estimator = type(estimator)([*estimator.steps[:-1], ("classifier", place)])
    from skops import io as skops_io  # brings every module of scikit-learn with it, and PyTorch where there is one

    skops_io.dump(estimator, folder / _PARTS)
    return names


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """See that every file is there, and has the checksum it should have."""
    for name, checksum in files.items():
        if name != Path(name).name or not (folder / name).is_file():
            raise RunError(f"{folder}: {name} is missing; save the head again")
        if _checksum(folder / name) != checksum:
            raise RunError(f"{folder}: {name} is damaged (checksum differs); save the head again")


def _read_parts(folder: Path) -> Any:
    """The scikit-learn parts: of known types, and pointing nowhere."""
    packed = (folder / _PARTS).stat().st_size
    with ZipFile(folder / _PARTS) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > packed:  # skops packs nothing, so that this can only be a small file that fills the memory
            raise RunError(f"{folder}: {_PARTS} ({packed:,} bytes) unpacks to {unpacked:,} bytes; it is not loaded")
        schema = parse_json(archive.read("schema.json"))
    foreign = next(_foreign_types(schema), None)
    if foreign is not None:
        raise RunError(f"{folder}: {_PARTS} holds {foreign[:100]}, which no head is made of; it is not loaded")
    from skops import io as skops_io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        parts = skops_io.load(folder / _PARTS, trusted=sorted(_TRUSTED))
    except UntrustedTypesFoundException as error:
        raise RunError(f"{folder}: {_PARTS} holds what no head is made of; it is not loaded") from error
    check_estimator(parts)
    return parts


def _foreign_types(schema: Any) -> Iterator[str]:
    """Types named anywhere in the schema of skops that are none of a head's."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        if isinstance(one, dict) and {"__loader__", "__class__", "__module__"} & set(one):
            loader, name = str(one.get("__loader__")), f"{one.get('__module__')}.{one.get('__class__')}"
            if loader not in _KINDS or not _KINDS[loader].fullmatch(name):
                yield name


def _put_booster(folder: Path, facts: Mapping[str, Any], parts: Any) -> None:
    """Give the place-holder among the scikit-learn parts its trees back."""
    place = parts.steps[-1][1] if hasattr(parts, "steps") else None
    if ("booster" in facts) != (type(place) in _BOOSTERS) or (
        "booster" in facts and _BOOSTERS[type(place)][0] not in facts["files"]
    ):
        raise RunError(f"{folder}: its files do not belong together; save the head again")
    if place is None or "booster" not in facts:
        return
    name, _, load = _BOOSTERS[type(place)]
    n_features, n_classes = int(facts["booster"]["n_features"]), int(facts["booster"]["n_classes"])
    if n_classes != len(facts["classes"]["values"]):
        raise RunError(f"{folder}: its files do not belong together; save the head again")
    place.booster_ = load(folder / name, n_features, n_classes)
    place.rounds_ = int(facts["booster"]["rounds"])
    place.n_features_in_ = n_features
    place.classes_ = np.arange(n_classes)


def _read_facts(folder: Path) -> dict[str, Any]:
    """``head.json``, when it is whole and of this format."""
    file = folder / _FACTS
    if not file.is_file():  # nor a pipe, which would keep its reader waiting for ever
        raise RunError(f"{folder}: holds no saved head ({_FACTS} is missing)")
    try:
        facts = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: cannot be read as JSON; save the head again") from error
    if not isinstance(facts, dict) or facts.get("kind") != "leukfeat head":
        raise RunError(f"{file}: was not written by leukfeat; give a folder that save_head wrote")
    if facts.get("format") != _FORMAT:
        raise RunError(f"{file}: has format {facts.get('format')!r}, this leukfeat reads {_FORMAT}; update leukfeat")
    if facts.pop("digest", None) != _digest(facts):
        raise RunError(f"{file}: is damaged (its digest differs); save the head again")
    return facts


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _save_xgboost(model: XGBoost, file: Path) -> None:
    model.booster_.save_model(file)


def _load_xgboost(file: Path, n_features: int, n_classes: int) -> Any:
    content = file.read_bytes()
    check_xgboost(content, n_features, n_classes)
    import xgboost

    return xgboost.Booster(model_file=bytearray(content))


def _save_lightgbm(model: LightGBM, file: Path) -> None:
    model.booster_.save_model(file)


def _load_lightgbm(file: Path, n_features: int, n_classes: int) -> Any:
    text = checked_lightgbm(file, n_features, n_classes)
    import lightgbm

    try:
        return lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(str(error)) from error


_BOOSTERS: dict[type, tuple[str, Callable[[Any, Path], None], Callable[[Path, int, int], Any]]] = {
    XGBoost: ("booster.ubj", _save_xgboost, _load_xgboost),
    LightGBM: ("booster.txt", _save_lightgbm, _load_lightgbm),
}
