"""The feature store: a folder a key, immutable parts in it, rows found by the sha256 of the image.

Layout::

    <root>/resolved/<question>.json          what a backbone came to, so that a warm run needs no torch
    <root>/engines/                          networks as engines want them, exported or compiled once
    <root>/trained/                          networks that were trained
    <root>/<readable>-<key12>/provenance.json  the inputs of the key, in full
    <root>/<readable>-<key12>/part-*.h5        rows; never modified, only added
    <root>/<readable>-<key12>/used             its time says when rows were last looked up

Any number of processes and machines may read and add at the same time: a part appears under its name when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.resolution import Resolution
from leukfeat.backbones.spec import canonical_json
from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.headers import UnreadableError
from leukfeat.features.shelf import Shelf
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import TEMPORARY, write_text

PROVENANCE = "provenance.json"
IMPORTED = "imported"  # stands where the pooling of a network would: rows are of names, not of images
RESOLVED = "resolved"
ENGINES = "engines"
TRAINED = "trained"
USED = "used"
PRECISIONS = ("fp32", "float16", "bfloat16")
KEY_SCHEMA = 2  # of what the inputs mean; how rows are stored has a number of its own

_SECONDS_BETWEEN_STAMPS = 3_600


class Key(Protocol):
    """What names a folder of a store.

    Attributes
    ----------
    inputs : mapping
        Everything vectors depend on, known before any is computed; JSON types.
    provenance : mapping
        What is recorded in the folder beside it: origin, versions.
    """

    @property
    def inputs(self) -> Mapping[str, Any]: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class FeatureKey:
    """The key of vectors that leukfeat computes.

    Attributes
    ----------
    resolution : Resolution
        Network, weights and preprocessing.
    precision : str
        ``"fp32"``, ``"float16"`` or ``"bfloat16"``.
    """

    resolution: Resolution
    precision: str = "fp32"

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What is hashed, as JSON types."""
        return {**self.resolution.identity(), "precision": self.precision, "schema": KEY_SCHEMA}

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the weights came from, and versions."""
        versions = {**self.resolution.versions, "leukfeat": leukfeat_version()}
        return {"origin": self.resolution.origin, "versions": versions}

    @cached_property
    def digest(self) -> str:
        """sha256 over the inputs."""
        return key_digest(self.inputs)

    @property
    def folder_name(self) -> str:
        """Readable beginning and the first 12 digits of the digest; a function of the inputs alone."""
        return folder_name(self.inputs)


@dataclass(frozen=True)
class StoredKey:
    """A key as it is recorded in a store: of vectors that leukfeat did not compute, or not here.

    Attributes
    ----------
    inputs, provenance : mapping
        As :class:`Key` has it.
    """

    inputs: Mapping[str, Any]
    provenance: Mapping[str, Any]


def key_digest(inputs: Mapping[str, Any]) -> str:
    """sha256 over the inputs of a key."""
    return hashlib.sha256(canonical_json(dict(inputs)).encode()).hexdigest()


def folder_name(inputs: Mapping[str, Any]) -> str:
    """Name of the folder of a key: architecture, pooling, layer, and the first 12 digits of its digest."""
    words = [inputs["architecture"], inputs["pooling"]] + ([inputs["layer"]] if inputs["layer"] else [])
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", "-".join(words))[:60]
    return f"{readable}-{key_digest(inputs)[:12]}"


class FeatureStore:
    """Vectors kept on disk, found again by the content of the image.

    Parameters
    ----------
    root : path
        Its folder; made when something is written.

    Raises
    ------
    StoreError
        The path is something else than a folder.
    """

    def __init__(self, root: Path | str = "cache") -> None:
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"{self.root}: not a folder; name a folder with --cache")

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.root)!r})"

    @property
    def resolved(self) -> Path:
        """Where the answers of :func:`leukfeat.backbones.resolution.resolve` are remembered."""
        return self.root / RESOLVED

    @property
    def engines(self) -> Path:
        """Where engines keep networks that they have exported or compiled."""
        return self.root / ENGINES

    @property
    def trained(self) -> Path:
        """Where networks are kept that were trained."""
        return self.root / TRAINED

    def folder(self, key: Key) -> Path:
        """Where a key's parts are."""
        return self.root / folder_name(key.inputs)

    def open(self, key: Key) -> Shelf:
        """What is stored under a key.

        Raises
        ------
        StoreError
            A part cannot be trusted, or the folder belongs to another key.
        """
        folder = self.folder(key)
        if folder.is_dir() and (folder / PROVENANCE).exists():
            kept = read_provenance(folder)["key"]
            if key_digest(kept) != key_digest(key.inputs):
                raise StoreError(f"{folder / PROVENANCE}: belongs to another key; run leukfeat cache verify")
            _stamp(folder / USED)
        return Shelf(folder)

    def append(
        self,
        key: Key,
        sha256: Sequence[str],
        X: NDArray[np.float32],
        sample_ids: Sequence[str],
        *,
        engine: str,
        decoder: str,
    ) -> Path:
        """Add rows as a new part.

        Parameters
        ----------
        key : Key
            What the vectors depend on.
        sha256 : sequence of str
            Digest of each row's image.
        X : ndarray of shape (n, d), float32
            Finite vectors.
        sample_ids : sequence of str
            A hint for people.
        engine, decoder : str
            What computed and what decoded.

        Returns
        -------
        Path
            The part.

        Raises
        ------
        StoreError
            Rows and digests differ in number, or the store cannot be written.
        """
        if X.ndim != 2 or not len(X) == len(sha256) == len(sample_ids):
            raise StoreError(f"{self.root}: {X.shape} vectors for {len(sha256)} images and {len(sample_ids)} samples")
        folder = self.folder(key)
        try:
            _write_provenance(folder, key)
            part = parts.write_part(folder, sha256, X, sample_ids, engine=engine, decoder=decoder)
            _write_provenance(folder, key)  # where somebody has cleaned the folder away meanwhile
            return part
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be written: {error.strerror or error}; choose another --cache or make room"
            ) from error

    def key_folders(self) -> list[Path]:
        """Folders of all keys."""
        if not self.root.is_dir():
            return []
        return sorted(
            folder
            for folder in self.root.iterdir()
            if (folder / PROVENANCE).is_file() and not folder.name.startswith(TEMPORARY)
        )


def read_provenance(folder: Path) -> dict[str, Any]:
    """The provenance of a key's folder.

    Raises
    ------
    UnreadableError
        It cannot be read now.
    StoreError
        It is missing, or no provenance.
    """
    file = folder / PROVENANCE
    try:
        if not file.is_file():
            raise ValueError("there is no such file")
        provenance = parse_json(file.read_text(encoding="utf-8"))
        if not isinstance(provenance, dict) or not isinstance(provenance["key"], dict):
            raise TypeError("holds no key")
    except OSError as error:
        raise UnreadableError(
            f"{file}: cannot be read: {error.strerror or error}; check disk and permissions"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: cannot be read ({error}); run leukfeat cache gc --yes, which moves the folder aside"
        ) from error
    return dict(provenance)


def leukfeat_version() -> str:
    """The installed version; ``"source"`` where leukfeat runs from a checkout."""
    try:
        return importlib.metadata.version("leukfeat")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def _stamp(file: Path) -> None:
    """Note when a key was last used, for whoever cleans up; a store that cannot be written is only read."""
    with contextlib.suppress(OSError):
        if not file.exists() or time.time() - file.stat().st_mtime > _SECONDS_BETWEEN_STAMPS:
            file.touch()


def _write_provenance(folder: Path, key: Key) -> None:
    """Say what a key's folder is, where that is not said yet."""
    if not (folder / PROVENANCE).exists():
        provenance = {**key.provenance, "key": dict(key.inputs), "digest": key_digest(key.inputs)}
        with write_text(folder / PROVENANCE) as stream:
            json.dump(provenance, stream, indent=1, sort_keys=True)
            stream.write("\n")
